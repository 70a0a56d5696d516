/* functions: exponentials, logarithms, angles, in f64, as plain operations without branches, so that loops over them become
 * vectors and no library is needed. Relative errors are below 1e-9 (erf 2e-7), which an f32 never sees.
 */
#include "general.h"

#include <math.h>
#include <string.h>

struct math {
    struct general *g;
    struct qbc_kernel *k;
};

static MlirValue number(struct math *m, double value)
{
    return k_float_of(m->k, m->k->f64, value);
}

static MlirValue add(struct math *m, MlirValue a, MlirValue b) { return k_fadd(m->k, a, b); }
static MlirValue sub(struct math *m, MlirValue a, MlirValue b) { return k_fsub(m->k, a, b); }
static MlirValue mul(struct math *m, MlirValue a, MlirValue b) { return k_fmul(m->k, a, b); }
static MlirValue quotient(struct math *m, MlirValue a, MlirValue b) { return k_fdiv(m->k, a, b); }

static MlirValue compare(struct math *m, enum g_compare how, MlirValue a, MlirValue b)
{
    return g_compare(m->g, how, (struct g_num){a, QBC_F64}, (struct g_num){b, QBC_F64}).v;
}

static MlirValue select(struct math *m, MlirValue which, MlirValue a, MlirValue b)
{
    return k_select(m->k, which, a, b);
}

static MlirValue is_nan(struct math *m, MlirValue x)
{
    return compare(m, G_NE, x, x);
}

/* c[0] + c[1] x + ... */
static MlirValue polynomial(struct math *m, size_t n, const double *c, MlirValue x)
{
    MlirValue sum = number(m, c[n - 1]);
    for (size_t i = n - 1; i-- > 0;)
        sum = add(m, mul(m, sum, x), number(m, c[i]));
    return sum;
}

/* To nearest even; |x| < 2^51. */
static MlirValue rounded(struct math *m, MlirValue x)
{
    MlirValue big = number(m, 0x1.8p52);
    return sub(m, add(m, x, big), big);
}

static MlirValue to_int(struct math *m, MlirValue x)
{
    return qbc_op(&m->k->b, "arith.fptosi", m->k->i64, 1, x);
}

static MlirValue power_of_two(struct math *m, MlirValue n)
{
    return k_bitcast(m->k, k_op2(m->k, "arith.shli", k_add_i(m->k, n, 1023), k_i64(m->k, 52)), m->k->f64);
}

static MlirValue absolute(struct math *m, MlirValue x)
{
    return k_op1(m->k, "math.absf", x);
}

static MlirValue root(struct math *m, MlirValue x)
{
    return k_op1(m->k, "math.sqrt", x);
}

static MlirValue exp_of(struct math *m, MlirValue x)
{
    static const double c[] = {1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880,
                               1. / 3628800, 1. / 39916800, 1. / 479001600};
    MlirValue low = number(m, -746), high = number(m, 710), nan = is_nan(m, x), at = select(m, nan, low, x);
    at = select(m, compare(m, G_LT, at, low), low, at);
    at = select(m, compare(m, G_GT, at, high), high, at);
    MlirValue n = rounded(m, mul(m, at, number(m, 1.4426950408889634)));
    MlirValue r = sub(m, sub(m, at, mul(m, n, number(m, 0x1.62e42fee00000p-1))), mul(m, n, number(m, 0x1.a39ef35793c76p-33)));
    MlirValue whole = to_int(m, n), half = k_op2(m->k, "arith.shrsi", whole, k_i64(m->k, 1));
    MlirValue y = mul(m, polynomial(m, sizeof c / sizeof *c, c, r), power_of_two(m, half));
    y = mul(m, y, power_of_two(m, k_sub(m->k, whole, half)));
    return select(m, nan, x, y);
}

