/* derive.h: facts that follow from a description; for all that store, decode, fit or pack. */
#ifndef QBC_DERIVE_H
#define QBC_DERIVE_H

#include "parts.h"
#include "scale.h"

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
