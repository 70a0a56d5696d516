/* measure: the KL divergence of the model with one tensor rounded, for some formats of each tensor; for the others what
 * GPTQ says about squared errors, in nats by the ones measured beside it.
 *
 * One walk over the stages. A variant is the model with one tensor in one format: it leaves the float model where its
 * tensor is, and from there on has values of its own, which wait for the next stage like those of all others. So a stage
 * is loaded once for all of them.
 */
#include "measure.h"
#include "fit_item.h"
#include "resume.h"
#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ANCHORS = 4, MOST_WINDOWS = 4 };
static const double MOST_WORK = 1e13; /* multiplications: about a minute a core */

struct variant {
    struct qbc_item *item;
    struct qbc_candidate *candidate;
    float *rows; /* [windows][length][cols] before the next stage */
    double divergence; /* sum over tokens */
};

struct measuring {
    struct qbc *q;
    struct qbc_calibration *c;
    struct qbc_items *items;
    struct variant *variants;
    size_t n_variants, done, total;
    float *logits, *dense;
    double *entropy; /* [windows][length] of the float model */
    bool *begun; /* [items] its first stage is behind */
};

size_t qbc_measure_windows(const struct qbc_items *items, size_t length, size_t *anchors)
{
    double weights = 0, free_items = 0;
    for (size_t i = 0; i < items->n; ++i) {
        weights += (double)items->item[i].view.rows * (double)items->item[i].view.cols;
        free_items += !items->item[i].pinned;
    }
    size_t windows = MOST_WINDOWS;
    *anchors = MOST_ANCHORS;
    while (*anchors > 1 && weights * free_items * (double)(*anchors * windows * length) / 2 > MOST_WORK)
        --*anchors;
    while (windows > 1 && weights * free_items * (double)(windows * length) / 2 > MOST_WORK)
        windows /= 2;
    return windows;
}

/* --- KL divergence of logits, rows by threads */

struct scoring {
    const float *want; /* probabilities of the float model; NULL: `got` becomes them */
    const double *entropy; /* [rows] sum p log p */
    float *got;
    double *got_entropy;
    int64_t rows, vocab, threads;
    double *sums; /* [threads] */
};

static void score_share(void *user, int64_t thread)
{
    const struct scoring *s = user;
    double total = 0;
    for (int64_t r = thread; r < s->rows; r += s->threads) {
        float *got = s->got + r * s->vocab;
        double norm = qbc_log_norm(got, s->vocab);
        if (s->want) {
            total += s->entropy[r] - qbc_expectation(s->want + r * s->vocab, got, s->vocab, norm);
            continue;
        }
        s->got_entropy[r] = 0;
        for (int64_t i = 0; i < s->vocab; ++i) {
            double logarithm = (double)got[i] - norm;
            got[i] = (float)exp(logarithm);
            s->got_entropy[r] += (double)got[i] * logarithm;
        }
    }
    s->sums[thread] = total;
}

/* Of one window: its divergence, summed over tokens; or, where the float model itself is `got`, its probabilities. */
static double score(struct measuring *m, size_t window, float *got, bool is_reference)
{
    int64_t threads = m->c->threads.threads, rows = (int64_t)m->c->windows.length, vocab = m->c->stages.vocab;
    double sums[1024] = {0}, total = 0, *entropy = m->entropy + (int64_t)window * rows;
    struct scoring s = {is_reference ? NULL : m->c->logits + (int64_t)window * rows * vocab, entropy, got, entropy, rows, vocab,
                        threads, sums};
    m->c->threads.run(m->c->threads.context, score_share, &s);
    for (int64_t i = 0; i < threads; ++i)
        total += sums[i];
    return total;
}

/* --- one stage */

static bool out_of_memory(struct qbc *q, const void *memory)
{
    if (!memory)
        qbc_error_in(q, "calibration", "there is no memory to measure with");
    return !memory;
}

static bool is_last(const struct measuring *m, const struct qbc_stage *s)
{
    return s == &m->c->stages.stage[m->c->stages.n - 1];
}

/* All windows of `rows` (NULL: token ids) through a stage; v->rows becomes what comes out, or its divergence is summed. */
static bool pass_through(struct measuring *m, struct qbc_stage *s, const float *rows, struct variant *v)
{
    size_t length = m->c->windows.length, n = m->c->n_measure;
    float *out = is_last(m, s) ? NULL : malloc(n * length * (size_t)s->out_cols * sizeof *out);
    if (!is_last(m, s) && out_of_memory(m->q, out))
        return false;
    for (size_t w = 0; w < n; ++w) {
        float *to = out ? out + w * length * (size_t)s->out_cols : m->logits;
        qbc_stage_run(s, &m->c->threads, m->c->windows.ids + w * length,
                      rows ? rows + w * length * (size_t)s->in_cols : NULL, (int64_t)length, to);
        if (!out)
            v->divergence += score(m, w, m->logits, false);
    }
    free(v->rows);
    v->rows = out;
    qbc_progress(m->q, "measuring", ++m->done, m->total);
    return !qbc_stop(m->q);
}

static bool has(const struct qbc_stage *s, const char *weight)
{
    const struct qbc_artifact_weights *section = &s->described->section;
    for (size_t i = 0; i < section->n_tensors; ++i)
        if (!strcmp(section->tensors[i].name, weight))
            return true;
    return false;
}

static bool patch_float(struct measuring *m, struct qbc_stage *s, const struct qbc_item *item)
{
    qbc_view_read(&item->view, 0, item->view.rows, m->dense);
    return qbc_stage_patch(s, item->name, m->dense);
}

