/* math: elementary functions on vectors, by range reduction and polynomial.
 *
 * exp:    n = rint(x / ln 2), r = x - n ln 2 in two steps, 2^n by the exponent bits. The polynomial
 *         is the Taylor series to degree 7 on |r| <= ln(2) / 2: truncation 5e-9, below f32 rounding.
 * erfc:   exp(-z^2) t P(t), t = 1 / (1 + 0.4 z); P fits erfc(z) exp(z^2) / t on z in 0 .. 10 by least squares of the
 *         relative error, which is 9e-9.
 * tanh:   1 - 2 / (1 + exp(2 x)), and near 0, where that cancels, x (1 + x^2 Q(x^2)), Q fitted in the same way: 7e-9.
 * sincos: the quadrant in f64, where the angle of any position is exact enough; Taylor series to
 *         degree 9 and 8 on |r| <= pi / 4 in f32: error below 4e-8 + rounding.
 *
 * Rounding to an integer is done by adding 1.5 * 2^23 (f32) or 1.5 * 2^52 (f64): the sum's low bits
 * are the integer. It needs round to nearest, the mode every target starts in.
 */
#include "kernel.h"

static MlirValue constant(struct qbc_kernel *k, MlirValue like, double value)
{
    return k_float_of(k, mlirValueGetType(like), value);
}

/* c[0] + c[1] x + ... */
static MlirValue polynomial(struct qbc_kernel *k, MlirValue x, size_t n, const double *c)
{
    MlirValue sum = constant(k, x, c[n - 1]);
    for (size_t i = n - 1; i-- > 0;)
        sum = k_fma(k, sum, x, constant(k, x, c[i]));
    return sum;
}

MlirValue k_exp(struct qbc_kernel *k, MlirValue x)
{
    static const double series[] = {1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040};
    MlirType ints = k_with_element(mlirValueGetType(x), k->i32);
    MlirValue low = constant(k, x, -87.3), high = constant(k, x, 88.7), magic = constant(k, x, 0x1.8p23);
    x = k_fmax(k, low, k_fmin(k, high, x));
    MlirValue shifted = k_fma(k, x, constant(k, x, 1.44269504088896341), magic);
    MlirValue n = k_fsub(k, shifted, magic);
    MlirValue r = k_fma(k, n, constant(k, x, -0x1.62e400p-1), x); /* ln 2, first 15 bits */
    r = k_fma(k, n, constant(k, x, -0x1.7f7d1cf79abcap-20), r);   /* and the rest */
    MlirValue p = polynomial(k, r, sizeof series / sizeof *series, series);
    MlirValue exponent = k_op2(k, "arith.shli", k_bitcast(k, shifted, ints), k_int_of(k, ints, 23));
    return k_bitcast(k, k_add(k, k_bitcast(k, p, ints), exponent), mlirValueGetType(x));
}

MlirValue k_silu(struct qbc_kernel *k, MlirValue x)
{
    MlirValue e = k_exp(k, k_fsub(k, constant(k, x, 0), x));
    return k_fdiv(k, x, k_fadd(k, e, constant(k, x, 1)));
}

MlirValue k_erfc_of(struct qbc_kernel *k, MlirValue x)
{
    static const double fit[] = {0.22570865776296353, 0.22491550329435578, 0.21524423943720888, 0.12805953348055607,
                                 0.2770496622504532,  -0.2941963175604068, 0.5598930715131784,  -0.508615631083858,
                                 0.20237118219848732, -0.03042989569686412};
    MlirValue size = k_op1(k, "math.absf", x), one = constant(k, x, 1);
    MlirValue t = k_fdiv(k, one, k_fma(k, size, constant(k, x, 0.28284271247461906), one));
    MlirValue e = k_exp(k, k_fmul(k, k_fmul(k, x, x), constant(k, x, -0.5)));
    return k_fmul(k, e, k_fmul(k, t, polynomial(k, t, sizeof fit / sizeof *fit, fit)));
}

MlirValue k_tanh(struct qbc_kernel *k, MlirValue x)
{
    static const double fit[] = {-0.3333325581146371, 0.1333074708618073, -0.05368245328664854, 0.02045441766210265,
                                 -0.00550106085074535};
    MlirValue x2 = k_fmul(k, x, x), one = constant(k, x, 1);
    MlirValue q = polynomial(k, x2, sizeof fit / sizeof *fit, fit), near = k_fma(k, k_fmul(k, x, x2), q, x);
    MlirValue e = k_exp(k, k_fmul(k, x, constant(k, x, 2)));
    MlirValue far = k_fsub(k, one, k_fdiv(k, constant(k, x, 2), k_fadd(k, e, one)));
    MlirValue small = k_fcmp(k, QBC_FLT, k_op1(k, "math.absf", x), constant(k, x, 0.65));
    return k_select(k, small, near, far);
}

/* angle f64 = quadrant * pi/2 + r; sin and cos of the quadrant swap and change sign. */
struct k_sincos k_sincos(struct qbc_kernel *k, MlirValue angle)
{
    static const double sine[] = {1, -1. / 6, 1. / 120, -1. / 5040, 1. / 362880};
    static const double cosine[] = {1, -1. / 2, 1. / 24, -1. / 720, 1. / 40320};
    MlirType f64s = mlirValueGetType(angle), f32s = k_with_element(f64s, k->f32);
    MlirType i64s = k_with_element(f64s, k->i64), i32s = k_with_element(f64s, k->i32);
    MlirValue magic = constant(k, angle, 0x1.8p52);
    MlirValue shifted = k_fma(k, angle, constant(k, angle, 0.63661977236758134308), magic);
    MlirValue n = k_fsub(k, shifted, magic);
    MlirValue r64 = k_fma(k, n, constant(k, angle, -0x1.921fb544p0), angle); /* pi / 2, 33 bits at a time, so */
    r64 = k_fma(k, n, constant(k, angle, -0x1.0b4611a6p-34), r64);          /* that n of up to 20 is exact */
    r64 = k_fma(k, n, constant(k, angle, -0x1.3198a2e037073p-69), r64);      /* where products are rounded */
    MlirValue quadrant = k_cast(k, "arith.trunci", k_bitcast(k, shifted, i64s), k->i32);

    MlirValue r = k_cast(k, "arith.truncf", r64, k->f32), r2 = k_fmul(k, r, r);
    MlirValue s = k_fmul(k, r, polynomial(k, r2, sizeof sine / sizeof *sine, sine));
    MlirValue c = polynomial(k, r2, sizeof cosine / sizeof *cosine, cosine);
    MlirValue one = k_int_of(k, i32s, 1), two = k_int_of(k, i32s, 2);
    MlirValue odd = k_cmp(k, QBC_EQ, k_op2(k, "arith.andi", quadrant, one), one);
    MlirValue sin = k_select(k, odd, c, s), cos = k_select(k, odd, s, c);
    /* sign bits: sin is negative in quadrants 2, 3; cos in 1, 2 */
    MlirValue thirty = k_int_of(k, i32s, 30);
    MlirValue sin_sign = k_op2(k, "arith.shli", k_op2(k, "arith.andi", quadrant, two), thirty);
    MlirValue cos_sign = k_op2(
        k, "arith.shli", k_op2(k, "arith.andi", k_add(k, quadrant, one), two), thirty);
    sin = k_op2(k, "arith.xori", k_bitcast(k, sin, i32s), sin_sign);
    cos = k_op2(k, "arith.xori", k_bitcast(k, cos, i32s), cos_sign);
    return (struct k_sincos){k_bitcast(k, sin, f32s), k_bitcast(k, cos, f32s)};
}
