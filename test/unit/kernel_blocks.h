/* kernel_blocks.h: blocks of any format to multiply with. Rows take turns:
 *
 *     FITTED    the codes and scales that a fit chose for random weights
 *     ANY       random codes under random scales of any size, some of them 0 or subnormal
 *     WHOLE     random codes under scales that are powers of two, so that f32 has nothing to round
 *     EXTREME   the same with all codes high, or all low
 *
 * What the tensor shares is the fit's, or a power of two.
 */
#ifndef KERNEL_BLOCKS_H
#define KERNEL_BLOCKS_H

#include "check.h"
#include "formats/derive.h"
#include "half.h"

#include <math.h>

enum blocks_row { BLOCKS_FITTED, BLOCKS_ANY, BLOCKS_WHOLE, BLOCKS_EXTREME, BLOCKS_ROWS };

static inline int blocks_below(uint64_t *seed, int n)
{
    return (int)((check_random(seed) >> 33) % (uint64_t)n);
}

static inline float blocks_power(uint64_t *seed)
{
    return ldexpf(blocks_below(seed, 2) ? 1 : -1, blocks_below(seed, 3) - 4);
}

/* A power of two once it is multiplied by the unit of the levels, where the type can say so. */
static inline float blocks_whole_scale(const struct qbc_format *f, uint64_t *seed)
{
    float power = blocks_power(seed);
    return f->unit ? rintf(power / f->unit * 64) / 64 : power;
}

/* Stored bits of a scale or minimum, `own`: the nearest to the codes. */
static inline uint32_t blocks_number(const struct qbc_format *f, enum qbc_scale type, bool whole, bool own,
                                     uint64_t *seed)
{
    int dice = blocks_below(seed, 61);
    bool is_unit = own || !qbc_scale_is_code(f->scale); /* only one of two scales brings the unit */
    float value = whole ? (is_unit ? blocks_whole_scale(f, seed) : blocks_power(seed)) : 0.02f * check_normal(seed);
    if (qbc_scale_is_code(type)) /* all codes, and few of them where sums must stay small */
        return qbc_scale_encode(type, (float)(whole ? 1 << blocks_below(seed, 3) : blocks_below(seed, 511) - 255));
    if (type == QBC_SCALE_E8M0)
        return (uint32_t)(dice ? 118 + blocks_below(seed, 12) : whole);
    if (type == QBC_SCALE_E4M3)
        return qbc_scale_encode(type, whole ? ldexpf(1, blocks_below(seed, 3)) : (float)blocks_below(seed, 448) / 8);
    if (dice < 2 && !whole) /* the least that f16 has, and none at all */
        return dice ? qbc_scale_encode(type, 0x1p-24f) : 0;
    return qbc_scale_encode(type, value);
}

static inline uint8_t blocks_code(const struct qbc_format *f, uint64_t *seed)
{
    return (uint8_t)(f->low + blocks_below(seed, f->high - f->low + 1));
}

