/* derive.h: facts that follow from a description; for all that store, decode, fit or pack. */
#ifndef QBC_DERIVE_H
#define QBC_DERIVE_H

#include "format.h"

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

/* --- size.c */
/* Columns that are stored together: a super-block, or a group; RUN where groups are rows. */
int qbc_format_unit(const struct qbc_format *f);
int qbc_format_scales(const struct qbc_format *f); /* of a group: planes, or 1, or 0 */
/* SPLIT: where part i begins, of `size` columns or rows; part n_parts begins at `size`. */
int64_t qbc_format_cut(const struct qbc_format *f, int i, int64_t size);
int64_t qbc_format_sparse(const struct qbc_format *f, int64_t cols); /* SPARSE: weights of a row */

static inline int64_t qbc_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}
static inline int qbc_group_rows(const struct qbc_format *f)
{
    return f->group_rows > 1 ? f->group_rows : 1;
}
static inline bool qbc_is_composite(const struct qbc_format *f)
{
    return f->codebook >= QBC_CODE_SUM;
}

#endif
