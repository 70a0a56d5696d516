/* allocators: the rows of allocators.def. */
#include "allocator.h"

#include <string.h>

#define ALLOCATOR(name, about, wants, over_budget) {#name, about, qbc_allocate_##name, wants, over_budget},
static const struct qbc_allocator allocators[] = {
#include "allocators.def"
};
#undef ALLOCATOR

const struct qbc_allocator *qbc_allocator_at(size_t i)
{
    return i < sizeof allocators / sizeof *allocators ? &allocators[i] : NULL;
}

const struct qbc_allocator *qbc_find_allocator(const char *name)
{
    const struct qbc_allocator *a;
    if (!name)
        return qbc_allocator_at(0);
    for (size_t i = 0; (a = qbc_allocator_at(i)); ++i)
        if (!strcmp(a->name, name))
            return a;
    return NULL;
}
