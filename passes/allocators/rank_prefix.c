/* rank_prefix: two classes of items, as many as fit in the better one (LIM, ZD, LUQ).
 *
 * Items by falling metric; the longest prefix for which the largest options fit gets them, all others the smallest.
 */
#include "allocator.h"

#include <stdlib.h>

bool qbc_allocate_rank_prefix(const struct qbc_problem *p, size_t *choice)
{
    bool fits = qbc_choose_smallest(p, choice);
    size_t *order = malloc((p->n + 1) * sizeof *order);
    bool good = fits && p->metric && order && qbc_by_metric(p, order);
    int64_t bytes = good ? qbc_choice_bytes(p, choice) : 0;
    for (size_t i = 0; i < p->n && good; ++i) {
        size_t item = order[i], large = qbc_largest_option(p, item);
        bytes += p->bytes[large] - p->bytes[choice[item]];
        if (bytes > p->budget)
            break;
        choice[item] = large;
    }
    free(order);
    return good;
}
