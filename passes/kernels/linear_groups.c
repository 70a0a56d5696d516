/* linear_groups: weights in groups with a scale. A group of weights is cut into runs of the activations'
 * 32 columns; a run gives an exact integer for each row, then
 *
 *     sum += scale_w * scale_x * integer
 *
 * With a zero point the integer is sum(code * x) - zero * sum(x): exact in f32, as both are below
 * 2^24 (128 columns of 15 * 127). Where a group has several runs, its scale is applied once.
 *
 * A CPU that starts instructions in order waits at the end of a group for the integers, one step after the other. There a
 * turn of the loop adds what the turn before it left (target.in_order).
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

/* The sum or the scale of a record. In order, both come by one load and are lanes of it. */
static MlirValue record_word(struct qbc_kernel *k, MlirValue record, int64_t offset, MlirType type)
{
    if (!k->q->target->in_order)
        return k_load(k, type, k_at_i(k, record, offset), 4);
    return k_extract(k, k_load(k, k_vec(k, 2, type), record, 4), offset / 4);
}

MlirValue qbc_linear_start(struct qbc_linear *l, MlirValue record)
{
    struct qbc_kernel *k = l->k;
    if (l->format->offset != QBC_OFFSET_NONE || l->packing.is_signed)
        return k_i32(k, 0);
    MlirValue minus = record_word(k, record, QBC_ACT_MINUS, k->i32);
    return l->multiplier == l->format->bias ? minus : k_mul_i(k, minus, l->format->bias);
}

/* Where the rows' part of a group is. */
struct group {
    MlirValue codes, scales, zeros; /* the last two from the start of the group: add the layout's offsets */
    MlirValue act[QBC_MOST_TOKENS];
    int runs, chunks; /* chunks of a run */
};

static MlirValue zeros(struct qbc_linear *l, const struct group *g)
{
    struct qbc_kernel *k = l->k;
    MlirValue at = k_at_i(k, g->zeros, l->layout.zeros_offset);
    return k_cast(k, "arith.uitofp", k_load(k, k_vec(k, l->rows, k->i8), at, 1), k->f32);
}

static MlirValue broadcast(struct qbc_linear *l, MlirValue record, int64_t offset, MlirType type)
{
    return k_splat(l->k, record_word(l->k, record, offset, type), l->rows);
}

static void multiply(struct qbc_linear *l, int m, const struct qbc_runs *runs, MlirValue *out)
{
    switch (l->tile->kind) {
    case QBC_KIND_DOT4:
        qbc_linear_dot4(l, m, runs, out);
        break;
    case QBC_KIND_MULL:
        qbc_linear_mull(l, m, runs, out);
        break;
    case QBC_KIND_MMLA:
        qbc_linear_mmla(l, m, runs, out);
        break;
    default:
        qbc_linear_fma(l, m, runs, out);
    }
}

static MlirValue as_float(struct qbc_kernel *k, MlirValue sums)
{
    bool is_float = mlirTypeIsAFloat(mlirShapedTypeGetElementType(mlirValueGetType(sums)));
    return is_float ? sums : k_cast(k, "arith.sitofp", sums, k->f32);
}

/* Integers of all runs and tokens, zero point taken off. */
static void integers(struct qbc_linear *l, int m, const struct group *g, const struct qbc_runs *runs, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    multiply(l, m, runs, out);
    if (l->format->offset != QBC_OFFSET_ZERO)
        return;
    MlirValue zero = zeros(l, g);
    for (int i = 0; i < runs->n * m; ++i) {
        MlirValue minus = k_splat(k, record_word(k, runs->act[i / m][i % m], QBC_ACT_MINUS, k->i32), l->rows);
        out[i] = k_fma(k, zero, as_float(k, minus), as_float(k, out[i]));
    }
}

