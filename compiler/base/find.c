/* find: targets and formats by name, those of extensions behind our own. */
#include "extension.h"
#include "format.h"
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

const struct qbc_format *qbc_listed_format(const struct qbc *q, size_t i)
{
    size_t own = 0;
    for (; qbc_format_at(own); ++own)
        if (own == i)
            return qbc_format_at(i);
    i -= own;
    for (size_t e = 0; e < q->n_extensions; i -= q->extensions[e++]->n_formats)
        if (i < q->extensions[e]->n_formats)
            return q->extensions[e]->formats[i];
    return NULL;
}

const struct qbc_target *qbc_find_target(const struct qbc *q, const char *name)
{
    for (size_t i = 0; qbc_listed_target(q, i); ++i)
        if (!strcmp(qbc_listed_target(q, i)->name, name))
            return qbc_listed_target(q, i);
    return NULL;
}

const struct qbc_format *qbc_find_format(const struct qbc *q, const char *name)
{
    for (size_t i = 0; qbc_listed_format(q, i); ++i)
        if (!strcmp(qbc_listed_format(q, i)->name, name))
            return qbc_listed_format(q, i);
    return NULL;
}
