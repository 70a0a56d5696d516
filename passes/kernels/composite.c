/* composite: what can be said of the kernels of a format that is made of others. It has none of its own: passes take it
 * apart (split_composites.c). */
#include "kernel.h"
#include "parts.h"

#include <string.h>

const char *qbc_parts_lack_kernel(const struct qbc_format *f)
{
    struct qbc_format part;
    for (int i = 0; qbc_format_part(f, i, &part); ++i) {
        const char *lacking = qbc_format_lacks_kernel(&part);
        if (lacking)
            return lacking;
    }
    return NULL;
}

static const char *own_kernels(const struct qbc_format *f)
{
    switch (f->codebook) {
    case QBC_CODE_SPLIT:
        return f->permuted ? "activations permuted" : "";
    case QBC_CODE_SCALED:
        return "activations and results scaled";
    case QBC_CODE_SPARSE:
        return "sparse product";
    case QBC_CODE_LOWRANK:
        return "products of floats";
    default:
        return "";
    }
}

const char *qbc_describe_parts(struct qbc *q, const struct qbc_format *f)
{
    struct qbc_format part;
    const char *text = "";
    for (int i = 0; qbc_format_part(f, i, &part); ++i) {
        const struct qbc_format *known = qbc_find_format(q, part.name);
        text = qbc_text(q, "%s%s%s: %s", text, *text ? "; " : "", known->name, qbc_describe_kernels(q, known));
    }
    const char *own = own_kernels(f);
    return *own ? qbc_text(q, "%s; %s", text, own) : text;
}
