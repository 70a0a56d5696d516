/* kernel_reference.h: what kernels must compute, slow and obvious, in f64 where f32 would round.
 *
 * Results carry `size`, the sum of the magnitudes of all terms, from which a bound on the error of any
 * order of f32 additions follows: with n roundings on the way of a term, |error| <= n * 2^-24 * size
 * (Higham, Accuracy and Stability of Numerical Algorithms, 3.1; n * 2^-24 is small enough for the
 * bound's denominator to be 1 here, to the factor that SLACK has).
 */
#ifndef KERNEL_REFERENCE_H
#define KERNEL_REFERENCE_H

#include "check.h"
#include "formats/derive.h"
#include "half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REFERENCE_RUN = 32 }; /* columns that share an activation's scale: docs/numerics.md, rule 10 */

struct reference_sum {
    double value, size;
    bool exact; /* f32 has nothing to round */
};

static const double reference_unit = 0x1p-24; /* half a unit in the last place of 1 */

/* --- activations, bit for bit: docs/numerics.md, rules 10 and 11. gcc and clang do not fuse here. */

static inline float reference_quantize(const float *x, int64_t n, int8_t *codes)
{
    float amax = 0;
    bool finite = true;
    memset(codes, 0, REFERENCE_RUN);
    for (int64_t i = 0; i < n; ++i) {
        finite = finite && isfinite(x[i]);
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    }
    if (!finite)
        return NAN;
    if (amax < 0x1p-100f)
        return 0;
    volatile float inverse = 127 / amax, one_127th = 1.0f / 127;
    for (int64_t i = 0; i < n; ++i) {
        volatile float scaled = x[i] * inverse;
        codes[i] = (int8_t)rintf(scaled);
    }
    return amax * one_127th;
}

struct reference_row {
    int8_t *codes; /* [runs * REFERENCE_RUN] */
    float *scales; /* [runs] */
    int64_t runs;
};

static inline struct reference_row reference_row(const float *x, int64_t n)
{
    int64_t runs = (n + REFERENCE_RUN - 1) / REFERENCE_RUN;
    struct reference_row r = {calloc((size_t)runs, REFERENCE_RUN), calloc((size_t)runs, sizeof(float)), runs};
    for (int64_t i = 0; i < runs; ++i) {
        int64_t rest = n - i * REFERENCE_RUN;
        r.scales[i] = reference_quantize(x + i * REFERENCE_RUN, rest < REFERENCE_RUN ? rest : REFERENCE_RUN,
                                         r.codes + i * REFERENCE_RUN);
    }
    return r;
}

static inline void reference_row_free(struct reference_row *r)
{
    free(r->codes);
    free(r->scales);
}

/* --- weights: a row as the reference decoder has it
 *
 * A kernel need not make the weight itself: it may multiply the parts that it is a sum of (scale * level, a minimum,
 * each plane). `size` has the sum of their magnitudes. All parts are multiples of 2^low.
 */

struct reference_weights {
    float *value, *size; /* [cols] */
    int low;
};

enum { REFERENCE_NO_BIT = 1 << 12 }; /* of 0, which is a multiple of everything */

/* x is an odd multiple of 2^that. */
static inline int reference_lowest_bit(double x)
{
    enum { FRACTION = 52, LEAST = -1074 };
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> FRACTION & 0x7ff);
    uint64_t fraction = bits & ((UINT64_C(1) << FRACTION) - 1);
    fraction |= (uint64_t)(exponent > 0) << FRACTION;
    int low = LEAST + (exponent ? exponent - 1 : 0);
    if (x == 0 || !isfinite(x))
        return REFERENCE_NO_BIT;
    for (; fraction % 2 == 0; fraction /= 2)
        ++low;
    return low;
}

static inline void reference_add_part(struct reference_weights *w, int64_t col, double part)
{
    int low = reference_lowest_bit(part);
    w->size[col] += (float)fabs(part);
    w->low = low < w->low ? low : w->low;
}

