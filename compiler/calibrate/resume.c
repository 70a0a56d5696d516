/* resume: see resume.h. An entry "stage I" is an array of f64 and f32 in a fixed order; it is written last, so that where it
 * is, the H's of the stage and the values behind it are too. These are removed once those behind the next stage are there.
 */
#include "resume.h"
#include "hessians.h"
#include "kept.h"

#include <stdlib.h>
#include <string.h>

static const char *stage_name(struct qbc *q, const struct qbc_calibration *c, size_t i)
{
    return qbc_text(q, "stage %zu, %zu windows of %zu", i, c->n_measure, c->measured);
}

static const char *behind_name(struct qbc *q, size_t i)
{
    return qbc_text(q, "behind %zu", i);
}

static const char *h_name(struct qbc *q, const char *weight)
{
    return qbc_text(q, "H of %s", weight);
}

/* The number of its first tap among all taps. */
static size_t first_peak(const struct qbc_calibration *c, size_t stage)
{
    size_t n = 0;
    for (size_t i = 0; i < stage; ++i)
        n += c->stages.stage[i].n_taps;
    return n;
}

static size_t before_size(const struct qbc_calibration *c, size_t i)
{
    return c->n_measure * c->measured * (size_t)c->stages.stage[i].in_cols;
}

/* A place in an entry. */
struct place {
    struct qbc_keeper *keeper; /* writing */
    const uint8_t *data;       /* reading */
    size_t at, bytes;
};

static void write(struct place *p, const void *bytes, size_t n)
{
    qbc_kept_write(p->keeper, p->at, bytes, n);
    p->at += n;
}

static bool read(struct place *p, void *to, size_t n)
{
    bool there = n <= p->bytes - p->at;
    if (there && n)
        memcpy(to, p->data + p->at, n);
    p->at += there ? n : 0;
    return there;
}

void qbc_keep_stage(struct qbc *q, const struct qbc_calibration *c, size_t i, const struct qbc_values *behind, size_t n)
{
    const struct qbc_stage *s = &c->stages.stage[i];
    if (!qbc_keeps(q))
        return;
    for (size_t t = 0; t < s->n_taps && !c->only_judges; ++t) {
        const float *h = qbc_hessian_find(q, s->taps[t].weights[0], s->taps[t].cols);
        qbc_kept_put(q, h_name(q, s->taps[t].weights[0]), h, (size_t)(s->taps[t].cols * s->taps[t].cols) * sizeof *h);
        qbc_hessian_release(h, s->taps[t].cols);
    }
    struct place p = {.keeper = qbc_kept_begin(q, behind_name(q, i))};
    for (size_t k = 0; k < n; ++k)
        write(&p, behind[k].data, behind[k].n * sizeof(float));
    qbc_kept_end(q, p.keeper, true);
    p = (struct place){.keeper = qbc_kept_begin(q, stage_name(q, c, i))};
    write(&p, &i, sizeof i);
    for (size_t t = 0; t < s->n_taps && !c->only_judges; ++t) {
        const struct qbc_peak *peak = &c->peaks[first_peak(c, i) + t];
        const double numbers[] = {peak->most, peak->median, peak->entropy};
        write(&p, numbers, sizeof numbers);
    }
    if (before_size(c, i))
        write(&p, c->before[i], before_size(c, i) * sizeof(float));
    qbc_kept_end(q, p.keeper, true);
    if (i)
        qbc_kept_remove(q, behind_name(q, i - 1));
}

bool qbc_recall_h(struct qbc *q, const char *const *weights, size_t n, int64_t cols)
{
    size_t bytes, wanted = (size_t)(cols * cols) * sizeof(float);
    const void *kept = qbc_kept_find(q, h_name(q, weights[0]), &bytes);
    for (size_t w = 0; w < n && kept && bytes == wanted; ++w)
        qbc_hessian_name(q, weights[w], kept, cols);
    return kept && bytes == wanted;
}

