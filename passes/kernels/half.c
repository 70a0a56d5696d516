/* half: from f32 to the bits of f16, to nearest, ties to even, by integer arithmetic: the same on every target.
 *
 * A number below 2^-14 is subnormal: added to 0.5 it is rounded where f16's last bit is, and that is what the sum's
 * fraction holds. Of others the exponent is moved and 13 bits are rounded off; what carries goes into the exponent, also to
 * infinity. No number stays none.
 */
#include "kernel.h"

#include <math.h>

enum {
    FIRST_NORMAL = 113 << 23, /* 2^-14 */
    TOO_LARGE = 143 << 23,    /* 2^16 */
    INFINITE = 255 << 23,
    HALF_INFINITE = 0x7c00,
    HALF_NAN = 0x7e00,
    REBIAS = (15 - 127) * (1 << 23),
    DROPPED = 13,
};

static MlirValue constant(struct qbc_kernel *k, MlirValue like, int64_t value)
{
    return k_int_of(k, mlirValueGetType(like), value);
}

static MlirValue normal(struct qbc_kernel *k, MlirValue bits)
{
    MlirValue odd = k_op2(k, "arith.andi", k_op2(k, "arith.shrui", bits, constant(k, bits, DROPPED)), constant(k, bits, 1));
    bits = k_add(k, bits, constant(k, bits, REBIAS + (1 << (DROPPED - 1)) - 1));
    return k_op2(k, "arith.shrui", k_add(k, bits, odd), constant(k, bits, DROPPED));
}

static MlirValue subnormal(struct qbc_kernel *k, MlirValue bits)
{
    MlirType ints = mlirValueGetType(bits), floats = k_with_element(ints, k->f32);
    MlirValue sum = k_fadd(k, k_bitcast(k, bits, floats), k_float_of(k, floats, 0.5));
    return k_sub(k, k_bitcast(k, sum, ints), constant(k, bits, 126 << 23));
}

MlirValue k_float_to_half(struct qbc_kernel *k, MlirValue x)
{
    MlirType ints = k_with_element(mlirValueGetType(x), k->i32);
    MlirValue all = k_bitcast(k, x, ints), bits = k_op2(k, "arith.andi", all, constant(k, all, 0x7fffffff));
    MlirValue sign = k_op2(k, "arith.andi", k_op2(k, "arith.shrui", all, constant(k, all, 16)), constant(k, all, 0x8000));
    MlirValue half = k_select(k, k_cmp(k, QBC_LT, bits, constant(k, all, FIRST_NORMAL)), subnormal(k, bits), normal(k, bits));
    half = k_select(k, k_cmp(k, QBC_GE, bits, constant(k, all, TOO_LARGE)), constant(k, all, HALF_INFINITE), half);
    half = k_select(k, k_cmp(k, QBC_GT, bits, constant(k, all, INFINITE)), constant(k, all, HALF_NAN), half);
    return k_cast(k, "arith.trunci", k_op2(k, "arith.ori", half, sign), k->i16);
}

MlirValue k_load_any_half(struct qbc_kernel *k, int64_t n, MlirValue at)
{
    MlirValue half = k_load(k, n ? k_vec(k, n, k_half(k)) : k_half(k), at, 2), x = k_half_to_float(k, half);
    if (!k->q->target->no_half)
        return x;
    MlirValue bits = k_op2(k, "arith.andi", half, constant(k, half, 0x7fff));
    MlirValue beyond = k_cmp(k, QBC_GE, bits, constant(k, half, HALF_INFINITE));
    return k_select(k, beyond, k_float_of(k, mlirValueGetType(x), (double)NAN), x);
}
