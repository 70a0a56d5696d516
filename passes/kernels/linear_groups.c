/* linear_groups: weights in groups with a scale, multiplied as integers. A run is the activations' 32 columns, or 16 where
 * groups are as short; it gives an exact integer for each row, and
 *
 *     sum += scale_w * scale_x * integer                      of each plane
 *     sum += min_w * scale_x * sum(activation codes)          where the format has minima
 *
 * With a zero point the integer is sum(code * x) - zero * sum(x): exact in f32, as both are below 2^24.
 *
 * A CPU that starts instructions in order waits at the end of a run for the integers, one step after the other. There a
 * turn of the loop adds what the turn before it left (target.in_order).
 */
#include "linear_groups.h"

#include <mlir-c/BuiltinTypes.h>

/* The sum or the scale of a record. In order, both come by one load and are lanes of it. */
static MlirValue record_word(struct qbc_kernel *k, MlirValue record, int64_t offset, MlirType type)
{
    if (!k->q->target->in_order || offset > QBC_ACT_SCALE)
        return k_load(k, type, k_at_i(k, record, offset), 4);
    return k_extract(k, k_load(k, k_vec(k, 2, type), record, 4), offset / 4);
}

MlirValue qbc_run_minus(struct qbc_linear *l, const struct qbc_run *run, int token)
{
    struct qbc_kernel *k = l->k;
    MlirValue record = run->act[token];
    bool is_half = l->format->group < QBC_ACT_GROUP;
    if (is_half && !run->column)
        return record_word(k, record, QBC_ACT_HALF, k->i32);
    MlirValue minus = record_word(k, record, QBC_ACT_MINUS, k->i32);
    return is_half ? k_sub(k, minus, record_word(k, record, QBC_ACT_HALF, k->i32)) : minus;
}

/* -shift * sum(activation codes) */
static MlirValue less_shift(struct qbc_linear *l, const struct qbc_run *run, int token)
{
    int shift = l->levels[run->operand].shift;
    if (!shift)
        return k_i32(l->k, 0);
    MlirValue minus = qbc_run_minus(l, run, token);
    return l->multiplier == shift ? minus : k_mul_i(l->k, minus, shift);
}

MlirValue qbc_run_start(struct qbc_linear *l, const struct qbc_run *run, int token)
{
    if (run->fractions)
        return qbc_fractions_start(l, run, token);
    return l->levels[run->operand].times ? k_i32(l->k, 0) : less_shift(l, run, token);
}

void qbc_linear_bytes(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    switch (l->tile->kind) {
    case QBC_KIND_DOT4:
        qbc_linear_dot4(l, m, run, out);
        break;
    case QBC_KIND_MULL:
        qbc_linear_mull(l, m, run, out);
        break;
    case QBC_KIND_MMLA:
        qbc_linear_mmla(l, m, run, out);
        break;
    case QBC_KIND_AXPY:
        qbc_linear_axpy_codes(l, m, run, out);
        break;
    default:
        qbc_linear_fma(l, m, run, out);
    }
}

static void multiply(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    int times = l->levels[run->operand].times;
    if (qbc_takes_fractions(k->q->target, l->tile, &l->levels[run->operand], m)) {
        qbc_linear_fractions(l, m, run, out);
        return;
    }
    qbc_linear_bytes(l, m, run, out);
    for (int j = 0; j < m && times; ++j)
        out[j] = k_add(k, k_mul_i(k, out[j], times), k_splat(k, less_shift(l, run, j), l->rows));
}

static MlirValue as_float(struct qbc_kernel *k, MlirValue sums)
{
    bool is_float = mlirTypeIsAFloat(mlirShapedTypeGetElementType(mlirValueGetType(sums)));
    return is_float ? sums : k_cast(k, "arith.sitofp", sums, k->f32);
}

/* --- a run at its place */

static struct qbc_run run_at(struct qbc_linear *l, int m, const struct qbc_place *p, int column, MlirValue group)
{
    struct qbc_kernel *k = l->k;
    int length = qbc_run_columns(l->format), depth = l->packing.depth;
    struct qbc_run run = {.codes = p->codes,
                          .selectors = qbc_group_selectors(l, p->unit, group),
                          .first = column / depth,
                          .chunks = length / depth,
                          .column = column % QBC_ACT_GROUP};
    for (int j = 0; j < m; ++j)
        run.act[j] = k_at_i(k, p->act[j], (int64_t)(column / QBC_ACT_GROUP) * QBC_ACT_RECORD);
    return run;
}

