/* decode: weights of any format as f32, a chunk of codes at a time: for products of formats that have no integer ones, and
 * for rows of embeddings.
 *
 * Lanes are rows x depth, as codes lie. Scalar codes become levels (levels.c), times scales; learned levels are chosen
 * from vectors of tables, code bit by code bit; vectors are gathered from the tensor's table; computed ones follow
 * their formula.
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>

enum { STATE_BITS = 16, HALF_BYTES = 2 };

/* f32 [rows] -> [rows * depth] */
static MlirValue widened(struct qbc_linear *l, MlirValue v)
{
    return l->packing.depth == 1 ? v : k_repeat(l->k, v, 0, l->rows, l->packing.depth);
}

/* A span has several groups, or a part of one. */
static MlirValue group_of(struct qbc_linear *l, const struct qbc_code_span *s, MlirValue column)
{
    struct qbc_kernel *k = l->k;
    MlirValue first = qbc_group_of(l, s->number, 0);
    if (l->format->group >= l->layout.span)
        return first;
    return k_add(k, first, k_op2(k, "arith.divui", column, k_i64(k, l->format->group)));
}

static MlirValue span_at(struct qbc_linear *l, const struct qbc_code_span *s)
{
    return k_at(l->k, s->unit, k_mul_i(l->k, s->number, l->layout.span_bytes));
}

/* Codes of the chunk: a byte for each row, or one for as many rows as a vector has. */
static MlirValue codes_of(struct qbc_linear *l, MlirValue span, const struct qbc_chunk *c)
{
    struct qbc_kernel *k = l->k;
    int rows = l->rows > 1 ? l->rows / qbc_vector_rows(l->format) : 1;
    MlirValue first = l->row;
    struct qbc_linear some = *l;
    if (qbc_vector_rows(l->format) > 1) {
        first = k_op2(k, "arith.divui", first, k_i64(k, qbc_vector_rows(l->format)));
        if (qbc_is_strip(l))
            some.vl = k_op2(k, "arith.ceildivui", l->vl, k_i64(k, qbc_vector_rows(l->format)));
    }
    MlirValue at = k_at(k, span, k_mul_i(k, first, l->packing.depth));
    return qbc_unpack_at(&some, at, rows * l->packing.depth, c);
}

/* --- scalar levels */

/* From bytes of the operand. */
static MlirValue level_of(struct qbc_linear *l, int operand, MlirValue bytes, MlirValue zeros)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_levels *v = &l->levels[operand];
    MlirValue level = k_cast(k, v->is_signed ? "arith.sitofp" : "arith.uitofp", bytes, k->f32);
    if (v->times)
        level = k_fmul(k, level, k_float_of(k, mlirValueGetType(level), v->times));
    if (!mlirValueIsNull(zeros))
        return k_fsub(k, level, zeros);
    return v->shift ? k_fsub(k, level, k_float_of(k, mlirValueGetType(level), v->shift)) : level;
}

static void decode_levels(struct qbc_linear *l, const struct qbc_code_span *s, const struct qbc_chunk *c, MlirValue column, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    MlirValue group = group_of(l, s, column), at = k_at(k, span_at(l, s), k_mul_i(k, l->row, l->packing.depth)), zeros = {NULL};
    MlirValue selectors = qbc_group_selectors(l, s->unit, group), sum = {NULL};
    if (l->format->codebook == QBC_CODE_PLANES)
        sum = widened(l, k_float_of(k, qbc_lanes(l, k->f32), 0));
    if (l->format->offset == QBC_OFFSET_ZERO)
        zeros = widened(l, qbc_group_zeros(l, s->unit, group));
    if (l->format->offset == QBC_OFFSET_MIN)
        sum = widened(l, qbc_group_mins(l, s->unit, group));
    for (int i = 0; i < qbc_operands(l->format); ++i) {
        MlirValue bytes = qbc_unpack_level(l, i, at, l->rows * l->packing.depth, c, selectors, 0);
        MlirValue level = level_of(l, i, bytes, zeros);
        MlirValue part = k_fmul(k, level, widened(l, qbc_group_scales(l, s->unit, group, i)));
        sum = mlirValueIsNull(sum) ? part : k_fadd(k, sum, part);
    }
    *out = sum;
}

