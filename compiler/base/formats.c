/* formats: the block formats of a compilation. A name is read once; from then on it has one address, so formats are
 * compared by pointer and live as long as the context. */
#include "extension.h"
#include "parts.h"

#include <string.h>

struct qbc_known_format {
    struct qbc_format format;
    struct qbc_known_format *next;
};

static const struct qbc_format *known(const struct qbc *q, const char *name)
{
    for (const struct qbc_known_format *k = q->formats; k; k = k->next)
        if (!strcmp(k->format.name, name))
            return &k->format;
    return NULL;
}

static const struct qbc_format *add(struct qbc *q, const struct qbc_format *format)
{
    const struct qbc_format *old = known(q, format->name);
    if (old)
        return old;
    struct qbc_known_format *k = qbc_alloc(q, sizeof *k);
    *k = (struct qbc_known_format){.format = *format, .next = q->formats};
    q->formats = k;
    return &k->format;
}

/* Of all extensions together; NULL: past the end. */
static const struct qbc_format *from_outside(const struct qbc *q, size_t i)
{
    for (size_t e = 0; e < q->n_extensions; i -= q->extensions[e++]->n_formats)
        if (i < q->extensions[e]->n_formats)
            return q->extensions[e]->formats[i];
    return NULL;
}

const struct qbc_format *qbc_listed_format(struct qbc *q, size_t i)
{
    size_t own = 0;
    for (; qbc_format_example(own); ++own)
        if (own == i)
            return qbc_find_format(q, qbc_format_example(i));
    return from_outside(q, i - own);
}

const struct qbc_format *qbc_find_format(struct qbc *q, const char *name)
{
    struct qbc_format format;
    for (size_t i = 0; from_outside(q, i); ++i)
        if (!strcmp(from_outside(q, i)->name, name))
            return from_outside(q, i);
    if (!strcmp(name, qbc_format_u16.name))
        return &qbc_format_u16;
    const struct qbc_format *old = known(q, name);
    return old || !qbc_format_parse(name, &format, NULL) ? old : add(q, &format);
}

const struct qbc_format *qbc_read_format(struct qbc *q, const char *where, const char *name)
{
    enum { MOST = 256 };
    const struct qbc_format *format = qbc_find_format(q, name);
    if (format && format != &qbc_format_u16)
        return format;
    struct qbc_format unused;
    char why[QBC_FORMAT_WHY];
    const char *names[MOST + 1] = {NULL};
    for (size_t i = 0; i < MOST && qbc_listed_format(q, i); ++i)
        names[i] = qbc_listed_format(q, i)->name;
    const char *near = qbc_nearest(name, names);
    qbc_format_parse(name, &unused, why);
    qbc_error_in(q, where, "no format '%s': %s%s%s%s", name, why, near ? "; did you mean '" : "",
                 near ? near : "; see qbc --list-formats", near ? "'?" : "");
    return NULL;
}