/* Integers of all tokens, zero point taken off. */
static void integers(struct qbc_linear *l, int m, const struct qbc_place *p, MlirValue group, const struct qbc_run *run,
                     MlirValue *out)
{
    multiply(l, m, run, out);
    if (l->format->offset != QBC_OFFSET_ZERO)
        return;
    MlirValue zero = qbc_group_zeros(l, p->unit, group);
    for (int j = 0; j < m; ++j)
        out[j] = qbc_lanes_fma_by(l, zero, qbc_run_minus(l, run, j), as_float(l->k, out[j]));
}

static MlirValue act_scale(struct qbc_linear *l, const struct qbc_run *run, int token)
{
    return record_word(l->k, run->act[token], QBC_ACT_SCALE, l->k->f32);
}

void qbc_linear_add_mins(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue mins, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    mins = k_op1(k, "arith.negf", mins);
    for (int j = 0; j < m; ++j) {
        MlirValue minus = k_cast(k, "arith.sitofp", qbc_run_minus(l, run, j), k->f32);
        sums[j] = qbc_lanes_fma_by(l, mins, k_fmul(k, minus, act_scale(l, run, j)), sums[j]);
    }
}

void qbc_linear_add_scaled(struct qbc_linear *l, int m, const struct qbc_run *run, const MlirValue *products,
                           MlirValue scales, MlirValue *sums)
{
    for (int j = 0; j < m; ++j) {
        MlirValue by = qbc_lanes_mul(l, scales, act_scale(l, run, j));
        sums[j] = qbc_lanes_fma(l, as_float(l->k, products[j]), by, sums[j]);
    }
}

void qbc_linear_add_products(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue scales, MlirValue *sums)
{
    MlirValue products[QBC_MOST_TOKENS];
    multiply(l, m, run, products);
    qbc_linear_add_scaled(l, m, run, products, scales, sums);
}

void qbc_linear_add_run(struct qbc_linear *l, int m, const struct qbc_place *p, int column, MlirValue *sums)
{
    MlirValue group = qbc_group_of(l, p->number, column), products[QBC_MOST_TOKENS];
    struct qbc_run run = run_at(l, m, p, column, group);
    for (; run.operand < qbc_operands(l->format); ++run.operand) {
        integers(l, m, p, group, &run, products);
        qbc_linear_add_scaled(l, m, &run, products, qbc_group_scales(l, p->unit, group, run.operand), sums);
    }
    if (l->format->offset == QBC_OFFSET_MIN)
        qbc_linear_add_mins(l, m, &run, qbc_group_mins(l, p->unit, group), sums);
}

/* How many tokens are few: the CPU's own prefetching is better there; it falls behind where more is computed for each
 * byte, by more tokens or by codes that are put together from fields. Measured on Zen 4. */
static int few_tokens(const struct qbc_linear *l)
{
    return l->layout.codes.n > 1 ? 0 : l->layout.spans > 1 ? 1 : 2;
}

/* Each span asks for its share of a unit, scales included. */
static void expect_weights(struct qbc_linear *l, int m, const struct qbc_place *p)
{
    enum { AHEAD = 16 << 10, LINE = 64 };
    struct qbc_kernel *k = l->k;
    int64_t part = (int64_t)LINE * l->layout.spans, lines = (l->layout.unit_bytes + part - 1) / part;
    if (m <= few_tokens(l) || qbc_is_strip(l))
        return;
    MlirValue at = k_at(k, k_at_i(k, p->unit, AHEAD), k_mul_i(k, p->number, lines * LINE));
    for (int64_t i = 0; i < lines; ++i)
        k_prefetch(k, k_at_i(k, at, i * LINE), false);
}

/* --- all spans of a row, from pointers that go on */

struct walk {
    struct k_loop units, spans;
    bool nested;
    struct qbc_place p;
    MlirValue *carried;
};

