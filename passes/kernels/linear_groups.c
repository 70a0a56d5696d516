/* linear_groups: weights in groups with a scale. A group of weights is cut into runs of the activations'
 * 32 columns; a run gives an exact integer for each row, then
 *
 *     sum += scale_w * scale_x * integer
 *
 * With a zero point the integer is sum(code * x) - zero * sum(x): exact in f32, as both are below
 * 2^24 (128 columns of 15 * 127). Where a group has several runs, its scale is applied once.
 */
#include "linear.h"

MlirValue qbc_linear_start(struct qbc_linear *l, MlirValue record)
{
    struct qbc_kernel *k = l->k;
    if (l->format->offset != QBC_OFFSET_NONE || l->packing.is_signed)
        return k_i32(k, 0);
    MlirValue minus = k_load(k, k->i32, k_at_i(k, record, QBC_ACT_MINUS), 4);
    return l->multiplier == l->format->bias ? minus : k_mul_i(k, minus, l->format->bias);
}

static MlirValue scales(struct qbc_linear *l, MlirValue group)
{
    struct qbc_kernel *k = l->k;
    MlirValue at = k_at_i(k, group, l->layout.scales_offset);
    return k_load_half(k, l->packing.rows, at);
}

static MlirValue zeros(struct qbc_linear *l, MlirValue group)
{
    struct qbc_kernel *k = l->k;
    MlirValue at = k_at_i(k, group, l->layout.zeros_offset);
    return k_cast(k, "arith.uitofp", k_load(k, k_vec(k, l->packing.rows, k->i8), at, 1), k->f32);
}

static MlirValue broadcast(struct qbc_linear *l, MlirValue record, int64_t offset, MlirType type)
{
    return k_splat(l->k, k_load(l->k, type, k_at_i(l->k, record, offset), 4), l->packing.rows);
}

/* Where a group's codes, scales and activations are. */
struct group {
    MlirValue w, act[QBC_MOST_TOKENS];
    int runs, chunks; /* chunks of a run */
};

typedef void (*multiply_run)(struct qbc_linear *l, int m, int first, int chunks, MlirValue group,
                             const MlirValue *act, MlirValue *out);

static multiply_run multiply(const struct qbc_linear *l)
{
    switch (l->tile->kind) {
    case QBC_KIND_DOT4:
        return qbc_linear_dot4;
    case QBC_KIND_MULL:
        return qbc_linear_mull;
    case QBC_KIND_MMLA:
        return qbc_linear_mmla;
    default:
        return qbc_linear_fma;
    }
}

/* One run: integers of all tokens, zero point taken off. Its codes begin at chunk `first` of `codes`. */
static void run(struct qbc_linear *l, int m, const struct group *g, MlirValue codes, int first,
                const MlirValue *act, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    multiply(l)(l, m, first, g->chunks, codes, act, out);
    if (l->format->offset != QBC_OFFSET_ZERO)
        return;
    MlirValue zero = zeros(l, g->w);
    for (int j = 0; j < m; ++j) {
        MlirValue minus = k_load(k, k->i32, k_at_i(k, act[j], QBC_ACT_MINUS), 4);
        minus = k_splat(k, k_cast(k, "arith.sitofp", minus, k->f32), l->packing.rows);
        out[j] = k_fma(k, zero, minus, out[j]);
    }
}

/* Adds run number `r` + `turn` (i64), whose codes begin at chunk `first` of `codes`. */
static void add_run(struct qbc_linear *l, int m, const struct group *g, MlirValue turn, int r, MlirValue codes,
                    int first, MlirValue *partial)
{
    struct qbc_kernel *k = l->k;
    MlirValue act[QBC_MOST_TOKENS], integers[QBC_MOST_TOKENS], at = k_mul_i(k, turn, QBC_ACT_RECORD);
    for (int j = 0; j < m; ++j)
        act[j] = k_at_i(k, k_at(k, g->act[j], at), (int64_t)r * QBC_ACT_RECORD);
    run(l, m, g, codes, first, act, integers);
    for (int j = 0; j < m; ++j)
        partial[j] = k_fma(k, integers[j], broadcast(l, act[j], QBC_ACT_SCALE, k->f32), partial[j]);
}

/* Several runs, with one scale. A vector of narrow codes serves several of them, one after the other in a turn,
 * so that it need not stay in a register, or be loaded twice. Codes in several fields have no such turns. */
static void runs(struct qbc_linear *l, int m, const struct group *g, MlirValue *partial)
{
    struct qbc_kernel *k = l->k;
    int vectors = l->layout.field[0].vectors, turns = vectors / g->chunks;
    bool even = l->layout.n_fields == 1 && vectors % g->chunks == 0;
    MlirValue zero = k_float_of(k, k_vec(k, l->packing.rows, k->f32), 0), next[QBC_MOST_TOKENS];
    for (int j = 0; j < m; ++j)
        partial[j] = zero;
    if (!even) {
        for (int r = 0; r < g->runs; ++r)
            add_run(l, m, g, k_i64(k, 0), r, g->w, r * g->chunks, partial);
        return;
    }
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, turns), 1, (size_t)m, partial);
    MlirValue codes = k_at(k, g->w, k_mul_i(k, loop.i, (int64_t)g->chunks * l->layout.vector_bytes));
    for (int j = 0; j < m; ++j)
        next[j] = loop.carried[j];
    for (int r = 0; r < g->runs; r += turns)
        add_run(l, m, g, loop.i, r, codes, r * g->chunks, next);
    k_end(k, &loop, next);
    for (int j = 0; j < m; ++j)
        partial[j] = loop.carried[j];
}

static void group_sum(struct qbc_linear *l, int m, MlirValue index, const MlirValue *x, MlirValue w, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    int columns = l->format->group, length = columns < QBC_ACT_GROUP ? columns : QBC_ACT_GROUP;
    struct group g = {.runs = columns / length, .chunks = length / l->packing.depth};
    MlirValue partial[QBC_MOST_TOKENS], at = k_mul_i(k, index, columns / QBC_ACT_GROUP * QBC_ACT_RECORD);
    g.w = k_at(k, w, k_mul_i(k, index, l->layout.group_bytes));
    MlirValue scale = scales(l, g.w);
    for (int j = 0; j < m; ++j)
        g.act[j] = k_at(k, x[j], at);
    if (g.runs > 1)
        runs(l, m, &g, partial);
    else
        run(l, m, &g, g.w, 0, g.act, partial);
    for (int j = 0; j < m; ++j) {
        MlirValue by = g.runs > 1 ? scale : k_fmul(k, scale, broadcast(l, g.act[j], QBC_ACT_SCALE, k->f32));
        sums[j] = k_fma(k, partial[j], by, sums[j]);
    }
}

void qbc_linear_groups(struct qbc_linear *l, int m, const MlirValue *x, MlirValue w, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    MlirValue zero = k_float_of(k, k_vec(k, l->packing.rows, k->f32), 0), next[QBC_MOST_TOKENS];
    for (int j = 0; j < m; ++j)
        sums[j] = zero;
    struct k_loop loop =
        k_for(k, k_i64(k, 0), k_i64(k, l->layout.groups), 1, (size_t)m, sums);
    for (int j = 0; j < m; ++j)
        next[j] = loop.carried[j];
    group_sum(l, m, loop.i, x, w, next);
    k_end(k, &loop, next);
    for (int j = 0; j < m; ++j)
        sums[j] = loop.carried[j];
}
