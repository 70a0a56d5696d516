/* search: the fewest bytes that keep the bounds, each try judged as an artifact.
 *
 * What the solver expects of a choice is the sum of what single tensors cost; it is wrong by a factor that hardly changes
 * from one number of bytes to the next. So each try is the choice whose expectation, times the last factor, just keeps the
 * bounds; outside of what is known, the middle of that is tried.
 */
#include "make.h"

#include <math.h>

enum { MOST_TRIES = 8, POINTS = 65 };
static const double AIM = 0.97, USED_WELL = 0.94, NEAR = 0.003;

struct search {
    struct qbc_learned *learned;
    struct qbc_frontier_point points[POINTS]; /* by rising bytes */
    int64_t missed, kept;                     /* the most bytes that miss the bounds (0: none so far), the fewest that keep them */
    int64_t kept_target;
    struct qbc_quality quality;               /* of what kept them */
    double factor;                            /* found / expected divergence */
};

/* Bytes at which the expected divergence falls to `wanted`. */
static int64_t bytes_for(const struct search *s, double wanted)
{
    for (int i = 0; i + 1 < POINTS; ++i) {
        const struct qbc_frontier_point *a = &s->points[i], *b = a + 1;
        double high = log(a->loss + 1e-12), low = log(b->loss + 1e-12), at = log(wanted + 1e-12);
        if (at >= high)
            return a->bytes;
        if (at > low)
            return a->bytes + (int64_t)((high - at) / (high - low) * (double)(b->bytes - a->bytes));
    }
    return s->points[POINTS - 1].bytes;
}

static int64_t next_try(const struct search *s)
{
    double goal = qbc_bounds_divergence(&s->learned->bounds, s->learned->quality.float_perplexity);
    int64_t most = s->kept ? s->kept : s->points[POINTS - 1].bytes + 1, bytes = bytes_for(s, AIM * goal / s->factor);
    return bytes > s->missed && bytes < most ? bytes : s->missed + (most - s->missed) / 2;
}

static bool try(struct qbc *q, MlirOperation graph, struct search *s, int64_t bytes, double *used)
{
    struct qbc_learned *l = s->learned;
    l->choice.target = bytes;
    if (!qbc_choice_make(q, &l->choice) || !qbc_judge_twin(q, graph, l))
        return false;
    *used = qbc_bounds_used(&l->bounds, &l->quality);
    double goal = qbc_bounds_divergence(&l->bounds, l->quality.float_perplexity);
    double found = fmax(*used, 0.01) * goal / (l->choice.predicted + 1e-9);
    bool nats = !l->choice.items.alone;
    s->factor = nats ? fmin(fmax(found, 0.02), 50) : found;
    int64_t chosen = qbc_choice_item_bytes(&l->choice);
    if (*used > 1) {
        s->missed = bytes;
    } else {
        s->kept = chosen;
        s->kept_target = bytes;
        s->quality = l->quality;
    }
    return true;
}

bool qbc_search_bytes(struct qbc *q, MlirOperation graph, struct qbc_learned *l)
{
    struct search s = {.learned = l, .factor = 1};
    bool good = qbc_choice_frontier(q, &l->choice, s.points, POINTS), done = false;
    l->quality.float_perplexity = 20; /* a guess, until the first try tells */
    for (int i = 0; i < MOST_TRIES && good && !done; ++i) {
        double used = 0;
        int64_t most = s.points[POINTS - 1].bytes, bytes = i + 1 < MOST_TRIES || s.kept ? next_try(&s) : most;
        good = try(q, graph, &s, bytes, &used);
        done = s.kept ? (used <= 1 && used >= USED_WELL) || (double)(s.kept - s.missed) < NEAR * (double)s.kept
                      : s.missed >= most - most / 1000;
    }
    l->choice.target = s.kept ? s.kept_target : s.points[POINTS - 1].bytes;
    l->quality = s.kept ? s.quality : l->quality;
    return good && qbc_choice_make(q, &l->choice);
}
