/* measure: what the model loses with single tensors, blocks, or pairs of tensors rounded; for other formats what the metric says of
 * a tensor alone, in nats by what was measured beside it.
 *
 * First every tensor alone, in every format (fit_item.h). Then one walk over the stages. A trial leaves the float model where
 * its first tensor is, and from there on has values of its own, which wait for the next stage like those of all others, in a
 * file: there are more of them the more layers there are. So a stage is loaded once for all of them.
 */
#include "fit_item.h"
#include "hessians.h"
#include "resume.h"
#include "trials.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ANCHORS = 4, MOST_WINDOWS = 4, FEWEST_TOKENS = 64 };
static const double MOST_WORK = 1e13; /* multiplications: about a minute a core */

struct measuring {
    struct qbc *q;
    struct qbc_calibration *c;
    struct qbc_trials trials;
    struct qbc_reference reference;
    size_t done, total; /* passes of a trial through a stage */
    float *logits, *dense, *out; /* out [windows][tokens][cols]: behind the stage at hand */
    size_t room; /* numbers of a trial's rows, in whole pages */
    struct qbc_sweep sweep; /* of `swept`: trials of a tensor come one after the other */
    const struct qbc_item *swept;
};

struct qbc_effort qbc_measure_effort(const struct qbc_items *items, size_t length)
{
    double weights = 0, trials = 0;
    bool all = items->metric->kind == QBC_METRIC_MODEL;
    for (size_t i = 0; i < items->n; ++i) {
        weights += (double)items->item[i].view.rows * (double)items->item[i].view.cols;
        trials += items->item[i].pinned ? 0 : all ? (double)items->item[i].n : 1;
    }
    struct qbc_effort e = {all ? 1 : MOST_ANCHORS, MOST_WINDOWS, length};
    double affordable = MOST_WORK / (0.5 * weights * trials + 1); /* tokens, of an anchor of each */
    while (e.anchors > 1 && (double)(e.anchors * e.windows * length) > affordable)
        --e.anchors;
    while (e.windows > 1 && (double)(e.windows * length) > affordable)
        e.windows /= 2;
    if (e.tokens > FEWEST_TOKENS && (double)e.tokens > affordable)
        e.tokens = affordable > FEWEST_TOKENS ? (size_t)affordable : FEWEST_TOKENS;
    return e;
}

bool qbc_same_unit(const struct qbc_items *items, size_t i, size_t j)
{
    const struct qbc_item *a = &items->item[i], *b = &items->item[j];
    bool block = items->granularity == QBC_GRAIN_BLOCK && a->block >= 0 && a->block == b->block;
    return i == j || (block && !a->pinned && !b->pinned);
}

bool qbc_leads_unit(const struct qbc_items *items, size_t i)
{
    size_t first = 0;
    while (!qbc_same_unit(items, first, i))
        ++first;
    return first == i;
}

