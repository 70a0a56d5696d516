/* calibrate: show the float model a text, stage by stage.
 *
 * All windows go through a stage before the next one is loaded. What a product reads is left in taps; its second moments
 * are summed, H = 2/T sum x^T x: f32 within a window, f64 over them.
 */
#include "calibrate.h"
#include "hessians.h"
#include "linear_algebra.h"
#include "own_text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 256, MOST_TOKENS = 16384 };

/* --- threads */

static bool open_pool(struct qbc *q, struct qbc_calibration *c)
{
    int threads = q->options.threads > 0 ? q->options.threads : qbrt_cores();
    struct qbrt_pool *pool;
    size_t bytes = qbrt_pool_size(threads);
    c->pool = aligned_alloc(QBRT_ALIGN, (bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN);
    if (!c->pool || qbrt_pool_create(threads, c->pool, bytes, &pool)) {
        free(c->pool);
        c->pool = NULL;
        qbc_error_in(q, "calibration", "the system refuses %d threads", threads);
        return false;
    }
    c->threads = qbrt_pool_parallel(pool);
    return true;
}

/* --- second moments of one stage */

struct moments {
    double *sum;  /* [cols][cols], its upper triangle */
    float *part;  /* of one window */
    int64_t cols;
};

struct adding {
    const struct qbc_stage *stage;
    struct moments *moments; /* [n_taps] */
    int64_t rows;
    float alpha;
    int64_t threads;
    const struct qbc_calibration *calibration;
};

/* Of one window. Rows of a tap are padded: where that matters they are moved together first. */
static void add_window(const struct adding *a, size_t i)
{
    const struct qbc_tap *tap = &a->stage->taps[i];
    struct moments *m = &a->moments[i];
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
    for (size_t i = (size_t)thread; i < a->stage->n_taps; i += (size_t)a->threads)
        add_window(a, i);
}

static void free_moments(struct moments *m, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        free(m[i].sum);
        free(m[i].part);
    }
}

static bool create_moments(struct qbc *q, const struct qbc_stage *s, struct moments *m)
{
    for (size_t i = 0; i < s->n_taps; ++i) {
        size_t n = (size_t)s->taps[i].cols;
        m[i] = (struct moments){calloc(n * n, sizeof(double)), malloc(n * n * sizeof(float)), (int64_t)n};
        if (!m[i].sum || !m[i].part) {
            qbc_error_in(q, "calibration", "there is no memory for the second moments of %zu channels", n);
            free_moments(m, i + 1);
            return false;
        }
    }
    return true;
}

/* From sums to H's that the fit can find. */
static bool keep_moments(struct qbc *q, const struct qbc_stage *s, const struct moments *m)
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

/* --- one stage after the other */

struct flow {
    float *in, *out; /* [windows][length][cols] */
};

static bool run_stage(struct qbc *q, struct qbc_calibration *c, struct qbc_stage *s, struct flow *f)
{
    size_t n = c->windows.n, length = c->windows.length, last = (size_t)(s - c->stages.stage) + 1 == c->stages.n;
    float *out = malloc((last ? 1 : n) * length * (size_t)s->out_cols * sizeof *out);
    struct moments *m = qbc_alloc(q, (s->n_taps + 1) * sizeof *m);
    if (!out || !create_moments(q, s, m)) {
        if (!out)
            qbc_error_in(q, "calibration", "there is no memory for %zu tokens", n * length);
        free(out);
        return false;
    }
    /* Codes fitted to the very tokens that they are measured on would look too good: those are kept out, where enough is left. */
    size_t held_out = n >= 4 * c->n_measure ? c->n_measure : 0;
    struct adding a = {s, m, (int64_t)length, 2 / (float)((n - held_out) * length), c->threads.threads, c};
    for (size_t w = 0; w < n && !qbc_stop(q); ++w) {
        float *to = out + (last ? 0 : w * length * (size_t)s->out_cols);
        qbc_progress(q, "calibrating", (size_t)(s - c->stages.stage) * n + w, c->stages.n * n);
        qbc_stage_run(s, &c->threads, c->windows.ids + w * length, f->in ? f->in + w * length * (size_t)s->in_cols : NULL,
                      (int64_t)length, to);
        if (w >= held_out)
            c->threads.run(c->threads.context, add_share, &a);
    }
    bool good = !q->stopped && keep_moments(q, s, m);
    free_moments(m, s->n_taps);
    f->out = out;
    return good;
}

