/* linear_axpy_groups: codes with a scale for each group, where vectors are of any length. What is added up, and in
 * which order, is linear_groups.c's, so results are the same to the last bit; how the integers come about is
 * not:
 *
 *   narrow   products of bytes added up in 16 bits, which may wrap: less the code of zero times the activations' sum, a
 *            run's 32 products are within 16 bits where codes have four bits or fewer
 *   wide     codes extended to 16 bits, products added up in 32
 *
 * Either way the inner loop has one type of vectors and sets none: loads of bytes do not need it. It goes over vectors
 * of codes; each is loaded once for all the codes it has of one run, or, for one token, of two runs.
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>

enum { MOST_SOURCES = 64, AT_ONCE = 16 };

/* Some consecutive chunks that are in one slot of consecutive vectors (packing.h), for every field. */
struct source {
    int sum;   /* which of the sums they are for */
    int chunk; /* the first */
    int k;     /* its activation, in the sum's run */
};

/* Runs that are added up together: the inner loop's body visits `n` sources. */
struct sources {
    int n, chunks; /* chunks of each */
    struct source of[MOST_SOURCES];
    int runs;
    MlirValue act[2][QBC_MOST_TOKENS]; /* records of each run */
};

/* A strip of one group. */
struct group {
    MlirValue codes, halves, act[QBC_MOST_TOKENS]; /* halves: where offsets count twice, for the scales */
    int runs, length;                              /* columns of a run */
};

static int largest_code(const struct qbc_linear *l)
{
    return l->format->high;
}

/* The code that sums are relative to. With a zero point it is the middle, and the zero's distance comes later. */
static int center(const struct qbc_linear *l)
{
    return l->format->offset == QBC_OFFSET_NONE ? l->format->bias : (largest_code(l) + 1) / 2;
}

static bool is_narrow(const struct qbc_linear *l, int length)
{
    int below = center(l) - l->format->low, above = largest_code(l) - center(l);
    return length * 127 * (below > above ? below : above) <= INT16_MAX;
}

static MlirType sums_type(struct qbc_linear *l, const struct group *g)
{
    return k_scalable(l->k, l->lanes, is_narrow(l, g->length) ? l->k->i16 : l->k->i32);
}

static MlirType codes_type(struct qbc_linear *l, const struct group *g)
{
    return k_scalable(l->k, l->lanes, is_narrow(l, g->length) ? l->k->i8 : l->k->i16);
}

static MlirValue minus(struct qbc_linear *l, MlirValue record)
{
    return k_load(l->k, l->k->i32, k_at_i(l->k, record, QBC_ACT_MINUS), 4);
}

/* A number of 32 bits for vectors of `element`. */
static MlirValue fitted(struct qbc_kernel *k, MlirValue v, MlirType element)
{
    return mlirTypeEqual(element, k->i32) ? v : k_cast(k, "arith.trunci", v, element);
}

/* --- codes */

static MlirValue field(struct qbc_linear *l, const struct group *g, const struct qbc_field *f, MlirValue codes,
                       int chunk, int i)
{
    struct qbc_kernel *k = l->k;
    MlirType bytes = k_scalable(k, l->lanes, k->i8), type = codes_type(l, g);
    int slot = chunk / f->vectors, down = slot * f->bits;
    int64_t vector = chunk % f->vectors + i;
    MlirValue at = k_at_i(k, codes, f->offset + vector * l->layout.vector_bytes);
    MlirValue v = k_rvv_load(k, bytes, at, l->vl);
    if (!mlirTypeEqual(bytes, type))
        v = k_rvv_op1(k, "vzext", type, v, l->vl);
    if (down)
        v = k_rvv_op(k, "vsrl", type, v, k_i64(k, down), l->vl);
    if (down + f->bits == 8)
        return v;
    MlirValue mask = k_int_of(k, mlirShapedTypeGetElementType(type), (1 << f->bits) - 1);
    return k_rvv_op(k, "vand", type, v, mask, l->vl);
}

