/* number: arithmetic on numbers of any element, by its kind. */
#include "general.h"

#include <mlir-c/BuiltinTypes.h>

bool g_is_float(enum qbc_element e)
{
    switch (e) {
    case QBC_F32:
    case QBC_F64:
    case QBC_F16:
    case QBC_BF16:
    case QBC_F8E4M3FN:
    case QBC_F8E4M3FNUZ:
    case QBC_F8E5M2:
    case QBC_F8E5M2FNUZ:
    case QBC_F4E2M1:
    case QBC_F8E8M0:
        return true;
    default:
        return false;
    }
}

bool g_is_unsigned(enum qbc_element e)
{
    return e == QBC_U8 || e == QBC_U16 || e == QBC_U32 || e == QBC_U64 || e == QBC_U4 || e == QBC_U2 || e == QBC_BOOL;
}

int g_bits(enum qbc_element e)
{
    return e == QBC_BOOL ? 1 : qbc_element_bits(e);
}

enum qbc_element g_number_element(enum qbc_element e)
{
    if (g_is_float(e))
        return e == QBC_F64 ? QBC_F64 : QBC_F32;
    return e == QBC_I4 || e == QBC_I2 ? QBC_I8 : e == QBC_U4 || e == QBC_U2 ? QBC_U8 : e;
}

MlirType g_type(struct general *g, enum qbc_element element)
{
    enum qbc_element e = g_number_element(element);
    if (g_is_float(e))
        return e == QBC_F64 ? g->k.f64 : g->k.f32;
    switch (g_bits(e)) {
    case 1:
        return g->k.i1;
    case 8:
        return g->k.i8;
    case 16:
        return g->k.i16;
    case 32:
        return g->k.i32;
    default:
        return g->k.i64;
    }
}

struct g_num g_const(struct general *g, enum qbc_element element, double value)
{
    enum qbc_element e = g_number_element(element);
    if (!g_is_float(e))
        return g_int(g, e, (int64_t)value);
    return (struct g_num){k_float_of(&g->k, g_type(g, e), value), e};
}

struct g_num g_int(struct general *g, enum qbc_element element, int64_t value)
{
    enum qbc_element e = g_number_element(element);
    if (g_is_float(e))
        return g_const(g, e, (double)value);
    int bits = g_bits(e);
    if (bits < 64) /* MLIR wants the sign extended */
        value = (int64_t)((uint64_t)value << (64 - bits)) >> (64 - bits);
    return (struct g_num){k_int_of(&g->k, g_type(g, e), value), e};
}

struct g_num g_index(struct general *g, MlirValue i64)
{
    (void)g;
    return (struct g_num){i64, QBC_I64};
}

static struct g_num op2(struct general *g, const char *name, struct g_num a, struct g_num b)
{
    return (struct g_num){k_op2(&g->k, name, a.v, b.v), a.element};
}

/* Division by zero, and the one quotient that does not fit, would be undefined: they give what x - y * q with q = 0 says. */
static struct g_num divide(struct general *g, bool rest, struct g_num a, struct g_num b)
{
    static const char *const names[2][2] = {{"arith.divsi", "arith.divui"}, {"arith.remsi", "arith.remui"}};
    struct g_num zero = g_int(g, b.element, 0), one = g_int(g, b.element, 1), minus = g_int(g, b.element, -1);
    struct g_num bad = g_compare(g, G_EQ, b, zero), safe = g_select(g, bad, one, b);
    bool is_unsigned = g_is_unsigned(a.element);
    if (!is_unsigned) {
        struct g_num negated = g_compare(g, G_EQ, b, minus);
        safe = g_select(g, negated, one, safe);
        struct g_num result = op2(g, names[rest][0], a, safe);
        result = rest ? result : g_select(g, negated, g_neg(g, a), result);
        return g_select(g, bad, zero, result);
    }
    return g_select(g, bad, zero, op2(g, names[rest][1], a, safe));
}

/* x - y * trunc(x / y), exactly: by f64, whose quotients of whole f32 are exact enough for ONNX's tolerance. */
static struct g_num float_rest(struct general *g, struct g_num a, struct g_num b)
{
    enum qbc_element e = a.element;
    struct g_num x = g_convert(g, a, QBC_F64), y = g_convert(g, b, QBC_F64);
    struct g_num whole = g_call(g, "trunc", g_do(g, G_DIV, x, y));
    return g_convert(g, g_do(g, G_SUB, x, g_do(g, G_MUL, y, whole)), e);
}

/* NaN where one of them is. */
static struct g_num extreme(struct general *g, bool largest, struct g_num a, struct g_num b)
{
    struct g_num first = g_compare(g, largest ? G_GT : G_LT, a, b), picked = g_select(g, first, a, b);
    if (!g_is_float(a.element))
        return picked;
    return g_select(g, g_compare(g, G_NE, a, a), a, picked);
}

