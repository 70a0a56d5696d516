/* top_ratio: the `share` of items with the largest metric (rounded to a whole number of them) gets the largest option, the
 * others the smallest (Fast-2bit: the widest tenth of the groups at four bits). The budget is not looked at.
 */
#include "allocator.h"

#include <math.h>
#include <stdlib.h>

bool qbc_allocate_top_ratio(const struct qbc_problem *p, size_t *choice)
{
    qbc_choose_smallest(p, choice);
    size_t *order = malloc((p->n + 1) * sizeof *order);
    bool good = p->metric && p->share >= 0 && p->share <= 1 && order && qbc_by_metric(p, order);
    size_t top = good ? (size_t)llround(p->share * (double)p->n) : 0;
    for (size_t i = 0; i < top; ++i)
        choice[order[i]] = qbc_largest_option(p, order[i]);
    free(order);
    return good;
}
