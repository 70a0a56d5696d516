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
#include "format.h"
#include "half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REFERENCE_RUN = 32 }; /* columns that share an activation's scale: docs/numerics.md, rule 10 */

struct reference_sum {
    double value, size;
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

/* --- products */

static inline int reference_zero(const struct qbc_blocks *b, int64_t row, int64_t group)
{
    return b->format->offset == QBC_OFFSET_ZERO ? b->zeros[row * b->groups + group] : b->format->bias;
}

/* Row `row` of blocks times a quantized row: integers are exact within a run. */
static inline struct reference_sum reference_dot(const struct qbc_blocks *b, int64_t row,
                                                 const struct reference_row *x)
{
    struct reference_sum sum = {0, 0};
    const uint8_t *codes = b->codes + row * b->groups * b->format->group;
    for (int64_t run = 0; run < x->runs; ++run) {
        int64_t first = run * REFERENCE_RUN, group = first / b->format->group;
        int zero = reference_zero(b, row, group), exact = 0;
        for (int64_t i = first; i < first + REFERENCE_RUN; ++i)
            exact += (codes[i] - zero) * x->codes[i];
        double scale = (double)qbc_half_to_float(b->scales[row * b->groups + group]) * (double)x->scales[run];
        sum.value += scale * exact;
        sum.size += fabs(scale * exact);
    }
    return sum;
}

static inline float reference_float(const struct qbc_blocks *b, int64_t i)
{
    return b->format->bits == 16 ? qbc_half_to_float(((const uint16_t *)b->values)[i])
                                 : ((const float *)b->values)[i];
}

static inline struct reference_sum reference_float_dot(const struct qbc_blocks *b, int64_t row, const float *x)
{
    struct reference_sum sum = {0, 0};
    for (int64_t i = 0; i < b->cols; ++i) {
        double term = (double)reference_float(b, row * b->cols + i) * (double)x[i];
        sum.value += term;
        sum.size += fabs(term);
    }
    return sum;
}

/* --- comparing */

/* Both no number, or within `roundings` of the reference; exactly the same where f32 additions of the
 * terms cannot round, because all of them are multiples of 2^-8 and small together. */
static inline bool reference_agrees(float got, struct reference_sum want, bool multiples, double roundings)
{
    static const double slack = 1.01, least = 0x1p-149;
    if (!isfinite(want.value))
        return isnan(got) ? isnan(want.value) : (double)got == want.value;
    if (multiples && want.size < 0x1p16)
        return (double)got == want.value;
    return fabs((double)got - want.value) <= roundings * (reference_unit * want.size * slack + least);
}

#endif