/* Chunk `chunk` + i of the group, where `codes` is moved by as many vectors as the loop has visited. */
static MlirValue unpack(struct qbc_linear *l, const struct group *g, MlirValue codes, int chunk, int i)
{
    struct qbc_kernel *k = l->k;
    MlirType type = codes_type(l, g);
    MlirValue code = {NULL};
    for (int n = 0; n < l->layout.n_fields; ++n) {
        const struct qbc_field *f = &l->layout.field[n];
        MlirValue part = field(l, g, f, codes, chunk, i);
        if (f->shift)
            part = k_rvv_op(k, "vsll", type, part, k_i64(k, f->shift), l->vl);
        code = n ? k_rvv_op(k, "vor", type, code, part, l->vl) : part;
    }
    return code;
}

/* --- integers of runs */

/* Zeros, made with the type of vectors that the inner loop has: 0 times any codes. */
static MlirValue no_sum(struct qbc_linear *l, const struct group *g, MlirValue codes)
{
    struct qbc_kernel *k = l->k;
    MlirType type = codes_type(l, g);
    MlirValue any = k_rvv_load(k, k_scalable(k, l->lanes, k->i8), codes, l->vl);
    if (!is_narrow(l, g->length))
        any = k_rvv_op1(k, "vzext", type, any, l->vl);
    MlirValue zero = k_int_of(k, mlirShapedTypeGetElementType(type), 0);
    return k_rvv_op(k, "vwmulu", sums_type(l, g), any, zero, l->vl);
}

/* sum - center * (sum of activations) */
static MlirValue take_center_off(struct qbc_linear *l, MlirValue sum, MlirValue record)
{
    struct qbc_kernel *k = l->k;
    MlirType type = mlirValueGetType(sum);
    MlirValue by = minus(l, record);
    if (l->multiplier != center(l))
        by = k_mul_i(k, by, center(l));
    return k_rvv_op(k, "vadd", type, sum, fitted(k, by, mlirShapedTypeGetElementType(type)), l->vl);
}

static MlirValue activation(struct qbc_linear *l, const struct group *g, MlirValue act, int i)
{
    struct qbc_kernel *k = l->k;
    MlirValue x = k_load(k, k->i8, k_at_i(k, act, QBC_ACT_CODES + i), 1);
    return is_narrow(l, g->length) ? x : k_cast(k, "arith.extsi", x, k->i16);
}

/* The inner loop: sums[run * m + j]. */
static void multiply(struct qbc_linear *l, int m, const struct group *g, const struct sources *s, MlirValue codes,
                     MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    int n = s->runs * m, unroll = s->chunks;
    while (unroll % 2 == 0 && unroll * s->n * m > AT_ONCE)
        unroll /= 2;
    MlirValue next[2 * QBC_MOST_TOKENS];
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, s->chunks), unroll, (size_t)n, sums);
    k_not_unrolled(k, &loop); /* or the scheduler would mix it with what follows, and set types all over */
    MlirValue at = k_at(k, codes, k_mul_i(k, loop.i, l->layout.vector_bytes));
    for (int i = 0; i < n; ++i)
        next[i] = loop.carried[i];
    for (int i = 0; i < unroll * s->n; ++i) {
        const struct source *from = &s->of[i % s->n];
        MlirValue code = unpack(l, g, at, from->chunk, i / s->n);
        for (int j = 0; j < m; ++j) {
            MlirValue act = k_at(k, s->act[from->sum][j], loop.i), *sum = &next[from->sum * m + j];
            MlirValue x = activation(l, g, act, from->k + i / s->n);
            *sum = k_rvv_add_product(k, "vwmaccsu", *sum, x, code, l->vl);
        }
    }
    k_end(k, &loop, next);
    for (int i = 0; i < n; ++i)
        sums[i] = loop.carried[i];
}

