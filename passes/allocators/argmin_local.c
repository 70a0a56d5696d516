/* argmin_local: each item alone takes the option of least loss, of equals the smaller one (AdaDim's axis, BitMoD's table,
 * FineQuant's group). The budget is not looked at.
 */
#include "allocator.h"

bool qbc_allocate_argmin_local(const struct qbc_problem *p, size_t *choice)
{
    for (size_t i = 0; i < p->n; ++i) {
        choice[i] = p->first[i];
        for (size_t o = p->first[i] + 1; o < p->first[i + 1]; ++o)
            if (p->loss[o] < p->loss[choice[i]] ||
                (p->loss[o] == p->loss[choice[i]] && p->bytes[o] < p->bytes[choice[i]]))
                choice[i] = o;
    }
    return true;
}
