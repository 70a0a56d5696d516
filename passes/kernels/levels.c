/* levels: how the codes of a format become operands of integer products, a byte each.
 *
 * A byte stands for byte - shift, which times the group's scale (and plus its minimum) is the weight. Bytes are codes,
 * or looked up by code; digits of planes are an operand each.
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>

enum { SMALL = 16, HALF_RUN = QBC_ACT_GROUP / 2, LEAST_LEVEL = -127 };

int qbc_operands(const struct qbc_format *f)
{
    return f->codebook == QBC_CODE_PLANES ? f->planes : 1;
}

bool qbc_has_levels(const struct qbc_format *f)
{
    return f->codebook == QBC_CODE_AFFINE || f->codebook == QBC_CODE_TABLE || f->codebook == QBC_CODE_PLANES;
}

/* Integer products are added up in runs of 32 columns, or halves of them, so a group has whole ones. */
bool qbc_has_runs(const struct qbc_format *f)
{
    bool whole = f->group % QBC_ACT_GROUP == 0;
    bool halves = f->group == HALF_RUN && f->block % QBC_ACT_GROUP == 0;
    return qbc_has_levels(f) && (whole || halves) && f->group_rows < 2;
}

int qbc_run_columns(const struct qbc_format *f)
{
    return f->group < QBC_ACT_GROUP ? f->group : QBC_ACT_GROUP;
}

static void codes(const struct qbc_format *f, bool as_signed, struct qbc_levels *v)
{
    bool biased = f->offset == QBC_OFFSET_NONE;
    v->shift = biased && !as_signed ? f->bias : 0;
    v->most = as_signed ? -LEAST_LEVEL : f->high;
    v->base = f->digits ? qbc_number_base(f) : 0;
}