/* Adds `n` runs, number `first`, `first + step` .. of the group, where `g->act` and `codes` are moved to those of a turn. */
static void add_runs(struct qbc_linear *l, int m, const struct group *g, MlirValue codes, const MlirValue *act, int first,
                     int step, int n, MlirValue *partial)
{
    struct qbc_kernel *k = l->k;
    struct qbc_runs runs = {.codes = codes, .n = n, .chunks = g->chunks};
    MlirValue sums[QBC_MOST_SUMS];
    for (int i = 0; i < n; ++i) {
        int number = first + i * step;
        runs.first[i] = number * g->chunks;
        for (int j = 0; j < m; ++j)
            runs.act[i][j] = k_at_i(k, act[j], (int64_t)number * QBC_ACT_RECORD);
    }
    integers(l, m, g, &runs, sums);
    for (int i = 0; i < n * m; ++i) {
        MlirValue by = broadcast(l, runs.act[i / m][i % m], QBC_ACT_SCALE, k->f32);
        partial[i % m] = k_fma(k, as_float(k, sums[i]), by, partial[i % m]);
    }
}

/* Several runs, with one scale. A vector of narrow codes has those of several runs, multiplied together, so that it
 * need not stay in a register, or be loaded twice. Codes in several fields are not shared so evenly. */
static void several_runs(struct qbc_linear *l, int m, const struct group *g, MlirValue *partial)
{
    struct qbc_kernel *k = l->k;
    int vectors = l->layout.field[0].vectors;
    bool even = l->layout.n_fields == 1 && vectors % g->chunks == 0;
    int turns = even ? vectors / g->chunks : g->runs;
    MlirValue zero = k_float_of(k, k_vec(k, l->rows, k->f32), 0), next[QBC_MOST_TOKENS], act[QBC_MOST_TOKENS];
    for (int j = 0; j < m; ++j)
        partial[j] = zero;
    for (int r = 0; r < g->runs && !even; ++r)
        add_runs(l, m, g, g->codes, g->act, r, 0, 1, partial);
    if (!even)
        return;
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, turns), 1, (size_t)m, partial);
    k_not_unrolled(k, &loop);
    MlirValue codes = k_at(k, g->codes, k_mul_i(k, loop.i, (int64_t)g->chunks * l->layout.vector_bytes));
    for (int j = 0; j < m; ++j) {
        next[j] = loop.carried[j];
        act[j] = k_at(k, g->act[j], k_mul_i(k, loop.i, QBC_ACT_RECORD));
    }
    for (int r = 0; r < g->runs; r += QBC_MOST_RUNS * turns) {
        int left = (g->runs - r) / turns;
        add_runs(l, m, g, codes, act, r, turns, left < QBC_MOST_RUNS ? left : QBC_MOST_RUNS, next);
    }
    k_end(k, &loop, next);
    for (int j = 0; j < m; ++j)
        partial[j] = loop.carried[j];
}

static void one_run(struct qbc_linear *l, int m, const struct group *g, MlirValue *out)
{
    struct qbc_runs runs = {.codes = g->codes, .n = 1, .chunks = g->chunks};
    memcpy(runs.act[0], g->act, (size_t)m * sizeof *g->act);
    integers(l, m, g, &runs, out);
}

/* What a group adds to the sums of a token, before it is multiplied. */
struct term {
    MlirValue partial; /* i32, or f32 where products are float or were multiplied by the activations' scales */
    MlirValue scale;   /* of the weights, as stored */
    MlirValue act;     /* scale of the activations, f32; null where `partial` has it */
};

static void terms(struct qbc_linear *l, int m, const struct group *g, struct term *t)
{
    struct qbc_kernel *k = l->k;
    MlirValue partial[QBC_MOST_TOKENS], scale;
    scale = k_load(k, k_vec(k, l->rows, k_half(k)), k_at_i(k, g->scales, l->layout.scales_offset), 2);
    if (g->runs > 1)
        several_runs(l, m, g, partial);
    else
        one_run(l, m, g, partial);
    for (int j = 0; j < m; ++j) {
        MlirValue act = g->runs > 1 ? (MlirValue){NULL} : record_word(k, g->act[j], QBC_ACT_SCALE, k->f32);
        t[j] = (struct term){partial[j], scale, act};
    }
}

static MlirValue add_term(struct qbc_linear *l, const struct term *t, MlirValue sum)
{
    struct qbc_kernel *k = l->k;
    MlirValue by = k_half_to_float(k, t->scale);
    if (!mlirValueIsNull(t->act))
        by = k_fmul(k, by, k_splat(k, t->act, l->rows));
    return k_fma(k, as_float(k, t->partial), by, sum);
}

