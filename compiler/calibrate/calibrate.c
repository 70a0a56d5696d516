/* calibrate: show the float model a text, stage by stage.
 *
 * All windows go through a stage before the next one is loaded. What a product reads is left in taps; its second moments
 * are summed. Windows to judge by go along, up to the last stage, and leave nothing in H.
 */
#include "calibrate.h"
#include "eval.h"
#include "hessians.h"
#include "moments.h"
#include "own_text.h"
#include "recall.h"
#include "resume.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW = 256, MOST_TOKENS = 16384, FEWEST_TOKENS = 4096 };

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

/* --- one stage after the other */

/* A set of windows on its way through the stages. */
struct flow {
    const struct qbc_windows *windows;
    float *in, *out; /* [n][length][cols] before the stage at hand, behind it */
};

struct run {
    struct qbc_calibration *c;
    struct flow learn, eval;
    size_t done, total; /* windows */
};

static size_t rows_of(const struct flow *f)
{
    return f->windows->n * f->windows->length;
}

static bool make_room(struct qbc *q, float **to, size_t numbers)
{
    *to = malloc((numbers + 1) * sizeof **to);
    if (!*to)
        qbc_error_in(q, "calibration", "there is no memory for %zu numbers of the text", numbers);
    return *to;
}

/* `out`: for all windows, or (`reused`) for the one at hand. */
static void run_window(struct run *r, struct qbc_stage *s, const struct flow *f, size_t w, bool reused)
{
    size_t length = f->windows->length;
    float *to = f->out + (reused ? 0 : w * length * (size_t)s->out_cols);
    qbc_stage_run(s, &r->c->threads, f->windows->ids + w * length, f->in ? f->in + w * length * (size_t)s->in_cols : NULL,
                  (int64_t)length, to);
}

/* Windows to learn from. Codes fitted to the very tokens that they are measured on would look too good: those are kept out of
 * H, where enough is left. */
static bool learn(struct qbc *q, struct run *r, struct qbc_stage *s, bool last)
{
    size_t n = r->learn.windows->n, length = r->learn.windows->length;
    if (!n)
        return true;
    size_t held_out = n >= 4 * r->c->n_measure ? r->c->n_measure : 0;
    struct qbc_moments *m = qbc_moments_create(q, s);
    if (!m || !make_room(q, &r->learn.out, (last ? 1 : n) * length * (size_t)s->out_cols)) {
        qbc_moments_destroy(m, m ? s->n_taps : 0);
        return false;
    }
    for (size_t w = 0; w < n && !qbc_stop(q); ++w) {
        qbc_progress(q, "calibrating", r->done++, r->total);
        run_window(r, s, &r->learn, w, last);
        if (w >= held_out)
            qbc_moments_add(m, s, (int64_t)length, (int64_t)((n - held_out) * length), r->c);
    }
    bool good = !q->stopped && (!n || qbc_moments_keep(q, r->c, s, m));
    qbc_moments_destroy(m, s->n_taps);
    return good;
}

/* Windows to judge by: what comes before the last stage is kept for later. */
static bool prepare_eval(struct qbc *q, struct run *r, struct qbc_stage *s)
{
    if (!make_room(q, &r->eval.out, rows_of(&r->eval) * (size_t)s->out_cols))
        return false;
    for (size_t w = 0; w < r->eval.windows->n && !qbc_stop(q); ++w) {
        qbc_progress(q, "calibrating", r->done++, r->total);
        run_window(r, s, &r->eval, w, false);
    }
    return !q->stopped;
}

static void step_on(struct flow *f)
{
    free(f->in);
    f->in = f->out;
    f->out = NULL;
}

/* The values before a stage, of what is measured on. */
static bool remember(struct qbc *q, struct qbc_calibration *c, size_t i, const float *in)
{
    size_t cols = (size_t)c->stages.stage[i].in_cols, window = c->measured * cols, n = c->n_measure * window;
    c->before[i] = n ? qbc_paged(q, n) : NULL;
    if (!c->before[i])
        return !n;
    for (size_t w = 0; w < c->n_measure; ++w)
        memcpy(c->before[i] + w * window, in + w * c->windows.length * cols, window * sizeof *in);
    qbc_paged_release(c->before[i], n);
    return true;
}

static bool run_stage(struct qbc *q, struct run *r, size_t i)
{
    struct qbc_stage *s = &r->c->stages.stage[i];
    bool last = i + 1 == r->c->stages.n;
    bool good = remember(q, r->c, i, r->learn.in) && qbc_stage_load(q, &r->c->stages, s) && learn(q, r, s, last) &&
                (last || prepare_eval(q, r, s));
    qbc_stage_unload(s);
    step_on(&r->learn);
    if (!last)
        step_on(&r->eval);
    return good;
}

/* --- -resume */

static size_t values_behind(const struct qbc_calibration *c, size_t stage, size_t which)
{
    const struct qbc_stage *s = &c->stages.stage[stage];
    const struct qbc_windows *w = which ? &c->eval : &c->windows;
    bool last = stage + 1 == c->stages.n;
    size_t cols = (size_t)(!last ? s->out_cols : which ? s->in_cols : 0); /* what is judged waits before the last stage */
    return w->n * w->length * cols;
}

static void keep(struct qbc *q, const struct run *r, size_t i)
{
    const struct qbc_values behind[] = {{r->learn.in, values_behind(r->c, i, 0)}, {r->eval.in, values_behind(r->c, i, 1)}};
    qbc_keep_stage(q, r->c, i, behind, 2);
}

