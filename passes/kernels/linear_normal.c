/* linear_normal: weights decoded to bytes, the same for all formats (linear_many.h), so that one piece of arithmetic
 * multiplies all of them.
 *
 * Zero points go into the levels: code - zero, where the dot takes signed bytes; else that plus the largest code, which is
 * the bias then.
 */
#include "linear_many.h"

#include <string.h>

static bool has_zeros(const struct qbc_linear *l)
{
    return l->format->offset == QBC_OFFSET_ZERO;
}

/* Which of the runs of a group come from one vector: linear_groups.c multiplies these together. */
static int turns(const struct qbc_linear *l, int runs, int chunks)
{
    int vectors = l->layout.field[0].vectors;
    return runs > 1 && l->layout.n_fields == 1 && vectors % chunks == 0 ? vectors / chunks : 1;
}

/* Levels of zero-point formats. Sums of two products in 16 bits must not saturate; then signs are moved. */
static bool place_zero(const struct qbc_linear *l, const struct qbc_tile *tile, struct qbc_normal *out)
{
    int high = l->format->high;
    bool saturates = tile->widen && 2 * 2 * high * 127 > INT16_MAX;
    out->is_signed = tile->dot_signed || tile->kind == QBC_KIND_MULL || saturates;
    out->format.offset = QBC_OFFSET_NONE;
    out->format.bias = out->is_signed ? 0 : high;
    out->format.high = out->is_signed ? high : 2 * high;
    return high <= 127;
}

bool qbc_normal_form(const struct qbc_linear *l, const struct qbc_tile *tile, struct qbc_normal *out)
{
    int columns = l->format->group, length = columns < QBC_ACT_GROUP ? columns : QBC_ACT_GROUP;
    int chunks = length / l->packing.depth, bytes = l->packing.rows * l->packing.depth;
    *out = (struct qbc_normal){
        .format = *l->format,
        .is_signed = l->packing.is_signed,
        .length = length,
        .runs = columns / length,
        .run_bytes = chunks * bytes,
    };
    out->turns = turns(l, out->runs, chunks);
    out->format.bits = 8, out->format.group = length;
    out->scales_offset = out->runs * out->run_bytes;
    out->group_bytes = out->scales_offset + l->packing.rows * 4;
    out->layout = (struct qbc_layout){.n_fields = 1, .chunks = chunks, .vector_bytes = bytes};
    out->layout.field[0] = (struct qbc_field){.bits = 8, .vectors = chunks};
    return !has_zeros(l) || place_zero(l, tile, out);
}

/* Bytes worked on at once. */
static int part_bytes(const struct qbc_linear *l)
{
    int bytes = l->k->q->target->vector_bits / 8, all = l->packing.rows * l->packing.depth;
    return all < bytes ? all : bytes;
}

/* What is taken off the codes of part `part`, a byte for each: their zero points less the bias. */
static MlirValue taken_off(struct qbc_linear *l, const struct qbc_normal *form, MlirValue group, int part)
{
    struct qbc_kernel *k = l->k;
    int bytes = part_bytes(l), rows = bytes / l->packing.depth;
    int64_t lanes[QBC_MOST_PARTS * 16];
    for (int i = 0; i < bytes; ++i)
        lanes[i] = i / l->packing.depth;
    MlirValue at = k_at_i(k, group, l->layout.zeros_offset + (int64_t)part * rows);
    MlirValue zeros = k_load(k, k_vec(k, rows, k->i8), at, 1);
    return k_add_i(k, k_shuffle(k, zeros, zeros, bytes, lanes), -form->format.bias);
}

/* The runs of a turn, from the vectors at `codes`, to `out`. */
static void decode_turn(struct qbc_linear *l, const struct qbc_normal *form, MlirValue group, MlirValue codes, int part,
                        MlirValue out)
{
    struct qbc_kernel *k = l->k;
    int bytes = part_bytes(l), chunks = form->layout.chunks;
    MlirValue off = has_zeros(l) ? taken_off(l, form, group, part) : (MlirValue){NULL};
    for (int i = 0; i < form->runs / form->turns * chunks; ++i) {
        int chunk = i / chunks * form->turns * chunks + i % chunks;
        MlirValue level = qbc_unpack_chunk(k, &l->layout, codes, bytes, chunk);
        if (has_zeros(l))
            level = k_sub(k, level, off);
        k_store(k, level, k_at_i(k, out, (int64_t)i * form->layout.vector_bytes), 1);
    }
}

void qbc_normal_decode(struct qbc_linear *l, const struct qbc_normal *form, MlirValue group, MlirValue out)
{
    struct qbc_kernel *k = l->k;
    int bytes = part_bytes(l), parts = l->packing.rows * l->packing.depth / bytes;
    int64_t vectors = (int64_t)form->layout.chunks * l->layout.vector_bytes;
    struct k_loop turn = k_for(k, k_i64(k, 0), k_i64(k, form->turns), 1, 0, NULL);
    MlirValue codes = k_at(k, group, k_mul_i(k, turn.i, vectors));
    MlirValue to = k_at(k, out, k_mul_i(k, turn.i, (int64_t)form->runs / form->turns * form->run_bytes));
    for (int p = 0; p < parts; ++p)
        decode_turn(l, form, group, k_at_i(k, codes, (int64_t)p * bytes), p, k_at_i(k, to, (int64_t)p * bytes));
    k_end(k, &turn, NULL);
    MlirValue scales = k_load_half(k, l->packing.rows, k_at_i(k, group, l->layout.scales_offset));
    k_store(k, scales, k_at_i(k, out, form->scales_offset), 4);
}
