/* decode: the meaning of a format, slow and obvious. Every kernel is compared with it.
 *
 * All arithmetic is f32, in the order written; ggml's formats come out the same to the last bit.
 */
#include "derive.h"
#include "half.h"

#include <string.h>

static float decode_float(const struct qbc_blocks *b, int64_t i)
{
    if (b->format->bits == 32)
        return ((const float *)b->values)[i];
    uint16_t bits = ((const uint16_t *)b->values)[i];
    return qbc_scale_decode(b->format->brain ? QBC_SCALE_BF16 : QBC_SCALE_F16, bits);
}

/* --- what a group has beside its codes */

float qbc_group_scale(const struct qbc_blocks *b, int64_t row, int64_t group, int plane)
{
    const struct qbc_format *f = b->format;
    int64_t at = qbc_group_index(b, row, group) * qbc_format_scales(f) + plane;
    float scale = f->scale == QBC_SCALE_NONE ? 1 : qbc_scale_decode(f->scale, qbc_number(b->scales, f->scale, at));
    if (f->outer != QBC_SCALE_NONE) {
        float outer = qbc_scale_decode(f->outer, qbc_number(b->outer, f->outer, qbc_outer_index(b, row, group)));
        scale = f->floor ? scale * outer / qbc_scale_most(f->scale) + b->floor : outer * scale;
    }
    return f->unit ? scale * f->unit : scale;
}

float qbc_group_min(const struct qbc_blocks *b, int64_t row, int64_t group)
{
    const struct qbc_format *f = b->format;
    if (f->offset != QBC_OFFSET_MIN)
        return 0;
    float min = 1, outer = 1;
    if (f->outer != QBC_SCALE_NONE)
        outer = qbc_scale_decode(f->outer, qbc_number(b->outer_mins, f->outer, qbc_outer_index(b, row, group)));
    if (f->scale != QBC_SCALE_NONE)
        min = qbc_scale_decode(f->scale, qbc_number(b->mins, f->scale, qbc_group_index(b, row, group)));
    return qbc_scale_is_code(f->scale) ? -(outer * min) : outer * min;
}

/* --- one code */

struct qbc_line qbc_line_of(const struct qbc_blocks *b, int64_t row, int64_t group)
{
    const struct qbc_format *f = b->format;
    bool has_min = f->offset == QBC_OFFSET_MIN, is_table = f->codebook == QBC_CODE_TABLE;
    int zero = is_table ? 0 : f->offset == QBC_OFFSET_ZERO ? b->zeros[qbc_zero_index(b, row, group)] : f->bias;
    return (struct qbc_line){qbc_group_scale(b, row, group, 0), has_min ? qbc_group_min(b, row, group) : 0, zero, has_min};
}

static float decode_level(const struct qbc_blocks *b, int64_t row, int64_t group, int code)
{
    const struct qbc_format *f = b->format;
    struct qbc_line line = qbc_line_of(b, row, group);
    if (f->codebook == QBC_CODE_TABLE)
        code = f->level[((f->selector_bits ? b->selectors[qbc_group_index(b, row, group)] : 0) << f->bits) + code];
    return qbc_on_line(&line, code);
}

static float decode_planes(const struct qbc_blocks *b, int64_t row, int64_t group, int code)
{
    const struct qbc_format *f = b->format;
    float value = qbc_group_min(b, row, group);
    for (int k = 0; k < f->planes; ++k, code /= f->plane_base) {
        int digit = f->plane_step * (code % f->plane_base) + f->plane_low;
        value += qbc_group_scale(b, row, group, k) * (float)digit;
    }
    return value;
}

float qbc_group_value(const struct qbc_blocks *b, int64_t row, int64_t group, int code)
{
    if (b->format->codebook == QBC_CODE_LEARNED)
        return qbc_half_to_float(b->tables[(qbc_table_index(b, row, group) << b->format->bits) + code]);
    if (b->format->codebook == QBC_CODE_PLANES)
        return decode_planes(b, row, group, code);
    return decode_level(b, row, group, code);
}

static float decode_vector(const struct qbc_blocks *b, int64_t row, int64_t col, int code)
{
    const struct qbc_format *f = b->format;
    int64_t entry = (qbc_table_index(b, row, col / f->group) << f->bits) + code;
    int64_t inside = row % f->vector_rows * f->vector_cols + col % f->vector_cols;
    return qbc_group_scale(b, row, col / f->group, 0) *
           qbc_half_to_float(b->tables[entry * qbc_table_entry(f) + inside]);
}

/* 3INST: the state is the last 16 bits of codes, going around in the group; its scrambled bits are two halves. */
static float decode_computed(const struct qbc_blocks *b, int64_t row, int64_t col)
{
    enum { STATE = 16 };
    const struct qbc_format *f = b->format;
    int64_t group = col / f->group, first = group * f->group;
    uint32_t state = 0;
    for (int64_t back = (STATE + f->bits - 1) / f->bits - 1; back >= 0; --back) {
        int64_t i = ((col - first - back) % f->group + f->group) % f->group;
        state = (state << f->bits | b->codes[qbc_code_index(b, row, first + i)]) & 0xffff;
    }
    uint32_t x = state * 89226354u + 64248484u;
    x = (x & 0x8fff8fffu) ^ 0x3b603b60u;
    return qbc_group_scale(b, row, group, 0) * (qbc_half_to_float((uint16_t)x) + qbc_half_to_float((uint16_t)(x >> 16)));
}

static float decode_code(const struct qbc_blocks *b, int64_t row, int64_t col)
{
    int code = b->codes[qbc_code_index(b, row, col)];
    if (b->format->codebook == QBC_CODE_VECTOR)
        return decode_vector(b, row, col, code);
    if (b->format->codebook == QBC_CODE_COMPUTED)
        return decode_computed(b, row, col);
    return qbc_group_value(b, row, col / b->format->group, code);
}

static float *decode_line_row(const struct qbc_blocks *b, int64_t row, float *out)
{
    struct qbc_line line = {0};
    for (int64_t col = 0; col < b->cols; ++col) {
        if (col % b->format->group == 0)
            line = qbc_line_of(b, row, col / b->format->group);
        *out++ = qbc_on_line(&line, b->codes[qbc_code_index(b, row, col)]);
    }
    return out;
}

void qbc_format_decode_rows(const struct qbc_blocks *b, int64_t row, int64_t n, float *out)
{
    if (qbc_is_composite(b->format)) {
        qbc_decode_composite(b, row, n, out);
        return;
    }
    bool is_float = b->format->codebook == QBC_CODE_FLOAT;
    for (int64_t r = row; r < row + n; ++r) {
        if (b->format->codebook == QBC_CODE_AFFINE) {
            out = decode_line_row(b, r, out);
            continue;
        }
        for (int64_t col = 0; col < b->cols; ++col)
            *out++ = is_float ? decode_float(b, r * b->cols + col) : decode_code(b, r, col);
    }
}

void qbc_format_decode(const struct qbc_blocks *b, float *out)
{
    qbc_format_decode_rows(b, 0, b->rows, out);
}