/* The values before a stage, of the first windows, for measurements. */
static bool remember(struct qbc *q, struct qbc_calibration *c, size_t i, const float *in)
{
    size_t n = c->n_measure * c->windows.length * (size_t)c->stages.stage[i].in_cols;
    c->before[i] = n ? malloc(n * sizeof **c->before) : NULL;
    if (n && !c->before[i]) {
        qbc_error_in(q, "calibration", "there is no memory for %zu tokens", c->windows.length * c->n_measure);
        return false;
    }
    if (n)
        memcpy(c->before[i], in, n * sizeof *in);
    return true;
}

static bool run(struct qbc *q, struct qbc_calibration *c)
{
    struct flow f = {NULL};
    bool good = true;
    for (size_t i = 0; i < c->stages.n && good; ++i) {
        struct qbc_stage *s = &c->stages.stage[i];
        good = remember(q, c, i, f.in) && qbc_stage_load(q, &c->stages, s) && run_stage(q, c, s, &f);
        qbc_stage_unload(s);
        free(f.in);
        f.in = f.out;
        f.out = NULL;
    }
    free(f.in);
    qbc_progress(q, "calibrating", c->stages.n, c->stages.n);
    return good;
}

/* What the user gave, or what the model writes. */
static bool read_text(struct qbc *q, MlirOperation graph, struct qbc_calibration *c)
{
    int64_t context = qbc_int(graph, "qb.context", WINDOW), vocab = qbc_int(graph, "qb.vocab", INT32_MAX);
    size_t window = context < WINDOW ? (size_t)context : WINDOW;
    if (!q->options.calib)
        return qbc_own_text(q, graph, &c->threads, window, MOST_TOKENS, &c->windows);
    return qbc_windows_read(q, "-calib", q->options.calib, qbc_tokenizer_path(q), vocab, window, MOST_TOKENS, &c->windows);
}

bool qbc_calibrate(struct qbc *q, MlirOperation graph, struct qbc_calibration *out)
{
    struct qbc_calibration *c = out;
    size_t measure = c->n_measure;
    *c = (struct qbc_calibration){.n_measure = measure, .watch = c->watch, .user = c->user};
    if (qbc_bool(graph, "qb.whole", false)) {
        qbc_error_in(q, "-calib", "only models that go on with a text can be calibrated so far; this one reads whole texts");
        return false;
    }
    if (!open_pool(q, c) || !read_text(q, graph, c) || !qbc_stages_create(q, graph, (int64_t)c->windows.length, &c->stages)) {
        qbc_calibration_destroy(c);
        return false;
    }
    c->n_measure = measure < c->windows.n ? measure : c->windows.n;
    c->before = qbc_alloc(q, c->stages.n * sizeof *c->before);
    q->calibrated = qbc_text(q, "%s (%016llx): %zu of %zu tokens, windows of %zu", c->windows.name,
                             (unsigned long long)c->windows.hash, c->windows.n * c->windows.length, c->windows.found,
                             c->windows.length);
    if (run(q, c))
        return true;
    qbc_calibration_destroy(c);
    return false;
}

void qbc_calibration_destroy(struct qbc_calibration *c)
{
    for (size_t i = 0; i < c->stages.n && c->before; ++i)
        free(c->before[i]);
    free(c->logits);
    qbc_stages_destroy(&c->stages);
    if (c->pool)
        qbrt_pool_destroy(c->threads.context);
    free(c->pool);
    *c = (struct qbc_calibration){0};
}
