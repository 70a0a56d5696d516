/* law: what attention makes of its scores, from samples (pattern.h).
 *
 *     p = softmax(cap tanh(scale s / cap) - slope distance, and a sink), over what the mask allows
 *
 * It is learned one unknown at a time: scores of 0 show the slopes, small random ones the scale, large ones the cap; then
 * every sample must agree. All of it is seen in probabilities, however the graph makes them.
 */
#include "pattern.h"

#include <math.h>
#include <stdlib.h>

static const double least = 1e-30; /* a probability that is seen at all */

static double score_at(const struct qbc_scores *x, int64_t head, int64_t row, int64_t s)
{
    return (double)x->scores[(head % x->score_heads * x->tokens + row) * (x->past + x->tokens) + s];
}

static const float *row_of(const struct qbc_scores *x, int64_t head, int64_t row)
{
    return x->p + (head * x->tokens + row) * (x->past + x->tokens);
}

static double slope_of(const struct qbc_law *law, int64_t head)
{
    return law->slopes ? law->slopes[head] : 0;
}

/* The exponent of position s for a token whose own position is `own`. */
static double exponent(const struct qbc_law *law, const struct qbc_scores *x, int64_t head, int64_t row, int64_t s)
{
    double v = law->scale * score_at(x, head, row, s);
    if (law->cap > 0)
        v = law->cap * tanh(v / law->cap);
    return v - slope_of(law, head) * (double)llabs(x->past + row - s);
}

/* The head whose far positions are seen best. */
static int64_t flattest(const struct qbc_law *law, const struct qbc_scores *x)
{
    int64_t best = 0;
    for (int64_t h = 1; h < x->heads; ++h)
        if (fabs(slope_of(law, h)) < fabs(slope_of(law, best)))
            best = h;
    return best;
}

/* What the flattest head sees is allowed. */
static const char *learn_mask(struct qbc *q, struct qbc_law *law, const struct qbc_scores *x, bool *allowed)
{
    int64_t length = x->past + x->tokens, head = flattest(law, x);
    for (int64_t t = 0; t < x->tokens; ++t)
        for (int64_t s = 0; s < length; ++s)
            allowed[t * length + s] = (double)row_of(x, head, t)[s] > least;
    return qbc_mask_add(q, &law->mask, x->tokens, x->past, allowed);
}

/* --- slopes: of equal scores, log(p1 / p2) is the slope times the distance */

/* As it was meant: 2^(-8 h / heads) is a power of 2^(1/16), of up to 128 heads. */
static double exact_slope(double measured)
{
    double sixteenths = log2(measured) * 16;
    return measured > 0 && qbc_near(sixteenths, round(sixteenths), 0, 1e-4) ? exp2(round(sixteenths) / 16) : measured;
}

static void learn_slopes(struct qbc *q, struct qbc_law *law, const struct qbc_scores *x)
{
    int64_t length = x->past + x->tokens, t = x->tokens - 1, own = x->past + t, far = own;
    double *slopes = qbc_alloc(q, (size_t)x->heads * sizeof *slopes);
    bool any = false;
    while (far > 0 && (double)row_of(x, 0, t)[far - 1] > least)
        --far;
    for (int64_t h = 0; h < x->heads && far < own; ++h) {
        const float *p = row_of(x, h, t);
        int64_t from = far; /* steep ones are measured nearby */
        while (from + 1 < own && (double)p[from] < 1e-20)
            ++from;
        slopes[h] = exact_slope(log((double)p[own] / (double)p[from]) / (double)(own - from));
        any |= fabs(slopes[h]) * (double)length > 1e-4;
    }
    if (any)
        law->slopes = slopes;
}

/* --- scale and cap: from two positions that a token sees, the lowest and the highest score */

static bool extremes(const struct qbc_law *law, const struct qbc_scores *x, int64_t *head, int64_t *row, int64_t *low,
                     int64_t *high)
{
    int64_t length = x->past + x->tokens;
    *head = flattest(law, x);
    *row = x->tokens - 1;
    *low = *high = -1;
    for (int64_t s = 0; s < length; ++s) {
        if ((double)row_of(x, *head, *row)[s] <= least)
            continue;
        if (*low < 0 || score_at(x, *head, *row, s) < score_at(x, *head, *row, *low))
            *low = s;
        if (*high < 0 || score_at(x, *head, *row, s) > score_at(x, *head, *row, *high))
            *high = s;
    }
    return *low != *high;
}

/* log(p at high / p at low), without what the slope adds. */
static double measured(const struct qbc_law *law, const struct qbc_scores *x, int64_t head, int64_t row, int64_t low,
                       int64_t high)
{
    const float *p = row_of(x, head, row);
    int64_t own = x->past + row;
    double nearer = (double)(llabs(own - low) - llabs(own - high));
    return log((double)p[high] / (double)p[low]) - slope_of(law, head) * nearer;
}

