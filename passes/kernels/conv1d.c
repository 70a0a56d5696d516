/* conv1d: y[t][c] = bias[c] + sum of taps[c][k] x[t - K + 1 + k][c], each column by itself.
 *
 *   operands   y, state, x, taps, and the bias if there is one
 *   attributes c (columns), taps (K)
 *
 * The state is the K - 1 rows before this call's, [K - 1][c] f32; zeros at position 0, whatever it holds. A thread has its
 * columns from the first row to the last, so nobody else reads or writes what it keeps of the state.
 */
#include "kernel.h"

enum { Y = 0, STATE = 1, X = 2, TAPS = 3, BIAS = 4, WIDEST = 16, MOST_TAPS = 16 };

/* The most columns, a power of two, that divide all. */
static int64_t width_of(int64_t columns)
{
    int64_t width = WIDEST;
    while (columns % width)
        width /= 2;
    return width;
}

/* Rows before this call's; at position 0 there are none. */
static MlirValue earlier(struct qbc_kernel *k, MlirValue column, int64_t columns, int64_t row, int64_t width)
{
    MlirType type = k_vec(k, width, k->f32);
    MlirValue at = k_at_i(k, k_at(k, k->operand[STATE], k_mul_i(k, column, 4)), row * columns * 4);
    MlirValue first = k_cmp(k, QBC_EQ, k->pos, k_i64(k, 0));
    return k_select(k, first, k_float_of(k, type, 0), k_load(k, type, at, 4));
}

static void columns_from(struct qbc_kernel *k, MlirValue column, int64_t columns, int64_t taps, int64_t width)
{
    MlirValue tap[MOST_TAPS], rows[MOST_TAPS], next[MOST_TAPS], bytes = k_mul_i(k, column, 4);
    MlirValue weights = k_at(k, k->operand[TAPS], k_mul_i(k, column, taps * 4));
    bool biased = mlirOperationGetNumOperands(k->launch) > BIAS;
    MlirValue bias = biased ? k_load(k, k_vec(k, width, k->f32), k_at(k, k->operand[BIAS], bytes), 4)
                            : k_float_of(k, k_vec(k, width, k->f32), 0);
    for (int64_t i = 0; i < taps; ++i)
        tap[i] = k_load_strided(k, width, k->f32, k_at_i(k, weights, i * 4), taps * 4);
    for (int64_t i = 0; i + 1 < taps; ++i)
        rows[i] = earlier(k, column, columns, i, width);
    struct k_loop t = k_for(k, k_i64(k, 0), k->rows, 1, (size_t)(taps - 1), rows);
    MlirValue x = k_load(k, k_vec(k, width, k->f32), k_at(k, k_row(k, X, t.i), bytes), 4), sum = bias;
    for (int64_t i = 0; i + 1 < taps; ++i)
        sum = k_fma(k, tap[i], t.carried[i], sum);
    sum = k_fma(k, tap[taps - 1], x, sum);
    k_store(k, sum, k_at(k, k_row(k, Y, t.i), bytes), 4);
    for (int64_t i = 0; i + 1 < taps; ++i)
        next[i] = i + 2 < taps ? t.carried[i + 1] : x;
    k_end(k, &t, next);
    for (int64_t i = 0; i + 1 < taps; ++i)
        k_store(k, t.carried[i], k_at_i(k, k_at(k, k->operand[STATE], bytes), i * columns * 4), 4);
}

void qbc_kernel_conv1d(struct qbc_kernel *k)
{
    int64_t columns = qbc_int(k->launch, "c", 0), taps = qbc_int(k->launch, "taps", 0), width = width_of(columns);
    if (taps < 1 || taps > MOST_TAPS) {
        qbc_error(k->q, k->launch, "a convolution with %ld taps; 1 to %d are supported", (long)taps, MOST_TAPS);
        return;
    }
    struct k_range share = k_share(k, k_i64(k, columns / width));
    struct k_loop units = k_for(k, share.from, share.to, 1, 0, NULL);
    columns_from(k, k_mul_i(k, units.i, width), columns, taps, width);
    k_end(k, &units, NULL);
}