/* sum + (zero - center) * minus: what the zero point's distance from the center takes off. In 16 bits this fits where
 * the sum does. */
static MlirValue take_zero_off(struct qbc_linear *l, const struct group *g, MlirValue sum, MlirValue record)
{
    struct qbc_kernel *k = l->k;
    MlirType type = k_scalable(k, l->lanes, k->i16), bytes = k_scalable(k, l->lanes, k->i8);
    MlirType wide = k_scalable(k, l->lanes, k->i32);
    MlirValue at = k_at_i(k, g->codes, l->layout.zeros_offset);
    MlirValue by = k_cast(k, "arith.trunci", minus(l, record), k->i16);
    MlirValue zero = k_rvv_op1(k, "vzext", type, k_rvv_load(k, bytes, at, l->vl), l->vl);
    zero = k_rvv_op(k, "vadd", type, zero, k_int_of(k, k->i16, -center(l)), l->vl);
    if (!is_narrow(l, g->length))
        return k_rvv_add_product(k, "vwmacc", sum, by, zero, l->vl);
    return k_rvv_op(k, "vwadd", wide, sum, k_rvv_op(k, "vmul", type, zero, by, l->vl), l->vl);
}

/* Exact integers of all sources' runs, f32: out[run * m + j]. */
static void integers(struct qbc_linear *l, int m, const struct group *g, const struct sources *s, MlirValue codes,
                     MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    for (int i = 0; i < s->runs * m; ++i)
        out[i] = no_sum(l, g, codes);
    multiply(l, m, g, s, codes, out);
    for (int i = 0; i < s->runs * m; ++i) {
        out[i] = take_center_off(l, out[i], s->act[i / m][i % m]);
        if (l->format->offset == QBC_OFFSET_ZERO)
            out[i] = take_zero_off(l, g, out[i], s->act[i / m][i % m]);
        out[i] = k_rvv_int_to_float(k, out[i], l->vl);
    }
}

/* --- which codes are visited together */

static int common(int a, int b)
{
    return b ? common(b, a % b) : a;
}

/* Run `run`, whose codes begin at chunk `first`, becomes the next of `s`. */
static void add_sources(const struct qbc_linear *l, struct sources *s, int first, int length)
{
    s->chunks = length;
    for (int n = 0; n < l->layout.n_fields; ++n)
        s->chunks = common(s->chunks, l->layout.field[n].vectors);
    for (int k = 0; k < length && s->n < MOST_SOURCES; k += s->chunks)
        s->of[s->n++] = (struct source){s->runs, first + k, k};
    ++s->runs;
}

/* --- groups */

static MlirValue act_scale(struct qbc_linear *l, MlirValue record)
{
    return k_load(l->k, l->k->f32, k_at_i(l->k, record, QBC_ACT_SCALE), 4);
}

/* Adds runs of the group, `together` of them, the first of which is number run + turn, to partial[m]. */
static void add_runs(struct qbc_linear *l, int m, const struct group *g, MlirValue turn, int run, int step,
                     int together, MlirValue codes, MlirValue *partial)
{
    struct qbc_kernel *k = l->k;
    struct sources s = {.n = 0};
    MlirValue out[2 * QBC_MOST_TOKENS], at = k_mul_i(k, turn, QBC_ACT_RECORD);
    for (int i = 0; i < together; ++i) {
        for (int j = 0; j < m; ++j)
            s.act[i][j] = k_at_i(k, k_at(k, g->act[j], at), (int64_t)(run + i * step) * QBC_ACT_RECORD);
        add_sources(l, &s, (run + i * step) * g->length, g->length);
    }
    integers(l, m, g, &s, codes, out);
    for (int i = 0; i < together * m; ++i)
        partial[i % m] = k_rvv_add_product_float(k, partial[i % m], act_scale(l, s.act[i / m][i % m]), out[i], l->vl);
}

/* Several runs with one scale, in linear_groups.c's order: runs whose codes are in the same vectors follow each other.
 * For one token two of them are added up at once, where sums are narrow. */
