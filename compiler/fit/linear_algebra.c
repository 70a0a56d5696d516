/* linear_algebra: see linear_algebra.h. */
#include "linear_algebra.h"

#include <cblas.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

/* Debian has several builds of OpenBLAS under one name, and whoever runs us chooses. That for threads is told to compute on
 * the thread that calls. The others are not safe to be called by several threads: the one without threads gives two that
 * ask at the same moment the same buffer. There calls wait for each other. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void compute_where_called(void)
{
    openblas_set_num_threads(1);
}

static void enter(void)
{
    pthread_once(&once, compute_where_called);
    if (openblas_get_parallel() != OPENBLAS_THREAD)
        pthread_mutex_lock(&one_at_a_time);
}

static void leave(void)
{
    if (openblas_get_parallel() != OPENBLAS_THREAD)
        pthread_mutex_unlock(&one_at_a_time);
}

/* LAPACK, as Fortran has it: column-major. */
void dpotrf_(const char *triangle, const int *n, double *a, const int *lda, int *info);
void dtrtri_(const char *triangle, const char *diagonal, const int *n, double *a, const int *lda, int *info);

void qbc_transposed_product(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                            int64_t ldb, float *c)
{
    enter();
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, 0, c, (int)n);
    leave();
}

void qbc_subtract_product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                          float *c, int64_t ldc)
{
    enter();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, -1, a, (int)lda, b, (int)ldb, 1, c,
                (int)ldc);
    leave();
}

void spotrf_(const char *triangle, const int *n, float *a, const int *lda, int *info);
void strtri_(const char *triangle, const char *diagonal, const int *n, float *a, const int *lda, int *info);

enum { WIDE = 4096, TILE = 64 };

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Mirrored at the other diagonal, tile by tile: by rows each number would come from a line of its own. */
static void mirror(int64_t n, float *u)
{
    for (int64_t down = 0; down < n; down += TILE)
        for (int64_t across = 0; across + down < n - 1; across += TILE)
            for (int64_t r = down; r < least(down + TILE, n); ++r)
                for (int64_t c = across; c < least(across + TILE, n - 1 - r); ++c) {
                    float *x = &u[r * n + c], *y = &u[(n - 1 - c) * n + n - 1 - r], number = *x;
                    *x = *y;
                    *y = number;
                }
}

/* As below, in f32: of wide matrices, where f64 would take a minute and a gigabyte. False: f32 is not enough for this one. */
static bool inverse_factor_f32(int64_t n, const float *a, float *u)
{
    int size = (int)n, info = 0;
    for (int64_t j = 0; j < n; ++j)
        for (int64_t i = j; i < n; ++i)
            u[j * n + i] = a[(n - 1 - j) * n + (n - 1 - i)]; /* a is symmetric */
    enter();
    spotrf_("L", &size, u, &size, &info);
    if (!info)
        strtri_("L", "N", &size, u, &size, &info);
    leave();
    if (!info)
        mirror(n, u); /* J L^-1 J */
    for (int64_t r = 0; r < n && !info; ++r)
        for (int64_t c = 0; c < n; ++c) {
            u[r * n + c] = c < r ? 0 : u[r * n + c];
            info |= !isfinite(u[r * n + c]);
        }
    return !info;
}

/* With J the matrix that turns the order around, J a J = L L^T, so a = R R^T with R = J L J upper triangular, and U = R^-1:
 * no inverse of a is ever formed. Row-major upper is column-major lower, so both routines work in place. */
bool qbc_inverse_factor(int64_t n, const float *a, float *u)
{
    if (n >= WIDE && inverse_factor_f32(n, a, u))
        return true;
    double *t = malloc((size_t)(n * n) * sizeof *t);
    int size = (int)n, info = t ? 0 : 1;
    /* t is J a J, in LAPACK's view its lower triangle: t(i, j) = t[j * n + i], i >= j, is a[n-1-i][n-1-j], a symmetric */
    for (int64_t j = 0; j < n && t; ++j)
        for (int64_t i = j; i < n; ++i)
            t[j * n + i] = (double)a[(n - 1 - j) * n + (n - 1 - i)];
    enter();
    if (!info)
        dpotrf_("L", &size, t, &size, &info);
    if (!info)
        dtrtri_("L", "N", &size, t, &size, &info);
    leave();
    /* U = J L^-1 J: U[r][c] = L^-1(n-1-r, n-1-c) = t[n-1-c][n-1-r], c >= r */
    for (int64_t r = 0; r < n && !info; ++r)
        for (int64_t c = 0; c < n; ++c)
            u[r * n + c] = c < r ? 0 : (float)t[r * n + c];
    if (!info)
        mirror(n, u);
    free(t);
    return !info;
}
