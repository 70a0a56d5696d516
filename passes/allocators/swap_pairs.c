/* swap_pairs: the mean width stays, the widths do not (SliM-LLM).
 *
 * All items start at the same number of steps above their smallest option, the most that fits. Then for m = 1, 2, ... the m
 * most important items get one step more and the m least important ones one step less; the m of least loss that fits is
 * taken, m = 0 among them. Options must rise in bytes.
 */
#include "allocator.h"

#include <stdlib.h>
#include <string.h>

static size_t step_of(const struct qbc_problem *p, size_t item, size_t steps)
{
    size_t n = p->first[item + 1] - p->first[item];
    return p->first[item] + (steps < n ? steps : n - 1);
}

static size_t most_options(const struct qbc_problem *p)
{
    size_t most = 0;
    for (size_t i = 0; i < p->n; ++i)
        most = p->first[i + 1] - p->first[i] > most ? p->first[i + 1] - p->first[i] : most;
    return most;
}

/* The same step for all, as high as the budget lets it be. */
static void choose_level(const struct qbc_problem *p, size_t *choice, size_t *try)
{
    for (size_t steps = 0, most = most_options(p); steps < most; ++steps) {
        for (size_t i = 0; i < p->n; ++i)
            try[i] = step_of(p, i, steps);
        if (qbc_choice_bytes(p, try) <= p->budget)
            memcpy(choice, try, p->n * sizeof *try);
    }
}

static void swap(const struct qbc_problem *p, const size_t *order, size_t *choice, size_t *try, size_t *best)
{
    double least = qbc_choice_loss(p, choice);
    memcpy(try, choice, p->n * sizeof *try);
    memcpy(best, choice, p->n * sizeof *try);
    for (size_t m = 0; m < p->n / 2; ++m) {
        size_t up = order[m], down = order[p->n - 1 - m];
        if (try[up] + 1 >= p->first[up + 1] || try[down] == p->first[down])
            continue;
        ++try[up];
        --try[down];
        if (qbc_choice_bytes(p, try) > p->budget)
            continue;
        double loss = qbc_choice_loss(p, try);
        if (loss < least) {
            least = loss;
            memcpy(best, try, p->n * sizeof *try);
        }
    }
    memcpy(choice, best, p->n * sizeof *try);
}

bool qbc_allocate_swap_pairs(const struct qbc_problem *p, size_t *choice)
{
    bool fits = qbc_choose_smallest(p, choice);
    size_t *order = malloc((3 * p->n + 1) * sizeof *order);
    bool good = fits && p->metric && order && qbc_by_metric(p, order);
    if (good) {
        choose_level(p, choice, order + p->n);
        swap(p, order, choice, order + p->n, order + 2 * p->n);
    }
    free(order);
    return good;
}
