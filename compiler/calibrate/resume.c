/* resume: see resume.h. An entry "stage I" is an array of f64 and f32 in a fixed order; it is written last, so that where it
 * is, the H's of the stage and the values behind it are too. These are removed once those behind the next stage are there.
 */
#include "resume.h"
#include "hessians.h"
#include "kept.h"

#include <stdlib.h>
#include <string.h>

static const char *stage_name(struct qbc *q, size_t i)
{
    return qbc_text(q, "stage %zu", i);
}

static const char *behind_name(struct qbc *q, size_t i)
{
    return qbc_text(q, "behind %zu", i);
}

static const char *h_name(struct qbc *q, const struct qbc_tap *tap)
{
    return qbc_text(q, "H of %s", tap->weights[0]);
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
    return c->n_measure * c->windows.length * (size_t)c->stages.stage[i].in_cols;
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
        qbc_kept_put(q, h_name(q, &s->taps[t]), h, (size_t)(s->taps[t].cols * s->taps[t].cols) * sizeof *h);
        qbc_hessian_release(h, s->taps[t].cols);
    }
    struct place p = {.keeper = qbc_kept_begin(q, behind_name(q, i))};
    for (size_t k = 0; k < n; ++k)
        write(&p, behind[k].data, behind[k].n * sizeof(float));
    qbc_kept_end(q, p.keeper, true);
    p = (struct place){.keeper = qbc_kept_begin(q, stage_name(q, i))};
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

static bool read_h(struct qbc *q, const struct qbc_tap *tap)
{
    size_t bytes, wanted = (size_t)(tap->cols * tap->cols) * sizeof(float);
    const void *kept = qbc_kept_find(q, h_name(q, tap), &bytes);
    float *h = kept && bytes == wanted ? qbc_hessian_create(q, tap->cols) : NULL;
    if (!h)
        return false;
    memcpy(h, kept, bytes);
    for (size_t w = 0; w < tap->n_weights; ++w)
        qbc_hessian_name(q, tap->weights[w], h, tap->cols);
    qbc_hessian_release(h, tap->cols);
    return true;
}

static bool read_stage(struct qbc *q, struct qbc_calibration *c, size_t i, struct place *p)
{
    const struct qbc_stage *s = &c->stages.stage[i];
    size_t before = before_size(c, i), number = 0;
    bool good = read(p, &number, sizeof number);
    for (size_t t = 0; t < s->n_taps && good && !c->only_judges; ++t) {
        double numbers[3] = {0};
        good = read(p, numbers, sizeof numbers) && read_h(q, &s->taps[t]);
        c->peaks[c->n_peaks++] = (struct qbc_peak){s->taps[t].weights, s->taps[t].n_weights, s->taps[t].cols, numbers[0],
                                                   numbers[1], numbers[2]};
    }
    c->before[i] = before ? malloc(before * sizeof(float)) : NULL;
    return good && number == i && (!before || (c->before[i] && read(p, c->before[i], before * sizeof(float))));
}

bool qbc_find_stages(struct qbc *q, struct qbc_calibration *c, size_t *done, struct qbc_values *behind, size_t n,
                     size_t (*size)(const struct qbc_calibration *c, size_t stage, size_t which))
{
    struct place p = {NULL};
    bool good = true;
    *done = 0;
    while (*done < c->stages.n && good && (p.data = qbc_kept_find(q, stage_name(q, *done), &p.bytes))) {
        p.at = 0;
        good = read_stage(q, c, (*done)++, &p);
    }
    p = (struct place){NULL};
    if (*done && good)
        p.data = qbc_kept_find(q, behind_name(q, *done - 1), &p.bytes);
    for (size_t k = 0; k < n && *done && good; ++k) {
        behind[k].n = size(c, *done - 1, k);
        behind[k].data = malloc((behind[k].n + 1) * sizeof(float));
        good = behind[k].data && read(&p, behind[k].data, behind[k].n * sizeof(float));
    }
    if (!good)
        qbc_error_in(q, "-resume", "what '%s' holds is damaged, or there is no memory for it; remove it", q->options.resume);
    return good;
}

/* --- measurements */

enum { NUMBERS = 3 }; /* of a candidate */

static size_t count_candidates(const struct qbc_items *items)
{
    size_t n = 0;
    for (size_t i = 0; i < items->n; ++i)
        n += items->item[i].n;
    return n;
}

void qbc_keep_losses(struct qbc *q, const struct qbc_items *items)
{
    size_t n = NUMBERS * count_candidates(items), at = 0;
    double *numbers = qbc_alloc(q, (n + 1) * sizeof *numbers);
    for (size_t i = 0; i < items->n; ++i)
        for (size_t k = 0; k < items->item[i].n; ++k) {
            const struct qbc_candidate *c = &items->item[i].candidate[k];
            numbers[at++] = c->squared;
            numbers[at++] = c->measured;
            numbers[at++] = c->loss;
        }
    qbc_kept_put(q, "losses", numbers, n * sizeof *numbers);
}

bool qbc_find_losses(struct qbc *q, struct qbc_items *items)
{
    size_t bytes, n = NUMBERS * count_candidates(items), at = 0;
    const double *numbers = qbc_kept_find(q, "losses", &bytes);
    if (!numbers || bytes != n * sizeof *numbers)
        return false;
    for (size_t i = 0; i < items->n; ++i)
        for (size_t k = 0; k < items->item[i].n; ++k) {
            struct qbc_candidate *c = &items->item[i].candidate[k];
            c->squared = numbers[at++];
            c->measured = numbers[at++];
            c->loss = numbers[at++];
        }
    return true;
}
