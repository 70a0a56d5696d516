/* threshold: items whose metric is above `share` keep their largest option, the others get the smallest (Spike-aware). The
 * budget is not looked at.
 */
#include "allocator.h"

bool qbc_allocate_threshold(const struct qbc_problem *p, size_t *choice)
{
    qbc_choose_smallest(p, choice);
    for (size_t i = 0; i < p->n && p->metric; ++i)
        if (p->metric[i] > p->share)
            choice[i] = qbc_largest_option(p, i);
    return p->metric;
}