/* x = 2^e f, f near 1; log f = 2 atanh((f - 1) / (f + 1)) */
static MlirValue log_of(struct math *m, MlirValue x)
{
    static const double c[] = {2, 2. / 3, 2. / 5, 2. / 7, 2. / 9, 2. / 11, 2. / 13, 2. / 15, 2. / 17};
    MlirValue tiny = compare(m, G_LT, x, number(m, 0x1p-1000));
    MlirValue scaled = select(m, tiny, mul(m, x, number(m, 0x1p100)), x), bits = k_bitcast(m->k, scaled, m->k->i64);
    MlirValue shifted = k_sub(m->k, bits, k_i64(m->k, INT64_C(0x3fe6a09e667f3bcd))); /* sqrt(1/2) */
    MlirValue e = k_op2(m->k, "arith.shrsi", shifted, k_i64(m->k, 52));
    MlirValue f = k_bitcast(m->k, k_sub(m->k, bits, k_op2(m->k, "arith.shli", e, k_i64(m->k, 52))), m->k->f64);
    MlirValue exponent = qbc_op(&m->k->b, "arith.sitofp", m->k->f64, 1, e);
    exponent = sub(m, exponent, select(m, tiny, number(m, 100), number(m, 0)));
    MlirValue s = quotient(m, sub(m, f, number(m, 1)), add(m, f, number(m, 1)));
    MlirValue series = mul(m, s, polynomial(m, sizeof c / sizeof *c, c, mul(m, s, s)));
    MlirValue y = add(m, mul(m, exponent, number(m, 0.69314718055994531)), series);
    y = select(m, compare(m, G_EQ, x, number(m, 0)), number(m, -INFINITY), y);
    y = select(m, compare(m, G_EQ, x, number(m, INFINITY)), x, y);
    MlirValue good = compare(m, G_GE, x, number(m, 0));
    return select(m, good, y, number(m, NAN));
}

/* x less the nearest multiple of a right angle; `quarter` which one. */
static MlirValue reduce_angle(struct math *m, MlirValue x, MlirValue *quarter)
{
    MlirValue size = absolute(m, x), good = compare(m, G_LT, size, number(m, 0x1p50));
    MlirValue at = select(m, good, x, number(m, 0)), n = rounded(m, mul(m, at, number(m, 0.63661977236758134)));
    MlirValue r = sub(m, at, mul(m, n, number(m, 0x1.921fb54400000p+0)));
    r = sub(m, r, mul(m, n, number(m, 0x1.0b4611a600000p-34)));
    r = sub(m, r, mul(m, n, number(m, 0x1.3198a2e037073p-69)));
    *quarter = to_int(m, n);
    return select(m, good, r, number(m, NAN));
}

static MlirValue sine(struct math *m, MlirValue x, int64_t ahead)
{
    static const double odd[] = {1, -1. / 6, 1. / 120, -1. / 5040, 1. / 362880, -1. / 39916800, 1. / 6227020800.};
    static const double even[] = {1, -1. / 2, 1. / 24, -1. / 720, 1. / 40320, -1. / 3628800, 1. / 479001600};
    MlirValue quarter, r = reduce_angle(m, x, &quarter), square = mul(m, r, r);
    MlirValue s = mul(m, r, polynomial(m, 7, odd, square)), c = polynomial(m, 7, even, square);
    quarter = k_add_i(m->k, quarter, ahead);
    MlirValue one = k_i64(m->k, 1), zero = k_i64(m->k, 0);
    MlirValue is_odd = k_cmp(m->k, QBC_EQ, k_op2(m->k, "arith.andi", quarter, one), one);
    MlirValue positive = k_cmp(m->k, QBC_EQ, k_op2(m->k, "arith.andi", quarter, k_i64(m->k, 2)), zero);
    MlirValue y = select(m, is_odd, c, s);
    return select(m, positive, y, sub(m, number(m, 0), y));
}

static MlirValue sin_of(struct math *m, MlirValue x) { return sine(m, x, 0); }
static MlirValue cos_of(struct math *m, MlirValue x) { return sine(m, x, 1); }
static MlirValue tan_of(struct math *m, MlirValue x) { return quotient(m, sin_of(m, x), cos_of(m, x)); }