static bool is_power(int n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

static void look_up(const struct qbc_format *f, bool as_signed, struct qbc_levels *v)
{
    int n = 1 << (f->bits + f->selector_bits), low = 0, high = 0;
    for (int i = 0; i < n; ++i) {
        low = f->level[i] < low ? f->level[i] : low;
        high = f->level[i] > high ? f->level[i] : high;
    }
    v->shift = as_signed ? 0 : -low;
    v->most = as_signed ? -LEAST_LEVEL : high - low;
    if (n == 2 && !as_signed && is_power(high - low) && f->level[1] == high) {
        v->bit = 1, v->step = high - low;
        return;
    }
    v->entries = n < SMALL ? SMALL : n;
    for (int i = 0; i < n; ++i)
        v->table[i] = (uint8_t)(f->level[i] + v->shift);
}

/* Digits of base 2 are bits of the code. */
static void digits(const struct qbc_format *f, int plane, struct qbc_levels *v)
{
    int place = 1;
    for (int i = 0; i < plane; ++i)
        place *= f->plane_base;
    v->shift = -f->plane_low;
    v->most = f->plane_step * (f->plane_base - 1);
    if (f->plane_base == 2) {
        v->bit = plane + 1;
        v->step = f->plane_step;
        return;
    }
    if (qbc_number_parts(f) > 1 && f->plane_step == 1) {
        v->base = f->digits ? f->plane_base : 0;
        return; /* digits of their own */
    }
    v->entries = SMALL;
    for (int code = 0; code <= f->high; ++code)
        v->table[code] = (uint8_t)(code / place % f->plane_base * f->plane_step);
}

struct qbc_levels qbc_levels(const struct qbc_format *f, int operand, bool as_signed)
{
    struct qbc_levels v = {.is_signed = as_signed};
    if (f->codebook == QBC_CODE_TABLE)
        look_up(f, as_signed, &v);
    else if (f->codebook == QBC_CODE_PLANES)
        digits(f, operand, &v);
    else
        codes(f, as_signed, &v);
    return v;
}

/* Levels -1, 0, 1 that are digits of base 3. */
static bool has_trits(const struct qbc_format *f)
{
    bool plain = f->codebook == QBC_CODE_AFFINE && f->bias == 1 && f->offset == QBC_OFFSET_NONE;
    bool planes = f->codebook == QBC_CODE_PLANES && f->plane_step == 1 && f->plane_low == -1;
    return f->digits && qbc_number_base(f) == 3 && (plain || planes);
}

void qbc_levels_as_masks(const struct qbc_format *f, struct qbc_levels *v)
{
    if (!v->bit && !has_trits(f))
        return;
    v->as_masks = v->is_signed = true;
    v->most = 1;
    v->times = v->bit ? -v->step : 0;
    v->shift = v->bit ? v->shift : 0;
}

/* --- in kernels */

/* Bit `place` of the bytes, at the place that makes it `step`. */
static MlirValue bit_of(struct qbc_kernel *k, int step, MlirValue bytes, int place)
{
    MlirType type = mlirValueGetType(bytes);
    for (int i = step; i > 1; i /= 2)
        --place;
    if (place)
        bytes = k_op2(k, place > 0 ? "arith.shrui" : "arith.shli", bytes, k_int_of(k, type, place > 0 ? place : -place));
    return k_op2(k, "arith.andi", bytes, k_int_of(k, type, step));
}

/* A number of which LLVM does not know that it is constant. Of a constant bit it would make shifts by what it knows. */
static MlirValue unknown(struct qbc_kernel *k, MlirType bytes, int64_t value)
{
    MlirType words = k_vec(k, mlirShapedTypeGetDimSize(bytes, 0) / 4, k->i32);
    return k_bitcast(k, k_hidden(k, k_int_of(k, words, (int32_t)(value * 0x01010101))), bytes);
}

/* -1 where bit `place` of the byte is set, 0 elsewhere. */
static MlirValue mask_of(struct qbc_kernel *k, MlirValue bytes, int place)
{
    MlirType type = mlirValueGetType(bytes);
    MlirValue bit = k_op2(k, "arith.andi", bytes, unknown(k, type, (int64_t)1 << place));
    return k_cast(k, "arith.extsi", k_cmp(k, QBC_NE, bit, k_int_of(k, type, 0)), k->i8);
}

/* Levels that are looked up by code, or codes. */
static MlirValue level_of_code(struct qbc_linear *l, const struct qbc_levels *v, MlirValue codes, MlirValue selectors, int row)
{
    struct qbc_kernel *k = l->k;
    MlirType type = mlirValueGetType(codes);
    if (!v->entries)
        return codes;
    if (!mlirValueIsNull(selectors)) {
        int64_t rows = mlirShapedTypeGetDimSize(type, 0) / l->packing.depth;
        MlirValue above = qbc_is_strip(l) ? selectors : k_repeat(k, selectors, row, rows, l->packing.depth);
        above = k_op2(k, "arith.shli", above, k_int_of(k, type, l->format->bits));
        codes = k_op2(k, "arith.ori", codes, above);
    }
    return k_lookup(k, v->table, v->entries, codes);
}

static MlirValue level_of_bit(struct qbc_linear *l, const struct qbc_levels *v, MlirValue at, int bytes, const struct qbc_chunk *c)
{
    int place = v->bit - 1;
    bool in_loop = !mlirValueIsNull(c->from); /* where it is in the byte is not known */
    MlirValue codes = in_loop ? qbc_unpack_at(l, at, bytes, c) : qbc_unpack_bit(l, at, bytes, c, v->bit - 1, &place);
    return v->as_masks ? mask_of(l->k, codes, place) : bit_of(l->k, v->step, codes, place);
}

MlirValue qbc_unpack_level(struct qbc_linear *l, int operand, MlirValue at, int bytes, const struct qbc_chunk *c,
                           MlirValue selectors, int row)
{
    const struct qbc_levels *v = &l->levels[operand];
    if (v->bit)
        return level_of_bit(l, v, at, bytes, c);
    if (v->as_masks && l->format->digits)
        return qbc_unpack_trits(l, at, bytes, c, operand);
    if (l->format->digits && qbc_number_parts(l->format) > 1 && !v->entries)
        return qbc_unpack_digits(l, at, bytes, c, operand);
    return level_of_code(l, v, qbc_unpack_at(l, at, bytes, c), selectors, row);
}

MlirValue qbc_level_chunk(struct qbc_linear *l, const struct qbc_run *run, int row, int rows, int chunk)
{
    int depth = l->packing.depth;
    struct qbc_chunk c = qbc_chunk_of(l, run->first + chunk);
    MlirValue at = k_at_i(l->k, run->codes, (int64_t)row * depth);
    if (run->fractions)
        return qbc_unpack_fractions(l, at, rows * depth, &c, run->operand, run->fractions - 1);
    return qbc_unpack_level(l, run->operand, at, rows * depth, &c, run->selectors, row);
}
