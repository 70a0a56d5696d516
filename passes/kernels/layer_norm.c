/* layer_norm: y = (x - mean(x)) / sqrt(variance(x) + eps) * gain + bias, over each run of as many columns as gain has.
 *
 *   operands   y, x, gain, and the bias if there is one
 *   attributes c (columns), run (of gain), eps
 *
 * The variance is the mean of (x - mean)^2, from a second walk over the row, which is in the near cache: the difference of
 * two large sums would lose what is asked for. Sums are made in norm.c's order, the same on every target.
 */
#include "kernel.h"

enum { Y = 0, X = 1, GAIN = 2, BIAS = 3, WIDTH = 64 };

struct row {
    MlirValue x, y, gain, bias; /* bias null: none */
    MlirValue mean, inverse;    /* mean null: 0 */
};

static MlirValue centred(struct qbc_kernel *k, struct row *r, MlirValue column, int64_t width)
{
    MlirValue x = k_float_at(k, r->x, column, width);
    return mlirValueIsNull(r->mean) ? x : k_fsub(k, x, k_splat(k, r->mean, width));
}

/* Of a term: x itself while the mean is not known, then (x - mean)^2. */
static MlirValue term(struct qbc_kernel *k, void *user, MlirValue column, int64_t width)
{
    struct row *r = user;
    MlirValue x = centred(k, r, column, width);
    return mlirValueIsNull(r->mean) ? x : k_fmul(k, x, x);
}

static MlirValue whole(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    return k_fadd(k, sum, term(k, user, column, width));
}

static MlirValue rest(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    return k_fadd(k, sum, k_reduce(k, "add", term(k, user, column, width)));
}

static MlirValue mean_of_terms(struct qbc_kernel *k, struct row *r, int64_t n)
{
    int64_t vectors = n / WIDTH * WIDTH;
    MlirValue zero = k_float_of(k, k_vec(k, WIDTH, k->f32), 0);
    MlirValue sum = k_reduce(k, "add", k_columns(k, vectors, WIDTH, whole, r, zero));
    struct row after = *r;
    after.x = k_at_i(k, r->x, vectors * 4);
    sum = k_columns(k, n - vectors, WIDTH, rest, &after, sum);
    return k_fmul(k, sum, k_f32(k, 1.0f / (float)n));
}

static MlirValue put(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct row *r = user;
    MlirValue y = k_fmul(k, centred(k, r, column, width), k_splat(k, r->inverse, width));
    y = k_fmul(k, y, k_float_at(k, r->gain, column, width));
    if (!mlirValueIsNull(r->bias))
        y = k_fadd(k, y, k_float_at(k, r->bias, column, width));
    k_float_to(k, y, r->y, column);
    return sum;
}

void qbc_kernel_layer_norm(struct qbc_kernel *k)
{
    int64_t columns = qbc_int(k->launch, "c", 0), length = qbc_int(k->launch, "run", columns);
    float eps = (float)qbc_float(k->launch, "eps", 0);
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    struct k_loop runs = k_for(k, k_i64(k, 0), k_i64(k, columns * 4), length * 4, 0, NULL);
    struct row r = {
        .x = k_at(k, k_row(k, X, rows.i), runs.i),
        .y = k_at(k, k_row(k, Y, rows.i), runs.i),
        .gain = k->operand[GAIN],
    };
    if (mlirOperationGetNumOperands(k->launch) > BIAS)
        r.bias = k->operand[BIAS];
    r.mean = mean_of_terms(k, &r, length);
    MlirValue variance = k_fadd(k, mean_of_terms(k, &r, length), k_f32(k, eps));
    r.inverse = k_fdiv(k, k_f32(k, 1), k_op1(k, "math.sqrt", variance));
    k_columns(k, length, WIDTH, put, &r, (MlirValue){NULL});
    k_end(k, &runs, NULL);
    k_end(k, &rows, NULL);
}
