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
    MlirValue start = k_cast(l->k, "arith.sitofp", qbc_linear_start(l, record), l->k->f32);
    return k_splat(l->k, start, l->rows);
}

static void add_chunk(struct qbc_linear *l, int m, const MlirValue *act, int chunk, MlirValue codes, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    for (int j = 0; j < m; ++j) {
        MlirValue x = k_load(k, k->i8, k_at_i(k, act[j], QBC_ACT_CODES + chunk), 1);
        x = k_splat(k, k_cast(k, "arith.sitofp", x, k->f32), l->rows);
        out[j] = k_fma(k, codes, x, out[j]);
    }
}

void qbc_linear_fma(struct qbc_linear *l, int m, const struct qbc_runs *runs, MlirValue *out)
{
    for (int r = 0; r < runs->n; ++r)
        for (int j = 0; j < m; ++j)
            out[r * m + j] = start(l, runs->act[r][j]);
    for (int c = 0; c < runs->chunks; ++c)
        for (int r = 0; r < runs->n; ++r)
            add_chunk(l, m, runs->act[r], c, codes_as_float(l, runs->codes, runs->first[r] + c), &out[r * m]);
}