/* The groups of a row, one a turn, from pointers that go on. */
struct walk {
    struct k_loop loop;
    struct group g;
};

/* With one or two tokens the CPU's own prefetching is better; with more it falls behind while they are multiplied. */
static void expect_weights(struct qbc_linear *l, int m, MlirValue group)
{
    enum { FEW = 2, AHEAD = 16 << 10, LINE = 64 };
    for (int64_t line = 0; m > FEW && line < l->layout.group_bytes; line += LINE)
        k_prefetch(l->k, k_at_i(l->k, group, AHEAD + line), false);
}

static void begin(struct qbc_linear *l, int m, const MlirValue *x, MlirValue w, size_t n, const MlirValue *init,
                  struct walk *walk)
{
    struct qbc_kernel *k = l->k;
    int columns = l->format->group, length = columns < QBC_ACT_GROUP ? columns : QBC_ACT_GROUP;
    walk->g = (struct group){.runs = columns / length, .chunks = length / l->packing.depth};
    walk->loop = k_for(k, k_i64(k, 0), k_i64(k, l->layout.groups), 1, n, init);
    k_not_unrolled(k, &walk->loop);
    MlirValue at = k_at(k, w, k_mul_i(k, walk->loop.i, l->layout.group_bytes));
    MlirValue act = k_mul_i(k, walk->loop.i, columns / QBC_ACT_GROUP * QBC_ACT_RECORD);
    walk->g.codes = k_at(k, at, k_mul_i(k, l->row, l->packing.depth));
    walk->g.scales = k_at(k, at, k_mul_i(k, l->row, 2)), walk->g.zeros = k_at(k, at, l->row);
    for (int j = 0; j < m; ++j)
        walk->g.act[j] = k_at(k, x[j], act);
    expect_weights(l, m, at);
}

static void all_groups(struct qbc_linear *l, int m, const MlirValue *x, MlirValue w, MlirValue *sums)
{
    struct walk walk;
    struct term t[QBC_MOST_TOKENS];
    begin(l, m, x, w, (size_t)m, sums, &walk);
    terms(l, m, &walk.g, t);
    for (int j = 0; j < m; ++j)
        sums[j] = add_term(l, &t[j], walk.loop.carried[j]);
    k_end(l->k, &walk.loop, sums);
    for (int j = 0; j < m; ++j)
        sums[j] = walk.loop.carried[j];
}

/* One token; each turn adds the term of the turn before, the first one nothing. */
static void groups_in_turn(struct qbc_linear *l, const MlirValue *x, MlirValue w, MlirValue *sum)
{
    struct qbc_kernel *k = l->k;
    bool one_run = l->format->group <= QBC_ACT_GROUP;
    bool whole = one_run && l->tile->kind != QBC_KIND_FMA && l->format->offset == QBC_OFFSET_NONE;
    MlirType partial = k_vec(k, l->rows, whole ? k->i32 : k->f32);
    MlirValue none = whole ? k_int_of(k, partial, 0) : k_float_of(k, partial, 0);
    MlirValue next[] = {*sum, none, k_float_of(k, k_vec(k, l->rows, k_half(k)), 0), k_f32(k, 0)};
    size_t n = one_run ? 4 : 3; /* else no scale of activations */
    struct walk walk;
    begin(l, 1, x, w, n, next, &walk);
    MlirValue *carried = walk.loop.carried;
    struct term before = {carried[1], carried[2], one_run ? carried[3] : (MlirValue){NULL}}, t;
    next[0] = add_term(l, &before, carried[0]);
    terms(l, 1, &walk.g, &t);
    next[1] = t.partial, next[2] = t.scale, next[3] = t.act;
    k_end(k, &walk.loop, next);
    t = (struct term){carried[1], carried[2], one_run ? carried[3] : (MlirValue){NULL}};
    *sum = add_term(l, &t, carried[0]);
}

void qbc_linear_groups(struct qbc_linear *l, int m, const MlirValue *x, MlirValue w, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    for (int j = 0; j < m; ++j)
        sums[j] = k_float_of(k, k_vec(k, l->rows, k->f32), 0);
    if (m == 1 && k->q->target->in_order)
        groups_in_turn(l, x, w, sums);
    else
        all_groups(l, m, x, w, sums);
}
