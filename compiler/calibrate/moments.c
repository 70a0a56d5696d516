/* moments: see moments.h. f32 within a window, f64 over them. */
#include "moments.h"
#include "hessians.h"
#include "linear_algebra.h"

#include <stdlib.h>
#include <string.h>

struct qbc_moments {
    double *sum;  /* [cols][cols], its upper triangle */
    float *part;  /* of one window */
    int64_t cols;
};

struct adding {
    const struct qbc_stage *stage;
    struct qbc_moments *moments; /* [n_taps] */
    int64_t rows;
    float alpha;
    const struct qbc_calibration *calibration;
};

/* Of one window. Rows of a tap are padded: where that matters they are moved together first. */
static void add_window(const struct adding *a, size_t i)
{
    const struct qbc_tap *tap = &a->stage->taps[i];
    struct qbc_moments *m = &a->moments[i];
    int64_t stride = qbc_stage_stride(tap->cols), n = tap->cols;
    float *x = (float *)(void *)(a->stage->state + tap->offset);
    for (int64_t r = 1; r < a->rows && stride != n; ++r)
        memmove(x + r * n, x + r * stride, (size_t)n * sizeof *x);
    if (a->calibration->watch)
        a->calibration->watch(a->calibration->user, tap, x, a->rows);
    memset(m->part, 0, (size_t)(n * n) * sizeof *m->part);
    qbc_add_gram(a->rows, n, a->alpha, x, m->part);
    for (int64_t r = 0; r < n; ++r)
        for (int64_t c = r; c < n; ++c)
            m->sum[r * n + c] += (double)m->part[r * n + c];
}

static void add_share(void *user, int64_t thread)
{
    const struct adding *a = user;
    for (size_t i = (size_t)thread; i < a->stage->n_taps; i += (size_t)a->calibration->threads.threads)
        add_window(a, i);
}

void qbc_moments_destroy(struct qbc_moments *m, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        free(m[i].sum);
        free(m[i].part);
    }
}

struct qbc_moments *qbc_moments_create(struct qbc *q, const struct qbc_stage *s)
{
    struct qbc_moments *m = qbc_alloc(q, (s->n_taps + 1) * sizeof *m);
    for (size_t i = 0; i < s->n_taps; ++i) {
        size_t n = (size_t)s->taps[i].cols;
        m[i] = (struct qbc_moments){calloc(n * n, sizeof(double)), malloc(n * n * sizeof(float)), (int64_t)n};
        if (!m[i].sum || !m[i].part) {
            qbc_error_in(q, "calibration", "there is no memory for the second moments of %zu channels", n);
            qbc_moments_destroy(m, i + 1);
            return NULL;
        }
    }
    return m;
}

bool qbc_moments_keep(struct qbc *q, const struct qbc_stage *s, const struct qbc_moments *m)
{
    for (size_t i = 0; i < s->n_taps; ++i) {
        int64_t n = m[i].cols;
        float *h = qbc_hessian_create(q, n);
        if (!h)
            return false;
        for (int64_t r = 0; r < n; ++r)
            for (int64_t c = r; c < n; ++c)
                h[r * n + c] = h[c * n + r] = (float)m[i].sum[r * n + c];
        for (size_t w = 0; w < s->taps[i].n_weights; ++w)
            qbc_hessian_name(q, s->taps[i].weights[w], h, n);
        qbc_hessian_release(h, n);
    }
    return true;
}

void qbc_moments_add(struct qbc_moments *m, const struct qbc_stage *s, int64_t rows, int64_t tokens,
                     const struct qbc_calibration *c)
{
    struct adding a = {s, m, rows, 2 / (float)tokens, c};
    c->threads.run(c->threads.context, add_share, &a);
}
