/* fit: choose scale, zero point and codes for rows of weights. docs/numerics.md has the rules.
 *
 * Scale first: it is computed in f32, rounded to f16, and codes are chosen with the rounded value.
 * The loops over a group are plain, without calls or early exits, so that compilers make
 * vectors of them; numbers are compared as integers where the order of a reduction would matter.
 */
#include "fit.h"
#include "fit_leaf.h"
#include "float_bits.h"
#include "half.h"

#include <math.h>
#include <string.h>

enum { HALF_INFINITY = 0x7c00 };

/* Floats and these integers have the same order; the map is its own inverse. */
static int32_t ordered(int32_t bits)
{
    return bits ^ (bits >> 31 & 0x7fffffff);
}

/* Fills in extreme, least and most; false when a weight is not finite. */
static bool measure(struct qbc_group *g)
{
    const float *restrict w = g->w;
    uint32_t largest = 0; /* magnitude's bits, then the sign */
    int32_t least = 0, most = 0;
    for (int i = 0; i < g->n; ++i) {
        int32_t bits = (int32_t)qbc_bits_of(w[i]), key = ordered(bits);
        uint32_t magnitude = (uint32_t)bits << 1 | (uint32_t)bits >> 31;
        largest = magnitude > largest ? magnitude : largest;
        least = key < least ? key : least;
        most = key > most ? key : most;
    }
    g->extreme = qbc_float_of(largest >> 1 | largest << 31);
    g->least = qbc_float_of((uint32_t)ordered(least));
    g->most = qbc_float_of((uint32_t)ordered(most));
    return largest >> 1 < 0x7f800000u;
}

uint16_t qbc_fit_scale(float scale)
{
    uint16_t half = qbc_float_to_half(scale);
    return half & 0x7fff ? half : 0;
}

