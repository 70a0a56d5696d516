/* narrow: elements in memory and the numbers they stand for. A float narrower than f32 is its bits in memory; reading
 * widens it exactly, writing rounds to nearest even in integer arithmetic, so no target needs instructions for it. */
#include "general.h"

#include <string.h>

/* --- reading */

/* What all codes stand for, as a table of the program. */
static MlirValue by_table(struct general *g, enum qbc_element element, MlirValue bits)
{
    float table[256] = {0};
    int n = 1 << qbc_element_bits(element);
    for (int i = 0; i < n; ++i)
        table[i] = qbc_narrow_to_float(element, (uint32_t)i);
    float *kept = qbc_alloc(g->q, sizeof table);
    memcpy(kept, table, sizeof table);
    MlirValue base = g_constant_data(g, kept, sizeof table), wide = qbc_op(&g->k.b, "arith.extui", g->k.i64, 1, bits);
    return k_load(&g->k, g->k.f32, k_at(&g->k, base, k_mul_i(&g->k, wide, 4)), 4);
}

static MlirValue i32(struct general *g, int32_t value)
{
    return k_i32(&g->k, value);
}

/* Exponent and fraction at f32's places; 2^112 too small, which also makes subnormals right. */
static MlirValue widen_half(struct general *g, MlirValue bits)
{
    struct qbc_kernel *k = &g->k;
    MlirValue wide = qbc_op(&k->b, "arith.extui", k->i32, 1, bits), rest = k_op2(k, "arith.andi", wide, i32(g, 0x7fff));
    MlirValue small = k_fmul(k, k_bitcast(k, k_op2(k, "arith.shli", rest, i32(g, 13)), k->f32), k_f32(k, 0x1p112F));
    MlirValue special = k_op2(k, "arith.ori", k_op2(k, "arith.shli", rest, i32(g, 13)), i32(g, 0x7f800000));
    MlirValue is_special = k_cmp(k, QBC_GE, rest, i32(g, 0x7c00));
    MlirValue size = k_select(k, is_special, special, k_bitcast(k, small, k->i32));
    MlirValue sign = k_op2(k, "arith.shli", k_op2(k, "arith.andi", wide, i32(g, 0x8000)), i32(g, 16));
    return k_bitcast(k, k_op2(k, "arith.ori", size, sign), k->f32);
}

static MlirValue place(struct general *g, enum qbc_element element, MlirValue data, MlirValue index)
{
    return k_at(&g->k, data, k_mul_i(&g->k, index, (int64_t)qbc_element_bytes(element)));
}

static MlirType memory_type(struct general *g, enum qbc_element element)
{
    MlirType types[] = {g->k.i8, g->k.i16, g->k.i32, g->k.i64};
    if (element == QBC_F32 || element == QBC_F64)
        return g_type(g, element);
    size_t bytes = qbc_element_bytes(element);
    return types[bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3];
}

MlirValue g_bits_of(struct general *g, enum qbc_element element, MlirValue data, MlirValue index)
{
    MlirType types[] = {g->k.i8, g->k.i16, g->k.i32, g->k.i64};
    size_t bytes = qbc_element_bytes(element);
    return k_load(&g->k, types[bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3], place(g, element, data, index), (int)bytes);
}

struct g_num g_load(struct general *g, enum qbc_element element, MlirValue data, MlirValue index)
{
    enum qbc_element e = g_number_element(element);
    MlirValue v = k_load(&g->k, memory_type(g, element), place(g, element, data, index), (int)qbc_element_bytes(element));
    if (element == QBC_BOOL)
        v = qbc_op(&g->k.b, "arith.trunci", g->k.i1, 1, v);
    else if (element == QBC_F16)
        v = widen_half(g, v);
    else if (element == QBC_BF16)
        v = k_bitcast(&g->k, k_op2(&g->k, "arith.shli", qbc_op(&g->k.b, "arith.extui", g->k.i32, 1, v), i32(g, 16)), g->k.f32);
    else if (g_is_float(element) && element != e)
        v = by_table(g, element, v);
    return (struct g_num){v, e};
}

/* --- writing */

static MlirValue i64(struct general *g, int64_t value)
{
    return k_i64(&g->k, value);
}

static MlirValue power_of_two(struct general *g, MlirValue exponent)
{
    struct qbc_kernel *k = &g->k;
    return k_bitcast(k, k_op2(k, "arith.shli", k_add_i(k, exponent, 1023), i64(g, 52)), k->f64);
}

/* Powers of two alone; up where it is between two, as ONNX has it by default. */
static MlirValue encode_power(struct general *g, MlirValue bits)
{
    struct qbc_kernel *k = &g->k;
    MlirValue exponent = k_op2(k, "arith.andi", k_op2(k, "arith.shrui", bits, i64(g, 52)), i64(g, 0x7ff));
    MlirValue fraction = k_op2(k, "arith.andi", bits, i64(g, (INT64_C(1) << 52) - 1));
    MlirValue is_nan = k_cmp(k, QBC_EQ, exponent, i64(g, 0x7ff));
    MlirValue up = qbc_op(&k->b, "arith.extui", k->i64, 1, k_cmp(k, QBC_GT, fraction, i64(g, 0)));
    MlirValue code = k_add_i(k, k_add(k, exponent, up), 127 - 1023);
    code = k_op2(k, "arith.maxsi", k_op2(k, "arith.minsi", code, i64(g, 254)), i64(g, 0));
    return qbc_op(&k->b, "arith.trunci", k->i32, 1, k_select(k, is_nan, i64(g, 255), code));
}