static void learn_scale(struct qbc_law *law, const struct qbc_scores *x)
{
    int64_t head, row, low, high;
    if (extremes(law, x, &head, &row, &low, &high))
        law->scale = measured(law, x, head, row, low, high) /
                     (score_at(x, head, row, high) - score_at(x, head, row, low));
}

/* log(p at high / p at low) of a law of this scale. */
static double foretold(const struct qbc_law *law, double scale, double high, double low)
{
    if (law->cap > 0)
        return law->cap * (tanh(scale * high / law->cap) - tanh(scale * low / law->cap));
    return scale * (high - low);
}

/* With the cap known, larger scores tell the scale better. */
static void refine_scale(struct qbc_law *law, const struct qbc_scores *x)
{
    int64_t head, row, low, high;
    if (!(law->scale > 0) || !extremes(law, x, &head, &row, &low, &high))
        return;
    double want = measured(law, x, head, row, low, high), from = law->scale * 0.99, to = law->scale * 1.01;
    double a = score_at(x, head, row, high), b = score_at(x, head, row, low);
    for (int i = 0; i < 60; ++i) {
        double scale = (from + to) / 2;
        if (foretold(law, scale, a, b) < want)
            from = scale;
        else
            to = scale;
    }
    law->scale = from;
}

/* cap (tanh(a / cap) - tanh(b / cap)) grows with cap: bisection. Small scores were nearly not capped. */
static void learn_cap(struct qbc_law *law, const struct qbc_scores *x)
{
    int64_t head, row, low, high;
    if (!(law->scale > 0) || !extremes(law, x, &head, &row, &low, &high))
        return;
    double want = measured(law, x, head, row, low, high), from = 1e-2, to = 1e6;
    double a = law->scale * score_at(x, head, row, high), b = law->scale * score_at(x, head, row, low);
    if (qbc_near(want, a - b, 1e-3, 1e-5))
        return;
    for (int i = 0; i < 200; ++i) {
        double cap = sqrt(from * to);
        if (cap * (tanh(a / cap) - tanh(b / cap)) < want)
            from = cap;
        else
            to = cap;
    }
    law->cap = qbc_shortest(from, 1e-4);
}

/* --- does all of it agree? */

static bool row_agrees(const struct qbc_law *law, const struct qbc_scores *x, const bool *allowed, int64_t head,
                       int64_t row)
{
    int64_t length = x->past + x->tokens;
    const float *p = row_of(x, head, row);
    double top = law->sinks ? (double)law->sinks[head] : -INFINITY, sum = 0;
    allowed += row * length;
    for (int64_t s = 0; s < length; ++s)
        if (allowed[s])
            top = fmax(top, exponent(law, x, head, row, s));
    sum = law->sinks ? exp((double)law->sinks[head] - top) : 0;
    for (int64_t s = 0; s < length; ++s)
        sum += allowed[s] ? exp(exponent(law, x, head, row, s) - top) : 0;
    for (int64_t s = 0; s < length; ++s) {
        double want = allowed[s] ? exp(exponent(law, x, head, row, s) - top) / sum : 0;
        if (!qbc_near(want, (double)p[s], 4e-4, 1e-6))
            return false;
    }
    return true;
}

/* Which heads see what: all the same? Of what should be tiny nothing can be told. */
static bool same_masks(const struct qbc_law *law, const struct qbc_scores *x, const bool *allowed)
{
    int64_t length = x->past + x->tokens;
    for (int64_t h = 0; h < x->heads && !law->slopes; ++h)
        for (int64_t i = 0; i < x->tokens * length; ++i)
            if (((double)row_of(x, h, 0)[i] > least) != allowed[i])
                return false;
    return true;
}

const char *qbc_law_check(struct qbc *q, struct qbc_law *law, const struct qbc_scores *x)
{
    bool *allowed = qbc_alloc(q, (size_t)(x->tokens * (x->past + x->tokens)));
    const char *problem = learn_mask(q, law, x, allowed);
    if (problem)
        return qbc_text(q, "its mask: %s", problem);
    if (!same_masks(law, x, allowed))
        return "heads have different masks";
    for (int64_t h = 0; h < x->heads; ++h)
        for (int64_t t = 0; t < x->tokens; ++t)
            if (!row_agrees(law, x, allowed, h, t))
                return "what follows the scores is not softmax(scale * scores + mask), nor that with a cap, slopes or "
                       "sinks";
    return NULL;
}

void qbc_law_learn(struct qbc *q, struct qbc_law *law, enum qbc_lesson lesson, const struct qbc_scores *x)
{
    if (lesson == QBC_LEARN_SLOPES)
        learn_slopes(q, law, x);
    else if (lesson == QBC_LEARN_SCALE)
        learn_scale(law, x);
    else if (lesson == QBC_LEARN_CAP)
        learn_cap(law, x);
    else
        refine_scale(law, x);
}
