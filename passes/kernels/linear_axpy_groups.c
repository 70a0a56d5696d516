/* linear_axpy_groups: codes with a scale for each group, where vectors are of any length. What is added up, and in
 * which order, is linear_groups.c's, so results are the same to the last bit; how the integers come about is
 * linear_axpy_codes.c's.
 */
#include "linear_axpy.h"

#include <mlir-c/BuiltinTypes.h>

/* A strip of one group. */
struct group {
    MlirValue codes, scales, zeros, act[QBC_MOST_TOKENS];
    int runs, length; /* columns of a run */
};

static MlirValue no_sum(struct qbc_linear *l)
{
    return k_rvv_splat(l->k, k_scalable(l->k, l->lanes, l->k->f32), k_f32(l->k, 0), l->vl);
}

static MlirValue act_scale(struct qbc_linear *l, MlirValue record)
{
    return k_load(l->k, l->k->f32, k_at_i(l->k, record, QBC_ACT_SCALE), 4);
}

static struct qbc_axpy_runs no_runs(const struct group *g, MlirValue codes)
{
    return (struct qbc_axpy_runs){.codes = codes, .zeros = g->zeros, .length = g->length};
}

static void add_run(struct qbc_linear *l, int m, const struct group *g, MlirValue turn, int run,
                    struct qbc_axpy_runs *runs)
{
    struct qbc_kernel *k = l->k;
    MlirValue at = k_mul_i(k, turn, QBC_ACT_RECORD);
    for (int j = 0; j < m; ++j)
        runs->act[runs->n][j] = k_at_i(k, k_at(k, g->act[j], at), (int64_t)run * QBC_ACT_RECORD);
    runs->first[runs->n++] = run * g->length;
}

static void add_up(struct qbc_linear *l, int m, const struct qbc_axpy_runs *runs, MlirValue *partial)
{
    struct qbc_kernel *k = l->k;
    MlirValue out[QBC_AXPY_RUNS * QBC_MOST_TOKENS];
    qbc_linear_axpy_integers(l, m, runs, out);
    for (int i = 0; i < runs->n * m; ++i) {
        MlirValue scale = act_scale(l, runs->act[i / m][i % m]);
        partial[i % m] = k_rvv_add_product_float(k, partial[i % m], scale, out[i], l->vl);
    }
}

/* Runs of which each vector of codes has some: run turn, turn + turns, .. for each turn. For one token two of them are
 * added up at once. */
static void shared_runs(struct qbc_linear *l, int m, const struct group *g, int turns, MlirValue *partial)
{
    struct qbc_kernel *k = l->k;
    int at_once = k->one && qbc_linear_axpy_is_narrow(l) ? QBC_AXPY_RUNS : 1;
    MlirValue next[QBC_MOST_TOKENS];
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, turns), 1, (size_t)m, partial);
    k_not_unrolled(k, &loop);
    MlirValue codes = k_at(k, g->codes, k_mul_i(k, loop.i, (int64_t)g->length * l->layout.vector_bytes));
    for (int j = 0; j < m; ++j)
        next[j] = loop.carried[j];
    for (int run = 0; run < g->runs;) {
        struct qbc_axpy_runs some = no_runs(g, codes);
        for (; run < g->runs && some.n < at_once; run += turns)
            add_run(l, m, g, loop.i, run, &some);
        add_up(l, m, &some, next);
    }
    k_end(k, &loop, next);
    for (int j = 0; j < m; ++j)
        partial[j] = loop.carried[j];
}

/* Several runs with one scale, in linear_groups.c's order. */
static void runs(struct qbc_linear *l, int m, const struct group *g, MlirValue *partial)
{
    int vectors = l->layout.field[0].vectors;
    for (int j = 0; j < m; ++j)
        partial[j] = no_sum(l);
    if (l->layout.n_fields == 1 && vectors % g->length == 0) {
        shared_runs(l, m, g, vectors / g->length, partial);
        return;
    }
    for (int run = 0; run < g->runs; ++run) {
        struct qbc_axpy_runs one = no_runs(g, g->codes);
        add_run(l, m, g, k_i64(l->k, 0), run, &one);
        add_up(l, m, &one, partial);
    }
}

static void one_run(struct qbc_linear *l, int m, const struct group *g, MlirValue *out)
{
    struct qbc_axpy_runs one = no_runs(g, g->codes);
    add_run(l, m, g, k_i64(l->k, 0), 0, &one);
    qbc_linear_axpy_integers(l, m, &one, out);
}

static void group_sum(struct qbc_linear *l, int m, const struct group *g, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    MlirValue partial[QBC_MOST_TOKENS];
    if (g->runs > 1)
        runs(l, m, g, partial);
    else
        one_run(l, m, g, partial);
    MlirValue scale = k_rvv_load_half(k, l->lanes, g->scales, l->vl);
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
    MlirValue next[QBC_MOST_TOKENS];
    for (int j = 0; j < m; ++j)
        sums[j] = no_sum(l);
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, l->layout.groups), 1, (size_t)m, sums);
    struct group g = {.length = columns < QBC_ACT_GROUP ? columns : QBC_ACT_GROUP};
    g.runs = columns / g.length;
    g.codes = k_at(k, k_at(k, w, lane), k_mul_i(k, loop.i, l->layout.group_bytes));
    g.zeros = k_at_i(k, g.codes, l->layout.zeros_offset);
    g.scales = k_at_i(k, k_at(k, g.codes, lane), l->layout.scales_offset);
    MlirValue records = k_mul_i(k, loop.i, (int64_t)(columns / QBC_ACT_GROUP) * QBC_ACT_RECORD);
    for (int j = 0; j < m; ++j) {
        next[j] = loop.carried[j];
        g.act[j] = k_at(k, x[j], records);
    }
    group_sum(l, m, &g, next);
    k_end(k, &loop, next);
    for (int j = 0; j < m; ++j)
        sums[j] = loop.carried[j];
}
