/* linear_axpy_codes: the integers of runs of columns, where vectors are of any length: sum of level * activation code for
 * each row, exact.
 *
 * Where codes are whole numbers, their fields (packing.h) are multiplied one by one, as if each were a code, and put
 * together afterwards: 5 bits are 4 and 1. Other codes become levels first (levels.c). What is multiplied is
 *
 *   narrow   where the sums of a run are within 16 bits: products of bytes added up there, which may wrap on the way. Fields
 *            of up to four bits are, less half a field's range times the activations' sum
 *   wide     else: bytes extended to 16 bits, products added up in 32.
 *
 * Either way the inner loop has one type of vectors and sets none: loads of bytes do not need it. It goes over vectors;
 * each is loaded once for all the codes that it has of the run.
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>

enum { MOST_SOURCES = QBC_ACT_GROUP, LARGEST = 127 /* of activations */ };
enum { AT_ONCE = 16, FOR_DIGITS = 4 }; /* products of a turn of the loop; as many as bringing out a digit counts for */

/* So many consecutive chunks as the inner loop visits, in one slot of consecutive vectors. */
struct sources {
    int n, chunks;           /* chunks of each */
    int first[MOST_SOURCES]; /* chunk of the span */
};

/* What is multiplied at a time. */
struct part {
    const struct qbc_field *field; /* NULL: the operand's levels */
    int center;                    /* what sums are relative to */
    bool narrow, is_signed;
};

/* --- how */

static bool by_fields(const struct qbc_linear *l)
{
    return l->format->codebook == QBC_CODE_AFFINE && !l->format->digits;
}

static bool is_narrow(const struct qbc_run *run, int most)
{
    return run->chunks * LARGEST * most <= INT16_MAX;
}

static struct part part_of_field(const struct qbc_linear *l, const struct qbc_run *run, int i)
{
    const struct qbc_format *f = l->format;
    struct part p = {.field = &l->layout.codes.field[i], .narrow = l->layout.codes.field[i].bits < 8};
    p.center = 1 << (p.field->bits - 1);
    /* one field: no need to move it to the bias afterwards, if that is close enough to the middle */
    int most = f->bias - f->low > f->high - f->bias ? f->bias - f->low : f->high - f->bias;
    if (l->layout.codes.n == 1 && f->offset == QBC_OFFSET_NONE && (!p.narrow || is_narrow(run, most)))
        p.center = f->bias;
    return p;
}

static struct part part_of_levels(const struct qbc_linear *l, const struct qbc_run *run)
{
    const struct qbc_levels *v = &l->levels[run->operand];
    struct part p = {.center = v->shift, .is_signed = v->is_signed};
    int most = v->is_signed ? 0 : v->most;
    for (int i = 0; i < v->entries && v->is_signed; ++i)
        most = abs((int8_t)v->table[i]) > most ? abs((int8_t)v->table[i]) : most;
    p.narrow = is_narrow(run, most);
    return p;
}

static MlirType codes_type(struct qbc_linear *l, const struct part *p)
{
    return qbc_lanes(l, p->narrow ? l->k->i8 : l->k->i16);
}

static MlirType sums_type(struct qbc_linear *l, const struct part *p)
{
    return qbc_lanes(l, p->narrow ? l->k->i16 : l->k->i32);
}

/* How often a field's vectors, and of digits the numbers, begin anew. */
static int period(const struct qbc_linear *l, const struct part *p)
{
    const struct qbc_fields *s = &l->layout.codes;
    int common = l->format->digits ? s->chunks : 0;
    for (int i = 0; i < s->n && !p->field; ++i)
        common = (int)qbc_common_divisor(common, s->field[i].vectors);
    return p->field ? p->field->vectors : common;
}

/* Sources that share vectors follow each other, so that these need not stay in registers. */
static struct sources sources_of(const struct qbc_linear *l, const struct part *p, const struct qbc_run *run)
{
    int again = period(l, p), end = run->first + run->chunks;
    struct sources s = {.chunks = (int)qbc_common_divisor(again, run->chunks)};
    for (int at = 0; at < again; at += s.chunks)
        for (int chunk = at; chunk < end && s.n < MOST_SOURCES; chunk += again)
            if (chunk >= run->first)
                s.first[s.n++] = chunk;
    return s;
}

