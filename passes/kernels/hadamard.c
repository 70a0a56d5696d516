/* hadamard: each run of columns times the Hadamard matrix of its order, over its root.
 *
 *   operands   y, x
 *   attributes c (columns), run (a power of two up to 1024 that divides c)
 *
 * log2(run) rounds of sums and differences of columns whose numbers differ in one bit, in registers: within a vector by
 * exchanging lanes, then between vectors. Every sum is rounded alike, whatever the target.
 */
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

static void transform(struct qbc_kernel *k, MlirValue from, MlirValue to, int64_t run)
{
    int64_t width = run < WIDTH ? run : WIDTH, n = run / width;
    MlirValue x[MOST];
    for (int64_t i = 0; i < n; ++i)
        x[i] = within(k, k_float_at(k, from, k_i64(k, i * width), width), width);
    between(k, x, n);
    for (int64_t i = 0; i < n; ++i) {
        MlirValue y = k_fmul(k, x[i], k_float_of(k, k_vec(k, width, k->f32), 1 / sqrt((double)run)));
        k_float_to(k, y, to, k_i64(k, i * width));
    }
}

void qbc_kernel_hadamard(struct qbc_kernel *k)
{
    int64_t run = qbc_int(k->launch, "run", 1), runs = qbc_int(k->launch, "c", 0) / run;
    if (run < 1 || run & (run - 1) || run > MOST * WIDTH) {
        qbc_error(k->q, k->launch, "runs of a Hadamard transform are powers of two up to %d, not %ld", MOST * WIDTH, (long)run);
        return;
    }
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, runs), 1, 0, NULL);
    MlirValue at = k_mul_i(k, loop.i, run * 4);
    transform(k, k_at(k, k_row(k, X, rows.i), at), k_at(k, k_row(k, Y, rows.i), at), run);
    k_end(k, &loop, NULL);
    k_end(k, &rows, NULL);
}
