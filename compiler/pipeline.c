/* pipeline: the compilation, top to bottom. */
#include "pipeline.h"

#include "import.h"
#include "passes.h"

#include <stdio.h>
#include <string.h>

static const struct qbc_pass pipeline[] = {
#define PASS(name, level, about) {#name, level, about, qbc_pass_##name},
#include "passes.def"
#undef PASS
    {0},
};

const struct qbc_pass *qbc_pass_at(size_t i)
{
    return i + 1 < sizeof pipeline / sizeof *pipeline ? &pipeline[i] : NULL;
}

static bool same_name(const char *symbol, const char *flag)
{
    for (; *symbol && *flag; ++symbol, ++flag)
        if (*symbol != *flag && !(*symbol == '_' && *flag == '-'))
            return false;
    return *symbol == *flag;
}

const struct qbc_pass *qbc_pass_find(const char *name)
{
    for (const struct qbc_pass *p = pipeline; p->name; ++p)
        if (same_name(p->name, name))
            return p;
    return NULL;
}

static void print_module(MlirStringRef text, void *to)
{
    fwrite(text.data, 1, text.length, to);
}

bool qbc_pass_run(struct qbc *q, const struct qbc_pass *pass, MlirOperation module)
{
    size_t before = q->errors;
    pass->run(q, module);
    if (q->errors == before && !mlirOperationVerify(module))
        q->errors += q->errors == before;
    const char *wanted = q->options.print_after;
    if (wanted && (!strcmp(wanted, "all") || same_name(pass->name, wanted))) {
        fprintf(stderr, "// after %s\n", pass->name);
        mlirOperationPrint(module, print_module, stderr);
        fputc('\n', stderr);
    }
    return q->errors == before;
}
