/* hessians.h: H = 2/T sum x^T x of the inputs of products, from calibration to the fit. They lie in a nameless file, which
 * the system may write out, so that memory does not grow with the number of layers.
 */
#ifndef QBC_HESSIANS_H
#define QBC_HESSIANS_H

#include "base.h"

/* A new H, all zero, f32 [cols][cols]; it belongs to the weights that are named next. NULL after an error, reported. */
float *qbc_hessian_create(struct qbc *q, int64_t cols);
/* Room for n numbers, all zero, in such a file; it goes with the H's. NULL after an error. */
float *qbc_paged(struct qbc *q, size_t n);
size_t qbc_paged_size(size_t n); /* as many numbers as whole pages have, at least n */
/* Numbers that begin a page are not needed for now: their pages may go. */
void qbc_paged_release(const float *data, size_t n);
void qbc_hessian_name(struct qbc *q, const char *weight, const float *h, int64_t cols);
/* The H of a weight's input, or NULL. */
const float *qbc_hessian_find(const struct qbc *q, const char *weight, int64_t cols);
/* Not needed for now: its pages may go. */
void qbc_hessian_release(const float *h, int64_t cols);
void qbc_hessians_destroy(struct qbc *q);

#endif
