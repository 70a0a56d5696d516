/* linear_algebra.h: the few things that a library does better: BLAS and LAPACK (OpenBLAS) behind one door.
 *
 * Matrices are row-major. Each call runs on the thread that makes it; different threads may call at once.
 */
#ifndef QBC_LINEAR_ALGEBRA_H
#define QBC_LINEAR_ALGEBRA_H

#include <stdbool.h>
#include <stdint.h>

/* c [m][n] = alpha a^T b, a [k][m], b [k][n]; lda, ldb: numbers from a row to the next. */
void qbc_transposed_product(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                            int64_t ldb, float *c);
/* c [m][n] -= a [m][k] b [k][n]; lda, ldb, ldc: numbers from a row to the next. */
void qbc_subtract_product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                          float *c, int64_t ldc);
/* a [n][n] symmetric, its upper triangle is read. u [n][n] becomes the upper triangular U with U^T U = a^-1, 0 below the
 * diagonal; f64 inside. False: a is not positive definite, or there is no memory (a is unchanged). */
bool qbc_inverse_factor(int64_t n, const float *a, float *u);

#endif
