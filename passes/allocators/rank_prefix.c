/* rank_prefix: two classes of items, as many as fit in the better one (LIM, ZD, LUQ).
 *
 * Items by falling metric; the longest prefix for which the largest options fit gets them, all others the smallest.
 */
#include "allocator.h"

bool qbc_allocate_rank_prefix(const struct qbc_problem *p, size_t *choice)
{
    return qbc_spend_by_metric(p, false, choice);
}