struct g_num g_do(struct general *g, enum g_binary what, struct g_num a, struct g_num b)
{
    static const char *const floats[] = {"arith.addf", "arith.subf", "arith.mulf", "arith.divf"};
    static const char *const ints[] = {[G_ADD] = "arith.addi", [G_SUB] = "arith.subi", [G_MUL] = "arith.muli",
                                       [G_AND] = "arith.andi", [G_OR] = "arith.ori",   [G_XOR] = "arith.xori",
                                       [G_SHL] = "arith.shli", [G_SHR] = "arith.shrui"};
    bool is_float = g_is_float(a.element);
    if (what == G_MIN || what == G_MAX)
        return extreme(g, what == G_MAX, a, b);
    if (what == G_REM && is_float)
        return float_rest(g, a, b);
    if (is_float)
        return op2(g, floats[what > G_DIV ? G_ADD : what], a, b);
    if (what == G_DIV || what == G_REM)
        return divide(g, what == G_REM, a, b);
    return op2(g, what == G_SHR && !g_is_unsigned(a.element) ? "arith.shrsi" : ints[what], a, b);
}

struct g_num g_compare(struct general *g, enum g_compare how, struct g_num a, struct g_num b)
{
    /* arith's numbers: eq ne slt sle sgt sge ult ule ugt uge; oeq 1 ogt 2 oge 3 olt 4 ole 5, une 13 */
    static const int64_t ints[2][6] = {{0, 1, 2, 3, 4, 5}, {0, 1, 6, 7, 8, 9}}, floats[6] = {1, 13, 4, 5, 2, 3};
    bool is_float = g_is_float(a.element);
    int64_t predicate = is_float ? floats[how] : ints[g_is_unsigned(a.element)][how];
    struct qbc_attr attrs[] = {{"predicate", qbc_attr_int(g->q, predicate)}, {0}};
    MlirValue operands[] = {a.v, b.v};
    MlirOperation op = qbc_make(&g->k.b, is_float ? "arith.cmpf" : "arith.cmpi", g->k.i1, attrs, 2, operands);
    return (struct g_num){mlirOperationGetResult(op, 0), QBC_BOOL};
}

struct g_num g_select(struct general *g, struct g_num which, struct g_num a, struct g_num b)
{
    return (struct g_num){k_select(&g->k, which.v, a.v, b.v), a.element};
}

struct g_num g_not(struct general *g, struct g_num a)
{
    return g_do(g, G_XOR, a, g_int(g, a.element, -1));
}

struct g_num g_neg(struct general *g, struct g_num a)
{
    if (g_is_float(a.element))
        return (struct g_num){k_op1(&g->k, "arith.negf", a.v), a.element};
    return g_do(g, G_SUB, g_int(g, a.element, 0), a);
}

MlirValue g_truth(struct general *g, struct g_num a)
{
    return a.element == QBC_BOOL ? a.v : g_compare(g, G_NE, a, g_int(g, a.element, 0)).v;
}

static struct g_num cast(struct general *g, const char *name, struct g_num a, enum qbc_element to)
{
    return (struct g_num){qbc_op(&g->k.b, name, g_type(g, to), 1, a.v), to};
}

static struct g_num int_to_int(struct general *g, struct g_num a, enum qbc_element to)
{
    int from = g_bits(a.element), bits = g_bits(to);
    if (from == bits)
        return (struct g_num){a.v, to};
    return cast(g, from > bits ? "arith.trunci" : g_is_unsigned(a.element) ? "arith.extui" : "arith.extsi", a, to);
}

/* Through i64, so that what is out of range wraps; what does not fit i64 is brought to its ends. */
static struct g_num float_to_int(struct general *g, struct g_num a, enum qbc_element to)
{
    bool wide = to == QBC_U64;
    double low = wide ? 0 : -0x1p63, high = wide ? 0x1.fffffep63 : 0x1.fffffep62;
    struct g_num nan = g_compare(g, G_NE, a, a), zero = g_const(g, a.element, 0);
    struct g_num x = g_select(g, nan, zero, a), l = g_const(g, a.element, low), h = g_const(g, a.element, high);
    x = g_select(g, g_compare(g, G_LT, x, l), l, x);
    x = g_select(g, g_compare(g, G_GT, x, h), h, x);
    struct g_num whole = cast(g, wide ? "arith.fptoui" : "arith.fptosi", x, wide ? QBC_U64 : QBC_I64);
    return int_to_int(g, whole, to);
}

struct g_num g_convert(struct general *g, struct g_num a, enum qbc_element element)
{
    enum qbc_element to = g_number_element(element);
    bool was = g_is_float(a.element), is = g_is_float(to);
    if (a.element == to)
        return a;
    if (to == QBC_BOOL)
        return (struct g_num){g_truth(g, a), QBC_BOOL};
    if (was && is)
        return cast(g, to == QBC_F64 ? "arith.extf" : "arith.truncf", a, to);
    if (was)
        return float_to_int(g, a, to);
    if (is)
        return cast(g, g_is_unsigned(a.element) ? "arith.uitofp" : "arith.sitofp", a, to);
    return int_to_int(g, a, to);
}
