/* unpack: one chunk of codes from a span in packed form (dialects/packing.h): for each field load the vector that has
 * it, shift it down, mask it, and put the fields together. Digits are brought out of what that gives.
 */
#include "linear.h"

static MlirValue field(struct qbc_linear *l, const struct qbc_field *f, MlirValue at, int bytes, int chunk)
{
    struct qbc_kernel *k = l->k;
    int slot = chunk / f->vectors, vector = chunk % f->vectors;
    at = k_at_i(k, at, f->offset + (int64_t)vector * l->layout.codes.vector_bytes);
    MlirValue v = qbc_is_strip(l) ? qbc_lanes_load(l, k->i8, at) : k_load(k, k_vec(k, bytes, k->i8), at, 1);
    MlirType type = mlirValueGetType(v);
    if (slot)
        v = k_op2(k, "arith.shrui", v, k_int_of(k, type, slot * f->bits));
    bool top = (slot + 1) * f->bits == 8;
    return top ? v : k_op2(k, "arith.andi", v, k_int_of(k, type, (1 << f->bits) - 1));
}

/* Fields first .. to - 1 of a chunk; the first of them is moved to bit 0. */
static MlirValue fields(struct qbc_linear *l, int first, int to, MlirValue at, int bytes, int chunk)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_fields *s = &l->layout.codes;
    MlirValue code = {NULL};
    for (int i = first; i < to; ++i) {
        MlirValue part = field(l, &s->field[i], at, bytes, chunk);
        int up = s->field[i].shift - s->field[first].shift;
        if (up)
            part = k_op2(k, "arith.shli", part, k_int_of(k, mlirValueGetType(part), up));
        code = i > first ? k_op2(k, "arith.ori", code, part) : part;
    }
    return code;
}

/* --- digits: fractions of 8 or 16 bits, in lanes of 16; times the base, the whole part is the next digit */

struct fraction {
    MlirValue v;
    int bits;
};

/* Of the fraction times the base. */
static MlirValue whole_part(struct qbc_kernel *k, struct fraction f, int base)
{
    MlirType type = mlirValueGetType(f.v), wide = k_with_element(type, k->i32);
    if (f.bits == 8)
        return k_op2(k, "arith.shrui", k_mul(k, f.v, k_int_of(k, type, base)), k_int_of(k, type, 8));
    MlirValue product = k_mul(k, k_cast(k, "arith.extui", f.v, k->i32), k_int_of(k, wide, base));
    return k_cast(k, "arith.trunci", k_op2(k, "arith.shrui", product, k_int_of(k, wide, 16)), k->i16);
}

static void drop_whole_part(struct qbc_kernel *k, struct fraction *f, int64_t times)
{
    MlirType type = mlirValueGetType(f->v);
    f->v = k_mul(k, f->v, k_int_of(k, type, times % ((int64_t)1 << f->bits)));
    if (f->bits == 8)
        f->v = k_op2(k, "arith.andi", f->v, k_int_of(k, type, 0xff));
}

/* What is left after `slot` digits is the fraction times the base so often, without its whole part: in one step; or where
 * all digits of a number are brought out together, in steps that they share. */
static MlirValue digit(struct qbc_kernel *k, struct fraction f, int base, int slot, bool together)
{
    int64_t power = 1;
    for (int i = 0; i < slot; ++i) {
        power *= base;
        if (together)
            drop_whole_part(k, &f, base);
    }
    if (slot && !together)
        drop_whole_part(k, &f, power);
    return whole_part(k, f, base);
}

/* The number of so many bits as a fraction of 8 or 16: bytes, or lanes of 16 bits. */
struct number {
    MlirValue low, high; /* bytes; high null: 8 bits */
};

static struct number number_at(struct qbc_linear *l, MlirValue at, int bytes, int n)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_fields *s = &l->layout.codes;
    if (l->format->radix_bits > 8)
        return (struct number){fields(l, 0, 1, at, bytes, n), fields(l, 1, s->n, at, bytes, n)};
    MlirValue v = fields(l, 0, s->n, at, bytes, n);
    int up = 8 - l->format->radix_bits;
    return (struct number){up ? k_op2(k, "arith.shli", v, k_int_of(k, mlirValueGetType(v), up)) : v, {NULL}};
}

/* Neighbouring bytes are in one lane of 16 bits: those at even places, then those at odd ones. */
static MlirValue digits_in_pairs(struct qbc_kernel *k, const struct number *v, int bytes, int base, int slot)
{
    MlirType pairs = k_vec(k, bytes / 2, k->i16);
    MlirValue eight = k_int_of(k, pairs, 8), low = k_int_of(k, pairs, 0xff), high = k_int_of(k, pairs, 0xff00);
    MlirValue a = k_bitcast(k, v->low, pairs);
    struct fraction even = {k_op2(k, "arith.andi", a, low), 8}, odd = {k_op2(k, "arith.shrui", a, eight), 8};
    if (!mlirValueIsNull(v->high)) {
        MlirValue b = k_bitcast(k, v->high, pairs);
        even = (struct fraction){k_op2(k, "arith.ori", even.v, k_op2(k, "arith.shli", b, eight)), 16};
        odd = (struct fraction){k_op2(k, "arith.ori", odd.v, k_op2(k, "arith.andi", b, high)), 16};
    }
    MlirValue first = digit(k, even, base, slot, true), second = digit(k, odd, base, slot, true);
    second = k_op2(k, "arith.shli", second, eight);
    return k_bitcast(k, k_op2(k, "arith.ori", first, second), k_vec(k, bytes, k->i8));
}

static MlirValue digits_one_by_one(struct qbc_kernel *k, const struct number *v, int base, int slot)
{
    struct fraction f = {k_cast(k, "arith.extui", v->low, k->i16), 8};
    if (!mlirValueIsNull(v->high)) {
        MlirValue high = k_cast(k, "arith.extui", v->high, k->i16);
        high = k_op2(k, "arith.shli", high, k_int_of(k, mlirValueGetType(high), 8));
        f = (struct fraction){k_op2(k, "arith.ori", f.v, high), 16};
    }
    return k_cast(k, "arith.trunci", digit(k, f, base, slot, false), k->i8);
}

MlirValue qbc_unpack_chunk(struct qbc_linear *l, MlirValue at, int bytes, int chunk)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_fields *s = &l->layout.codes;
    if (!l->format->digits)
        return fields(l, 0, s->n, at, bytes, chunk);
    int base = l->format->high + 1, slot = chunk / s->chunks;
    struct number v = number_at(l, at, bytes, chunk % s->chunks);
    return bytes % 2 || qbc_is_strip(l) ? digits_one_by_one(k, &v, base, slot) : digits_in_pairs(k, &v, bytes, base, slot);
}
