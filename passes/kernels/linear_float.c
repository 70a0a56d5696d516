/* linear_float: weights that are floats. For each k one row of the panel, times x[k] broadcast. */
#include "linear.h"

static MlirValue weights(struct qbc_linear *l, MlirValue at)
{
    return l->format->bits == 32 ? qbc_lanes_load(l, l->k->f32, at) : qbc_lanes_load_half(l, at);
}

/* `count` consecutive k, the first at byte offsets `xk` of x and `wk` of w. */
static void steps(struct qbc_linear *l, int m, const MlirValue *x, MlirValue w, MlirValue first,
                  int count, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    MlirValue wk = k_at(k, w, k_mul_i(k, first, l->layout.unit_bytes)), xk = k_mul_i(k, first, 4);
    for (int i = 0; i < count; ++i) {
        MlirValue row = weights(l, k_at_i(k, wk, (int64_t)i * l->layout.unit_bytes));
        for (int j = 0; j < m; ++j) {
            MlirValue xv = k_load(k, k->f32, k_at_i(k, k_at(k, x[j], xk), 4 * i), 4);
            sums[j] = qbc_lanes_fma_by(l, row, xv, sums[j]);
        }
    }
}

void qbc_linear_float(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums)
{
    enum { UNROLL = 4 };
    struct qbc_kernel *k = l->k;
    MlirValue zero = qbc_is_strip(l) ? k_rvv_splat(k, qbc_lanes(l, k->f32), k_f32(k, 0), l->vl)
                                     : k_float_of(k, k_vec(k, l->rows, k->f32), 0);
    for (int j = 0; j < m; ++j)
        sums[j] = zero;
    MlirValue w = k_at(k, l->panel, k_mul_i(k, l->row, l->format->bits / 8));
    int64_t whole = l->depth / UNROLL * UNROLL;
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, whole), UNROLL, (size_t)m, sums);
    MlirValue next[QBC_MOST_TOKENS];
    k_not_unrolled(k, &loop);
    for (int j = 0; j < m; ++j)
        next[j] = loop.carried[j];
    steps(l, m, x, w, loop.i, UNROLL, next);
    k_end(k, &loop, next);
    for (int j = 0; j < m; ++j)
        sums[j] = loop.carried[j];
    steps(l, m, x, w, k_i64(k, whole), (int)(l->depth - whole), sums);
}
