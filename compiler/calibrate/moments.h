/* moments.h: second moments of what the products of a stage read, H = 2/T sum x^T x. */
#ifndef QBC_MOMENTS_H
#define QBC_MOMENTS_H

#include "calibrate.h"

struct qbc_moments;
/* All zero, one a tap. NULL after an error. */
struct qbc_moments *qbc_moments_create(struct qbc *q, const struct qbc_stage *s);
/* Add what the taps hold, `rows` rows of `tokens` in all, after c->watch saw them; the rows are used up. */
void qbc_moments_add(struct qbc_moments *m, const struct qbc_stage *s, int64_t rows, int64_t tokens,
                     const struct qbc_calibration *c);
/* From sums to H's that the fit can find (hessians.h), and to c->peaks. False after an error. */
bool qbc_moments_keep(struct qbc *q, struct qbc_calibration *c, const struct qbc_stage *s, struct qbc_moments *m);
void qbc_moments_destroy(struct qbc_moments *m, size_t n_taps);

#endif
