/* pass_list: the pipeline as a list, passes.def's rows and between them what extensions bring. */
#include "pipeline.h"

#include "passes.h"

#include <string.h>

static const struct qbc_pass own[] = {
#define PASS(name, level, about) {#name, level, about, qbc_pass_##name},
#include "passes.def"
#undef PASS
    {0},
};

enum { N_OWN = sizeof own / sizeof *own - 1 };

static const char *const levels[] = {"onnx", "graph", "quant", "kernels", "code", NULL};

size_t qbc_level_number(const char *name)
{
    size_t i = 0;
    while (levels[i] && strcmp(levels[i], name))
        ++i;
    return i;
}

bool qbc_pass_is(const struct qbc_pass *pass, const char *name)
{
    const char *a = pass->name;
    for (; *a && *name; ++a, ++name)
        if (*a != *name && !((*a == '_' || *a == '-') && (*name == '-' || *name == '_')))
            return false;
    return *a == *name;
}

static const struct qbc_pass *find_in(const struct qbc_pass *list, const char *name)
{
    for (; list->name; ++list)
        if (qbc_pass_is(list, name))
            return list;
    return NULL;
}

/* --- extensions */

/* Where in the list of n a pass goes: behind what came before it at the same place. */
static size_t place_of(const struct qbc_pass *list, size_t n, const struct qbc_extension_pass *p, size_t *tails)
{
    const struct qbc_pass *beside = p->before || p->after ? find_in(list, p->before ? p->before : p->after) : NULL;
    if (beside && p->before)
        return (size_t)(beside - list);
    if (beside) {
        size_t at = (size_t)(beside - list);
        return at + 1 + tails[at];
    }
    size_t level = qbc_level_number(p->pass.level), at = n;
    while (at && qbc_level_number(list[at - 1].level) > level)
        --at;
    return at;
}

/* False after an error. */
static bool check(struct qbc *q, const char *name, const struct qbc_pass *list, const struct qbc_extension_pass *p)
{
    size_t before = q->errors;
    if (!p->pass.name || !p->pass.run || !p->pass.about)
        qbc_error_in(q, name, "a pass of this extension has no name, no about or no function");
    else if (find_in(list, p->pass.name))
        qbc_error_in(q, name, "this extension has a pass '%s', but there is one of that name already", p->pass.name);
    else if (p->before && p->after)
        qbc_error_in(q, name, "pass '%s' stands before or after another one, not both", p->pass.name);
    else if ((p->before || p->after) && !find_in(list, p->before ? p->before : p->after))
        qbc_error_in(q, name, "pass '%s' wants to stand beside '%s', which is no pass", p->pass.name,
                     p->before ? p->before : p->after);
    else if (!p->before && !p->after && (!p->pass.level || !levels[qbc_level_number(p->pass.level)]))
        qbc_error_in(q, name, "pass '%s' does not say before or after which pass, or at the end of which level",
                     p->pass.name);
    return q->errors == before;
}

/* tails[i]: how many passes stand behind list[i] because they said `after`. */
static void insert(struct qbc_pass *list, size_t *tails, size_t n, const struct qbc_extension_pass *p)
{
    size_t at = place_of(list, n, p, tails);
    struct qbc_pass pass = p->pass;
    if (p->before)
        pass.level = find_in(list, p->before)->level;
    if (p->after) {
        const struct qbc_pass *beside = find_in(list, p->after);
        pass.level = beside->level;
        ++tails[beside - list];
    }
    memmove(list + at + 1, list + at, (n - at) * sizeof *list);
    memmove(tails + at + 1, tails + at, (n - at) * sizeof *tails);
    list[at] = pass;
    tails[at] = 0;
}

bool qbc_passes_open(struct qbc *q)
{
    size_t n = N_OWN, most = N_OWN + 1;
    for (size_t e = 0; e < q->n_extensions; ++e)
        most += q->extensions[e]->n_passes;
    struct qbc_pass *list = qbc_alloc(q, most * sizeof *list);
    size_t *tails = qbc_alloc(q, most * sizeof *tails);
    memcpy(list, own, sizeof own);
    for (size_t e = 0; e < q->n_extensions; ++e)
        for (size_t i = 0; i < q->extensions[e]->n_passes; ++i) {
            const struct qbc_extension_pass *p = &q->extensions[e]->passes[i];
            if (!check(q, q->extensions[e]->name, list, p))
                return false;
            insert(list, tails, n++, p);
        }
    q->passes = list;
    return true;
}

/* --- looking up */

const struct qbc_pass *qbc_listed_pass(const struct qbc *q, size_t i)
{
    const struct qbc_pass *list = q->passes ? q->passes : own;
    for (size_t n = 0; list[n].name; ++n)
        if (n == i)
            return &list[n];
    return NULL;
}

const struct qbc_pass *qbc_find_pass(const struct qbc *q, const char *name)
{
    return find_in(q->passes ? q->passes : own, name);
}

const char *qbc_pass_flag(struct qbc *q, const struct qbc_pass *pass)
{
    char *flag = qbc_copy(q, pass->name, strlen(pass->name));
    for (char *c = flag; *c; ++c)
        *c = *c == '_' ? '-' : *c;
    return flag;
}

const char *const *qbc_pass_flags(struct qbc *q)
{
    size_t n = 0;
    while (qbc_listed_pass(q, n))
        ++n;
    const char **flags = qbc_alloc(q, (n + 1) * sizeof *flags);
    for (size_t i = 0; i < n; ++i)
        flags[i] = qbc_pass_flag(q, qbc_listed_pass(q, i));
    return flags;
}
