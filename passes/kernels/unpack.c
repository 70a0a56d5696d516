/* unpack: one chunk of codes from a span in packed form (dialects/packing.h): for each field load the vector that has
 * it, shift it down, mask it, and put the fields together. Digits are brought out of what that gives.
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>

/* The vector of a field that has the chunk. */
static MlirValue vector_of(struct qbc_linear *l, const struct qbc_field *f, MlirValue at, int bytes, const struct qbc_chunk *c)
{
    struct qbc_kernel *k = l->k;
    int vector = c->number;
    if (mlirValueIsNull(c->from))
        vector %= f->vectors;
    else
        at = k_at(k, at, k_mul_i(k, k_op2(k, "arith.remui", c->from, k_i64(k, f->vectors)), l->layout.codes.vector_bytes));
    at = k_at_i(k, at, f->offset + (int64_t)vector * l->layout.codes.vector_bytes);
    return qbc_is_strip(l) ? qbc_lanes_load(l, k->i8, at) : k_load(k, k_vec(k, bytes, k->i8), at, 1);
}

/* Bytes, down by as many bits as stand before the field's slot number from / V; bits of neighbours may come with it, above the
 * field: lanes of 16 bits can be shifted everywhere. */
static MlirValue down_to_slot(struct qbc_linear *l, const struct qbc_field *f, MlirValue v, int bytes, const struct qbc_chunk *c)
{
    struct qbc_kernel *k = l->k;
    MlirType type = mlirValueGetType(v);
    bool in_pairs = !qbc_is_strip(l) && bytes % 2 == 0;
    MlirValue down = k_mul_i(k, k_op2(k, "arith.divui", c->from, k_i64(k, f->vectors)), f->bits);
    MlirType lanes = in_pairs ? k_vec(k, bytes / 2, k->i16) : type;
    down = k_cast(k, "arith.trunci", down, in_pairs ? k->i16 : k->i8);
    v = k_op2(k, "arith.shrui", in_pairs ? k_bitcast(k, v, lanes) : v, qbc_op(&k->b, "vector.broadcast", lanes, 1, down));
    return in_pairs ? k_bitcast(k, v, type) : v;
}

/* The low bits of bytes. */
static MlirValue below(struct qbc_kernel *k, MlirValue v, int bits)
{
    return k_op2(k, "arith.andi", v, k_int_of(k, mlirValueGetType(v), (1 << bits) - 1));
}

/* `with_above`: what is above the field may be anything. */
static MlirValue field(struct qbc_linear *l, const struct qbc_field *f, MlirValue at, int bytes, const struct qbc_chunk *c,
                       bool with_above)
{
    struct qbc_kernel *k = l->k;
    MlirValue v = vector_of(l, f, at, bytes, c);
    MlirType type = mlirValueGetType(v);
    int slot = c->number / f->vectors;
    bool top = (slot + 1) * f->bits == 8;
    if (f->bits == 8)
        return v;
    if (!mlirValueIsNull(c->from))
        v = down_to_slot(l, f, v, bytes, c), top = false;
    else if (slot)
        v = k_op2(k, "arith.shrui", v, k_int_of(k, type, slot * f->bits));
    return top || with_above ? v : below(k, v, f->bits);
}

MlirValue qbc_unpack_bit(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c, int bit, int *place)
{
    const struct qbc_field *f = l->layout.codes.field;
    while (bit >= f->shift + f->bits)
        ++f;
    *place = c->number / f->vectors * f->bits + bit - f->shift;
    return vector_of(l, f, at, bytes, c);
}

static bool inserts(const struct qbc_linear *l, int bytes)
{
    return l->k->q->target->insert_left && bytes == l->k->q->target->vector_bits / 8;
}

/* All fields, and above them anything: each goes above those that are there already, so that none is masked. Where something
 * must be at the end, this is no gain: inserting needs the unit that shifts, and the others idle. */
