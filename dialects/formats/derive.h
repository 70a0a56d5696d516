/* derive.h: facts that follow from a description; for all that store, decode, fit or pack. */
#ifndef QBC_DERIVE_H
#define QBC_DERIVE_H

#include "parts.h"

/* --- scale.c: types of scales */
int qbc_scale_bits(enum qbc_scale type);
static inline bool qbc_scale_is_code(enum qbc_scale type)
{
    return type >= QBC_SCALE_U4;
}
/* The value of stored bits; a code's is a whole number. */
float qbc_scale_decode(enum qbc_scale type, uint32_t bits);
/* The nearest (e8m0: the power of two for this magnitude, 4 * 2^n being the largest element's). What underflows is +0; what is
 * too large is infinite (or the largest, where the type has no infinity); codes are clamped to their range. */
uint32_t qbc_scale_encode(enum qbc_scale type, float value);
float qbc_scale_most(enum qbc_scale type); /* the largest finite one, or code */

/* --- numbers in blocks: stored bits, 16 a number, f32 two */
static inline int qbc_words(enum qbc_scale type)
{
    return type == QBC_SCALE_F32 ? 2 : 1;
}
static inline uint32_t qbc_number(const uint16_t *words, enum qbc_scale type, int64_t i)
{
    return type == QBC_SCALE_F32 ? words[2 * i] | (uint32_t)words[2 * i + 1] << 16 : words[i];
}
static inline void qbc_put_number(uint16_t *words, enum qbc_scale type, int64_t i, uint32_t bits)
{
    int n = qbc_words(type);
    words[n * i] = (uint16_t)bits;
    if (n > 1)
        words[n * i + 1] = (uint16_t)(bits >> 16);
}

/* --- blocks.c: where what a weight needs is */
int64_t qbc_group_index(const struct qbc_blocks *b, int64_t row, int64_t group); /* of scales, mins, selectors */
int64_t qbc_outer_index(const struct qbc_blocks *b, int64_t row, int64_t group); /* of outer scales */
int64_t qbc_zero_index(const struct qbc_blocks *b, int64_t row, int64_t group);
int64_t qbc_table_index(const struct qbc_blocks *b, int64_t row, int64_t group);
int64_t qbc_code_index(const struct qbc_blocks *b, int64_t row, int64_t col);
int qbc_table_entry(const struct qbc_format *f); /* numbers of an entry: of a vector, or 1 */

/* --- decode.c: of a group */
float qbc_group_scale(const struct qbc_blocks *b, int64_t row, int64_t group, int plane); /* with outer, and unit */
float qbc_group_min(const struct qbc_blocks *b, int64_t row, int64_t group);
float qbc_group_value(const struct qbc_blocks *b, int64_t row, int64_t group, int code); /* scalar leaves */
/* What the codes of a group of whole numbers stand for lies on a line: what is beside them is worked out once. */
struct qbc_line {
    float scale, min;
    int zero;
    bool has_min;
};
struct qbc_line qbc_line_of(const struct qbc_blocks *b, int64_t row, int64_t group);
static inline float qbc_on_line(const struct qbc_line *l, int level)
{
    float value = l->scale * (float)(level - l->zero);
    return l->has_min ? value + l->min : value;
}

void qbc_decode_composite(const struct qbc_blocks *b, int64_t row, int64_t n, float *out); /* compose.c */

/* --- size.c */
/* Columns that are stored together: a super-block, or a group; RUN where groups are rows. */
int qbc_format_unit(const struct qbc_format *f);
int qbc_format_scales(const struct qbc_format *f); /* of a group: planes, or 1, or 0 */

static inline int64_t qbc_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

#endif
