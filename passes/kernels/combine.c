/* combine: what the experts that a token chose gave, each times its weight.
 *
 *     y[t][c] = sum over j < top of route[t][first + j] * x[t][j C + c]
 *
 *   operands   y, x, route
 *   attributes c (columns of y), top, first (`top` when absent: what kernel route writes)
 */
#include "kernel.h"

enum { Y = 0, X = 1, ROUTE = 2, WIDTH = 16 };

static MlirValue some(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue none)
{
    MlirValue row = *(MlirValue *)user, x = k_row(k, X, row), route = k_row(k, ROUTE, row);
    int64_t columns = qbc_int(k->launch, "c", 0), top = qbc_int(k->launch, "top", 1);
    int64_t first = qbc_int(k->launch, "first", top);
    MlirValue sum = k_float_of(k, k_vec(k, width, k->f32), 0);
    for (int64_t j = 0; j < top; ++j) {
        MlirValue weight = k_load(k, k->f32, k_at_i(k, route, (first + j) * 4), 4);
        MlirValue part = k_float_at(k, k_at_i(k, x, j * columns * 4), column, width);
        sum = k_fma(k, k_splat(k, weight, width), part, sum);
    }
    k_float_to(k, sum, k_row(k, Y, row), column);
    return none;
}

void qbc_kernel_combine(struct qbc_kernel *k)
{
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    k_columns(k, qbc_int(k->launch, "c", 0), WIDTH, some, &rows.i, (MlirValue){NULL});
    k_end(k, &rows, NULL);
}
