/* greedy_order: items by falling metric take their largest option while that fits (BitStack: planes are loaded until the
 * memory is full). Unlike rank_prefix, an item that does not fit is passed over, and smaller ones behind it are tried.
 */
#include "allocator.h"

bool qbc_allocate_greedy_order(const struct qbc_problem *p, size_t *choice)
{
    return qbc_spend_by_metric(p, true, choice);
}
