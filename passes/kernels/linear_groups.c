/* linear_groups: weights in groups with a scale. A group of weights is cut into runs of the activations'
 * 32 columns; a run gives an exact integer for each row, then
 *
 *     sum += scale_w * scale_x * integer
 *
 * With a zero point the integer is sum(code * x) - zero * sum(x): exact in f32, as both are below
 * 2^24 (128 columns of 15 * 127). Where a group has several runs, its scale is applied once.
 */
#include "linear.h"

static MlirValue scales(struct qbc_linear *l, MlirValue group)
{
    struct qbc_kernel *k = l->k;
    MlirValue at = k_at_i(k, group, l->layout.scales_offset);
    return k_cast(k, "arith.extf", k_load(k, k_vec(k, l->packing.rows, k->f16), at, 2), k->f32);
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

/* One run: integers of all tokens, zero point taken off. */
static void run(struct qbc_linear *l, int m, int first, int chunks, MlirValue group,
                const MlirValue *act, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    if (l->tile->kind == QBC_KIND_DOT4)
        qbc_linear_dot4(l, m, first, chunks, group, act, out);
    else
        qbc_linear_fma(l, m, first, chunks, group, act, out);
    if (l->format->offset != QBC_OFFSET_ZERO)
        return;
    MlirValue zero = zeros(l, group);
    for (int j = 0; j < m; ++j) {
        MlirValue minus = k_load(k, k->i32, k_at_i(k, act[j], QBC_ACT_MINUS), 4);
        minus = k_splat(k, k_cast(k, "arith.sitofp", minus, k->f32), l->packing.rows);
        out[j] = k_fma(k, zero, minus, out[j]);
    }
}

static void group_sum(struct qbc_linear *l, int m, MlirValue g, const MlirValue *x, MlirValue w,
                      MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    int columns = l->format->group, length = columns < QBC_ACT_GROUP ? columns : QBC_ACT_GROUP;
    int runs = columns / length, chunks = length / l->packing.depth;
    MlirValue group = k_at(k, w, k_mul_i(k, g, l->layout.group_bytes));
    MlirValue scale = scales(l, group), partial[QBC_MOST_TOKENS] = {{NULL}};
    for (int r = 0; r < runs; ++r) {
        MlirValue act[QBC_MOST_TOKENS], integers[QBC_MOST_TOKENS];
        for (int j = 0; j < m; ++j) {
            int64_t records = columns / QBC_ACT_GROUP;
            MlirValue at = k_mul_i(k, g, records * QBC_ACT_RECORD);
            act[j] = k_at_i(k, k_at(k, x[j], at), (int64_t)r * QBC_ACT_RECORD);
        }
        run(l, m, r * chunks, chunks, group, act, integers);
        for (int j = 0; j < m; ++j) {
            MlirValue sx = broadcast(l, act[j], QBC_ACT_SCALE, k->f32);
            if (runs == 1)
                sums[j] = k_fma(k, integers[j], k_fmul(k, scale, sx), sums[j]);
            else
                partial[j] = r ? k_fma(k, integers[j], sx, partial[j]) : k_fmul(k, integers[j], sx);
        }
    }
    for (int j = 0; j < m && runs > 1; ++j)
        sums[j] = k_fma(k, partial[j], scale, sums[j]);
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
