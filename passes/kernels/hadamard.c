/* hadamard: each run of columns times the Hadamard matrix of its order, over its root.
 *
 *   operands   y, x
 *   attributes c (columns), run (an order that divides c: m 2^k, compiler/base/hadamard.h), transposed
 *
 * Rounds of sums and differences of columns whose numbers differ in one bit: of up to 1024 in registers, within a vector by
 * exchanging lanes, then between vectors; of more in memory; then every 2^k-th column by the matrix of order m. Every sum is
 * rounded alike, whatever the target.
 */
#include "hadamard.h"
#include "kernel.h"

#include <math.h>

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>

enum { Y = 0, X = 1, WIDTH = 16, MOST = 1024 / WIDTH };

/* 1 where the lane's bit is clear, -1 where it is set. */
static MlirValue signs(struct qbc_kernel *k, int64_t width, int64_t bit)
{
    float lanes[WIDTH];
    for (int64_t i = 0; i < width; ++i)
        lanes[i] = i & bit ? -1 : 1;
    MlirType type = k_vec(k, width, k->f32);
    struct qbc_attr attrs[] = {{"value", mlirDenseElementsAttrFloatGet(type, (intptr_t)width, lanes)}, {0}};
    return mlirOperationGetResult(qbc_make(&k->b, "arith.constant", type, attrs, 0, NULL), 0);
}

static MlirValue within(struct qbc_kernel *k, MlirValue x, int64_t width)
{
    for (int64_t bit = 1; bit < width; bit *= 2) {
        int64_t other[WIDTH];
        for (int64_t i = 0; i < width; ++i)
            other[i] = i ^ bit;
        x = k_fadd(k, k_shuffle(k, x, x, width, other), k_fmul(k, x, signs(k, width, bit)));
    }
    return x;
}

static void between(struct qbc_kernel *k, MlirValue *x, int64_t n)
{
    for (int64_t step = 1; step < n; step *= 2)
        for (int64_t i = 0; i < n; ++i)
            if (!(i & step)) {
                MlirValue a = x[i], b = x[i + step];
                x[i] = k_fadd(k, a, b);
                x[i + step] = k_fsub(k, a, b);
            }
}

/* `run` columns, at most 1024, times `factor`. */
static void transform(struct qbc_kernel *k, MlirValue from, MlirValue to, int64_t run, double factor)
{
    int64_t width = run < WIDTH ? run : WIDTH, n = run / width;
    MlirValue x[MOST];
    for (int64_t i = 0; i < n; ++i)
        x[i] = within(k, k_float_at(k, from, k_i64(k, i * width), width), width);
    between(k, x, n);
    for (int64_t i = 0; i < n; ++i) {
        MlirValue y = k_fmul(k, x[i], k_float_of(k, k_vec(k, width, k->f32), factor));
        k_float_to(k, y, to, k_i64(k, i * width));
    }
}

/* Columns i and i + half of each 2 half of the row's `n`. */
static void butterflies(struct qbc_kernel *k, MlirValue y, int64_t n, int64_t half)
{
    struct k_loop outer = k_for(k, k_i64(k, 0), k_i64(k, n), 2 * half, 0, NULL);
    struct k_loop inner = k_for(k, outer.i, k_add_i(k, outer.i, half), WIDTH, 0, NULL);
    MlirValue other = k_add_i(k, inner.i, half), a = k_float_at(k, y, inner.i, WIDTH), b = k_float_at(k, y, other, WIDTH);
    k_float_to(k, k_fadd(k, a, b), y, inner.i);
    k_float_to(k, k_fsub(k, a, b), y, other);
    k_end(k, &inner, NULL);
    k_end(k, &outer, NULL);
}

/* Columns i, i + step, ... , m of them, by the matrix of order m. */
static void mix(struct qbc_kernel *k, MlirValue y, int64_t m, int64_t step)
{
    int8_t sign[QBC_HADAMARD_ONLINE * QBC_HADAMARD_ONLINE];
    int64_t width = step < WIDTH ? step : WIDTH;
    bool transposed = qbc_bool(k->launch, "transposed", false);
    MlirValue x[QBC_HADAMARD_ONLINE];
    qbc_hadamard_fill(m, sign);
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, step), width, 0, NULL);
    for (int64_t a = 0; a < m; ++a)
        x[a] = k_float_at(k, y, k_add_i(k, loop.i, a * step), width);
    for (int64_t c = 0; c < m; ++c) {
        MlirValue sum = k_float_of(k, k_vec(k, width, k->f32), 0);
        for (int64_t a = 0; a < m; ++a) {
            bool plus = (transposed ? sign[c * m + a] : sign[a * m + c]) > 0;
            sum = plus ? k_fadd(k, sum, x[a]) : k_fsub(k, sum, x[a]);
        }
        k_float_to(k, sum, y, k_add_i(k, loop.i, c * step));
    }
    k_end(k, &loop, NULL);
}

static void turn(struct qbc_kernel *k, MlirValue x, MlirValue y, int64_t run, int64_t m)
{
    int64_t power = run / m, piece = power < MOST * WIDTH ? power : MOST * WIDTH;
    struct k_loop pieces = k_for(k, k_i64(k, 0), k_i64(k, run * 4), piece * 4, 0, NULL);
    transform(k, k_at(k, x, pieces.i), k_at(k, y, pieces.i), piece, 1 / sqrt((double)run));
    k_end(k, &pieces, NULL);
    for (int64_t half = piece; half < power; half *= 2)
        butterflies(k, y, run, half);
    if (m > 1)
        mix(k, y, m, power);
}

void qbc_kernel_hadamard(struct qbc_kernel *k)
{
    int64_t run = qbc_int(k->launch, "run", 1), columns = qbc_int(k->launch, "c", 0), m = qbc_hadamard_factor(run);
    if (m < 1 || m > QBC_HADAMARD_ONLINE || columns % run) {
        qbc_error(k->q, k->launch, "%ld columns cannot be multiplied by Hadamard matrices of order %ld while the model runs",
                  (long)columns, (long)run);
        return;
    }
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, columns / run), 1, 0, NULL);
    MlirValue at = k_mul_i(k, loop.i, run * 4);
    turn(k, k_at(k, k_row(k, X, rows.i), at), k_at(k, k_row(k, Y, rows.i), at), run, m);
    k_end(k, &loop, NULL);
    k_end(k, &rows, NULL);
}
