/* divergence: see divergence.h. Rows go to threads by their numbers, and sums are made thread by thread. */
#include "divergence.h"
#include "score.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_THREADS = 1024 };

struct scoring {
    const struct qbc_reference *reference;
    const float *want; /* probabilities of the float model; NULL: `got` becomes them */
    float *got;
    size_t window;
    struct qbc_distance *sums; /* [threads] */
};

static int64_t length_of(const struct qbc_reference *r)
{
    return (int64_t)r->c->measured;
}

/* Of row `row` of the window, whose logits have this norm: the loss on the next token; the last row has none. */
static double next_loss(const struct scoring *s, int64_t row, const float *logits, double norm)
{
    const struct qbc_calibration *c = s->reference->c;
    const int32_t *ids = c->windows.ids + s->window * c->windows.length;
    return row + 1 < length_of(s->reference) ? norm - (double)logits[ids[row + 1]] : 0;
}

static void set_row(const struct scoring *s, int64_t row, float *got, double norm)
{
    const struct qbc_reference *r = s->reference;
    int64_t at = (int64_t)s->window * length_of(r) + row;
    r->loss[at] = next_loss(s, row, got, norm);
    r->entropy[at] = 0;
    for (int64_t i = 0; i < r->c->stages.vocab; ++i) {
        double logarithm = (double)got[i] - norm;
        got[i] = (float)exp(logarithm);
        r->entropy[at] += (double)got[i] * logarithm;
    }
}

static void score_share(void *user, int64_t thread)
{
    const struct scoring *s = user;
    const struct qbc_reference *r = s->reference;
    int64_t vocab = r->c->stages.vocab, first = (int64_t)s->window * length_of(r);
    struct qbc_distance sum = {0, 0};
    for (int64_t row = thread; row < length_of(r); row += r->c->threads.threads) {
        float *got = s->got + row * vocab;
        double norm = qbc_log_norm(got, vocab);
        if (!s->want) {
            set_row(s, row, got, norm);
            continue;
        }
        sum.divergence += r->entropy[first + row] - qbc_expectation(s->want + row * vocab, got, vocab, norm);
        sum.rise += next_loss(s, row, got, norm) - r->loss[first + row];
    }
    s->sums[thread] = sum;
}

static struct qbc_distance score(const struct qbc_reference *r, size_t window, const float *want, float *got)
{
    struct qbc_distance sums[MOST_THREADS] = {{0, 0}}, total = {0, 0};
    struct scoring s = {r, want, got, window, sums};
    r->c->threads.run(r->c->threads.context, score_share, &s);
    for (int64_t i = 0; i < r->c->threads.threads; ++i) {
        total.divergence += sums[i].divergence;
        total.rise += sums[i].rise;
    }
    return total;
}

bool qbc_reference_create(struct qbc *q, struct qbc_calibration *c, struct qbc_reference *out)
{
    size_t tokens = c->n_measure * c->measured;
    *out = (struct qbc_reference){c, qbc_alloc(q, (tokens + 1) * sizeof(double)), qbc_alloc(q, (tokens + 1) * sizeof(double))};
    c->logits = malloc(tokens * (size_t)c->stages.vocab * sizeof *c->logits);
    return c->logits;
}

void qbc_reference_set(struct qbc_reference *r, size_t window, float *logits)
{
    score(r, window, NULL, logits);
}

struct qbc_distance qbc_reference_distance(const struct qbc_reference *r, size_t window, float *logits)
{
    return score(r, window, r->c->logits + (int64_t)window * length_of(r) * r->c->stages.vocab, logits);
}
