/* choose_target: -target=NAME,... to rows of targets.def, plainest first; `native` is the best row for this CPU. */
#include "cpu_features.h"
#include "pipeline.h"
#include "qbrt.h"
#include "target.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

/* What this machine's runtime would say, so that code for `native` is never refused here. */
const struct qbc_target *qbc_native_target(struct qbc *q)
{
    char *triple = LLVMGetDefaultTargetTriple(), *cpu = LLVMGetHostCPUName();
    const char *features = qbc_checkable_features(q, triple, qbrt_cpu_has);
    const struct qbc_target *best = qbc_target_native(triple, features, cpu);
    LLVMDisposeMessage(triple);
    LLVMDisposeMessage(cpu);
    if (!best)
        qbc_error_in(q, "-target=native", "this CPU lacks what the plainest row of its kind needs; "
                                          "qbc --list-targets shows them");
    return best;
}

static void unknown(struct qbc *q, const char *name)
{
    enum { MOST = 126 };
    const char *names[MOST + 2] = {NULL};
    size_t n = 0;
    for (; qbc_listed_target(q, n) && n < MOST; ++n)
        names[n] = qbc_listed_target(q, n)->name;
    names[n] = "native";
    if (!*name)
        qbc_error_in(q, "-target", "unknown target '': a name is missing in '%s'", q->options.target);
    else
        qbc_error_in(q, "-target", "unknown target '%s'%s", name,
                     qbc_suggestion(q, name, names, "; qbc --list-targets shows them"));
}

/* NULL after an error. */
static const struct qbc_target *find(struct qbc *q, const char *name)
{
    if (!strcmp(name, "native"))
        return qbc_native_target(q);
    const struct qbc_target *row = qbc_find_target(q, name);
    if (!row)
        unknown(q, name);
    return row;
}

static size_t rank_of(const struct qbc *q, const struct qbc_target *t)
{
    size_t i = 0;
    while (qbc_listed_target(q, i) && qbc_listed_target(q, i) != t)
        ++i;
    return i;
}

/* Rows are kept in the order of targets.def: plainest first within an architecture, as docs/qbm.md wants variants. */
static void add(struct qbc *q, const struct qbc_target *t)
{
    size_t at = q->n_targets;
    for (size_t i = 0; i < q->n_targets; ++i) {
        const struct qbc_target *other = q->targets[i];
        if (other == t)
            qbc_error_in(q, "-target", "'%s' is given twice", t->name);
        else if (other->machine == t->machine && !strcmp(other->features, t->features))
            qbc_warn_in(q, "-target", "'%s' and '%s' need the same CPU features; '%s' is never run", t->name, other->name,
                        rank_of(q, t) < rank_of(q, other) ? t->name : other->name);
    }
    for (; at > 0 && rank_of(q, q->targets[at - 1]) > rank_of(q, t); --at)
        q->targets[at] = q->targets[at - 1];
    q->targets[at] = t;
    ++q->n_targets;
}

static void add_list(struct qbc *q, const char *names)
{
    for (const char *at = names;; ++at) {
        size_t length = strcspn(at, ",");
        const struct qbc_target *t = find(q, qbc_copy(q, at, length));
        if (t)
            add(q, t);
        at += length;
        if (!*at)
            return;
    }
}

/* One target, NULL for the default, changed by -mcpu, -mattr or -mtriple. */
static void add_refined(struct qbc *q, const char *name)
{
    const struct qbc_target *given = NULL, *refined = NULL;
    if (name && strchr(name, ','))
        qbc_error_in(q, "-target", "-mcpu, -mattr and -mtriple change one target; '%s' are several", name);
    else if (name)
        given = find(q, name);
    if (!q->errors)
        refined = qbc_refine_target(q, given);
    if (refined)
        q->targets[q->n_targets++] = refined;
}

bool qbc_choose_target(struct qbc *q)
{
    const char *names = q->options.target;
    q->targets = qbc_alloc(q, ((names ? strlen(names) : 0) + 1) * sizeof *q->targets);
    q->n_targets = 0;
    if (q->options.mcpu || q->options.mattr || q->options.mtriple)
        add_refined(q, names);
    else
        add_list(q, names ? names : "native");
    q->target = q->n_targets ? q->targets[0] : NULL;
    return !q->errors;
}
