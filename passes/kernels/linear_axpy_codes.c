/* linear_axpy_codes: the integers of runs of columns, where vectors are of any length: sum of (code - bias) * activation
 * code for each row, exact.
 *
 * A code's fields (packing.h) are multiplied one by one, as if each were a code, and put together afterwards: 5 bits
 * are 4 and 1. A field of up to four bits is
 *
 *   narrow   products of bytes added up in 16 bits, which may wrap: less half a field's range times the activations'
 *            sum, a run's 32 products are within 16 bits
 *
 * and one of eight bits
 *
 *   wide     bytes extended to 16 bits, products added up in 32.
 *
 * Either way the inner loop has one type of vectors and sets none: loads of bytes do not need it. It goes over a field's
 * vectors; each is loaded once for all the codes that it has of the runs.
 */
#include "linear_axpy.h"

#include <mlir-c/BuiltinTypes.h>

enum { MOST_SOURCES = 64, AT_ONCE = 16, MOST_SUMS = QBC_AXPY_RUNS * QBC_MOST_TOKENS };

/* As many consecutive chunks as the inner loop visits, which are in one slot of consecutive vectors. */
struct source {
    int run;
    int slot, vector; /* where the first chunk is */
    int k;            /* and its activation, in the run */
};

struct sources {
    int n, chunks; /* chunks of each */
    struct source of[MOST_SOURCES];
};

/* A field, and how it is multiplied. */
struct part {
    const struct qbc_field *field;
    int center; /* what its sums are relative to, so that they fit */
    bool narrow;
};

static struct part part_of(const struct qbc_linear *l, int i)
{
    const struct qbc_format *f = l->format;
    struct part p = {.field = &l->layout.field[i], .narrow = l->layout.field[i].bits < 8};
    p.center = 1 << (p.field->bits - 1);
    /* one field: no need to move it to the bias afterwards, if that is close enough to the middle */
    int most = f->bias - f->low > f->high - f->bias ? f->bias - f->low : f->high - f->bias;
    bool fits = !p.narrow || QBC_ACT_GROUP * 127 * most <= INT16_MAX;
    if (l->layout.n_fields == 1 && f->offset == QBC_OFFSET_NONE && fits)
        p.center = f->bias;
    return p;
}

bool qbc_linear_axpy_is_narrow(const struct qbc_linear *l)
{
    return l->layout.n_fields == 1 && part_of(l, 0).narrow;
}

static MlirType codes_type(struct qbc_linear *l, const struct part *p)
{
    return k_scalable(l->k, l->lanes, p->narrow ? l->k->i8 : l->k->i16);
}

static MlirType sums_type(struct qbc_linear *l, const struct part *p)
{
    return k_scalable(l->k, l->lanes, p->narrow ? l->k->i16 : l->k->i32);
}

/* --- the inner loop */

/* Sources that share vectors follow each other, so that these need not stay in registers. */
static struct sources sources_of(const struct part *p, const struct qbc_axpy_runs *runs)
{
    int vectors = p->field->vectors;
    struct sources s = {.chunks = qbc_common_divisor(vectors, runs->length)};
    for (int at = 0; at < vectors; at += s.chunks)
        for (int i = 0; i < runs->n * runs->length && s.n < MOST_SOURCES; i += s.chunks) {
            int run = i / runs->length, k = i % runs->length, chunk = runs->first[run] + k;
            if (chunk % vectors == at)
                s.of[s.n++] = (struct source){run, chunk / vectors, at, k};
        }
    return s;
}

static MlirValue load(struct qbc_linear *l, const struct part *p, MlirValue at)
{
    MlirValue v = k_rvv_load(l->k, k_scalable(l->k, l->lanes, l->k->i8), at, l->vl);
    return p->narrow ? v : k_rvv_op1(l->k, "vzext", codes_type(l, p), v, l->vl);
}

/* The field of the vector at `at` that is in this slot. */
static MlirValue unpack(struct qbc_linear *l, const struct part *p, MlirValue at, int slot)
{
    struct qbc_kernel *k = l->k;
    MlirType type = codes_type(l, p);
    int bits = p->field->bits, down = slot * bits;
    MlirValue v = load(l, p, at);
    if (down)
        v = k_rvv_op(k, "vsrl", type, v, k_i64(k, down), l->vl);
    if (down + bits == 8)
        return v;
    MlirValue mask = k_int_of(k, mlirShapedTypeGetElementType(type), (1 << bits) - 1);
    return k_rvv_op(k, "vand", type, v, mask, l->vl);
}

static MlirValue activation(struct qbc_linear *l, const struct part *p, MlirValue act, int i)
{
    MlirValue x = k_load(l->k, l->k->i8, k_at_i(l->k, act, QBC_ACT_CODES + i), 1);
    return p->narrow ? x : k_cast(l->k, "arith.extsi", x, l->k->i16);
}

/* Zeros, made with the type of vectors that the inner loop has: 0 times any codes. */
static MlirValue no_sum(struct qbc_linear *l, const struct part *p, MlirValue codes)
{
    struct qbc_kernel *k = l->k;
    MlirValue zero = k_int_of(k, mlirShapedTypeGetElementType(codes_type(l, p)), 0);
    return k_rvv_op(k, "vwmulu", sums_type(l, p), load(l, p, codes), zero, l->vl);
}

