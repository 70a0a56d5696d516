/* qbc-opt: run single passes on IR of any level.
 *
 *   qbc-opt [-PASS ...] [-weights=model.onnx] [-target=T] [-quant=F] FILE.mlir|-
 *
 * Passes run in the order given; the module is verified after each and printed at the end.
 */
#include "import.h"
#include "pipeline.h"

#include <stdio.h>
#include <string.h>

static void print(MlirStringRef text, void *to)
{
    fwrite(text.data, 1, text.length, to);
}

static void help(void)
{
    puts("qbc-opt: run single passes on IR of any level\n\n"
         "  qbc-opt [-PASS ...] [options] FILE.mlir | -\n\n"
         "  -weights=MODEL.onnx   where qb.weight finds its tensors\n"
         "  -target=NAME -quant=FORMAT -quant-tensor=REGEX=FORMAT -fit=rtn|range -ctx=N   as in qbc\n\n"
         "passes:");
    for (size_t i = 0; qbc_pass_at(i); ++i)
        printf("  -%-20s %s\n", qbc_pass_at(i)->name, qbc_pass_at(i)->about);
}

static bool option(struct qbc *q, const char *arg, const char *name, const char **to)
{
    size_t n = strlen(name);
    (void)q;
    if (strncmp(arg, name, n))
        return false;
    *to = arg + n;
    return true;
}

enum { MOST_PASSES = 64 };

int main(int argc, char **argv)
{
    struct qbc q = {.options = {.target = "x86-64-v3", .quant = "f32", .fit = "rtn"}};
    const struct qbc_pass *passes[MOST_PASSES];
    const char *rules[MOST_PASSES], *context = NULL, *weights = NULL, *file = "-", *rule;
    size_t n = 0;
    for (int i = 1; i < argc; ++i) {
        const char *arg = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
        const struct qbc_pass *pass = arg[0] == '-' && arg[1] ? qbc_pass_find(arg + 1) : NULL;
        if (pass && n < MOST_PASSES)
            passes[n++] = pass;
        else if (!strcmp(arg, "-h") || !strcmp(arg, "-help"))
            return help(), 0;
        else if (option(&q, arg, "-quant-tensor=", &rule) && q.options.n_quant_tensor < MOST_PASSES)
            rules[q.options.n_quant_tensor++] = rule;
        else if (option(&q, arg, "-weights=", &weights) || option(&q, arg, "-ctx=", &context) ||
                 option(&q, arg, "-target=", &q.options.target) ||
                 option(&q, arg, "-quant=", &q.options.quant) || option(&q, arg, "-fit=", &q.options.fit))
            continue;
        else if (arg[0] == '-' && arg[1])
            return fprintf(stderr, "qbc-opt: error: unknown option '%s'; -h lists them\n", argv[i]), 1;
        else
            file = arg;
    }
    q.options.quant_tensor = rules;
    if (context)
        sscanf(context, "%ld", &q.options.context);
    if (!qbc_choose_target(&q) || !qbc_open(&q))
        return 1;
    MlirModule unused = {NULL}, module = {NULL};
    if (weights)
        unused = qbc_import_onnx(&q, weights);
    if (!q.errors)
        module = qbc_parse_file(&q, strcmp(file, "-") ? file : "/dev/stdin");
    bool good = !mlirModuleIsNull(module) && !q.errors;
    for (size_t i = 0; i < n && good; ++i)
        good = qbc_pass_run(&q, passes[i], mlirModuleGetOperation(module));
    if (good) {
        mlirOperationPrint(mlirModuleGetOperation(module), print, stdout);
        putchar('\n');
    }
    if (!mlirModuleIsNull(module))
        mlirModuleDestroy(module);
    if (!mlirModuleIsNull(unused))
        mlirModuleDestroy(unused);
    qbc_close(&q);
    return good ? 0 : 1;
}