/* --- the inner loop */

static MlirValue widened(struct qbc_linear *l, const struct part *p, MlirValue bytes)
{
    return p->narrow ? bytes : k_rvv_op1(l->k, p->is_signed ? "vsext" : "vzext", codes_type(l, p), bytes, l->vl);
}

/* The field of chunk `chunk`, where `at` is as far into its vectors as the loop has come. */
static MlirValue unpack_field(struct qbc_linear *l, const struct part *p, MlirValue at, int chunk)
{
    struct qbc_kernel *k = l->k;
    MlirType type = codes_type(l, p);
    int bits = p->field->bits, down = chunk / p->field->vectors * bits;
    at = k_at_i(k, at, p->field->offset + (int64_t)(chunk % p->field->vectors) * l->layout.codes.vector_bytes);
    MlirValue v = widened(l, p, qbc_lanes_load(l, k->i8, at));
    if (down)
        v = k_rvv_op(k, "vsrl", type, v, k_i64(k, down), l->vl);
    if (down + bits == 8)
        return v;
    MlirValue mask = k_int_of(k, mlirShapedTypeGetElementType(type), (1 << bits) - 1);
    return k_rvv_op(k, "vand", type, v, mask, l->vl);
}

static MlirValue unpack(struct qbc_linear *l, const struct part *p, const struct qbc_run *run, MlirValue at, int chunk)
{
    if (p->field)
        return unpack_field(l, p, at, chunk);
    struct qbc_chunk c = qbc_chunk_of(l, chunk);
    return widened(l, p, qbc_unpack_level(l, run->operand, at, 0, &c, run->selectors, 0));
}

static MlirValue activation(struct qbc_linear *l, const struct part *p, MlirValue act, int column)
{
    MlirValue x = k_load(l->k, l->k->i8, k_at_i(l->k, act, QBC_ACT_CODES + column), 1);
    return p->narrow ? x : k_cast(l->k, "arith.extsi", x, l->k->i16);
}

/* Zeros, made with the type of vectors that the inner loop has: 0 times any codes. */
static MlirValue no_sum(struct qbc_linear *l, const struct part *p, MlirValue codes)
{
    struct qbc_kernel *k = l->k;
    MlirValue zero = k_int_of(k, mlirShapedTypeGetElementType(codes_type(l, p)), 0);
    return k_rvv_op(k, "vwmulu", sums_type(l, p), widened(l, p, qbc_lanes_load(l, k->i8, codes)), zero, l->vl);
}

/* sums[j] = sum of what is multiplied * activation, which wraps. */
static void multiply(struct qbc_linear *l, int m, const struct part *p, const struct qbc_run *run, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    struct sources s = sources_of(l, p, run);
    int unroll = s.chunks, vector_bytes = l->layout.codes.vector_bytes;
    int each = s.n * (m + (l->format->digits ? FOR_DIGITS : 0));
    while (unroll % 2 == 0 && unroll * each > AT_ONCE)
        unroll /= 2;
    MlirValue next[QBC_MOST_TOKENS];
    for (int j = 0; j < m; ++j)
        sums[j] = no_sum(l, p, run->codes);
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, s.chunks), unroll, (size_t)m, sums);
    k_not_unrolled(k, &loop); /* or the scheduler would mix it with what follows, and set types all over */
    MlirValue at = k_at(k, run->codes, k_mul_i(k, loop.i, vector_bytes));
    for (int j = 0; j < m; ++j)
        next[j] = loop.carried[j];
    for (int i = 0; i < unroll * s.n; ++i) {
        int chunk = s.first[i % s.n], more = i / s.n;
        MlirValue code = unpack(l, p, run, k_at_i(k, at, (int64_t)more * vector_bytes), chunk);
        for (int j = 0; j < m; ++j) {
            MlirValue act = k_at(k, run->act[j], loop.i);
            MlirValue x = activation(l, p, act, chunk - run->first + run->column + more);
            next[j] = k_rvv_add_product(k, p->is_signed ? "vwmacc" : "vwmaccsu", next[j], x, code, l->vl);
        }
    }
    k_end(k, &loop, next);
    for (int j = 0; j < m; ++j)
        sums[j] = loop.carried[j];
}

