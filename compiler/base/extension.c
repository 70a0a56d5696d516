/* extension: take in what comes from outside, after a look at it.
 *
 * Names are the user's only handle on a row, so each may be there once.
 */
#include "extension.h"
#include "format.h"
#include "target.h"

#include <dlfcn.h>
#include <string.h>

static void check_name(struct qbc *q, const struct qbc_extension *e, const char *kind, const char *name, bool taken)
{
    if (!name || !*name || name[strcspn(name, " ,=:")])
        qbc_error_in(q, e->name, "a %s of this extension has no name, or one with one of ' ,=:'", kind);
    else if (taken)
        qbc_error_in(q, e->name, "this extension has a %s '%s', but there is one of that name already", kind, name);
}

static void check_format(struct qbc *q, const struct qbc_extension *e, const struct qbc_format *f)
{
    check_name(q, e, "format", f->name, qbc_find_format(q, f->name));
    if (f->codebook == QBC_CODE_FLOAT)
        qbc_error_in(q, e->name, "format '%s': float formats cannot come from extensions", f->name);
    else if (f->bits < 1 || f->bits > 8 || f->group < 4 || f->group % 4 || f->group * f->bits % 8)
        qbc_error_in(q, e->name, "format '%s': %d bits, groups of %d; see format.h for what fits", f->name,
                     f->bits, f->group);
    else if (f->low < 0 || f->low > f->high || f->high >= 1 << f->bits)
        qbc_error_in(q, e->name, "format '%s': codes %d to %d are not within %d bits", f->name, f->low, f->high,
                     f->bits);
}

static void check_target(struct qbc *q, const struct qbc_extension *e, const struct qbc_target *t)
{
    check_name(q, e, "target", t->name, t->name && (!strcmp(t->name, "native") || qbc_find_target(q, t->name)));
    if (!t->triple || !t->cpu || !t->features || !t->about)
        qbc_error_in(q, e->name, "target '%s' needs a triple, a cpu, features and an about", t->name);
    else if (!t->tiles || t->tiles[0].act_bits != 32)
        qbc_error_in(q, e->name, "target '%s': its first tile must be a float one, act_bits 32", t->name);
    else if (t->vector_bits < 64 || t->vector_regs < 1 || t->machine < 1)
        qbc_error_in(q, e->name, "target '%s' has no vectors, or no ELF machine number", t->name);
}

/* Rows are checked one by one against those that came before. */
static void take(struct qbc *q, const struct qbc_extension *e, void *handle)
{
    if (!e->version || strcmp(e->version, QBC_VERSION)) {
        qbc_error_in(q, e->name ? e->name : "extension", "made for qbc %s, this is %s; compile it again",
                     e->version ? e->version : "?", QBC_VERSION);
        return;
    }
    if (!e->name) {
        qbc_error_in(q, "extension", "an extension needs a name");
        return;
    }
    struct qbc_extension *seen = qbc_alloc(q, sizeof *seen);
    *seen = *e;
    seen->n_targets = seen->n_formats = 0;
    q->extensions[q->n_extensions] = seen;
    q->handles[q->n_extensions++] = handle;
    for (; seen->n_targets < e->n_targets && !q->errors; ++seen->n_targets)
        check_target(q, e, e->targets[seen->n_targets]);
    for (; seen->n_formats < e->n_formats && !q->errors; ++seen->n_formats)
        check_format(q, e, e->formats[seen->n_formats]);
}

static void load(struct qbc *q, const char *path)
{
    /* a name without a slash is a file here, not one of the system's libraries */
    void *handle = dlopen(strchr(path, '/') ? path : qbc_text(q, "./%s", path), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        qbc_error_in(q, "-load", "%s", dlerror());
        return;
    }
    const struct qbc_extension *e = dlsym(handle, "qbc_extension");
    size_t before = q->n_extensions;
    if (!e)
        qbc_error_in(q, "-load", "'%s' is no extension: it exports no qbc_extension", path);
    else
        take(q, e, handle);
    if (q->n_extensions == before)
        dlclose(handle);
}

bool qbc_extensions_open(struct qbc *q)
{
    size_t n = q->options.n_extensions + q->options.n_load;
    q->extensions = qbc_alloc(q, (n + 1) * sizeof *q->extensions);
    q->handles = qbc_alloc(q, (n + 1) * sizeof *q->handles);
    for (size_t i = 0; i < q->options.n_extensions && !q->errors; ++i)
        take(q, q->options.extensions[i], NULL);
    for (size_t i = 0; i < q->options.n_load && !q->errors; ++i)
        load(q, q->options.load[i]);
    return !q->errors;
}

void qbc_extensions_close(struct qbc *q)
{
    while (q->n_extensions)
        if (q->handles[--q->n_extensions])
            dlclose(q->handles[q->n_extensions]);
}
