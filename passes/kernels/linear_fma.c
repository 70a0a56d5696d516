/* linear_fma: integer products by float arithmetic, for machines without an integer dot. Codes and
 * activations are whole numbers below 2^24 in sum, so f32 is exact. */
#include "linear.h"

static MlirValue codes_as_float(struct qbc_linear *l, const struct qbc_run *run, int chunk)
{
    MlirValue bytes = qbc_level_chunk(l, run, 0, l->rows, chunk);
    return k_cast(l->k, l->levels[run->operand].is_signed ? "arith.sitofp" : "arith.uitofp", bytes, l->k->f32);
}

static void add_chunk(struct qbc_linear *l, int m, const struct qbc_run *run, int chunk, MlirValue codes, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    for (int j = 0; j < m; ++j) {
        MlirValue x = k_load(k, k->i8, k_at_i(k, run->act[j], QBC_ACT_CODES + run->column + chunk), 1);
        x = k_splat(k, k_cast(k, "arith.sitofp", x, k->f32), l->rows);
        out[j] = k_fma(k, codes, x, out[j]);
    }
}

void qbc_linear_fma(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    for (int j = 0; j < m; ++j)
        out[j] = k_splat(k, k_cast(k, "arith.sitofp", qbc_run_start(l, run, j), k->f32), l->rows);
    for (int c = 0; c < run->chunks; ++c)
        add_chunk(l, m, run, c, codes_as_float(l, run, c), out);
}