static MlirValue fields_inserted(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_fields *s = &l->layout.codes;
    MlirValue code = field(l, &s->field[0], at, bytes, c, true);
    for (int i = 1; i < s->n; ++i) {
        MlirValue part = field(l, &s->field[i], at, bytes, c, true);
        MlirValue operands[] = {code, part, k_i32(k, s->field[i].shift)};
        code = k_intrinsic(k, k->q->target->insert_left, mlirValueGetType(code), 3, operands);
    }
    return code;
}

/* Fields first .. to - 1 of a chunk; the first of them is moved to bit 0. */
static MlirValue fields(struct qbc_linear *l, int first, int to, MlirValue at, int bytes, const struct qbc_chunk *c)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_fields *s = &l->layout.codes;
    MlirValue code = {NULL};
    for (int i = first; i < to; ++i) {
        MlirValue part = field(l, &s->field[i], at, bytes, c, false);
        int up = s->field[i].shift - s->field[first].shift;
        if (up)
            part = k_op2(k, "arith.shli", part, k_int_of(k, mlirValueGetType(part), up));
        code = i > first ? k_op2(k, "arith.ori", code, part) : part;
    }
    return code;
}

/* --- digits: bytes are fractions; times the base, the whole part is the next digit, and what is left a fraction again */

/* The numbers of one part, as fractions of 8 bits. */
static MlirValue fractions(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c, int part)
{
    struct qbc_kernel *k = l->k;
    bool is_one = qbc_number_parts(l->format) == 1;
    MlirValue v = is_one && inserts(l, bytes) ? fields_inserted(l, at, bytes, c)
                                              : fields(l, is_one ? 0 : part, is_one ? l->layout.codes.n : part + 1, at, bytes, c);
    int up = is_one ? 8 - l->format->radix_bits : 0;
    return up ? k_op2(k, "arith.shli", v, k_int_of(k, mlirValueGetType(v), up)) : v;
}

static int64_t power(int base, int n)
{
    return n ? base * power(base, n - 1) : 1;
}

/* a * b of 32 bits, the upper half. */
static MlirValue upper_product(struct qbc_kernel *k, MlirValue a, int64_t b)
{
    MlirType wide = k_with_element(mlirValueGetType(a), k->i32);
    MlirValue product = k_mul(k, k_cast(k, "arith.extui", a, k->i32), k_int_of(k, wide, b));
    return k_cast(k, "arith.trunci", k_op2(k, "arith.shrui", product, k_int_of(k, wide, 16)), k->i16);
}

/* Neighbouring bytes are in one lane of 16 bits; each of them is brought to its upper half, where what leaves a product at
 * the top is dropped. Of a product with the base, the digit is in the lower byte of the upper half; with 256 times the
 * base, in the upper byte. */
static MlirValue digits_in_pairs(struct qbc_kernel *k, MlirValue fractions, int bytes, int base, int digit)
{
    MlirType pairs = k_vec(k, bytes / 2, k->i16);
    MlirValue v = k_bitcast(k, fractions, pairs), times = k_int_of(k, pairs, power(base, digit)), upper = k_int_of(k, pairs, 0xff00);
    MlirValue even = k_op2(k, "arith.shli", v, k_int_of(k, pairs, 8)), odd = k_op2(k, "arith.andi", v, upper);
    if (digit)
        even = k_mul(k, even, times), odd = k_mul(k, odd, times);
    MlirValue low = upper_product(k, even, base), high = k_op2(k, "arith.andi", upper_product(k, odd, base << 8), upper);
    return k_bitcast(k, k_op2(k, "arith.ori", low, high), k_vec(k, bytes, k->i8));
}

/* What is left after `digit` digits. */
static MlirValue after(struct qbc_kernel *k, MlirValue fractions, int base, int digit)
{
    return digit ? k_mul(k, fractions, k_int_of(k, mlirValueGetType(fractions), (int8_t)power(base, digit))) : fractions;
}