static void runs(struct qbc_linear *l, int m, const struct group *g, MlirValue *partial)
{
    struct qbc_kernel *k = l->k;
    int vectors = l->layout.field[0].vectors, turns = vectors / g->length;
    bool even = l->layout.n_fields == 1 && vectors % g->length == 0;
    int at_once = k->one && is_narrow(l, g->length) ? 2 : 1;
    MlirValue next[QBC_MOST_TOKENS];
    for (int j = 0; j < m; ++j)
        partial[j] = k_rvv_splat(k, k_scalable(k, l->lanes, k->f32), k_f32(k, 0), l->vl);
    for (int r = 0; !even && r < g->runs; ++r)
        add_runs(l, m, g, k_i64(k, 0), r, 1, 1, g->codes, partial);
    if (!even)
        return;
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, turns), 1, (size_t)m, partial);
    k_not_unrolled(k, &loop);
    MlirValue codes = k_at(k, g->codes, k_mul_i(k, loop.i, (int64_t)g->length * l->layout.vector_bytes));
    for (int j = 0; j < m; ++j)
        next[j] = loop.carried[j];
    for (int r = 0; r < g->runs; r += at_once * turns) {
        int left = (g->runs - r + turns - 1) / turns;
        add_runs(l, m, g, loop.i, r, turns, left < at_once ? left : at_once, codes, next);
    }
    k_end(k, &loop, next);
    for (int j = 0; j < m; ++j)
        partial[j] = loop.carried[j];
}

static void one_run(struct qbc_linear *l, int m, const struct group *g, MlirValue *out)
{
    struct sources s = {.n = 0};
    for (int j = 0; j < m; ++j)
        s.act[0][j] = g->act[j];
    add_sources(l, &s, 0, g->length);
    integers(l, m, g, &s, g->codes, out);
}

static void group_sum(struct qbc_linear *l, int m, const struct group *g, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    MlirValue partial[QBC_MOST_TOKENS];
    if (g->runs > 1)
        runs(l, m, g, partial);
    else
        one_run(l, m, g, partial);
    MlirValue scale = k_rvv_load_half(k, l->lanes, k_at_i(k, g->halves, l->layout.scales_offset), l->vl);
    for (int j = 0; j < m; ++j) {
        MlirValue by = scale;
        if (g->runs == 1)
            by = k_rvv_op_float(k, "vfmul", scale, act_scale(l, g->act[j]), l->vl);
        sums[j] = k_rvv_add_product_float(k, sums[j], partial[j], by, l->vl);
    }
}

void qbc_linear_axpy_groups(struct qbc_linear *l, int m, const MlirValue *x, MlirValue w, MlirValue lane,
                            MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    int columns = l->format->group;
    MlirValue next[QBC_MOST_TOKENS], codes = k_at(k, w, lane), halves = k_at(k, codes, lane);
    for (int j = 0; j < m; ++j)
        sums[j] = k_rvv_splat(k, k_scalable(k, l->lanes, k->f32), k_f32(k, 0), l->vl);
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, l->layout.groups), 1, (size_t)m, sums);
    struct group g = {.length = columns < QBC_ACT_GROUP ? columns : QBC_ACT_GROUP};
    g.runs = columns / g.length;
    MlirValue at = k_mul_i(k, loop.i, l->layout.group_bytes);
    g.codes = k_at(k, codes, at);
    g.halves = k_at(k, halves, at);
    at = k_mul_i(k, loop.i, (int64_t)(columns / QBC_ACT_GROUP) * QBC_ACT_RECORD);
    for (int j = 0; j < m; ++j) {
        next[j] = loop.carried[j];
        g.act[j] = k_at(k, x[j], at);
    }
    group_sum(l, m, &g, next);
    k_end(k, &loop, next);
    for (int j = 0; j < m; ++j)
        sums[j] = loop.carried[j];
}