/* The angle is halved twice, after it was brought below 45 degrees. */
static MlirValue atan_of(struct math *m, MlirValue x)
{
    static const double c[] = {1, -1. / 3, 1. / 5, -1. / 7, 1. / 9, -1. / 11, 1. / 13, -1. / 15, 1. / 17};
    MlirValue one = number(m, 1), size = absolute(m, x), large = compare(m, G_GT, size, one);
    MlirValue t = select(m, large, quotient(m, one, size), size);
    for (int i = 0; i < 2; ++i)
        t = quotient(m, t, add(m, one, root(m, add(m, one, mul(m, t, t)))));
    MlirValue y = mul(m, mul(m, number(m, 4), t), polynomial(m, sizeof c / sizeof *c, c, mul(m, t, t)));
    y = select(m, large, sub(m, number(m, 1.5707963267948966), y), y);
    return k_op2(m->k, "math.copysign", y, x);
}

/* sqrt((1 - x)(1 + x)), the other side of the triangle */
static MlirValue other_side(struct math *m, MlirValue x)
{
    return root(m, mul(m, sub(m, number(m, 1), x), add(m, number(m, 1), x)));
}

static MlirValue asin_of(struct math *m, MlirValue x) { return atan_of(m, quotient(m, x, other_side(m, x))); }

static MlirValue acos_of(struct math *m, MlirValue x)
{
    MlirValue half = atan_of(m, quotient(m, other_side(m, x), add(m, number(m, 1), x)));
    return mul(m, number(m, 2), half);
}

static MlirValue sinh_of(struct math *m, MlirValue x)
{
    MlirValue e = exp_of(m, x), large = mul(m, number(m, 0.5), sub(m, e, quotient(m, number(m, 1), e)));
    MlirValue square = mul(m, x, x);
    static const double c[] = {1, 1. / 6, 1. / 120, 1. / 5040};
    MlirValue small = mul(m, x, polynomial(m, 4, c, square));
    return select(m, compare(m, G_LT, square, number(m, 0.04)), small, large);
}

static MlirValue cosh_of(struct math *m, MlirValue x)
{
    MlirValue e = exp_of(m, x);
    return mul(m, number(m, 0.5), add(m, e, quotient(m, number(m, 1), e)));
}

/* 1 - 2 / (exp(2x) + 1); near zero sinh / cosh, which does not cancel */
static MlirValue tanh_of(struct math *m, MlirValue x)
{
    MlirValue one = number(m, 1), two = number(m, 2), small = compare(m, G_LT, absolute(m, x), number(m, 0.1));
    MlirValue large = sub(m, one, quotient(m, two, add(m, exp_of(m, mul(m, two, x)), one)));
    static const double c[] = {1, -1. / 3, 2. / 15, -17. / 315, 62. / 2835, -1382. / 155925};
    return select(m, small, mul(m, x, polynomial(m, 6, c, mul(m, x, x))), large);
}

static MlirValue asinh_of(struct math *m, MlirValue x)
{
    MlirValue size = absolute(m, x), y = log_of(m, add(m, size, root(m, add(m, mul(m, size, size), number(m, 1)))));
    return k_op2(m->k, "math.copysign", y, x);
}

static MlirValue acosh_of(struct math *m, MlirValue x)
{
    return log_of(m, add(m, x, root(m, mul(m, sub(m, x, number(m, 1)), add(m, x, number(m, 1))))));
}

static MlirValue atanh_of(struct math *m, MlirValue x)
{
    MlirValue one = number(m, 1);
    return mul(m, number(m, 0.5), log_of(m, quotient(m, add(m, one, x), sub(m, one, x))));
}