/* --- from sums to integers */

/* -`times` times the sum of the activations, i32. */
static MlirValue minus(struct qbc_linear *l, const struct qbc_run *run, int token, int64_t times)
{
    struct qbc_kernel *k = l->k;
    MlirValue v = qbc_run_minus(l, run, token);
    if (times % l->multiplier) /* the record has a multiple, so this leaves no rest */
        return k_mul_i(k, k_op2(k, "arith.divsi", v, k_i32(k, (int32_t)l->multiplier)), times);
    return k_mul_i(k, v, times / l->multiplier);
}

static MlirValue add_scalar(struct qbc_linear *l, MlirValue sum, MlirValue scalar)
{
    struct qbc_kernel *k = l->k;
    MlirType type = mlirValueGetType(sum), element = mlirShapedTypeGetElementType(type);
    if (!mlirTypeEqual(element, k->i32))
        scalar = k_cast(k, "arith.trunci", scalar, element);
    return k_rvv_op(k, "vadd", type, sum, scalar, l->vl);
}

/* The same in 32 bits, where the sum may leave 16. */
static MlirValue add_wide(struct qbc_linear *l, MlirValue sum, MlirValue scalar)
{
    struct qbc_kernel *k = l->k;
    MlirType wide = qbc_lanes(l, k->i32);
    if (mlirTypeEqual(mlirValueGetType(sum), wide))
        return add_scalar(l, sum, scalar);
    return k_rvv_op(k, "vwadd", wide, sum, k_cast(k, "arith.trunci", scalar, k->i16), l->vl);
}

/* The fields' sums at their places in the code, i32; one narrow field stays as it is. */
static MlirValue put_together(struct qbc_linear *l, const MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    MlirType wide = qbc_lanes(l, k->i32);
    MlirValue all = sums[0];
    for (int i = 0; i < l->layout.codes.n && l->layout.codes.n > 1; ++i) {
        MlirValue place = k_int_of(k, k->i16, 1 << l->layout.codes.field[i].shift);
        all = i ? k_rvv_add_product(k, "vwmacc", all, place, sums[i], l->vl)
                : k_rvv_op(k, "vwmul", wide, sums[i], place, l->vl);
    }
    return all;
}

static void integers_by_fields(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    MlirValue sums[QBC_MAX_FIELDS][QBC_MOST_TOKENS], of_code[QBC_MAX_FIELDS];
    int center = 0, fields = l->layout.codes.n;
    for (int n = 0; n < fields; ++n) {
        struct part p = part_of_field(l, run, n);
        multiply(l, m, &p, run, sums[n]);
        for (int j = 0; j < m; ++j)
            sums[n][j] = add_scalar(l, sums[n][j], minus(l, run, j, p.center));
        center += p.center << p.field->shift;
    }
    int shift = l->levels[0].shift;
    for (int j = 0; j < m; ++j) {
        for (int n = 0; n < fields; ++n)
            of_code[n] = sums[n][j];
        out[j] = put_together(l, of_code);
        if (center != shift)
            out[j] = add_wide(l, out[j], minus(l, run, j, shift - center));
    }
}

static void integers_of_levels(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    struct part p = part_of_levels(l, run);
    multiply(l, m, &p, run, out);
    for (int j = 0; j < m && p.center; ++j)
        out[j] = add_scalar(l, out[j], minus(l, run, j, p.center));
}

void qbc_linear_axpy_codes(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    if (by_fields(l))
        integers_by_fields(l, m, run, out);
    else
        integers_of_levels(l, m, run, out);
    for (int j = 0; j < m; ++j)
        out[j] = k_rvv_int_to_float(l->k, out[j], l->vl);
}