struct qbc_candidate *qbc_item_candidate(const struct qbc_item *item, const struct qbc_format *format)
{
    for (size_t i = 0; i < item->n; ++i)
        if (item->candidate[i].format == format)
            return &item->candidate[i];
    return NULL;
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

static void run_window(struct measuring *m, struct qbc_stage *s, const float *rows, size_t w, float *to)
{
    size_t tokens = m->c->measured;
    qbc_stage_run(s, &m->c->threads, m->c->windows.ids + w * m->c->windows.length,
                  rows ? rows + w * tokens * (size_t)s->in_cols : NULL, (int64_t)tokens, to);
}

/* All windows of `rows` (NULL: token ids) through a stage; v->rows becomes what comes out, or its distance is summed. */
static bool pass_through(struct measuring *m, struct qbc_stage *s, const float *rows, struct qbc_trial *v)
{
    size_t cols = (size_t)s->out_cols, window = m->c->measured * cols;
    bool last = is_last(m, s);
    for (size_t w = 0; w < m->c->n_measure; ++w) {
        run_window(m, s, rows, w, last ? m->logits : m->out + w * window);
        if (!last)
            continue;
        struct qbc_distance d = qbc_reference_distance(&m->reference, w, m->logits);
        v->distance.divergence += d.divergence;
        v->distance.rise += d.rise;
    }
    if (!last)
        memcpy(v->rows, m->out, m->c->n_measure * window * sizeof *m->out);
    qbc_paged_release(v->rows, m->room);
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

static bool sweep_of(struct measuring *m, const struct qbc_item *item)
{
    if (m->swept == item)
        return true;
    if (m->swept)
        qbc_sweep_destroy(&m->sweep);
    m->swept = qbc_item_sweep(m->q, item, &m->sweep) ? item : NULL;
    return m->swept;
}

/* Its tensors that are in this stage, rounded. *found: are there any? */
static bool patch(struct measuring *m, struct qbc_stage *s, const struct qbc_trial *v, bool *found)
{
    *found = false;
    for (size_t i = 0; i < v->n; ++i) {
        const struct qbc_patch *p = &v->patch[i];
        if (!has(s, p->item->name))
            continue;
        *found = true;
        if (!sweep_of(m, p->item) || !qbc_item_decoded(m->q, p->item, &m->sweep, p->candidate->format, &m->c->threads, m->dense) ||
            !qbc_stage_patch(s, p->item->name, m->dense))
            return false;
    }
    return true;
}

/* The same as floats again. */
static void restore(struct measuring *m, struct qbc_stage *s, const struct qbc_trial *v)
{
    for (size_t i = 0; i < v->n; ++i) {
        const struct qbc_item *item = v->patch[i].item;
        if (!has(s, item->name))
            continue;
        qbc_view_read(&item->view, 0, item->view.rows, m->dense);
        qbc_view_release(&item->view);
        qbc_stage_patch(s, item->name, m->dense);
    }
}

/* Trials that left the float model before, or leave it here. */
static bool do_trial(struct measuring *m, struct qbc_stage *s, struct qbc_trial *v)
{
    bool here;
    if (!patch(m, s, v, &here))
        return false;
    const float *rows = v->begun ? v->rows : m->c->before[s - m->c->stages.stage];
    v->begun |= here;
    bool good = !v->begun || pass_through(m, s, rows, v);
    if (here)
        restore(m, s, v);
    return good;
}

/* The float model's own probabilities. */
static bool score_float(struct measuring *m, struct qbc_stage *s)
{
    size_t numbers = m->c->measured * (size_t)m->c->stages.vocab;
    if (!qbc_reference_create(m->q, m->c, &m->reference))
        return !out_of_memory(m->q, NULL);
    for (size_t w = 0; w < m->c->n_measure; ++w) {
        run_window(m, s, m->c->before[m->c->stages.n - 1], w, m->c->logits + w * numbers);
        qbc_reference_set(&m->reference, w, m->c->logits + w * numbers);
    }
    return true;
}

static bool do_stage(struct measuring *m, struct qbc_stage *s)
{
    bool good = qbc_stage_load(m->q, &m->c->stages, s) && (!is_last(m, s) || score_float(m, s));
    for (size_t i = 0; i < m->trials.n && good; ++i)
        good = do_trial(m, s, &m->trials.list[i]);
    const float *before = m->c->before[s - m->c->stages.stage];
    if (before)
        qbc_paged_release(before, m->c->n_measure * m->c->measured * (size_t)s->in_cols);
    qbc_stage_unload(s);
    return good;
}

/* --- all of it */

/* What the metric says of each tensor alone. */
static bool measure_alone(struct qbc *q, struct qbc_calibration *c, struct qbc_items *items)
{
    bool good = true;
    for (size_t i = 0; i < items->n && good; ++i) {
        struct qbc_sweep sweep;
        qbc_progress(q, "trying formats", i, items->n);
        good = !qbc_stop(q) && qbc_item_sweep(q, &items->item[i], &sweep);
        if (good) {
            good = qbc_item_losses(q, items, &items->item[i], &sweep, &c->threads);
            qbc_sweep_destroy(&sweep);
        }
    }
    qbc_progress(q, "trying formats", items->n, items->n);
    return good;
}

/* Stages that a trial goes through. */
static size_t passes_of(const struct qbc_stages *s, const struct qbc_trial *v)
{
    size_t first = 0;
    while (first < s->n && !has(&s->stage[first], v->patch[0].item->name))
        ++first;
    return s->n - first;
}

/* For the rows of all trials, and for the largest tensor as floats. */
static bool make_room(struct measuring *m, const struct qbc_items *items)
{
    size_t most = 0, widest = 0, rows = m->c->n_measure * m->c->measured;
    for (size_t i = 0; i < items->n; ++i) {
        size_t size = (size_t)(items->item[i].view.rows * items->item[i].view.cols);
        most = size > most ? size : most;
    }
    for (size_t i = 0; i + 1 < m->c->stages.n; ++i) {
        size_t cols = (size_t)m->c->stages.stage[i].out_cols;
        widest = cols > widest ? cols : widest;
    }
    m->room = qbc_paged_size(rows * widest + 1);
    m->out = malloc((rows * widest + 1) * sizeof *m->out);
    m->dense = malloc((most + 1) * sizeof *m->dense);
    m->logits = malloc(m->c->measured * (size_t)m->c->stages.vocab * sizeof *m->logits);
    if (out_of_memory(m->q, m->out) || out_of_memory(m->q, m->dense) || out_of_memory(m->q, m->logits))
        return false;
    float *waiting = qbc_paged(m->q, m->trials.n * m->room);
    for (size_t i = 0; i < m->trials.n && waiting; ++i)
        m->trials.list[i].rows = waiting + i * m->room;
    return waiting;
}

static bool walk(struct measuring *m, const struct qbc_items *items)
{
    bool good = make_room(m, items);
    for (size_t i = 0; i < m->trials.n; ++i)
        m->total += passes_of(&m->c->stages, &m->trials.list[i]);
    qbc_progress(m->q, "measuring", 0, m->total);
    for (size_t i = 0; i < m->c->stages.n && good; ++i)
        good = do_stage(m, &m->c->stages.stage[i]);
    if (m->swept)
        qbc_sweep_destroy(&m->sweep);
    free(m->out);
    free(m->dense);
    free(m->logits);
    return good;
}

bool qbc_measure(struct qbc *q, struct qbc_calibration *c, struct qbc_items *items)
{
    struct measuring m = {.q = q, .c = c};
    if (!qbc_measure_importance(q, c, items) || !measure_alone(q, c, items))
        return false;
    m.trials = qbc_trials_create(q, items, qbc_measure_effort(items, c->windows.length).anchors);
    bool good = !m.trials.n || walk(&m, items);
    if (good) {
        qbc_trials_tell(q, items, &m.trials, c->n_measure * c->measured);
        qbc_keep_losses(q, items);
    }
    return good;
}
