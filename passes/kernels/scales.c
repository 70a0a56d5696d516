/* scales: what the groups of l->rows rows have beside their codes: scales through all levels of a chain, minima, zero
 * points, selectors. In decode.c's order of operations (dialects/formats), so that results are the same floats.
 */
#include "linear.h"

enum { BYTE = 8 };

/* Do the rows share it? */
static bool is_shared(const struct qbc_linear *l, const struct qbc_numbers *n)
{
    return n->fields.vector_bytes == 1 && l->packing.rows > 1;
}

static MlirValue address(struct qbc_linear *l, MlirValue base, const struct qbc_numbers *n, MlirValue i, int bytes)
{
    struct qbc_kernel *k = l->k;
    MlirValue lane = k_mul_i(k, i, n->fields.vector_bytes);
    lane = is_shared(l, n) ? lane : k_add(k, lane, l->row);
    return k_at(k, k_at_i(k, base, n->offset), k_mul_i(k, lane, bytes));
}

/* Bytes of number `i` of the rows from l->row on; a number that they share, in all lanes. */
static MlirValue load(struct qbc_linear *l, MlirValue base, const struct qbc_numbers *n, MlirValue i, MlirType element,
                      int bytes)
{
    struct qbc_kernel *k = l->k;
    MlirValue at = address(l, base, n, i, bytes);
    return is_shared(l, n) ? qbc_lanes_splat(l, k_load(k, element, at, 1)) : qbc_lanes_load(l, element, at);
}

/* A code in fields, u32. */
static MlirValue load_fields(struct qbc_linear *l, MlirValue base, const struct qbc_numbers *n, MlirValue i)
{
    struct qbc_kernel *k = l->k;
    MlirType ints = qbc_lanes(l, k->i32);
    MlirValue code = {NULL};
    for (int f = 0; f < n->fields.n; ++f) {
        const struct qbc_field *field = &n->fields.field[f];
        MlirValue vector = k_op2(k, "arith.remui", i, k_i64(k, field->vectors));
        MlirValue slot = k_op2(k, "arith.divui", i, k_i64(k, field->vectors));
        MlirValue at = k_at(k, k_at_i(k, base, n->offset + field->offset), k_mul_i(k, vector, n->fields.vector_bytes));
        MlirValue v = is_shared(l, n) ? qbc_lanes_splat(l, k_load(k, k->i8, at, 1)) : qbc_lanes_load(l, k->i8, k_at(k, at, l->row));
        MlirValue down = k_cast(k, "arith.trunci", k_mul_i(k, slot, field->bits), k->i8);
        v = k_op2(k, "arith.shrui", v, qbc_lanes_splat(l, down));
        v = k_op2(k, "arith.andi", v, k_int_of(k, mlirValueGetType(v), (1 << field->bits) - 1));
        v = k_cast(k, "arith.extui", v, k->i32);
        if (field->shift)
            v = k_op2(k, "arith.shli", v, k_int_of(k, ints, field->shift));
        code = f ? k_op2(k, "arith.ori", code, v) : v;
    }
    return code;
}

/* The stored bits as a whole number, i32. */
static MlirValue load_code(struct qbc_linear *l, MlirValue base, const struct qbc_numbers *n, MlirValue i, bool is_signed)
{
    if (n->bits < BYTE)
        return load_fields(l, base, n, i);
    return k_cast(l->k, is_signed ? "arith.extsi" : "arith.extui", load(l, base, n, i, l->k->i8, 1), l->k->i32);
}

/* 2^(e - 127); below all exponents of f32 is its largest subnormal power of two. */
static MlirValue from_e8m0(struct qbc_kernel *k, MlirValue e)
{
    MlirType ints = mlirValueGetType(e);
    MlirValue bits = k_op2(k, "arith.shli", e, k_int_of(k, ints, 23));
    bits = k_op2(k, "arith.maxui", bits, k_int_of(k, ints, 1 << 22));
    return k_bitcast(k, bits, k_with_element(ints, k->f32));
}

/* Sign, exponent and fraction at their places in f32: 2^120 too small. `v` is extended by its sign. */
static MlirValue from_e4m3(struct qbc_kernel *k, MlirValue v)
{
    MlirType ints = mlirValueGetType(v), floats = k_with_element(ints, k->f32);
    v = k_op2(k, "arith.shli", v, k_int_of(k, ints, 20));
    v = k_op2(k, "arith.andi", v, k_int_of(k, ints, (int32_t)0x87f00000));
    return k_fmul(k, k_bitcast(k, v, floats), k_float_of(k, floats, 0x1p120));
}

static MlirValue number(struct qbc_linear *l, MlirValue base, const struct qbc_numbers *n, MlirValue i, enum qbc_scale type)
{
    struct qbc_kernel *k = l->k;
    switch (type) {
    case QBC_SCALE_F32:
        return load(l, base, n, i, k->f32, 4);
    case QBC_SCALE_F16:
        if (!is_shared(l, n))
            return qbc_lanes_load_half(l, address(l, base, n, i, 2));
        return qbc_lanes_splat(l, k_load_half(k, 0, address(l, base, n, i, 2)));
    case QBC_SCALE_BF16: {
        MlirValue bits = k_cast(k, "arith.extui", load(l, base, n, i, k->i16, 2), k->i32);
        bits = k_op2(k, "arith.shli", bits, k_int_of(k, mlirValueGetType(bits), 16));
        return k_bitcast(k, bits, k_with_element(mlirValueGetType(bits), k->f32));
    }
    case QBC_SCALE_E8M0:
        return from_e8m0(k, load_code(l, base, n, i, false));
    case QBC_SCALE_E4M3:
        return from_e4m3(k, load_code(l, base, n, i, true));
    default:
        break;
    }
    MlirValue code = load_code(l, base, n, i, type == QBC_SCALE_I8);
    if (type == QBC_SCALE_I6)
        code = k_sub(k, code, k_int_of(k, mlirValueGetType(code), 32));
    return k_cast(k, "arith.sitofp", code, k->f32);
}