/* The series up to 1; from there erfc as in Numerical Recipes, 6.2: relative error 1.2e-7. */
static MlirValue erf_of(struct math *m, MlirValue x)
{
    static const double tail[] = {-1.26551223, 1.00002368, 0.37409196,  0.09678418, -0.18628806,
                                  0.27886807,  -1.13520398, 1.48851587, -0.82215223, 0.17087277};
    double c[14], factorial = 1;
    for (int i = 0; i < 14; ++i) {
        factorial *= i ? i : 1;
        c[i] = (i % 2 ? -1 : 1) * 1.1283791670955126 / (factorial * (2 * i + 1));
    }
    MlirValue size = absolute(m, x), square = mul(m, x, x), small = mul(m, x, polynomial(m, 14, c, square));
    MlirValue t = quotient(m, number(m, 1), add(m, number(m, 1), mul(m, number(m, 0.5), size)));
    MlirValue rest = mul(m, t, exp_of(m, sub(m, polynomial(m, 10, tail, t), square)));
    MlirValue large = k_op2(m->k, "math.copysign", sub(m, number(m, 1), rest), x);
    return select(m, compare(m, G_LT, size, number(m, 1)), small, large);
}

static MlirValue floor_of(struct math *m, MlirValue x) { return k_op1(m->k, "math.floor", x); }
static MlirValue ceil_of(struct math *m, MlirValue x) { return k_op1(m->k, "math.ceil", x); }
static MlirValue trunc_of(struct math *m, MlirValue x) { return k_op1(m->k, "math.trunc", x); }
static MlirValue round_of(struct math *m, MlirValue x) { return k_op1(m->k, "math.roundeven", x); }

static const struct function {
    const char *name;
    MlirValue (*of)(struct math *m, MlirValue x);
    bool any_width; /* exact, so done in the number's own */
} functions[] = {
    {"exp", exp_of, false},     {"log", log_of, false},     {"sin", sin_of, false},     {"cos", cos_of, false},
    {"tan", tan_of, false},     {"asin", asin_of, false},   {"acos", acos_of, false},   {"atan", atan_of, false},
    {"sinh", sinh_of, false},   {"cosh", cosh_of, false},   {"tanh", tanh_of, false},   {"asinh", asinh_of, false},
    {"acosh", acosh_of, false}, {"atanh", atanh_of, false}, {"erf", erf_of, false},     {"sqrt", root, true},
    {"floor", floor_of, true},  {"ceil", ceil_of, true},    {"trunc", trunc_of, true},  {"round", round_of, true},
};

static const struct function *find(const char *name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; ++i)
        if (!strcmp(functions[i].name, name))
            return &functions[i];
    return NULL;
}

bool g_has_function(const char *name)
{
    return find(name);
}

struct g_num g_call(struct general *g, const char *name, struct g_num x)
{
    struct math m = {g, &g->k};
    const struct function *f = find(name);
    if (f->any_width)
        return (struct g_num){f->of(&m, x.v), x.element};
    struct g_num y = {f->of(&m, g_convert(g, x, QBC_F64).v), QBC_F64};
    return g_convert(g, y, x.element);
}

/* |x|^y, with the sign of x where y is odd; NaN where x is negative and y is not whole. Integers go through f64. */
struct g_num g_power(struct general *g, struct g_num x, struct g_num y)
{
    struct math m = {g, &g->k};
    MlirValue a = g_convert(g, x, QBC_F64).v, b = g_convert(g, y, QBC_F64).v;
    MlirValue zero = number(&m, 0), one = number(&m, 1), size = absolute(&m, a);
    MlirValue power = exp_of(&m, mul(&m, b, log_of(&m, size)));
    MlirValue whole = compare(&m, G_EQ, k_op1(m.k, "math.floor", b), b), half = mul(&m, b, number(&m, 0.5));
    MlirValue is_odd = compare(&m, G_NE, k_op1(m.k, "math.floor", half), half);
    MlirValue negative = select(&m, whole, select(&m, is_odd, sub(&m, zero, power), power), number(&m, NAN));
    MlirValue result = select(&m, compare(&m, G_LT, a, zero), negative, power);
    result = select(&m, compare(&m, G_EQ, b, zero), one, result);
    result = select(&m, compare(&m, G_EQ, b, one), a, result);
    if (!g_is_float(x.element)) /* 2.9999999 is 3 */
        result = k_op1(m.k, "math.roundeven", result);
    return g_convert(g, (struct g_num){result, QBC_F64}, x.element);
}
