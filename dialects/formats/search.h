/* search.h: parameters of some weights that share them: a group, a row, a tensor. fit_leaf.c stores what is found. */
#ifndef QBC_SEARCH_H
#define QBC_SEARCH_H

#include "derive.h"

/* n weights, with the weights of their squared errors; h NULL: all 1. h repeats after `period` weights (0: never). */
struct qbc_samples {
    const float *w, *h;
    int64_t n, period;
};
static inline double qbc_sample_weight(const struct qbc_samples *x, int64_t i)
{
    return x->h ? (double)x->h[x->period ? i % x->period : i] : 1;
}

/* What stands for a weight: scale * level + min. `scale` has the format's unit in it. */
struct qbc_found {
    float scale, min;
    int zero, selector;
    double error; /* sum of h (w - decoded)^2 */
    bool too_large; /* a scale or minimum was beyond the type's numbers */
};

/* `type` is what scale and min will be rounded to (NONE: not at once, they become codes), `outer` what they are multiplied by.
 * The result's scale and min are rounded already. */
struct qbc_found qbc_search(const struct qbc_format *f, enum qbc_fit how, const struct qbc_samples *x,
                            enum qbc_scale type, float outer);
/* The code whose level is nearest to (w - min) / scale; whole numbers are rounded half to even. */
int qbc_nearest_code(const struct qbc_format *f, const struct qbc_found *p, float w);

/* planes.c: scale[planes], min: rounded to `type` and back. */
void qbc_fit_planes(const struct qbc_format *f, enum qbc_fit how, const struct qbc_samples *x, enum qbc_scale type,
                    float *scale, float *min);

#endif
