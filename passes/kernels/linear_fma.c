/* linear_fma: integer products by float arithmetic, for machines without an integer dot. Codes and
 * activations are whole numbers below 2^24 in sum, so f32 is exact. */
#include "linear.h"

static MlirValue codes_as_float(struct qbc_linear *l, MlirValue group, int chunk)
{
    struct qbc_kernel *k = l->k;
    return k_cast(k, "arith.uitofp", qbc_unpack_chunk(k, &l->layout, group, l->rows, chunk), k->f32);
}

static MlirValue start(struct qbc_linear *l, MlirValue record)
{
    struct qbc_kernel *k = l->k;
    if (l->format->offset != QBC_OFFSET_NONE)
        return k_float_of(k, k_vec(k, l->rows, k->f32), 0);
    MlirValue minus = k_load(k, k->i32, k_at_i(k, record, QBC_ACT_MINUS), 4);
    if (l->multiplier != l->format->bias)
        minus = k_mul_i(k, minus, l->format->bias);
    return k_splat(k, k_cast(k, "arith.sitofp", minus, k->f32), l->rows);
}

void qbc_linear_fma(struct qbc_linear *l, int m, int first, int chunks, MlirValue group,
                    const MlirValue *act, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    for (int j = 0; j < m; ++j)
        out[j] = start(l, act[j]);
    for (int c = 0; c < chunks; ++c) {
        MlirValue codes = codes_as_float(l, group, first + c);
        for (int j = 0; j < m; ++j) {
            MlirValue x = k_load(k, k->i8, k_at_i(k, act[j], QBC_ACT_CODES + c), 1);
            x = k_splat(k, k_cast(k, "arith.sitofp", x, k->f32), l->rows);
            out[j] = k_fma(k, codes, x, out[j]);
        }
    }
}
