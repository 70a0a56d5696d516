/* elementwise: what no kernel took into its epilogue, y = region(first, others...).
 *
 *   operands   y, first, others...
 *   attributes c (columns)
 */
#include "kernel.h"

enum { Y = 0, FIRST = 1, OTHERS = 2, WIDTH = 64 };

static MlirValue apply(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    MlirValue row = *(MlirValue *)user, others[8];
    size_t n = (size_t)mlirOperationGetNumOperands(k->launch) - OTHERS;
    MlirValue first = k_float_at(k, k_row(k, FIRST, row), column, width);
    for (size_t i = 0; i < n; ++i)
        others[i] = k_float_at(k, k_row(k, OTHERS + i, row), column, width);
    k_float_to(k, k_epilogue(k, first, n, others), k_row(k, Y, row), column);
    return sum;
}

void qbc_kernel_elementwise(struct qbc_kernel *k)
{
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    k_columns(k, qbc_int(k->launch, "c", 0), WIDTH, apply, &rows.i, (MlirValue){NULL});
    k_end(k, &rows, NULL);
}