/* A number of each vector of rows, to all of its rows. */
static MlirValue to_rows(struct qbc_linear *l, MlirValue v)
{
    struct qbc_kernel *k = l->k;
    int64_t high = qbc_vector_rows(l->format);
    if (high == 1 || (l->rows == 1 && !qbc_is_strip(l)))
        return v;
    if (qbc_is_strip(l))
        return k_rvv_spread(k, v, k_op2(k, "arith.divui", qbc_lanes_number(l), k_int_of(k, mlirValueGetType(v), high)));
    return k_repeat(k, v, 0, l->rows / high, high);
}

/* Halves at base + 2 * index, as f32. */
static MlirValue gather_halves(struct qbc_linear *l, MlirValue base, MlirValue index)
{
    struct qbc_kernel *k = l->k;
    return qbc_lanes_gather_half(l, base, k_mul(k, index, k_int_of(k, mlirValueGetType(index), HALF_BYTES)));
}

/* --- learned levels: f16 tables [entry][row], or one for all */

static MlirValue table_base(struct qbc_linear *l, const struct qbc_code_span *s, const struct qbc_numbers **n)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_layout *layout = &l->layout;
    *n = layout->tables.count ? &layout->tables : layout->row_tables.count ? &layout->row_tables : &layout->tail_tables;
    MlirValue base = layout->tables.count       ? s->unit
                     : layout->row_tables.count ? k_at_i(k, l->panel, layout->rows_offset)
                                                : l->tail;
    return k_at_i(k, base, (*n)->offset);
}

static void decode_learned(struct qbc_linear *l, const struct qbc_code_span *s, const struct qbc_chunk *c, MlirValue column, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_numbers *n;
    MlirValue base = table_base(l, s, &n), codes = codes_of(l, span_at(l, s), c), entry[1 << 5];
    int entries = 1 << l->format->bits, width = n->fields.vector_bytes;
    bool own = width > 1 || l->packing.rows == 1;
    if (l->layout.tables.count)
        base = k_at(k, base, k_mul_i(k, group_of(l, s, column), (int64_t)entries * width * HALF_BYTES));
    if (own)
        base = k_at(k, base, k_mul_i(k, l->row, HALF_BYTES));
    if (qbc_is_strip(l)) {
        MlirValue index = k_cast(k, "arith.extui", codes, k->i32);
        index = k_mul(k, index, k_int_of(k, mlirValueGetType(index), width));
        *out = gather_halves(l, base, own ? k_add(k, index, qbc_lanes_number(l)) : index);
        return;
    }
    for (int i = 0; i < entries; ++i) {
        MlirValue at = k_at_i(k, base, (int64_t)i * width * HALF_BYTES);
        MlirValue v = own ? qbc_lanes_load(l, k_half(k), at) : qbc_lanes_splat(l, k_load(k, k_half(k), at, 1));
        entry[i] = widened(l, v);
    }
    *out = k_half_to_float(k, k_choose(k, (size_t)entries, entry, codes)); /* twice as many fit in a register before */
}

/* --- vectors: f16 [entry][row][column] of the tensor */

