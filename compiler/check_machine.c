/* check_machine: does LLVM know the CPU and the features of a target from outside, and can the runtime ask for them?
 *
 * LLVM itself says so on the standard error and goes on without. For rows of the tree target_test looks.
 */
#include "cpu_features.h"
#include "pipeline.h"
#include "target.h"

#include <string.h>

enum { MOST_NAMES = 1024 };

static void check_cpu(struct qbc *q, const struct qbc_target *t, const char *field, const char *cpu)
{
    if (!cpu || qbc_llvm_is_cpu(t->triple, cpu))
        return;
    const char **names = qbc_alloc(q, (MOST_NAMES + 1) * sizeof *names);
    qbc_llvm_cpus(t->triple, names, MOST_NAMES);
    qbc_error_in(q, t->name, "LLVM knows no CPU '%s' of %s, which .%s names%s", cpu, t->triple, field,
                 qbc_suggestion(q, cpu, names, ""));
}

static void check_feature(struct qbc *q, const struct qbc_target *t, const char *entry)
{
    const char **names;
    if ((*entry != '+' && *entry != '-') || !qbc_llvm_is_feature(t->triple, entry + 1)) {
        names = qbc_alloc(q, (MOST_NAMES + 1) * sizeof *names);
        qbc_llvm_features(t->triple, names, MOST_NAMES);
        qbc_error_in(q, t->name, "'%s' of .features is no '+' or '-' and a feature of %s that LLVM knows%s", entry,
                     t->triple, qbc_suggestion(q, entry + (*entry != 0), names, ""));
    } else if (*entry == '+' && !qbc_is_checkable(t->triple, entry + 1)) {
        qbc_error_in(q, t->name, "the runtime cannot ask a CPU for '%s': no artifact can demand it", entry + 1);
    }
}

static void check(struct qbc *q, const struct qbc_target *t)
{
    struct qbc_triple triple;
    if (!qbc_triple_read(t->triple, &triple) || !triple.is_ordinary) {
        qbc_error_in(q, t->name, "no code can be made for '%s': x86_64, aarch64 or riscv64, and ELF", t->triple);
        return;
    }
    check_cpu(q, t, "cpu", t->cpu);
    check_cpu(q, t, "tune", t->tune);
    for (const char *at = t->features; *at; at += strcspn(at, ","), at += *at == ',')
        check_feature(q, t, qbc_copy(q, at, strcspn(at, ",")));
}

bool qbc_check_machines(struct qbc *q)
{
    for (size_t i = 0; i < q->n_targets; ++i)
        for (size_t e = 0; e < q->n_extensions; ++e)
            for (size_t row = 0; row < q->extensions[e]->n_targets; ++row)
                if (q->targets[i] == q->extensions[e]->targets[row])
                    check(q, q->targets[i]);
    return !q->errors;
}