static bool read_stage(struct qbc *q, struct qbc_calibration *c, size_t i, struct place *p)
{
    const struct qbc_stage *s = &c->stages.stage[i];
    size_t before = before_size(c, i), number = 0;
    bool good = read(p, &number, sizeof number);
    for (size_t t = 0; t < s->n_taps && good && !c->only_judges; ++t) {
        double numbers[3] = {0};
        good = read(p, numbers, sizeof numbers) && qbc_recall_h(q, s->taps[t].weights, s->taps[t].n_weights, s->taps[t].cols);
        c->peaks[c->n_peaks++] = (struct qbc_peak){s->taps[t].weights, s->taps[t].n_weights, s->taps[t].cols, numbers[0],
                                                   numbers[1], numbers[2]};
    }
    c->before[i] = before ? qbc_paged(q, before) : NULL;
    good = good && number == i && (!before || (c->before[i] && read(p, c->before[i], before * sizeof(float))));
    if (c->before[i])
        qbc_paged_release(c->before[i], before);
    return good;
}

bool qbc_find_stages(struct qbc *q, struct qbc_calibration *c, size_t *done, struct qbc_values *behind, size_t n,
                     size_t (*size)(const struct qbc_calibration *c, size_t stage, size_t which))
{
    struct place p = {NULL};
    bool good = true;
    *done = 0;
    while (*done < c->stages.n && good && (p.data = qbc_kept_find(q, stage_name(q, c, *done), &p.bytes))) {
        p.at = 0;
        good = read_stage(q, c, (*done)++, &p);
        qbc_kept_release(p.data, p.bytes);
    }
    p = (struct place){NULL};
    if (*done && good)
        p.data = qbc_kept_find(q, behind_name(q, *done - 1), &p.bytes);
    for (size_t k = 0; k < n && *done && good; ++k) {
        behind[k].n = size(c, *done - 1, k);
        behind[k].data = malloc((behind[k].n + 1) * sizeof(float));
        good = behind[k].data && read(&p, behind[k].data, behind[k].n * sizeof(float));
    }
    qbc_kept_release(p.data, p.bytes);
    if (!good)
        qbc_error_in(q, "-resume", "what '%s' holds is damaged, or there is no memory for it; remove it", q->options.resume);
    return good;
}

/* --- measurements: of each candidate, then of tensors and pairs */

struct losses {
    double *at;
    bool reading;
};

static void number(struct losses *l, double *x)
{
    if (l->reading)
        *x = *l->at;
    else
        *l->at = *x;
    ++l->at;
}

/* Other metrics have other losses of the same calibration. */
static const char *losses_name(struct qbc *q, const struct qbc_items *items)
{
    return qbc_text(q, "losses, %s by %s%s%s", items->metric->name, qbc_granularities[items->granularity],
                    items->pairs ? ", pairs" : "", items->alone ? ", alone" : "");
}

/* How many numbers there are; these, where there is room for them. */
static size_t go_through(const struct qbc_items *items, struct losses *l)
{
    size_t n = 0;
    for (size_t i = 0; i < items->n; ++i)
        for (size_t k = 0; k < items->item[i].n; ++k) {
            struct qbc_candidate *c = &items->item[i].candidate[k];
            double flag = c->is_measured;
            double *numbers[] = {&c->local, &c->measured, &c->loss, &flag};
            for (size_t x = 0; x < sizeof numbers / sizeof *numbers; ++x, ++n)
                l ? number(l, numbers[x]) : (void)0;
            for (int s = 0; s < QBC_SEGMENTS; ++s, ++n)
                l ? number(l, &c->share[s]) : (void)0;
            c->is_measured = flag > 0;
        }
    for (size_t i = 0; i < items->n; ++i, ++n)
        l ? number(l, &items->item[i].importance) : (void)0;
    for (size_t i = 0; i < items->n * items->n && items->pairs; ++i, ++n)
        l ? number(l, &items->pairs[i]) : (void)0;
    return n;
}

void qbc_keep_losses(struct qbc *q, const struct qbc_items *items)
{
    size_t n = go_through(items, NULL);
    double *numbers = qbc_alloc(q, (n + 1) * sizeof *numbers);
    struct losses l = {numbers, false};
    go_through(items, &l);
    qbc_kept_put(q, losses_name(q, items), numbers, n * sizeof *numbers);
}

bool qbc_find_losses(struct qbc *q, struct qbc_items *items)
{
    size_t bytes, n = go_through(items, NULL);
    const void *kept = qbc_kept_find(q, losses_name(q, items), &bytes);
    if (!kept || bytes != n * sizeof(double))
        return false;
    double *numbers = qbc_alloc(q, bytes + 1);
    memcpy(numbers, kept, bytes);
    struct losses l = {numbers, true};
    go_through(items, &l);
    return true;
}