static void decode_vectors(struct qbc_linear *l, const struct qbc_code_span *s, const struct qbc_chunk *c, MlirValue column, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    const struct qbc_numbers *n;
    MlirValue base = table_base(l, s, &n), codes = codes_of(l, span_at(l, s), c);
    int64_t high = qbc_vector_rows(l->format), wide = qbc_vector_cols(l->format);
    MlirType ints = qbc_lanes(l, k->i32);
    MlirValue index = to_rows(l, k_cast(k, "arith.extui", codes, k->i32)), row;
    if (l->rows == 1 && !qbc_is_strip(l))
        row = k_splat(k, k_cast(k, "arith.trunci", k_op2(k, "arith.remui", l->row, k_i64(k, high)), k->i32), 1);
    else
        row = k_op2(k, "arith.remui", qbc_lanes_number(l), k_int_of(k, ints, high));
    index = k_mul(k, index, k_int_of(k, ints, high * wide));
    if (high > 1)
        index = k_add(k, index, k_mul(k, row, k_int_of(k, ints, wide)));
    MlirValue scale = qbc_group_scales(l, s->unit, group_of(l, s, column), 0);
    for (int i = 0; i < wide; ++i) {
        MlirValue at = i ? k_add(k, index, k_int_of(k, ints, i)) : index;
        out[i] = k_fmul(k, scale, gather_halves(l, base, at));
    }
}

/* --- 3INST: decode.c of the formats has the formula */

static MlirValue push(struct qbc_linear *l, MlirValue state, MlirValue codes)
{
    struct qbc_kernel *k = l->k;
    MlirType ints = mlirValueGetType(state);
    state = k_op2(k, "arith.shli", state, k_int_of(k, ints, l->format->bits));
    state = k_op2(k, "arith.ori", state, k_cast(k, "arith.extui", codes, k->i32));
    return k_op2(k, "arith.andi", state, k_int_of(k, ints, (1 << STATE_BITS) - 1));
}

/* The group's last codes: it goes around. */
MlirValue qbc_decode_begin(struct qbc_linear *l, const struct qbc_code_span *s)
{
    struct qbc_kernel *k = l->k;
    MlirValue state = k_int_of(k, qbc_lanes(l, k->i32), 0);
    if (l->format->codebook != QBC_CODE_COMPUTED)
        return state;
    int spans = l->format->group / l->layout.span, chunks = l->layout.chunks, reach = (STATE_BITS - 1) / l->format->bits + 1;
    struct qbc_code_span at = {.unit = s->unit};
    for (int back = reach; back > 0; --back) {
        int chunk = spans * chunks - back;
        at.number = k_add_i(k, s->number, chunk / chunks);
        if (chunk >= 0)
            state = push(l, state, codes_of(l, span_at(l, &at), &(struct qbc_chunk){.number = chunk % chunks}));
    }
    return state;
}

static void decode_computed(struct qbc_linear *l, struct qbc_code_span *s, const struct qbc_chunk *c, MlirValue column, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    MlirType ints = qbc_lanes(l, k->i32);
    s->state = push(l, s->state, codes_of(l, span_at(l, s), c));
    MlirValue x = k_mul(k, s->state, k_int_of(k, ints, 89226354));
    x = k_add(k, x, k_int_of(k, ints, 64248484));
    x = k_op2(k, "arith.andi", x, k_int_of(k, ints, (int32_t)0x8fff8fff));
    x = k_op2(k, "arith.xori", x, k_int_of(k, ints, 0x3b603b60));
    MlirValue high = k_op2(k, "arith.shrui", x, k_int_of(k, ints, STATE_BITS));
    MlirValue v = k_fadd(k, qbc_lanes_half(l, x), qbc_lanes_half(l, high));
    *out = k_fmul(k, v, qbc_group_scales(l, s->unit, group_of(l, s, column), 0));
}

void qbc_decode_chunk(struct qbc_linear *l, struct qbc_code_span *s, const struct qbc_chunk *c, MlirValue column, MlirValue *out)
{
    switch (l->format->codebook) {
    case QBC_CODE_LEARNED:
        decode_learned(l, s, c, column, out);
        break;
    case QBC_CODE_VECTOR:
        decode_vectors(l, s, c, column, out);
        break;
    case QBC_CODE_COMPUTED:
        decode_computed(l, s, c, column, out);
        break;
    default:
        decode_levels(l, s, c, column, out);
    }
}