/* Everything of a row that is its own. */
static inline void blocks_fill_row(struct qbc_blocks *b, int64_t row, enum blocks_row kind, uint64_t *seed)
{
    const struct qbc_format *f = b->format;
    bool whole = kind != BLOCKS_ANY, high = blocks_below(seed, 2);
    bool own_outer = b->outer && f->outer_span != QBC_SPAN_TENSOR;
    for (int64_t col = 0; col < b->groups * f->group; ++col)
        b->codes[qbc_code_index(b, row, col)] =
            (uint8_t)(kind != BLOCKS_EXTREME ? blocks_code(f, seed) : high ? f->high : f->low);
    for (int64_t g = 0; g < b->groups; ++g) {
        int64_t at = qbc_group_index(b, row, g), outer = own_outer ? qbc_outer_index(b, row, g) : 0;
        for (int i = 0; b->scales && i < qbc_format_scales(f); ++i)
            qbc_put_number(b->scales, f->scale, at * qbc_format_scales(f) + i,
                           blocks_number(f, f->scale, whole, !b->outer, seed));
        if (b->mins)
            qbc_put_number(b->mins, f->scale, at, blocks_number(f, f->scale, whole, false, seed));
        if (b->selectors)
            b->selectors[at] = (uint8_t)blocks_below(seed, 1 << f->selector_bits);
        if (b->zeros)
            b->zeros[qbc_zero_index(b, row, g)] = blocks_code(f, seed);
        if (own_outer)
            qbc_put_number(b->outer, f->outer, outer, blocks_number(f, f->outer, whole, true, seed));
        if (own_outer && b->outer_mins)
            qbc_put_number(b->outer_mins, f->outer, outer, blocks_number(f, f->outer, whole, true, seed));
        for (int i = 0; b->tables && f->table_span != QBC_SPAN_TENSOR && i < 1 << f->bits; ++i)
            b->tables[(qbc_table_index(b, row, g) << f->bits) + i] =
                qbc_float_to_half(whole ? (float)blocks_below(seed, 15) - 7 : check_normal(seed));
    }
}

/* What the tensor shares. */
static inline void blocks_fill_shared(struct qbc_blocks *b, uint64_t *seed)
{
    const struct qbc_format *f = b->format;
    if (b->outer && f->outer_span == QBC_SPAN_TENSOR)
        qbc_put_number(b->outer, f->outer, 0, blocks_number(f, f->outer, true, true, seed));
    if (b->outer_mins && f->outer_span == QBC_SPAN_TENSOR)
        qbc_put_number(b->outer_mins, f->outer, 0, blocks_number(f, f->outer, true, true, seed));
    for (int i = 0; b->tables && f->table_span == QBC_SPAN_TENSOR && i < qbc_table_entry(f) << f->bits; ++i)
        b->tables[i] = qbc_float_to_half((float)blocks_below(seed, 15) - 7);
}

static inline void blocks_fit(struct qbc_blocks *b, uint64_t *seed)
{
    int64_t n = b->rows * b->cols;
    float *w = malloc((size_t)n * sizeof *w);
    for (int64_t i = 0; i < n; ++i)
        w[i] = 0.05f * check_normal(seed);
    qbc_format_prepare(b, b->rows, w, NULL);
    CHECK(qbc_format_fit(QBC_FIT_RTN, b, 0, b->rows, w) < 0, "%s: random weights are not fitted", b->format->name);
    free(w);
}

static inline void blocks_fill_values(struct qbc_blocks *b, uint64_t *seed)
{
    for (int64_t i = 0; i < b->rows * b->cols; ++i) {
        bool whole = i / b->cols % 2 == 0;
        float value = whole ? (float)(blocks_below(seed, 256) - 128) / 128 : 0.1f * check_normal(seed);
        if (b->format->bits == 32)
            ((float *)b->values)[i] = value;
        else
            ((uint16_t *)b->values)[i] =
                (uint16_t)qbc_scale_encode(b->format->brain ? QBC_SCALE_BF16 : QBC_SCALE_F16, value);
    }
}

/* `turn`: which kind the first row has. */
static inline void blocks_fill(struct qbc_blocks *b, int turn, uint64_t *seed)
{
    const struct qbc_format *f = b->format;
    if (f->codebook == QBC_CODE_FLOAT) {
        blocks_fill_values(b, seed);
        return;
    }
    bool fitted = qbc_format_can_fit(f);
    if (fitted)
        blocks_fit(b, seed);
    if (!fitted || turn / BLOCKS_ROWS % 2)
        blocks_fill_shared(b, seed);
    for (int64_t row = 0; row < b->rows; ++row) {
        enum blocks_row kind = (enum blocks_row)((row + turn) % BLOCKS_ROWS);
        if (kind != BLOCKS_FITTED || !fitted)
            blocks_fill_row(b, row, kind, seed);
    }
}

#endif