static bool go_on(struct qbc *q, struct run *r, size_t *first)
{
    struct qbc_values behind[2] = {{NULL}};
    bool good = qbc_find_stages(q, r->c, first, behind, 2, values_behind);
    r->learn.in = behind[0].data;
    r->eval.in = behind[1].data;
    r->done = *first * (r->c->windows.n + r->c->eval.n);
    return good;
}

static bool run(struct qbc *q, struct qbc_calibration *c)
{
    struct run r = {.c = c, .learn.windows = &c->windows, .eval.windows = &c->eval};
    bool good = true;
    r.total = c->stages.n * (c->windows.n + c->eval.n) - c->eval.n;
    size_t first = 0;
    if (!c->watch)
        good = go_on(q, &r, &first);
    for (size_t i = first; i < c->stages.n && good; ++i) {
        good = run_stage(q, &r, i);
        if (good && !c->watch)
            keep(q, &r, i);
    }
    free(r.learn.in);
    c->eval_before = r.eval.in;
    qbc_progress(q, "calibrating", r.total, r.total);
    return good;
}

/* --- texts */

/* A model of a billion weights reads in minutes what one of a million reads in a moment. */
static size_t most_tokens(struct qbc *q, MlirOperation graph)
{
    static const double most_work = 8e12; /* weights times tokens */
    double affordable = most_work / (qbc_matrix_weights(q, graph) + 1);
    return affordable > MOST_TOKENS ? MOST_TOKENS : affordable < FEWEST_TOKENS ? FEWEST_TOKENS : (size_t)affordable;
}

/* What the user gave, or what the model writes. */
static bool read_text(struct qbc *q, MlirOperation graph, struct qbc_calibration *c, const struct qbc_reading *how)
{
    if (!q->options.calib)
        return qbc_own_text(q, graph, &c->threads, how->length, most_tokens(q, graph), &c->windows);
    return qbc_windows_read(q, "-calib", q->options.calib, how, most_tokens(q, graph), &c->windows);
}

static bool read_texts(struct qbc *q, MlirOperation graph, struct qbc_calibration *c)
{
    int64_t context = qbc_int(graph, "qb.context", WINDOW);
    const struct qbc_reading how = {qbc_tokenizer_path(q), qbc_int(graph, "qb.vocab", INT32_MAX),
                                    context < WINDOW ? (size_t)context : WINDOW};
    if (!c->only_judges && !read_text(q, graph, c, &how))
        return false;
    if (!c->judges)
        return true;
    return qbc_eval_read(q, &how, qbc_affordable_tokens(q, graph), &c->windows, &c->eval);
}

static const char *describe(struct qbc *q, const struct qbc_windows *w)
{
    return qbc_text(q, "%s (%016llx): %zu of %zu tokens, windows of %zu", w->name, (unsigned long long)w->hash,
                    w->n * w->length, w->found, w->length);
}

static size_t count_taps(const struct qbc_calibration *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->stages.n; ++i)
        n += c->stages.stage[i].n_taps;
    return n;
}

static bool read_model(struct qbc *q, MlirOperation graph, struct qbc_calibration *c)
{
    size_t longest = c->windows.length > c->eval.length ? c->windows.length : c->eval.length;
    if (q->errors || !qbc_stages_create(q, graph, (int64_t)longest, &c->stages))
        return false;
    c->before = qbc_alloc(q, c->stages.n * sizeof *c->before);
    c->peaks = qbc_alloc(q, (count_taps(c) + 1) * sizeof *c->peaks);
    c->n_peaks = 0;
    if (!run(q, c))
        return false;
    if (!c->watch && !c->only_judges)
        qbc_keep_taps(q, c);
    return true;
}

bool qbc_calibrate(struct qbc *q, MlirOperation graph, struct qbc_calibration *out)
{
    struct qbc_calibration *c = out;
    *c = (struct qbc_calibration){.n_measure = c->n_measure, .measured = c->measured, .judges = c->judges,
                                  .only_judges = c->only_judges, .only_moments = c->only_moments, .watch = c->watch, .user = c->user};
    if (qbc_bool(graph, "qb.whole", false)) {
        qbc_error_in(q, "-calib", "only models that go on with a text can be calibrated so far; this one reads whole texts");
        return false;
    }
    if (open_pool(q, c) && read_texts(q, graph, c)) {
        c->n_measure = c->n_measure < c->windows.n ? c->n_measure : c->windows.n;
        c->measured = c->measured < c->windows.length ? c->measured : c->windows.length;
        q->calibrated = c->only_judges ? NULL : describe(q, &c->windows);
        q->judged = c->judges ? describe(q, &c->eval) : NULL;
        if ((c->only_moments && !c->judges && !c->watch && qbc_recall_taps(q, c)) || read_model(q, graph, c))
            return true;
    }
    qbc_calibration_destroy(c);
    return false;
}

void qbc_calibration_forget(struct qbc_calibration *c)
{
    free(c->logits);
    c->before = NULL;
    c->logits = NULL;
}

void qbc_calibration_destroy(struct qbc_calibration *c)
{
    qbc_calibration_forget(c);
    free(c->eval_before);
    qbc_stages_destroy(&c->stages);
    if (c->pool)
        qbrt_pool_destroy(c->threads.context);
    free(c->pool);
    *c = (struct qbc_calibration){0};
}
