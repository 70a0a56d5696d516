/* sums: bytes and losses of choices, and orders of items. */
#include "allocator.h"

#include <stdlib.h>

int64_t qbc_choice_bytes(const struct qbc_problem *p, const size_t *choice)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < p->n; ++i)
        bytes += p->bytes[choice[i]];
    return bytes;
}

double qbc_choice_sum(const struct qbc_problem *p, const size_t *choice)
{
    double loss = 0;
    for (size_t i = 0; i < p->n; ++i)
        loss += p->loss[choice[i]];
    return loss;
}

double qbc_choice_loss(const struct qbc_problem *p, const size_t *choice)
{
    return p->judge ? p->judge(p->user, choice) : qbc_choice_sum(p, choice);
}

bool qbc_choose_smallest(const struct qbc_problem *p, size_t *choice)
{
    for (size_t i = 0; i < p->n; ++i) {
        choice[i] = p->first[i];
        for (size_t o = p->first[i] + 1; o < p->first[i + 1]; ++o)
            if (p->bytes[o] < p->bytes[choice[i]] ||
                (p->bytes[o] == p->bytes[choice[i]] && p->loss[o] < p->loss[choice[i]]))
                choice[i] = o;
    }
    return qbc_choice_bytes(p, choice) <= p->budget;
}

size_t qbc_largest_option(const struct qbc_problem *p, size_t i)
{
    size_t best = p->first[i];
    for (size_t o = best + 1; o < p->first[i + 1]; ++o)
        if (p->bytes[o] > p->bytes[best] || (p->bytes[o] == p->bytes[best] && p->loss[o] < p->loss[best]))
            best = o;
    return best;
}

struct ranked {
    double metric;
    size_t item;
};

static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->metric != y->metric)
        return x->metric > y->metric ? -1 : 1;
    return x->item < y->item ? -1 : 1;
}

bool qbc_by_metric(const struct qbc_problem *p, size_t *order)
{
    struct ranked *items = malloc((p->n + 1) * sizeof *items);
    for (size_t i = 0; i < p->n && items; ++i)
        items[i] = (struct ranked){p->metric[i], i};
    if (items)
        qsort(items, p->n, sizeof *items, compare);
    for (size_t i = 0; i < p->n; ++i)
        order[i] = items ? items[i].item : i;
    free(items);
    return items;
}

bool qbc_spend_by_metric(const struct qbc_problem *p, bool pass_over, size_t *choice)
{
    bool fits = qbc_choose_smallest(p, choice);
    size_t *order = malloc((p->n + 1) * sizeof *order);
    bool good = fits && p->metric && order && qbc_by_metric(p, order);
    int64_t bytes = good ? qbc_choice_bytes(p, choice) : 0;
    for (size_t i = 0; i < p->n && good; ++i) {
        size_t item = order[i], large = qbc_largest_option(p, item);
        int64_t more = p->bytes[large] - p->bytes[choice[item]];
        bool room = bytes + more <= p->budget;
        if (!room && !pass_over)
            break;
        choice[item] = room ? large : choice[item];
        bytes += room ? more : 0;
    }
    free(order);
    return good;
}
