/* rms_norm: y = x / sqrt(mean(x^2) + eps) * gain, over each run of as many columns as gain has.
 *
 *   operands   y, x, gain
 *   attributes c (columns), run (of gain), eps
 */
#include "kernel.h"

enum { Y = 0, X = 1, GAIN = 2, WIDTH = 64 };

/* Whole vectors are added up as such; what is left of the row afterwards, one by one. */
static MlirValue square(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    MlirValue x = k_float_at(k, *(MlirValue *)user, column, width);
    return k_fma(k, x, x, sum);
}

static MlirValue square_rest(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    MlirValue x = k_float_at(k, *(MlirValue *)user, column, width);
    return k_fadd(k, sum, k_reduce(k, "add", k_fmul(k, x, x)));
}

MlirValue k_inverse_rms(struct qbc_kernel *k, MlirValue x, int64_t n, float eps)
{
    int64_t whole = n / WIDTH * WIDTH;
    MlirValue zero = k_float_of(k, k_vec(k, WIDTH, k->f32), 0);
    MlirValue sum = k_reduce(k, "add", k_columns(k, whole, WIDTH, square, &x, zero));
    MlirValue rest = k_at_i(k, x, whole * 4);
    sum = k_columns(k, n - whole, WIDTH, square_rest, &rest, sum);
    MlirValue mean = k_fmul(k, sum, k_f32(k, 1.0f / (float)n));
    return k_fdiv(k, k_f32(k, 1), k_op1(k, "math.sqrt", k_fadd(k, mean, k_f32(k, eps))));
}

struct run {
    MlirValue x, y, gain, inverse;
};

static MlirValue scale(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct run *r = user;
    MlirValue x = k_fmul(k, k_float_at(k, r->x, column, width), k_splat(k, r->inverse, width));
    k_float_to(k, k_fmul(k, x, k_float_at(k, r->gain, column, width)), r->y, column);
    return sum;
}

void qbc_kernel_rms_norm(struct qbc_kernel *k)
{
    int64_t columns = qbc_int(k->launch, "c", 0), length = qbc_int(k->launch, "run", columns);
    float eps = (float)qbc_float(k->launch, "eps", 0);
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    struct k_loop runs = k_for(k, k_i64(k, 0), k_i64(k, columns * 4), length * 4, 0, NULL);
    struct run r = {
        .x = k_at(k, k_row(k, X, rows.i), runs.i),
        .y = k_at(k, k_row(k, Y, rows.i), runs.i),
        .gain = k->operand[GAIN],
    };
    r.inverse = k_inverse_rms(k, r.x, length, eps);
    k_columns(k, length, WIDTH, scale, &r, (MlirValue){NULL});
    k_end(k, &runs, NULL);
    k_end(k, &rows, NULL);
}
