/* find: targets by name, those of extensions behind our own. */
#include "extension.h"
#include "target.h"

#include <string.h>

const struct qbc_target *qbc_listed_target(const struct qbc *q, size_t i)
{
    size_t own = 0;
    for (; qbc_target_at(own); ++own)
        if (own == i)
            return qbc_target_at(i);
    i -= own;
    for (size_t e = 0; e < q->n_extensions; i -= q->extensions[e++]->n_targets)
        if (i < q->extensions[e]->n_targets)
            return q->extensions[e]->targets[i];
    return NULL;
}

const struct qbc_target *qbc_find_target(const struct qbc *q, const char *name)
{
    for (size_t i = 0; qbc_listed_target(q, i); ++i)
        if (!strcmp(qbc_listed_target(q, i)->name, name))
            return qbc_listed_target(q, i);
    return NULL;
}
