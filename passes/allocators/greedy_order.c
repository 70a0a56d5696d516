/* greedy_order: items by falling metric take their largest option while that fits (BitStack: planes are loaded until the
 * memory is full). Unlike rank_prefix, an item that does not fit is passed over, and smaller ones behind it are tried.
 */
#include "allocator.h"

#include <stdlib.h>

bool qbc_allocate_greedy_order(const struct qbc_problem *p, size_t *choice)
{
    bool fits = qbc_choose_smallest(p, choice);
    size_t *order = malloc((p->n + 1) * sizeof *order);
    bool good = fits && p->metric && order && qbc_by_metric(p, order);
    int64_t bytes = good ? qbc_choice_bytes(p, choice) : 0;
    for (size_t i = 0; i < p->n && good; ++i) {
        size_t item = order[i], large = qbc_largest_option(p, item);
        int64_t more = p->bytes[large] - p->bytes[choice[item]];
        if (bytes + more > p->budget)
            continue;
        bytes += more;
        choice[item] = large;
    }
    free(order);
    return good;
}
