/* linear_fractions: products of digits that are never taken out of their numbers.
 *
 * A number is a fraction f of 256 (dialects/packing.h). Times the base b it is 256 times the next digit and the fraction that is
 * left, which is what multiplication of bytes leaves: f' = b f mod 256. So
 *
 *     256 digit = b f - f'          256 sum(x digit) = b sum(x f) - sum(x f')
 *
 * and two sums of products of bytes, which are there anyway, stand for taking a digit out, which is three instructions or more.
 * Where bytes are signed, f - 128 is multiplied: then it is the digit less (b - 1) / 2. All of it is exact.
 *
 * It pays for few tokens: each has two products where it had one. On Zen 4 one token takes 0.63 times as long as with digits
 * taken out, of t1.6 and of p9 alike (measured; llvm-mca holds vpdpbusd to be slower than it is).
 */
#include "linear.h"

enum { MOST = 2 /* tokens */, WHOLE = 256, BEFORE = 1, AFTER = 2 };

bool qbc_takes_fractions(const struct qbc_target *t, const struct qbc_tile *tile, const struct qbc_levels *v, int tokens)
{
    bool is_near_power = v->base > 2 && !((v->base - 1) & (v->base - 2)); /* or bytes are not multiplied by it in a few steps */
    return is_near_power && tokens <= MOST && tile->kind == QBC_KIND_DOT4 && !tile->widen && !t->scalable;
}

/* What is taken off a digit beyond what its signed fractions take off. */
static int shift_of(const struct qbc_linear *l, const struct qbc_levels *v)
{
    int middle = (v->base - 1) / 2;
    return (v->as_masks ? middle : v->shift) - (l->tile->dot_signed ? middle : 0);
}

/* It goes with the sum that is taken off. */
MlirValue qbc_fractions_start(struct qbc_linear *l, const struct qbc_run *run, int token)
{
    struct qbc_kernel *k = l->k;
    int shift = shift_of(l, &l->levels[run->operand]);
    if (run->fractions == BEFORE || !shift)
        return k_i32(k, 0);
    int64_t times = l->multiplier == shift ? 1 : shift; /* the record has multiplier * sum, or 1 * sum */
    return k_mul_i(k, qbc_run_minus(l, run, token), -WHOLE * times);
}

void qbc_linear_fractions(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    struct qbc_run before = *run, after = *run;
    MlirValue left[QBC_MOST_TOKENS];
    before.fractions = BEFORE;
    after.fractions = AFTER;
    qbc_linear_bytes(l, m, &before, out);
    qbc_linear_bytes(l, m, &after, left);
    for (int j = 0; j < m; ++j) {
        MlirValue whole = k_sub(k, k_mul_i(k, out[j], l->levels[run->operand].base), left[j]);
        out[j] = k_op2(k, "arith.shrsi", whole, k_int_of(k, mlirValueGetType(whole), 8));
    }
}