static void begin(struct qbc_linear *l, int m, const MlirValue *x, size_t n, const MlirValue *init, struct walk *walk)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_layout *layout = &l->layout;
    struct qbc_place *p = &walk->p;
    walk->nested = layout->spans > 1;
    walk->units = k_for(k, k_i64(k, 0), k_i64(k, layout->units), 1, n, init);
    k_not_unrolled(k, &walk->units);
    walk->carried = walk->units.carried;
    p->unit = k_at(k, l->panel, k_mul_i(k, walk->units.i, layout->unit_bytes));
    MlirValue act = k_mul_i(k, walk->units.i, layout->unit / QBC_ACT_GROUP * QBC_ACT_RECORD);
    p->number = k_i64(k, 0);
    p->codes = p->unit;
    if (walk->nested) {
        walk->spans = k_for(k, k_i64(k, 0), k_i64(k, layout->spans), 1, n, walk->carried);
        k_not_unrolled(k, &walk->spans);
        walk->carried = walk->spans.carried;
        p->number = walk->spans.i;
        p->codes = k_at(k, p->unit, k_mul_i(k, p->number, layout->span_bytes));
        act = k_add(k, act, k_mul_i(k, p->number, layout->span / QBC_ACT_GROUP * QBC_ACT_RECORD));
    }
    expect_weights(l, m, p);
    p->codes = k_at(k, p->codes, k_mul_i(k, l->row, l->packing.depth));
    for (int j = 0; j < m; ++j)
        p->act[j] = k_at(k, x[j], act);
}

static void end(struct qbc_linear *l, struct walk *walk, const MlirValue *next)
{
    if (walk->nested) {
        k_end(l->k, &walk->spans, next);
        next = walk->spans.carried;
    }
    k_end(l->k, &walk->units, next);
    walk->carried = walk->units.carried;
}

static void all_spans(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums)
{
    struct walk walk;
    MlirValue next[QBC_MOST_TOKENS];
    begin(l, m, x, (size_t)m, sums, &walk);
    for (int j = 0; j < m; ++j)
        next[j] = walk.carried[j];
    qbc_linear_add_span(l, m, &walk.p, next);
    end(l, &walk, next);
    for (int j = 0; j < m; ++j)
        sums[j] = walk.carried[j];
}

/* --- in order: a turn adds the term of the turn before, the first one nothing */

struct term {
    MlirValue partial; /* i32, or f32 */
    MlirValue scale;   /* of the weights, as stored where that is f16 */
    MlirValue act;     /* of the activations, f32 */
};

static MlirValue add_term(struct qbc_linear *l, const struct term *t, MlirValue sum)
{
    struct qbc_kernel *k = l->k;
    MlirValue by = qbc_scales_are_half(l) ? k_half_to_float(k, t->scale) : t->scale;
    return qbc_lanes_fma(l, as_float(k, t->partial), qbc_lanes_mul(l, by, t->act), sum);
}

static bool goes_in_turn(const struct qbc_linear *l)
{
    const struct qbc_format *f = l->format;
    return l->k->q->target->in_order && l->layout.span == QBC_ACT_GROUP && f->group >= QBC_ACT_GROUP &&
           qbc_operands(f) == 1 && f->offset != QBC_OFFSET_MIN;
}

static void in_turn(struct qbc_linear *l, const MlirValue *x, MlirValue *sum)
{
    struct qbc_kernel *k = l->k;
    bool is_float = l->tile->kind == QBC_KIND_FMA || l->format->offset == QBC_OFFSET_ZERO, half = qbc_scales_are_half(l);
    MlirType partial = k_vec(k, l->rows, is_float ? k->f32 : k->i32);
    MlirValue none = is_float ? k_float_of(k, partial, 0) : k_int_of(k, partial, 0), scale;
    MlirType stored = k_vec(k, l->rows, half ? k_half(k) : k->f32);
    scale = mlirTypeIsAFloat(mlirShapedTypeGetElementType(stored)) ? k_float_of(k, stored, 0) : k_int_of(k, stored, 0);
    MlirValue next[] = {*sum, none, scale, k_f32(k, 0)};
    struct walk walk;
    begin(l, 1, x, 4, next, &walk);
    struct term before = {walk.carried[1], walk.carried[2], walk.carried[3]};
    next[0] = add_term(l, &before, walk.carried[0]);
    MlirValue group = qbc_group_of(l, walk.p.number, 0);
    struct qbc_run run = run_at(l, 1, &walk.p, 0, group);
    integers(l, 1, &walk.p, group, &run, &next[1]);
    next[2] = half ? qbc_group_halves(l, walk.p.unit, group) : qbc_group_scales(l, walk.p.unit, group, 0);
    next[3] = act_scale(l, &run, 0);
    end(l, &walk, next);
    struct term last = {walk.carried[1], walk.carried[2], walk.carried[3]};
    *sum = add_term(l, &last, walk.carried[0]);
}

void qbc_linear_groups(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    for (int j = 0; j < m; ++j)
        sums[j] = k_float_of(k, qbc_lanes(l, k->f32), 0);
    if (m == 1 && goes_in_turn(l))
        in_turn(l, x, sums);
    else
        all_spans(l, m, x, sums);
}