/* Of the unit, the row or the tensor, whichever has it; null: none has. */
static MlirValue shared(struct qbc_linear *l, MlirValue unit, const struct qbc_numbers *of_unit,
                        const struct qbc_numbers *of_row, const struct qbc_numbers *of_tensor)
{
    MlirValue first = k_i64(l->k, 0);
    if (of_unit && of_unit->count)
        return number(l, unit, of_unit, first, l->format->outer);
    if (of_row->count)
        return number(l, k_at_i(l->k, l->panel, l->layout.rows_offset), of_row, first, l->format->outer);
    if (of_tensor->count)
        return number(l, l->tail, of_tensor, first, l->format->outer);
    return (MlirValue){NULL};
}

static MlirValue add_floor(struct qbc_linear *l, MlirValue scale)
{
    struct qbc_kernel *k = l->k;
    MlirValue floor = number(l, l->tail, &l->layout.tail_floor, k_i64(k, 0), QBC_SCALE_F32);
    scale = k_fdiv(k, scale, k_float_of(k, mlirValueGetType(scale), (1 << l->layout.scales.bits) - 1));
    return k_fadd(k, scale, floor);
}

MlirValue qbc_group_of(struct qbc_linear *l, MlirValue span, int column)
{
    struct qbc_kernel *k = l->k;
    int group = l->format->group, columns = l->layout.span;
    if (group >= columns)
        return k_op2(k, "arith.divui", span, k_i64(k, group / columns));
    return k_add_i(k, k_mul_i(k, span, columns / group), column / group);
}

MlirValue qbc_group_scales(struct qbc_linear *l, MlirValue unit, MlirValue group, int plane)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_layout *layout = &l->layout;
    const struct qbc_format *f = l->format;
    MlirValue outer = shared(l, unit, &layout->outer, &layout->row_outer, &layout->tail_outer), scale = outer;
    if (layout->scales.count) {
        MlirValue i = k_add_i(k, k_mul_i(k, group, qbc_operands(f)), plane);
        scale = number(l, unit, &layout->scales, i, f->scale);
        if (!mlirValueIsNull(outer))
            scale = k_fmul(k, outer, scale);
        if (f->floor)
            scale = add_floor(l, scale);
    }
    if (mlirValueIsNull(scale))
        scale = k_float_of(k, qbc_lanes(l, k->f32), 1);
    return f->unit ? k_fmul(k, scale, k_float_of(k, mlirValueGetType(scale), (double)f->unit)) : scale;
}

MlirValue qbc_group_mins(struct qbc_linear *l, MlirValue unit, MlirValue group)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_layout *layout = &l->layout;
    MlirValue outer = shared(l, unit, &layout->outer_mins, &layout->row_mins, &layout->tail_mins), min = outer;
    if (layout->mins.count) {
        min = number(l, unit, &layout->mins, group, l->format->scale);
        if (!mlirValueIsNull(outer))
            min = k_fmul(k, outer, min);
    }
    if (l->format->scale >= QBC_SCALE_U4)
        min = k_op1(k, "arith.negf", min);
    return min;
}

MlirValue qbc_group_zeros(struct qbc_linear *l, MlirValue unit, MlirValue group)
{
    const struct qbc_layout *layout = &l->layout;
    MlirValue base = unit, first = k_i64(l->k, 0), zeros;
    if (layout->zeros.count)
        zeros = load_code(l, base, &layout->zeros, group, false);
    else if (layout->row_zeros.count)
        zeros = load_code(l, k_at_i(l->k, l->panel, layout->rows_offset), &layout->row_zeros, first, false);
    else
        zeros = load_code(l, l->tail, &layout->tail_zeros, first, false);
    return k_cast(l->k, "arith.sitofp", zeros, l->k->f32);
}

MlirValue qbc_group_selectors(struct qbc_linear *l, MlirValue unit, MlirValue group)
{
    const struct qbc_numbers *n = &l->layout.selectors;
    if (!n->count)
        return (MlirValue){NULL};
    if (n->bits < BYTE)
        return k_cast(l->k, "arith.trunci", load_fields(l, unit, n, group), l->k->i8);
    return load(l, unit, n, group, l->k->i8, 1);
}

bool qbc_scales_are_half(const struct qbc_linear *l)
{
    const struct qbc_format *f = l->format;
    return f->scale == QBC_SCALE_F16 && f->outer == QBC_SCALE_NONE && !f->unit;
}

MlirValue qbc_group_halves(struct qbc_linear *l, MlirValue unit, MlirValue group)
{
    return load(l, unit, &l->layout.scales, group, k_half(l->k), 2);
}
