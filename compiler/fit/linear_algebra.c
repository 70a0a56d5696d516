/* linear_algebra: see linear_algebra.h. */
#include "linear_algebra.h"

#include <cblas.h>
#include <stdlib.h>

/* LAPACK, as Fortran has it: column-major. */
void dpotrf_(const char *triangle, const int *n, double *a, const int *lda, int *info);
void dtrtri_(const char *triangle, const char *diagonal, const int *n, double *a, const int *lda, int *info);

void qbc_add_gram(int64_t rows, int64_t n, float alpha, const float *x, float *c)
{
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)n, (int)rows, alpha, x, (int)n, 1, c, (int)n);
}

void qbc_subtract_product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                          float *c, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, -1, a, (int)lda, b, (int)ldb, 1, c,
                (int)ldc);
}

/* With J the matrix that turns the order around, J a J = L L^T, so a = R R^T with R = J L J upper triangular, and U = R^-1:
 * no inverse of a is ever formed. Row-major upper is column-major lower, so both routines work in place. */
bool qbc_inverse_factor(int64_t n, const float *a, float *u)
{
    double *t = malloc((size_t)(n * n) * sizeof *t);
    int size = (int)n, info = t ? 0 : 1;
    /* t is J a J, in LAPACK's view its lower triangle: t(i, j) = t[j * n + i], i >= j, is a[n-1-i][n-1-j] */
    for (int64_t j = 0; j < n && t; ++j)
        for (int64_t i = j; i < n; ++i)
            t[j * n + i] = (double)a[(n - 1 - i) * n + (n - 1 - j)];
    if (!info)
        dpotrf_("L", &size, t, &size, &info);
    if (!info)
        dtrtri_("L", "N", &size, t, &size, &info);
    /* U = J L^-1 J: U[r][c] = L^-1(n-1-r, n-1-c), c >= r */
    for (int64_t r = 0; r < n && !info; ++r)
        for (int64_t c = 0; c < n; ++c)
            u[r * n + c] = c < r ? 0 : (float)t[(n - 1 - c) * n + (n - 1 - r)];
    free(t);
    return !info;
}