static bool patch_rounded(struct measuring *m, struct qbc_stage *s, const struct variant *v, const struct qbc_sweep *sweep)
{
    return qbc_item_decoded(m->q, v->item, sweep, v->candidate->format, &m->c->threads, m->dense) &&
           qbc_stage_patch(s, v->item->name, m->dense);
}

/* Variants that left the float model before. A tensor that is in this stage too is rounded here as well. */
static bool carry(struct measuring *m, struct qbc_stage *s)
{
    bool good = true;
    for (size_t i = 0; i < m->n_variants && good; ++i) {
        struct variant *v = &m->variants[i];
        struct qbc_sweep sweep;
        bool again = has(s, v->item->name);
        good = !again || (qbc_item_sweep(m->q, v->item, &sweep) && patch_rounded(m, s, v, &sweep));
        good = good && pass_through(m, s, v->rows, v) && (!again || patch_float(m, s, v->item));
        if (again)
            qbc_sweep_destroy(&sweep);
    }
    return good;
}

/* The variants of one tensor leave here. */
static bool leave(struct measuring *m, struct qbc_stage *s, size_t anchors, struct qbc_item *item)
{
    struct qbc_candidate **chosen = qbc_alloc(m->q, (item->n + 1) * sizeof *chosen);
    const float *before = m->c->before[s - m->c->stages.stage];
    struct qbc_sweep sweep;
    if (!qbc_item_sweep(m->q, item, &sweep))
        return false;
    bool good = qbc_item_losses(m->q, item, &sweep, &m->c->threads);
    size_t n = good && !item->pinned ? qbc_choose_anchors(item, anchors, chosen) : 0;
    for (size_t i = 0; i < n && good; ++i) {
        struct variant *v = &m->variants[m->n_variants++];
        *v = (struct variant){item, chosen[i], NULL, 0};
        good = patch_rounded(m, s, v, &sweep) && pass_through(m, s, before, v);
    }
    qbc_sweep_destroy(&sweep);
    return good && patch_float(m, s, item);
}

/* The float model's own probabilities. */
static bool score_float(struct measuring *m, struct qbc_stage *s)
{
    size_t length = m->c->windows.length, vocab = (size_t)m->c->stages.vocab;
    const float *before = m->c->before[m->c->stages.n - 1];
    m->c->logits = malloc(m->c->n_measure * length * vocab * sizeof *m->c->logits);
    if (out_of_memory(m->q, m->c->logits))
        return false;
    for (size_t w = 0; w < m->c->n_measure; ++w) {
        float *to = m->c->logits + w * length * vocab;
        qbc_stage_run(s, &m->c->threads, m->c->windows.ids + w * length,
                      before ? before + w * length * (size_t)s->in_cols : NULL, (int64_t)length, to);
        score(m, w, to, true);
    }
    return true;
}

static bool do_stage(struct measuring *m, struct qbc_stage *s, size_t anchors)
{
    bool good = qbc_stage_load(m->q, &m->c->stages, s) && (!is_last(m, s) || score_float(m, s)) && carry(m, s);
    for (size_t i = 0; i < m->items->n && good; ++i)
        if (!m->begun[i] && has(s, m->items->item[i].name)) {
            m->begun[i] = true;
            good = leave(m, s, anchors, &m->items->item[i]);
        }
    qbc_stage_unload(s);
    return good;
}

/* --- from squared errors to nats */

static void convert(struct measuring *m)
{
    struct qbc_candidate *anchors[MOST_ANCHORS + 1];
    double tokens = (double)(m->c->n_measure * m->c->windows.length);
    for (size_t i = 0; i < m->n_variants; ++i) {
        double nats = m->variants[i].divergence / tokens;
        m->variants[i].candidate->measured = nats > 0 ? nats : 0;
    }
    for (size_t i = 0; i < m->items->n; ++i) {
        struct qbc_item *item = &m->items->item[i];
        size_t n = 0;
        for (size_t v = 0; v < m->n_variants; ++v)
            if (m->variants[v].item == item && n < MOST_ANCHORS)
                anchors[n++] = m->variants[v].candidate;
        qbc_set_losses(item, n, anchors);
    }
}

bool qbc_measure(struct qbc *q, struct qbc_calibration *c, struct qbc_items *items)
{
    struct measuring m = {.q = q, .c = c, .items = items};
    if (qbc_find_losses(q, items))
        return true;
    size_t anchors, most = 0;
    qbc_measure_windows(items, c->windows.length, &anchors);
    m.variants = qbc_alloc(q, (items->n * anchors + 1) * sizeof *m.variants);
    m.entropy = qbc_alloc(q, (c->n_measure * c->windows.length + 1) * sizeof *m.entropy);
    m.begun = qbc_alloc(q, items->n + 1);
    for (size_t i = 0; i < items->n; ++i) {
        size_t size = (size_t)(items->item[i].view.rows * items->item[i].view.cols);
        most = size > most ? size : most;
        m.total += items->item[i].pinned ? 0 : anchors * c->stages.n / 2;
    }
    m.dense = malloc((most + 1) * sizeof *m.dense);
    m.logits = malloc(c->windows.length * (size_t)c->stages.vocab * sizeof *m.logits);
    bool good = !out_of_memory(q, m.dense) && !out_of_memory(q, m.logits);
    for (size_t i = 0; i < c->stages.n && good; ++i)
        good = do_stage(&m, &c->stages.stage[i], anchors);
    if (good)
        convert(&m);
    if (good)
        qbc_keep_losses(q, items);
    for (size_t i = 0; i < m.n_variants; ++i)
        free(m.variants[i].rows);
    free(m.dense);
    free(m.logits);
    return good;
}
