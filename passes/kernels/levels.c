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

/* --- in kernels */

static MlirValue bit_of(struct qbc_kernel *k, const struct qbc_levels *v, MlirValue code)
{
    MlirType type = mlirValueGetType(code);
    int down = v->bit - 1;
    for (int step = v->step; step > 1; step /= 2)
        --down;
    if (down)
        code = k_op2(k, down > 0 ? "arith.shrui" : "arith.shli", code, k_int_of(k, type, down > 0 ? down : -down));
    return k_op2(k, "arith.andi", code, k_int_of(k, type, v->step));
}

MlirValue qbc_level_bytes(struct qbc_linear *l, const struct qbc_levels *v, MlirValue codes, MlirValue selectors, int row)
{
    struct qbc_kernel *k = l->k;
    MlirType type = mlirValueGetType(codes);
    if (v->bit)
        return bit_of(k, v, codes);
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

MlirValue qbc_level_chunk(struct qbc_linear *l, const struct qbc_run *run, int row, int rows, int chunk)
{
    int depth = l->packing.depth;
    MlirValue at = k_at_i(l->k, run->codes, (int64_t)row * depth);
    MlirValue codes = qbc_unpack_chunk(l, at, rows * depth, run->first + chunk);
    return qbc_level_bytes(l, &l->levels[run->operand], codes, run->selectors, row);
}
