/* ssm_scan: the recurrence of state space models, for each of I columns with a state of N numbers.
 *
 *     h[i][n] = exp(dt[t][d] a[d][n]) h[i][n] + dt[t][d] b[t][g][n] x[t][i]
 *     y[t][i] = sum over n of h[i][n] c[t][g][n] + skip[d] x[t][i]
 *
 *   operands   y, state, x, dt, b, c, a, skip
 *   attributes i (columns I), n (N), dts (columns of dt: d = column * dts / I), groups (of b and c), rates (columns of a: N, or 1
 *              where all of a state decay alike)
 *
 * The state is [I][N] f32, zeros at position 0, whatever it holds. A thread has its columns from the first token to the last, so
 * nobody else reads or writes their state. Mamba (Gu and Dao, arXiv 2312.00752): dts = I, groups = 1, rates = N. Mamba-2 (Dao
 * and Gu, arXiv 2405.21060): dts = heads, rates = 1.
 */
#include "kernel.h"

enum { Y = 0, STATE = 1, X = 2, DT = 3, B = 4, C = 5, A = 6, SKIP = 7, WIDEST = 16, MOST_VECTORS = 16 };

struct scan {
    struct qbc_kernel *k;
    int64_t columns, n, dts, groups, rates;
    int64_t width, vectors; /* of a column's state */
    MlirType type;
};

/* Where column i's numbers of B or C begin in a row. */
static MlirValue group_at(struct scan *s, size_t operand, MlirValue token, MlirValue column)
{
    struct qbc_kernel *k = s->k;
    MlirValue group = k_op2(k, "arith.divui", column, k_i64(k, s->columns / s->groups));
    return k_at(k, k_row(k, operand, token), k_mul_i(k, group, s->n * 4));
}

static MlirValue float_of(struct scan *s, size_t operand, MlirValue token, MlirValue column)
{
    struct qbc_kernel *k = s->k;
    return k_load(k, k->f32, k_at(k, k_row(k, operand, token), k_mul_i(k, column, 4)), 4);
}

/* One token of one column; h goes from old to new. Gives y. */
static MlirValue turn(struct scan *s, MlirValue token, MlirValue column, MlirValue d, const MlirValue *a, MlirValue skip,
                      const MlirValue *old, MlirValue *h)
{
    struct qbc_kernel *k = s->k;
    MlirValue x = float_of(s, X, token, column), dt = float_of(s, DT, token, d);
    MlirValue into = k_splat(k, k_fmul(k, dt, x), s->width), step = k_splat(k, dt, s->width), sum = k_fmul(k, skip, x);
    MlirValue b = group_at(s, B, token, column), c = group_at(s, C, token, column);
    MlirValue total = k_float_of(k, s->type, 0), decay = {NULL};
    for (int64_t v = 0; v < s->vectors; ++v) {
        int64_t at = v * s->width * 4;
        if (v == 0 || s->rates > 1)
            decay = k_exp(k, k_fmul(k, step, a[s->rates > 1 ? v : 0]));
        h[v] = k_fma(k, decay, old[v], k_fmul(k, into, k_load(k, s->type, k_at_i(k, b, at), 4)));
        total = k_fma(k, h[v], k_load(k, s->type, k_at_i(k, c, at), 4), total);
    }
    return k_fadd(k, sum, k_reduce(k, "add", total));
}

static void column_of(struct scan *s, MlirValue column)
{
    struct qbc_kernel *k = s->k;
    MlirValue a[MOST_VECTORS], h[MOST_VECTORS], next[MOST_VECTORS];
    MlirValue d = k_op2(k, "arith.divui", column, k_i64(k, s->columns / s->dts));
    MlirValue rates = k_at(k, k->operand[A], k_mul_i(k, d, s->rates * 4));
    MlirValue skip = k_load(k, k->f32, k_at(k, k->operand[SKIP], k_mul_i(k, d, 4)), 4);
    MlirValue state = k_at(k, k->operand[STATE], k_mul_i(k, column, s->n * 4));
    MlirValue first = k_cmp(k, QBC_EQ, k->pos, k_i64(k, 0));
    for (int64_t v = 0; v < s->vectors; ++v) {
        int64_t at = v * s->width * 4;
        if (s->rates > 1)
            a[v] = k_load(k, s->type, k_at_i(k, rates, at), 4);
        h[v] = k_select(k, first, k_float_of(k, s->type, 0), k_load(k, s->type, k_at_i(k, state, at), 4));
    }
    if (s->rates == 1)
        a[0] = k_splat(k, k_load(k, k->f32, rates, 4), s->width);
    struct k_loop t = k_for(k, k_i64(k, 0), k->rows, 1, (size_t)s->vectors, h);
    MlirValue y = turn(s, t.i, column, d, a, skip, t.carried, next);
    k_store(k, y, k_at(k, k_row(k, Y, t.i), k_mul_i(k, column, 4)), 4);
    k_end(k, &t, next);
    for (int64_t v = 0; v < s->vectors; ++v)
        k_store(k, t.carried[v], k_at_i(k, state, v * s->width * 4), 4);
}

void qbc_kernel_ssm_scan(struct qbc_kernel *k)
{
    struct scan s = {
        .k = k,
        .columns = qbc_int(k->launch, "i", 0),
        .n = qbc_int(k->launch, "n", 0),
        .dts = qbc_int(k->launch, "dts", 1),
        .groups = qbc_int(k->launch, "groups", 1),
        .rates = qbc_int(k->launch, "rates", 1),
        .width = WIDEST,
    };
    while (s.n % s.width)
        s.width /= 2;
    s.vectors = s.n / s.width;
    if (s.vectors > MOST_VECTORS) {
        qbc_error(k->q, k->launch, "a state of %ld numbers a column; %d vectors of up to %d are supported", (long)s.n,
                  MOST_VECTORS, WIDEST);
        return;
    }
    s.type = k_vec(k, s.width, k->f32);
    struct k_range share = k_share(k, k_i64(k, s.columns));
    struct k_loop columns = k_for(k, share.from, share.to, 1, 0, NULL);
    column_of(&s, columns.i);
    k_end(k, &columns, NULL);
}
