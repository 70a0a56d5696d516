/* moments: see moments.h. f32 over some windows, which wait for each other; f64 over all of them. The sum of a tap is made in
 * blocks, so that threads have enough to do where one tap is much wider than the others.
 */
#include "moments.h"
#include "hessians.h"
#include "linear_algebra.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 4096, OF_WINDOW = 128, BINS = 64, WAITING = 1024, BLOCK = 256 };

struct qbc_moments {
    double *sum;  /* [cols][cols], its upper triangle */
    float *rows;  /* [WAITING][cols] those that wait */
    int64_t waiting, cols;
    float alpha;
    float most;         /* |x| */
    float sample[SAMPLE]; /* of x, evenly from each window as long as there is room */
    size_t sampled;
};

struct adding {
    const struct qbc_stage *stage;
    struct qbc_moments *moments; /* [n_taps] */
    int64_t rows;
    float alpha;
    const struct qbc_calibration *calibration;
};

/* --- sums of what waits */

/* A block of the sum: from column i of the one side, j >= i of the other. */
static void add_block(struct qbc_moments *m, float alpha, int64_t i, int64_t j)
{
    float block[BLOCK * BLOCK];
    int64_t n = m->cols, height = n - i < BLOCK ? n - i : BLOCK, width = n - j < BLOCK ? n - j : BLOCK;
    qbc_transposed_product(height, width, m->waiting, alpha, m->rows + i, n, m->rows + j, n, block);
    for (int64_t r = 0; r < height; ++r)
        for (int64_t c = 0; c < width; ++c)
            m->sum[(i + r) * n + j + c] += (double)block[r * width + c];
}

static void add_blocks_share(void *user, int64_t thread)
{
    const struct adding *a = user;
    int64_t job = 0, threads = a->calibration->threads.threads;
    for (size_t t = 0; t < a->stage->n_taps; ++t)
        for (int64_t i = 0; i < a->moments[t].cols; i += BLOCK)
            for (int64_t j = i; j < a->moments[t].cols; j += BLOCK)
                if (job++ % threads == thread)
                    add_block(&a->moments[t], a->alpha, i, j);
}

/* All taps have as many rows. */
static void add_waiting(const struct adding *a)
{
    if (!a->stage->n_taps || !a->moments->waiting)
        return;
    a->calibration->threads.run(a->calibration->threads.context, add_blocks_share, (void *)(uintptr_t)a);
    for (size_t t = 0; t < a->stage->n_taps; ++t)
        a->moments[t].waiting = 0;
}

/* --- a window */

static void look_at(struct qbc_moments *m, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        m->most = fabsf(x[i]) > m->most ? fabsf(x[i]) : m->most;
    for (int64_t i = 0; i < OF_WINDOW && m->sampled < SAMPLE; ++i)
        m->sample[m->sampled++] = x[(i * n / OF_WINDOW + i * 7) % n];
}

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
    look_at(m, x, a->rows * n);
    memcpy(m->rows + m->waiting * n, x, (size_t)(a->rows * n) * sizeof *x);
    m->waiting += a->rows;
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
        free(m[i].rows);
    }
}

struct qbc_moments *qbc_moments_create(struct qbc *q, const struct qbc_stage *s)
{
    struct qbc_moments *m = qbc_alloc(q, (s->n_taps + 1) * sizeof *m);
    for (size_t i = 0; i < s->n_taps; ++i) {
        size_t n = (size_t)s->taps[i].cols;
        m[i] = (struct qbc_moments){.sum = calloc(n * n, sizeof(double)), .rows = malloc(n * WAITING * sizeof(float)), .cols = (int64_t)n};
        if (!m[i].sum || !m[i].rows) {
            qbc_error_in(q, "calibration", "there is no memory for the second moments of %zu channels", n);
            qbc_moments_destroy(m, i + 1);
            return NULL;
        }
    }
    return m;
}

static int by_size(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return fabsf(*x) < fabsf(*y) ? -1 : fabsf(*x) > fabsf(*y);
}

static double entropy_of(const struct qbc_moments *m)
{
    size_t count[BINS] = {0};
    double sum = 0;
    float low = 0, high = 0;
    for (size_t i = 0; i < m->sampled; ++i) {
        low = m->sample[i] < low ? m->sample[i] : low;
        high = m->sample[i] > high ? m->sample[i] : high;
    }
    for (size_t i = 0; i < m->sampled && high > low; ++i)
        ++count[(int)((float)(BINS - 1) * (m->sample[i] - low) / (high - low))];
    for (int i = 0; i < BINS; ++i)
        if (count[i])
            sum -= (double)count[i] / (double)m->sampled * log((double)count[i] / (double)m->sampled);
    return sum;
}

static struct qbc_peak peak_of(struct qbc *q, const struct qbc_tap *tap, const struct qbc_moments *m)
{
    float *sorted = qbc_alloc(q, (m->sampled + 1) * sizeof *sorted);
    memcpy(sorted, m->sample, m->sampled * sizeof *sorted);
    qsort(sorted, m->sampled, sizeof *sorted, by_size);
    return (struct qbc_peak){tap->weights, tap->n_weights, tap->cols, (double)m->most,
                             fabs((double)sorted[m->sampled / 2]), entropy_of(m)};
}

bool qbc_moments_keep(struct qbc *q, struct qbc_calibration *c, const struct qbc_stage *s, struct qbc_moments *m)
{
    const struct adding rest = {s, m, 0, m->alpha, c};
    add_waiting(&rest);
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
        c->peaks[c->n_peaks++] = peak_of(q, &s->taps[i], &m[i]);
    }
    return true;
}

void qbc_moments_add(struct qbc_moments *m, const struct qbc_stage *s, int64_t rows, int64_t tokens,
                     const struct qbc_calibration *c)
{
    struct adding a = {s, m, rows, 2 / (float)tokens, c};
    if (s->n_taps && m->waiting + rows > WAITING)
        add_waiting(&a);
    c->threads.run(c->threads.context, add_share, &a);
    m->alpha = a.alpha;
}
