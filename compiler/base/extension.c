/* extension: take in what comes from outside, after a look at it (check_extension.c). Passes are looked at where they
 * are put in their places, compiler/pass_list.c.
 */
#include "check_extension.h"

#include <dlfcn.h>
#include <string.h>

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
        qbc_check_target(q, e->name, e->targets[seen->n_targets]);
    for (; seen->n_formats < e->n_formats && !q->errors; ++seen->n_formats)
        qbc_check_format(q, e->name, e->formats[seen->n_formats]);
}

static void load(struct qbc *q, const char *path)
{
    /* a name without a slash is a file here, not one of the system's libraries */
    void *handle = dlopen(strchr(path, '/') ? path : qbc_text(q, "./%s", path), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        qbc_error_in(q, "-load", "%s", dlerror());
        return;
    }
    qbc_note_input(q, path);
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