/* sums[run * m + j] = sum of field * activation, which wraps. */
static void multiply(struct qbc_linear *l, int m, const struct part *p, const struct qbc_axpy_runs *runs,
                     MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    struct sources s = sources_of(p, runs);
    int n = runs->n * m, unroll = s.chunks;
    while (unroll % 2 == 0 && unroll * s.n * m > AT_ONCE)
        unroll /= 2;
    MlirValue codes = k_at_i(k, runs->codes, p->field->offset), next[MOST_SUMS];
    for (int i = 0; i < n; ++i)
        sums[i] = no_sum(l, p, codes);
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, s.chunks), unroll, (size_t)n, sums);
    k_not_unrolled(k, &loop); /* or the scheduler would mix it with what follows, and set types all over */
    MlirValue at = k_at(k, codes, k_mul_i(k, loop.i, l->layout.vector_bytes));
    for (int i = 0; i < n; ++i)
        next[i] = loop.carried[i];
    for (int i = 0; i < unroll * s.n; ++i) {
        const struct source *from = &s.of[i % s.n];
        int64_t vector = from->vector + i / s.n;
        MlirValue code = unpack(l, p, k_at_i(k, at, vector * l->layout.vector_bytes), from->slot);
        for (int j = 0; j < m; ++j) {
            MlirValue act = k_at(k, runs->act[from->run][j], loop.i), *sum = &next[from->run * m + j];
            *sum = k_rvv_add_product(k, "vwmaccsu", *sum, activation(l, p, act, from->k + i / s.n), code, l->vl);
        }
    }
    k_end(k, &loop, next);
    for (int i = 0; i < n; ++i)
        sums[i] = loop.carried[i];
}

/* --- from fields' sums to integers */

/* -`times` times the sum of the activations, i32. */
static MlirValue minus(struct qbc_linear *l, MlirValue record, int64_t times)
{
    struct qbc_kernel *k = l->k;
    MlirValue v = k_load(k, k->i32, k_at_i(k, record, QBC_ACT_MINUS), 4);
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

/* The fields' sums at their places in the code, i32; one narrow field stays as it is. */
static MlirValue put_together(struct qbc_linear *l, const MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    MlirType wide = k_scalable(k, l->lanes, k->i32);
    MlirValue all = sums[0];
    for (int i = 0; i < l->layout.n_fields && l->layout.n_fields > 1; ++i) {
        MlirValue place = k_int_of(k, k->i16, 1 << l->layout.field[i].shift);
        all = i ? k_rvv_add_product(k, "vwmacc", all, place, sums[i], l->vl)
                : k_rvv_op(k, "vwmul", wide, sums[i], place, l->vl);
    }
    return all;
}

/* sum - (zero - center) * (sum of activations), i32. With 16 bits the product fits where the sum does. */
static MlirValue take_zero_off(struct qbc_linear *l, const struct qbc_axpy_runs *runs, MlirValue sum, int center,
                               MlirValue record)
{
    struct qbc_kernel *k = l->k;
    MlirType type = k_scalable(k, l->lanes, k->i16), bytes = k_scalable(k, l->lanes, k->i8);
    MlirType wide = k_scalable(k, l->lanes, k->i32);
    MlirValue by = k_cast(k, "arith.trunci", minus(l, record, 1), k->i16);
    MlirValue zero = k_rvv_op1(k, "vzext", type, k_rvv_load(k, bytes, runs->zeros, l->vl), l->vl);
    zero = k_rvv_op(k, "vadd", type, zero, k_int_of(k, k->i16, -center), l->vl);
    if (mlirTypeEqual(mlirValueGetType(sum), wide))
        return k_rvv_add_product(k, "vwmacc", sum, by, zero, l->vl);
    return k_rvv_op(k, "vwadd", wide, sum, k_rvv_op(k, "vmul", type, zero, by, l->vl), l->vl);
}

void qbc_linear_axpy_integers(struct qbc_linear *l, int m, const struct qbc_axpy_runs *runs, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    MlirValue sums[QBC_MAX_FIELDS][MOST_SUMS];
    int center = 0;
    for (int n = 0; n < l->layout.n_fields; ++n) {
        struct part p = part_of(l, n);
        multiply(l, m, &p, runs, sums[n]);
        for (int i = 0; i < runs->n * m; ++i)
            sums[n][i] = add_scalar(l, sums[n][i], minus(l, runs->act[i / m][i % m], p.center));
        center += p.center << p.field->shift;
    }
    for (int i = 0; i < runs->n * m; ++i) {
        MlirValue record = runs->act[i / m][i % m], of_code[QBC_MAX_FIELDS];
        for (int n = 0; n < l->layout.n_fields; ++n)
            of_code[n] = sums[n][i];
        MlirValue sum = put_together(l, of_code);
        if (l->format->offset == QBC_OFFSET_ZERO)
            sum = take_zero_off(l, runs, sum, center, record);
        else if (center != l->format->bias)
            sum = add_scalar(l, sum, minus(l, record, l->format->bias - center));
        out[i] = k_rvv_int_to_float(k, sum, l->vl);
    }
}