/* Bytes times the base, of which LLVM shall not see that it could go the whole way at once: the next run goes on from there. */
static MlirValue times_base(struct qbc_kernel *k, MlirValue v, int base)
{
    MlirType type = mlirValueGetType(v), words = k_vec(k, mlirShapedTypeGetDimSize(type, 0) / 4, k->i32);
    if (k->q->target->multiplies_bytes)
        return k_mul(k, v, k_bitcast(k, k_hidden(k, k_int_of(k, words, base * 0x01010101)), type));
    MlirValue sum = v;
    for (int i = 1; 2 * i < base; i *= 2)
        sum = k_add(k, sum, sum);
    return k_add(k, sum, k_hidden(k, v));
}

MlirValue qbc_unpack_fractions(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c, int part, int digits)
{
    struct qbc_kernel *k = l->k;
    MlirValue v = fractions(l, at, bytes, c, qbc_number_parts(l->format) > 1 ? part : 0);
    if (l->tile->dot_signed)
        v = k_op2(k, "arith.xori", v, k_int_of(k, mlirValueGetType(v), INT8_MIN));
    for (int i = 0; i < c->digit + digits; ++i)
        v = times_base(k, v, qbc_number_base(l->format));
    return v;
}

static MlirValue digits_as_bytes(struct qbc_kernel *k, MlirValue fractions, int base, int digit)
{
    MlirValue v = k_cast(k, "arith.extui", after(k, fractions, base, digit), k->i16);
    MlirType wide = mlirValueGetType(v);
    v = k_op2(k, "arith.shrui", k_mul(k, v, k_int_of(k, wide, base)), k_int_of(k, wide, 8));
    return k_cast(k, "arith.trunci", v, k->i8);
}

MlirValue qbc_unpack_digits(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c, int part)
{
    bool by_bytes = bytes % 2 || qbc_is_strip(l) || l->k->q->target->multiplies_bytes;
    MlirValue v = fractions(l, at, bytes, c, part);
    int base = qbc_number_base(l->format);
    return by_bytes ? digits_as_bytes(l->k, v, base, c->digit) : digits_in_pairs(l->k, v, bytes, base, c->digit);
}

/* Of base 3, less one: the fraction is beyond two thirds, less: it is below one. */
MlirValue qbc_unpack_trits(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c, int part)
{
    enum { THIRD = 86, TWO_THIRDS = 171 }; /* of 256, rounded up */
    struct qbc_kernel *k = l->k;
    MlirValue v = after(k, fractions(l, at, bytes, c, part), 3, c->digit);
    MlirType type = mlirValueGetType(v);
    MlirValue low = k_cmp(k, QBC_ULT, v, k_int_of(k, type, THIRD)), high = k_cmp(k, QBC_UGE, v, k_int_of(k, type, (int8_t)TWO_THIRDS));
    return k_sub(k, k_cast(k, "arith.extsi", low, k->i8), k_cast(k, "arith.extsi", high, k->i8));
}

MlirValue qbc_unpack_at(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c)
{
    struct qbc_kernel *k = l->k;
    if (!l->format->digits)
        return fields(l, 0, l->layout.codes.n, at, bytes, c);
    MlirValue code = qbc_unpack_digits(l, at, bytes, c, 0);
    for (int part = 1; part < qbc_number_parts(l->format); ++part) {
        MlirValue more = qbc_unpack_digits(l, at, bytes, c, part);
        MlirType type = mlirValueGetType(more);
        code = k_add(k, code, k_mul(k, more, k_int_of(k, type, power(qbc_number_base(l->format), part))));
    }
    return code;
}

struct qbc_chunk qbc_chunk_of(const struct qbc_linear *l, int chunk)
{
    int numbers = l->format->digits ? l->layout.codes.chunks : l->layout.chunks;
    return (struct qbc_chunk){.number = chunk % numbers, .digit = chunk / numbers};
}
