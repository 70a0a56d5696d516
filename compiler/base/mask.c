/* mask: what an attention mask allows, from samples (pattern.h).
 *
 * Causal means: token t, at position past + t, sees positions up to its own and none after it; with
 * a window only the last ones of these. Samples must be longer than the window to show it.
 *
 * What is allowed and by how much scores are scaled is seen in probabilities that random scores
 * gave, however the graph makes them.
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

const char *qbc_mask_add(struct qbc *q, struct qbc_mask *m, int64_t tokens, int64_t past,
                         const bool *allowed)
{
    int64_t length = past + tokens;
    for (int64_t t = 0; t < tokens; ++t) {
        const bool *row = allowed + t * length;
        int64_t own = past + t, first = 0;
        while (first < own && !row[first])
            ++first;
        for (int64_t s = first; s < length; ++s)
            if (row[s] != (s <= own))
                return qbc_text(q, "position %ld %s position %ld (%ld tokens after %ld)", own,
                                row[s] ? "sees the later" : "does not see", s, tokens, past);
        int64_t seen = own - first + 1;
        if (first > 0 && m->window && seen != m->window)
            return qbc_text(q, "position %ld sees the last %ld positions, others the last %ld", own,
                            seen, m->window);
        if (first > 0)
            m->window = seen;
        m->longest = seen > m->longest ? seen : m->longest;
    }
    if (m->window && m->longest > m->window)
        return qbc_text(q, "some tokens see %ld positions, others only the last %ld", m->longest,
                        m->window);
    return NULL;
}

/* From two positions that a token sees: log(p1 / p2) = scale (s1 - s2). The pair farthest apart. */
static double measured_scale(const float *scores, const float *p, int64_t n)
{
    int64_t low = -1, high = -1;
    for (int64_t s = 0; s < n; ++s) {
        if (p[s] <= 0)
            continue;
        low = low < 0 || scores[s] < scores[low] ? s : low;
        high = high < 0 || scores[s] > scores[high] ? s : high;
    }
    if (low == high)
        return 0;
    return log((double)p[high] / (double)p[low]) / ((double)scores[high] - (double)scores[low]);
}

static bool is_softmax(const float *scores, const float *p, const bool *allowed, int64_t n,
                       double scale)
{
    double sum = 0;
    for (int64_t s = 0; s < n; ++s)
        sum += allowed[s] ? exp(scale * (double)scores[s]) : 0;
    for (int64_t s = 0; s < n; ++s) {
        double want = allowed[s] ? exp(scale * (double)scores[s]) / sum : 0;
        if (!qbc_near(want, (double)p[s], 1e-4, 1e-6))
            return false;
    }
    return true;
}

const char *qbc_mask_softmax(struct qbc *q, struct qbc_mask *m, double *scale, int64_t heads,
                             int64_t tokens, int64_t past, const float *scores, const float *p)
{
    int64_t length = tokens + past, rows = heads * tokens;
    bool *allowed = qbc_alloc(q, (size_t)(rows * length));
    for (int64_t i = 0; i < rows * length; ++i)
        allowed[i] = p[i] > 1e-9f;
    for (int64_t h = 0; h < heads; ++h)
        if (memcmp(allowed, allowed + h * tokens * length, (size_t)(tokens * length)))
            return "heads have different masks";
    const char *problem = qbc_mask_add(q, m, tokens, past, allowed);
    if (problem)
        return qbc_text(q, "not causal: %s", problem);
    for (int64_t r = 0; r < rows; ++r) {
        const float *row = p + r * length;
        if (*scale == 0)
            *scale = measured_scale(scores + r * length, row, length);
        if (*scale != 0 &&
            !is_softmax(scores + r * length, row, allowed + r * length, length, *scale))
            return "what follows the scores is not softmax(scale * scores + mask)";
    }
    return NULL;
}
