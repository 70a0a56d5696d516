/* project: y[t][r] = sum over k of b[r][k] * x[t][k], for a few rows: panels of them would be mostly padding.
 *
 *   operands   y, x, b                f16 [r][k], one after the other, however high the panels are
 *   attributes c (columns of y: r), columns (of x: k), n, k, format, panel of b
 *
 * Threads take elements of y.
 */
#include "kernel.h"

enum { Y = 0, X = 1, B = 2, WIDTH = 64 };

struct rows {
    MlirValue x, b;
};

static MlirValue products(struct qbc_kernel *k, struct rows *r, MlirValue column, int64_t width, MlirValue *x)
{
    *x = k_float_at(k, r->x, column, width);
    return k_load_half(k, width, k_at(k, r->b, k_mul_i(k, column, 2)));
}

/* Whole vectors are added up as such; what is left of the row afterwards, one by one. */
static MlirValue add(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    MlirValue x, b = products(k, user, column, width, &x);
    return k_fma(k, b, x, sum);
}

static MlirValue add_rest(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    MlirValue x, b = products(k, user, column, width, &x);
    return k_fadd(k, sum, k_reduce(k, "add", k_fmul(k, b, x)));
}

static MlirValue dot(struct qbc_kernel *k, struct rows r, int64_t n)
{
    int64_t whole = n / WIDTH * WIDTH;
    MlirValue zero = k_float_of(k, k_vec(k, WIDTH, k->f32), 0);
    MlirValue sum = k_reduce(k, "add", k_columns(k, whole, WIDTH, add, &r, zero));
    struct rows rest = {k_at_i(k, r.x, whole * 4), k_at_i(k, r.b, whole * 2)};
    return k_columns(k, n - whole, WIDTH, add_rest, &rest, sum);
}

void qbc_kernel_project(struct qbc_kernel *k)
{
    int64_t rows = qbc_int(k->launch, "c", 0), n = qbc_int(k->launch, "columns", 0);
    struct k_range share = k_share(k, k_mul_i(k, k->rows, rows));
    struct k_loop loop = k_for(k, share.from, share.to, 1, 0, NULL);
    MlirValue count = k_i64(k, rows);
    MlirValue token = k_op2(k, "arith.divui", loop.i, count), row = k_op2(k, "arith.remui", loop.i, count);
    struct rows r = {k_row(k, X, token), k_at(k, k->operand[B], k_mul_i(k, row, 2 * n))};
    k_store(k, dot(k, r, n), k_at(k, k_row(k, Y, token), k_mul_i(k, row, 4)), 4);
    k_end(k, &loop, NULL);
}