/* The multiple of the smallest step at this size, to nearest even: code = (exponent << fraction) + multiple. */
MlirValue g_encode(struct general *g, enum qbc_element element, struct g_num value, bool saturate)
{
    const struct qbc_narrow *l = qbc_narrow_of(element);
    struct qbc_kernel *k = &g->k;
    MlirValue x = g_convert(g, value, QBC_F64).v, bits = k_bitcast(k, x, k->i64);
    MlirValue size = k_op2(k, "arith.andi", bits, i64(g, INT64_MAX));
    if (!l)
        return encode_power(g, size);
    int64_t least = 1 - l->bias, over = l->infinite ? l->infinite : l->nan >= 0 ? l->nan : l->largest;
    MlirValue exponent = k_add_i(k, k_op2(k, "arith.shrui", size, i64(g, 52)), -1023);
    exponent = k_op2(k, "arith.maxsi", exponent, i64(g, least));
    exponent = k_op2(k, "arith.minsi", exponent, i64(g, 600));
    MlirValue step = power_of_two(g, k_sub(k, i64(g, l->fraction), exponent));
    MlirValue scaled = k_fmul(k, k_bitcast(k, size, k->f64), step);
    MlirValue huge = k_cmp(k, QBC_GE, size, i64(g, (INT64_C(1023) + 500) << 52));
    MlirValue round = k_float_of(k, k->f64, 0x1.8p52);
    MlirValue multiple = k_fsub(k, k_fadd(k, k_select(k, huge, k_float_of(k, k->f64, 0), scaled), round), round);
    MlirValue code = k_add(k, k_op2(k, "arith.shli", k_add_i(k, exponent, -least), i64(g, l->fraction)),
                           qbc_op(&k->b, "arith.fptosi", k->i64, 1, multiple));
    MlirValue too_large = k_op2(k, "arith.ori", huge, k_cmp(k, QBC_GT, code, i64(g, l->largest)));
    code = k_select(k, too_large, i64(g, saturate ? l->largest : over), code);
    MlirValue is_infinite = k_cmp(k, QBC_EQ, size, i64(g, INT64_C(0x7ff) << 52));
    if (!saturate || (l->infinite && element != QBC_F8E5M2))
        code = k_select(k, is_infinite, i64(g, over), code);
    MlirValue sign = k_op2(k, "arith.shrui", k_op2(k, "arith.andi", bits, i64(g, INT64_MIN)), i64(g, 64 - qbc_element_bits(element)));
    MlirValue is_nan = k_cmp(k, QBC_GT, size, i64(g, INT64_C(0x7ff) << 52));
    MlirValue whole = k_op2(k, "arith.ori", code, sign);
    if (l->one_zero) { /* no minus zero: that code is NaN, and has no sign */
        whole = k_select(k, k_cmp(k, QBC_EQ, code, i64(g, 0)), code, whole);
        whole = k_select(k, k_cmp(k, QBC_EQ, code, i64(g, l->nan)), code, whole);
    }
    MlirValue nan = l->nan < 0 ? i64(g, INT64_C(1) << (qbc_element_bits(element) - 1)) /* minus zero */
                    : l->one_zero ? i64(g, l->nan) : k_op2(k, "arith.ori", i64(g, l->nan), sign);
    return qbc_op(&k->b, "arith.trunci", k->i32, 1, k_select(k, is_nan, nan, whole));
}

/* The low `bits` of a whole number, with its sign. */
static MlirValue wrap(struct general *g, MlirValue v, int bits, bool is_unsigned)
{
    struct qbc_kernel *k = &g->k;
    MlirValue by = k_int_of(k, mlirValueGetType(v), 8 - bits);
    return k_op2(k, is_unsigned ? "arith.shrui" : "arith.shrsi", k_op2(k, "arith.shli", v, by), by);
}

void g_store(struct general *g, enum qbc_element element, struct g_num value, MlirValue data, MlirValue index)
{
    struct qbc_kernel *k = &g->k;
    int bytes = (int)qbc_element_bytes(element), bits = qbc_element_bits(element);
    struct g_num x = g_convert(g, value, element);
    MlirValue v = x.v;
    if (g_is_float(element) && element != x.element)
        v = qbc_op(&k->b, "arith.trunci", memory_type(g, element), 1, g_encode(g, element, x, bytes == 1));
    else if (element == QBC_BOOL)
        v = qbc_op(&k->b, "arith.extui", k->i8, 1, v);
    else if (bits < 8)
        v = wrap(g, v, bits, g_is_unsigned(element));
    k_store(k, v, place(g, element, data, index), bytes);
}

struct g_num g_round_to(struct general *g, enum qbc_element element, struct g_num value)
{
    struct g_num x = g_convert(g, value, element);
    int bits = qbc_element_bits(element);
    if (g_is_float(element) && element != x.element) {
        MlirValue code = g_encode(g, element, x, bits <= 8);
        if (element == QBC_F16)
            x.v = widen_half(g, qbc_op(&g->k.b, "arith.trunci", g->k.i16, 1, code));
        else if (element == QBC_BF16)
            x.v = k_bitcast(&g->k, k_op2(&g->k, "arith.shli", code, i32(g, 16)), g->k.f32);
        else
            x.v = by_table(g, element, qbc_op(&g->k.b, "arith.trunci", g->k.i8, 1, code));
    } else if (bits < 8 && element != QBC_BOOL) {
        x.v = wrap(g, x.v, bits, g_is_unsigned(element));
    }
    return x;
}
