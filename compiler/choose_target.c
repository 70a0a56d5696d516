/* choose_target: -target=NAME to a row of targets.def; `native` asks LLVM what this CPU has. */
#include "pipeline.h"
#include "target.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

bool qbc_choose_target(struct qbc *q)
{
    const char *names[128], *name = q->options.target;
    size_t n = 0;
    if (!strcmp(name, "native")) {
        char *triple = LLVMGetDefaultTargetTriple(), *features = LLVMGetHostCPUFeatures(), *cpu = LLVMGetHostCPUName();
        q->target = qbc_target_native(triple, features, cpu);
        LLVMDisposeMessage(cpu);
        LLVMDisposeMessage(triple);
        LLVMDisposeMessage(features);
        if (!q->target)
            qbc_error_in(q, "-target=native", "this CPU has none of the features that a target needs; "
                                              "qbc --list-targets");
        return q->target;
    }
    q->target = qbc_find_target(q, name);
    for (; !q->target && qbc_listed_target(q, n) && n < 126; ++n)
        names[n] = qbc_listed_target(q, n)->name;
    names[n] = "native", names[n + 1] = NULL;
    const char *near = q->target ? NULL : qbc_nearest(name, names);
    if (near)
        qbc_error_in(q, "-target", "unknown target '%s'; did you mean '%s'?", name, near);
    else if (!q->target)
        qbc_error_in(q, "-target", "unknown target '%s'; qbc --list-targets shows them", name);
    return q->target;
}
