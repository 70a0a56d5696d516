/* cache_read: keys and values from codes to floats, in registers: what attention multiplies. (cache.h)
 *
 * A number is fma(code, scale, offset): the offset is the minimum, or minus the scale times the code of 0, so that the sum
 * is rounded where the reference decoder rounds. Of tables it is level * scale.
 */
#include "cache.h"

#include <mlir-c/BuiltinTypes.h>

enum { WIDTH = QBC_POSITIONS };

/* What turns codes of a group to numbers; `offset` null: nothing is added. */
struct numbers {
    MlirValue scale, offset;
};

static MlirValue splat(struct qbc_kernel *k, MlirValue x)
{
    return mlirTypeIsAShaped(mlirValueGetType(x)) ? x : k_splat(k, x, WIDTH);
}

/* For all lanes: of keys a number each, of values one for all. */
static struct numbers numbers(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue at, MlirValue channel)
{
    const struct qbc_format *f = c->format;
    int64_t lanes = c->keys ? WIDTH : 1, n = c->keys ? WIDTH : 0;
    MlirValue group = c->groups > 1 ? k_op2(k, "arith.divui", channel, k_i64(k, c->group)) : k_i64(k, 0);
    MlirValue scale = k_load_any_half(k, n, k_at(k, at, k_mul_i(k, group, 2 * lanes))), offset = {NULL};
    if (f->unit && f->unit != 1)
        scale = k_fmul(k, scale, k_float_of(k, mlirValueGetType(scale), (double)f->unit));
    MlirType type = mlirValueGetType(scale);
    if (f->offset == QBC_OFFSET_MIN) {
        offset = k_load_any_half(k, n, k_at(k, k_at_i(k, at, c->offsets), k_mul_i(k, group, 2 * lanes)));
    } else if (f->offset == QBC_OFFSET_ZERO) {
        MlirValue zero = k_load(k, n ? k_vec(k, n, k->i8) : k->i8, k_at(k, k_at_i(k, at, c->offsets), k_mul_i(k, group, lanes)), 1);
        zero = k_cast(k, "arith.sitofp", k_cast(k, "arith.extui", zero, k->i32), k->f32);
        offset = k_op1(k, "arith.negf", k_fmul(k, scale, zero));
    } else if (f->codebook == QBC_CODE_AFFINE && f->bias) {
        offset = k_fmul(k, scale, k_float_of(k, type, -f->bias));
    }
    return (struct numbers){splat(k, scale), mlirValueIsNull(offset) ? offset : splat(k, offset)};
}

static MlirValue number(struct qbc_kernel *k, const struct qbc_cache *c, struct numbers n, MlirValue code)
{
    const struct qbc_format *f = c->format;
    enum { FIRST_TABLE = 16 };
    const char *extend = "arith.extui";
    if (f->codebook == QBC_CODE_TABLE) {
        uint8_t level[QBC_MOST_LEVELS] = {0};
        int count = 1 << f->bits;
        for (int i = 0; i < count; ++i)
            level[i] = (uint8_t)f->level[i];
        code = k_lookup(k, level, count < FIRST_TABLE ? FIRST_TABLE : count, code);
        extend = "arith.extsi";
    }
    MlirValue x = k_cast(k, "arith.sitofp", k_cast(k, extend, code, k->i32), k->f32);
    return mlirValueIsNull(n.offset) ? k_fmul(k, x, n.scale) : k_fma(k, x, n.scale, n.offset);
}

/* --- keys: a lane is a position */

static MlirValue key_code(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue unit, int64_t channel)
{
    MlirType bytes = k_vec(k, WIDTH, k->i8);
    MlirValue code = {NULL};
    for (int i = 0; i < c->fields; ++i) {
        int bits = c->field[i].bits, up = c->field[i].shift;
        int64_t vector = channel % bits, down = channel / bits * bits;
        MlirValue v = k_load(k, bytes, k_at_i(k, unit, c->field[i].at + vector * WIDTH), 1);
        v = down ? k_op2(k, "arith.shrui", v, k_int_of(k, bytes, down)) : v;
        v = down + bits < 8 ? k_op2(k, "arith.andi", v, k_int_of(k, bytes, (1 << bits) - 1)) : v;
        v = up ? k_op2(k, "arith.shli", v, k_int_of(k, bytes, up)) : v;
        code = i ? k_op2(k, "arith.ori", code, v) : v;
    }
    return code;
}

void qbc_cache_keys(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue block, MlirValue channel, int64_t n,
                    MlirValue *out)
{
    if (qbc_cache_is_float(c)) {
        MlirValue at = k_at(k, block, k_mul_i(k, channel, c->unit_bytes));
        out[0] = c->format->bits == 32 ? k_load(k, k_vec(k, WIDTH, k->f32), at, 4) : k_load_any_half(k, WIDTH, at);
        return;
    }
    if (c->vector > 1) {
        qbc_cache_vector_keys(k, c, block, channel, n, out);
        return;
    }
    struct numbers group = numbers(k, c, block, channel);
    MlirValue unit = k_at(k, k_at_i(k, block, c->codes), k_mul_i(k, channel, c->unit_bytes / QBC_KEY_UNIT));
    for (int64_t i = 0; i < n; ++i)
        out[i] = number(k, c, group, key_code(k, c, unit, i));
}

/* --- values: a lane is a channel */

/* A field's bytes as one number in all lanes, each shifted so that its codes are low in their bytes. */
static MlirValue value_field(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue unit, int i)
{
    int bits = c->field[i].bits, lanes = 8 / bits;
    MlirType bytes = k_vec(k, WIDTH, k->i8);
    MlirValue at = k_at_i(k, unit, c->field[i].at);
    if (lanes == 1)
        return k_load(k, bytes, at, 1);
    MlirType whole = mlirIntegerTypeGet(k->q->mlir, (unsigned)(WIDTH * bits));
    MlirValue one = k_bitcast(k, k_load(k, k_vec(k, 2 * bits, k->i8), at, 1), k_vec(k, 1, whole));
    MlirValue all = k_splat(k, k_extract(k, one, 0), lanes);
    MlirValue down = k_mul(k, k_iota(k, lanes, whole), k_int_of(k, k_vec(k, lanes, whole), bits));
    MlirValue v = k_bitcast(k, k_op2(k, "arith.shrui", all, down), bytes);
    return k_op2(k, "arith.andi", v, k_int_of(k, bytes, (1 << bits) - 1));
}

MlirValue qbc_cache_values(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue at, MlirValue channel)
{
    if (qbc_cache_is_float(c)) {
        MlirValue from = k_at(k, at, k_mul_i(k, channel, c->unit_bytes));
        return c->format->bits == 32 ? k_load(k, k_vec(k, WIDTH, k->f32), from, 4) : k_load_any_half(k, WIDTH, from);
    }
    if (c->vector > 1)
        return qbc_cache_vector_values(k, c, at, channel);
    MlirValue unit = k_at(k, k_at_i(k, at, c->codes), k_mul(k, k_op2(k, "arith.divui", channel, k_i64(k, WIDTH)), k_i64(k, c->unit_bytes)));
    MlirValue code = {NULL};
    for (int i = 0; i < c->fields; ++i) {
        MlirValue v = value_field(k, c, unit, i);
        if (c->field[i].shift)
            v = k_op2(k, "arith.shli", v, k_int_of(k, mlirValueGetType(v), c->field[i].shift));
        code = i ? k_op2(k, "arith.ori", code, v) : v;
    }
    return number(k, c, numbers(k, c, at, channel), code);
}