static float clamp(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* Symmetric codes: where one side has more of them, the scale's sign gives it the extreme. */
static struct qbc_params plain_symmetric(const struct qbc_group *g)
{
    const struct qbc_format *f = g->format;
    int below = f->bias - f->low, above = f->high - f->bias;
    float scale = below == above  ? fabsf(g->extreme) / (float)below
                  : below > above ? -g->extreme / (float)below
                                  : g->extreme / (float)above;
    return (struct qbc_params){qbc_fit_scale(scale), f->bias};
}

static struct qbc_params plain_zero_point(const struct qbc_group *g)
{
    const struct qbc_format *f = g->format;
    uint16_t half = qbc_fit_scale((g->most - g->least) / (float)(f->high - f->low));
    if (!half)
        return (struct qbc_params){0, f->low};
    float zero = rintf(-g->least / qbc_half_to_float(half));
    return (struct qbc_params){half, f->low + (int)clamp(zero, 0, (float)(f->high - f->low))};
}

/* Nearest codes. Adding and subtracting 1.5 * 2^23 rounds to an integer, half to even. */
static void choose_codes(const struct qbc_group *g, struct qbc_params p, uint8_t *restrict codes)
{
    static const float magic = 12582912.0f;
    const float *restrict w = g->w;
    float scale = qbc_half_to_float(p.scale);
    float low = (float)(g->format->low - p.zero), high = (float)(g->format->high - p.zero);
    if (!p.scale) {
        memset(codes, p.zero, (size_t)g->n);
        return;
    }
    for (int i = 0; i < g->n; ++i) {
        float x = clamp(w[i] / scale, low, high);
        codes[i] = (uint8_t)((int)((x + magic) - magic) + p.zero);
    }
}

/* The first weight that cannot be kept: not finite, or the one that makes the scale overflow. */
static int64_t culprit(const struct qbc_group *g)
{
    int worst = 0;
    for (int i = 0; i < g->n; ++i) {
        if (!isfinite(g->w[i]))
            return i;
        worst = fabsf(g->w[i]) > fabsf(g->w[worst]) ? i : worst;
    }
    return worst;
}

/* -1, or the index of the culprit in the group. */
static int64_t fit_group(enum qbc_fit how, struct qbc_blocks *b, struct qbc_group *g, int64_t at)
{
    const struct qbc_format *f = b->format;
    if (!measure(g))
        return culprit(g);
    bool has_zero = f->offset == QBC_OFFSET_ZERO;
    struct qbc_params p = has_zero ? plain_zero_point(g) : plain_symmetric(g);
    if ((p.scale & 0x7fff) == HALF_INFINITY)
        return culprit(g);
    if (how == QBC_FIT_RANGE && p.scale)
        p = qbc_fit_range(g, p);
    else if (how == QBC_FIT_POWER && p.scale)
        p = qbc_fit_power(g, p);
    uint8_t *codes = b->codes + at * f->group;
    choose_codes(g, p, codes);
    memset(codes + g->n, p.zero, (size_t)(f->group - g->n));
    b->scales[at] = p.scale;
    if (has_zero)
        b->zeros[at] = (uint8_t)p.zero;
    return -1;
}

static int64_t fit_row(enum qbc_fit how, struct qbc_blocks *b, int64_t row, const float *w)
{
    int64_t size = b->format->group;
    for (int64_t group = 0; group < b->groups; ++group) {
        int64_t start = group * size, rest = b->cols - start;
        struct qbc_group g = {b->format, w + start, (int)(rest < size ? rest : size)};
        int64_t bad = fit_group(how, b, &g, row * b->groups + group);
        if (bad >= 0)
            return start + bad;
    }
    return -1;
}

static int64_t fit_float_row(struct qbc_blocks *b, int64_t row, const float *w)
{
    size_t n = (size_t)b->cols, start = (size_t)row * n;
    if (b->format->brain)
        for (size_t i = 0; i < n; ++i)
            ((uint16_t *)b->values)[start + i] = (uint16_t)qbc_scale_encode(QBC_SCALE_BF16, w[i]);
    else if (b->format == &qbc_format_u16)
        for (size_t i = 0; i < n; ++i)
            ((uint16_t *)b->values)[start + i] = (uint16_t)w[i];
    else if (b->format->bits == 16)
        qbc_floats_to_halves(n, w, (uint16_t *)b->values + start);
    else
        memcpy((float *)b->values + start, w, n * sizeof *w);
    uint32_t largest = 0, limit = b->format->brain ? 0x7f7f8000u : b->format->bits == 16 ? 0x477ff000u : 0x7f800000u;
    for (size_t i = 0; i < n; ++i) {
        uint32_t magnitude = qbc_bits_of(w[i]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    if (largest < limit || b->format == &qbc_format_u16)
        return -1;
    for (size_t i = 0;; ++i)
        if ((qbc_bits_of(w[i]) & 0x7fffffffu) >= limit)
            return (int64_t)i;
}

/* One f16 scale a group of whole numbers, all errors alike: the loops above. Of three levels the plain fit is another. */
static bool is_quick(const struct qbc_format *f)
{
    return f->codebook == QBC_CODE_AFFINE && f->scale == QBC_SCALE_F16 && f->outer == QBC_SCALE_NONE &&
           f->offset != QBC_OFFSET_MIN && f->group_rows < 2 && f->high - f->low > 2;
}

static bool any(const float *h, int n)
{
    bool found = false;
    for (int i = 0; h && i < n; ++i)
        found = found || h[i] > 0;
    return found;
}

bool qbc_fit_quick_unit(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t unit, int n, const float *w,
                        const float *h, int64_t *bad)
{
    if (!is_quick(b->format))
        return false;
    struct qbc_group g = {.format = b->format, .w = w, .n = n, .h = any(h, n) ? h : NULL};
    *bad = fit_group(how, b, &g, row * b->groups + unit);
    return true;
}

int64_t qbc_format_fit_weighted(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w,
                                const float *h)
{
    bool is_float = b->format->codebook == QBC_CODE_FLOAT;
    if (qbc_is_composite(b->format))
        return qbc_fit_composite(how, b, row, n, w, h);
    if (!is_float && (h || !is_quick(b->format)))
        return qbc_fit_leaf(how, b, row, n, w, h);
    for (int64_t r = 0; r < n; ++r) {
        const float *from = w + r * b->cols;
        int64_t bad = is_float ? fit_float_row(b, row + r, from) : fit_row(how, b, row + r, from);
        if (bad >= 0)
            return r * b->cols + bad;
    }
    return -1;
}

int64_t qbc_format_fit(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w)
{
    return qbc_format_fit_weighted(how, b, row, n, w, NULL);
}
