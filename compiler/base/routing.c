/* routing: the law by which tokens choose experts, in doubles (pattern.h). What the kernel does: passes/kernels/route.c. */
#include "pattern.h"

#include <math.h>
#include <string.h>

static void scores_of(const struct qbc_routing *r, const float *logits, double *score)
{
    double most = -INFINITY, sum = 0;
    for (int64_t e = 0; e < r->experts; ++e)
        most = fmax(most, (double)logits[e]);
    for (int64_t e = 0; e < r->experts; ++e) {
        double x = (double)logits[e];
        score[e] = !strcmp(r->score, "sigmoid") ? 1 / (1 + exp(-x)) : !strcmp(r->score, "none") ? x : exp(x - most);
        sum += score[e];
    }
    for (int64_t e = 0; e < r->experts && !strcmp(r->score, "softmax"); ++e)
        score[e] /= sum;
}

/* The first largest of n, which then is -infinity. */
static int64_t take_largest(double *x, int64_t n)
{
    int64_t at = 0;
    for (int64_t i = 1; i < n; ++i)
        if (x[i] > x[at])
            at = i;
    x[at] = -INFINITY;
    return at;
}

static double group_sum(const double *choice, int64_t n, int64_t best)
{
    double copy[QBC_MOST_EXPERTS], sum = 0;
    memcpy(copy, choice, (size_t)n * sizeof *copy);
    for (int64_t i = 0; i < best && i < n; ++i)
        sum += choice[take_largest(copy, n)];
    return sum;
}

static void limit_groups(const struct qbc_routing *r, double *choice)
{
    int64_t size = r->experts / r->groups;
    double sums[QBC_MOST_CHOSEN];
    bool kept[QBC_MOST_CHOSEN] = {false};
    if (r->groups < 2 || r->groups > QBC_MOST_CHOSEN)
        return;
    for (int64_t g = 0; g < r->groups; ++g)
        sums[g] = group_sum(choice + g * size, size, r->best);
    for (int64_t i = 0; i < r->kept; ++i)
        kept[take_largest(sums, r->groups)] = true;
    for (int64_t e = 0; e < r->experts; ++e)
        choice[e] = kept[e / size] ? choice[e] : -INFINITY;
}

void qbc_route(const struct qbc_routing *r, const float *logits, int64_t *ids, double *weights)
{
    double score[QBC_MOST_EXPERTS], choice[QBC_MOST_EXPERTS], sum = 0;
    scores_of(r, logits, score);
    for (int64_t e = 0; e < r->experts; ++e)
        choice[e] = score[e] + (r->bias ? (double)r->bias[e] : 0);
    limit_groups(r, choice);
    for (int64_t j = 0; j < r->top; ++j) {
        ids[j] = take_largest(choice, r->experts);
        weights[j] = score[ids[j]];
        sum += weights[j];
    }
    for (int64_t j = 0; j < r->top; ++j)
        weights[j] *= r->scale / (r->normalise ? sum : 1);
}
