/* linear_normal: weights decoded to bytes, the same for all formats (linear_many.h), so that one piece of arithmetic
 * multiplies all of them.
 *
 * Zero points go into the levels: code - zero, where the dot takes signed bytes; else that plus the largest code, which is
 * taken off as a bias is.
 */
#include "linear_many.h"

#include <string.h>

/* Levels of zero-point formats. Sums of two products in 16 bits must not saturate; then signs are moved. */
static bool place_zero(const struct qbc_linear *l, const struct qbc_tile *tile, struct qbc_levels *v)
{
    int high = l->format->high;
    bool saturates = tile->widen && 2 * 2 * high * 127 > INT16_MAX;
    v->is_signed = tile->dot_signed || tile->kind == QBC_KIND_MULL || saturates;
    v->shift = v->is_signed ? 0 : high;
    v->most = v->is_signed ? high : 2 * high;
    return high <= 127;
}

/* A matrix unit has signed bytes, which nothing is taken off later: looked up as such, or taken off here. Levels beyond those
 * are unsigned, without a shift. */
static void place_signed(const struct qbc_linear *l, int operand, struct qbc_normal *out)
{
    struct qbc_levels *from = &out->from[operand], *v = &out->levels.levels[operand];
    if (l->format->codebook == QBC_CODE_TABLE)
        *from = qbc_levels(l->format, operand, true);
    out->taken[operand] = from->shift;
    v->is_signed = from->most - from->shift <= INT8_MAX;
    v->most = v->is_signed ? INT8_MAX : from->most;
    v->shift = v->times = 0;
}

/* How the decoded bytes of a run lie. */
static struct qbc_layout bytes_of(const struct qbc_linear *l, int columns)
{
    int chunks = columns / l->packing.depth, size = l->packing.rows * l->packing.depth;
    struct qbc_layout layout = {.chunks = chunks};
    layout.codes = (struct qbc_fields){.n = 1, .chunks = chunks, .vector_bytes = size, .bytes = chunks * size};
    layout.codes.field[0] = (struct qbc_field){.bits = 8, .vectors = chunks};
    return layout;
}

bool qbc_normal_form(const struct qbc_linear *l, const struct qbc_tile *tile, struct qbc_normal *out)
{
    if (!qbc_has_runs(l->format))
        return false;
    int columns = qbc_run_columns(l->format), row = l->packing.rows * 4;
    *out = (struct qbc_normal){
        .levels = *l,
        .format = *l->format,
        .runs = QBC_ACT_GROUP / columns,
        .operands = qbc_operands(l->format),
        .run_bytes = columns * l->packing.rows,
    };
    bool fits = true;
    for (int i = 0; i < out->operands; ++i) {
        struct qbc_levels *v = &out->levels.levels[i];
        out->from[i] = l->levels[i];
        v->entries = v->bit = v->base = 0;
        if (l->format->offset == QBC_OFFSET_ZERO)
            fits = place_zero(l, tile, v);
        else if (tile->kind == QBC_KIND_TILE)
            place_signed(l, i, out);
    }
    out->format.digits = 0;
    out->levels.tile = tile;
    out->levels.rows = tile->n;
    out->levels.layout = bytes_of(l, columns);
    out->scales_offset = out->runs * out->operands * out->run_bytes;
    out->mins_offset = out->scales_offset + out->runs * out->operands * row;
    out->bytes = out->mins_offset + (l->format->offset == QBC_OFFSET_MIN ? out->runs * row : 0);
    return fits;
}

/* Bytes worked on at once. */
static int part_bytes(const struct qbc_linear *l)
{
    int bytes = l->k->q->target->vector_bits / 8, all = l->packing.rows * l->packing.depth;
    return all < bytes ? all : bytes;
}

/* What is taken off the codes of the rows from `row` on, a byte for each: their zero points less the bias. */
static MlirValue taken_off(struct qbc_linear *l, const struct qbc_normal *form, MlirValue zeros, int row, int rows)
{
    MlirValue v = k_repeat(l->k, zeros, row, rows, l->packing.depth);
    return k_add_i(l->k, v, -form->levels.levels[0].shift);
}

