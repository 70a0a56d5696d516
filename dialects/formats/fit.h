/* fit.h: what the two fits share. One group of one row at a time. */
#ifndef QBC_FIT_H
#define QBC_FIT_H

#include "format.h"

struct qbc_group {
    const struct qbc_format *format;
    const float *w;   /* [n], n <= QBC_MAX_GROUP; all finite */
    int n;
    float extreme;    /* the weight of largest magnitude, with its sign; negative in a tie */
    float least, most; /* range of the weights, extended to contain 0 */
    const float *h;    /* [n] weights of the squared errors; NULL: all alike */
};

/* What a group stores beside its codes. */
struct qbc_params {
    uint16_t scale; /* f16 bits; never -0 */
    int zero;       /* code of the value 0: the zero point, or the format's bias */
};

/* f16 bits of a scale: what underflows is +0. */
uint16_t qbc_fit_scale(float scale);

/* qbc_fit_unit for formats with one f16 scale a group of whole numbers; false: this is another. *bad is its result. */
bool qbc_fit_quick_unit(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t unit, int n, const float *w,
                        const float *h, int64_t *bad);

/* fit_power.c: the parameters of least sum h |error|^2.4 near the plain ones. */
struct qbc_params qbc_fit_power(const struct qbc_group *g, struct qbc_params plain);

/* fit_range.c: the parameters of least squared error near the plain ones. */
struct qbc_params qbc_fit_range(const struct qbc_group *g, struct qbc_params plain);

#endif