static inline void reference_add_parts(const struct qbc_blocks *b, int64_t row, int64_t col,
                                       struct reference_weights *w)
{
    const struct qbc_format *f = b->format;
    bool planes = f->codebook == QBC_CODE_PLANES, has_min = f->offset == QBC_OFFSET_MIN;
    int64_t group = col / f->group;
    double min = has_min ? (double)qbc_group_min(b, row, group) : 0;
    int scale = reference_lowest_bit(f->codebook <= QBC_CODE_TABLE && f->codebook != QBC_CODE_FLOAT
                                         ? (double)qbc_group_scale(b, row, group, 0)
                                         : 0);
    w->low = scale < w->low ? scale : w->low; /* a level times the scale may have been rounded, which hides it */
    if (has_min)
        reference_add_part(w, col, min);
    if (!planes)
        reference_add_part(w, col, (double)w->value[col] - min);
    int code = planes ? b->codes[qbc_code_index(b, row, col)] : 0;
    for (int k = 0; k < f->planes; ++k, code /= f->plane_base) {
        double scale = (double)qbc_group_scale(b, row, group, k);
        reference_add_part(w, col, scale * (f->plane_step * (code % f->plane_base)));
        reference_add_part(w, col, scale * f->plane_low);
    }
}

static inline struct reference_weights reference_weights(const struct qbc_blocks *b, int64_t row)
{
    struct reference_weights w = {calloc((size_t)b->cols, sizeof(float)), calloc((size_t)b->cols, sizeof(float)),
                                  REFERENCE_NO_BIT};
    qbc_format_decode_rows(b, row, 1, w.value);
    for (int64_t col = 0; col < b->cols; ++col)
        reference_add_parts(b, row, col, &w);
    return w;
}

static inline void reference_weights_free(struct reference_weights *w)
{
    free(w->value);
    free(w->size);
}

/* --- products */

/* What a product reads, in f64: codes times their scales, or the floats themselves. All are multiples of 2^low. */
struct reference_input {
    double *value; /* [n] */
    int64_t n;
    int low;
};

static inline struct reference_input reference_input(const float *x, int64_t n, bool quantized)
{
    struct reference_input in = {calloc((size_t)n, sizeof(double)), n, REFERENCE_NO_BIT};
    struct reference_row row = reference_row(x, n);
    for (int64_t i = 0; i < n; ++i) {
        in.value[i] = quantized ? (double)row.scales[i / REFERENCE_RUN] * row.codes[i] : (double)x[i];
        int low = reference_lowest_bit(in.value[i]);
        in.low = low < in.low ? low : in.low;
    }
    reference_row_free(&row);
    return in;
}

static inline void reference_input_free(struct reference_input *in)
{
    free(in->value);
}

/* `exact`: f32 additions of the parts cannot round, in any order: they are multiples of one number, and together
 * less than 2^24 of it. */
static inline struct reference_sum reference_product(const struct reference_weights *w, const struct reference_input *x)
{
    struct reference_sum sum = {0};
    for (int64_t i = 0; i < x->n; ++i) {
        sum.value += (double)w->value[i] * x->value[i];
        sum.size += (double)w->size[i] * fabs(x->value[i]);
    }
    sum.exact = isfinite(sum.size) && sum.size < ldexp(1, 24 + w->low + x->low);
    return sum;
}

/* --- comparing
 *
 * How often is a part of a weight, times its activation, rounded on the way into the sum? Its factor: four times at most
 * for a scale under an outer one, a floor and a unit, once each for the activation's scale and for the whole number that
 * they multiply; as often in the decoder, where weights are rounded too. And once for each addition after it: of all
 * columns where codes are multiplied as floats; else the products of the columns that share both scales are whole numbers
 * below 2^24 and exact, so there is an addition for each of these spans, and one for the group that they are in.
 */
static inline double reference_roundings(const struct qbc_format *f, int64_t cols, bool by_columns)
{
    enum { FACTORS = 12 };
    int span = f->group < REFERENCE_RUN ? f->group : REFERENCE_RUN;
    int parts = 1 + f->planes + (f->offset == QBC_OFFSET_MIN);
    double spans = (double)((cols + f->group - 1) / f->group * f->group / span);
    return FACTORS + parts * (by_columns ? (double)cols : 2 * spans);
}

/* Both no number, or within `roundings` of the reference, or exactly the same. */
static inline bool reference_agrees(float got, struct reference_sum want, double roundings)
{
    static const double slack = 1.01, least = 0x1p-149 * 0x1p20; /* a scale that underflows, times a whole number */
    if (!isfinite(want.value))
        return isnan(got) ? isnan(want.value) : (double)got == want.value;
    if (want.exact)
        return (double)got == want.value;
    return fabs((double)got - want.value) <= roundings * (reference_unit * want.size * slack + least);
}

#endif