static MlirValue zeros_of(struct qbc_linear *l, MlirValue unit, MlirValue group)
{
    if (l->format->offset != QBC_OFFSET_ZERO)
        return (MlirValue){NULL};
    MlirValue zeros = k_cast(l->k, "arith.fptosi", qbc_group_zeros(l, unit, group), l->k->i32);
    return k_cast(l->k, "arith.trunci", zeros, l->k->i8);
}

/* One operand of a run. */
static void decode_run(struct qbc_linear *l, const struct qbc_normal *form, const struct qbc_run *run, MlirValue zeros,
                       MlirValue out)
{
    struct qbc_kernel *k = l->k;
    int bytes = part_bytes(l), rows = bytes / l->packing.depth;
    for (int c = 0; c < run->chunks; ++c)
        for (int row = 0; row < l->rows; row += rows) {
            MlirValue level = qbc_level_chunk(l, run, row, rows, c);
            if (form->taken[run->operand])
                level = k_add_i(k, level, -form->taken[run->operand]);
            if (!mlirValueIsNull(zeros))
                level = k_sub(k, level, taken_off(l, form, zeros, row, rows));
            int64_t at = (int64_t)(c * l->rows + row) * l->packing.depth;
            k_store(k, level, k_at_i(k, out, at), 1);
        }
}

/* The 32 columns from `column` of the span on. */
static void decode_block(struct qbc_linear *l, const struct qbc_normal *form, const struct qbc_run *first, MlirValue unit,
                         MlirValue number, int column, MlirValue out)
{
    struct qbc_kernel *k = l->k;
    int length = QBC_ACT_GROUP / form->runs;
    int64_t row = (int64_t)l->rows * 4;
    for (int r = 0; r < form->runs; ++r) {
        MlirValue group = qbc_group_of(l, number, column + r * length), zeros = zeros_of(l, unit, group);
        struct qbc_run run = *first;
        run.selectors = qbc_group_selectors(l, unit, group);
        run.first = (column + r * length) / l->packing.depth;
        for (; run.operand < form->operands; ++run.operand) {
            int i = r * form->operands + run.operand;
            decode_run(l, form, &run, zeros, k_at_i(k, out, (int64_t)i * form->run_bytes));
            MlirValue scales = qbc_group_scales(l, unit, group, run.operand);
            k_store(k, scales, k_at_i(k, out, form->scales_offset + i * row), 4);
        }
        if (l->format->offset == QBC_OFFSET_MIN)
            k_store(k, qbc_group_mins(l, unit, group), k_at_i(k, out, form->mins_offset + r * row), 4);
    }
}

void qbc_normal_decode(struct qbc_linear *l, const struct qbc_normal *form, MlirValue unit, MlirValue out)
{
    struct qbc_kernel *k = l->k;
    int blocks = l->layout.span / QBC_ACT_GROUP;
    struct qbc_linear packed = *l;
    memcpy(packed.levels, form->from, sizeof packed.levels);
    packed.rows = l->packing.rows;
    packed.row = k_i64(k, 0);
    struct k_loop spans = k_for(k, k_i64(k, 0), k_i64(k, l->layout.spans), 1, 0, NULL);
    k_not_unrolled(k, &spans);
    struct qbc_run run = {.codes = k_at(k, unit, k_mul_i(k, spans.i, l->layout.span_bytes)),
                          .chunks = QBC_ACT_GROUP / form->runs / l->packing.depth};
    MlirValue to = k_at(k, out, k_mul_i(k, spans.i, (int64_t)blocks * form->bytes));
    for (int i = 0; i < blocks; ++i)
        decode_block(&packed, form, &run, unit, spans.i, i * QBC_ACT_GROUP, k_at_i(k, to, (int64_t)i * form->bytes));
    k_end(k, &spans, NULL);
}
