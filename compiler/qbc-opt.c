/* qbc-opt: run single passes on IR of any level.
 *
 *   qbc-opt [-PASS ...] [-weights=model.onnx] [-target=T] [-quant=F] FILE.mlir|-
 *
 * Passes run in the order given; the module is verified after each and printed at the end.
 */
#include "import.h"
#include "pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print(MlirStringRef text, void *to)
{
    fwrite(text.data, 1, text.length, to);
}

static void help(struct qbc *q)
{
    puts("qbc-opt: run single passes on IR of any level\n\n"
         "  qbc-opt [-PASS ...] [options] FILE.mlir | -\n\n"
         "  -weights=MODEL.onnx   where qb.weight finds its tensors\n"
         "  -target=NAME -quant=FORMAT -quant-tensor=REGEX=FORMAT -fit=rtn|range -ctx=N\n"
         "  -load=FILE.so         as in qbc; the target is x86-64-v3 unless given\n\n"
         "passes:");
    const struct qbc_pass *p;
    for (size_t i = 0; (p = qbc_listed_pass(q, i)); ++i)
        printf("  -%-22s %s\n", qbc_pass_flag(q, p), p->about);
}

static bool option(const char *arg, const char *name, const char **to)
{
    size_t n = strlen(name);
    if (strncmp(arg, name, n))
        return false;
    *to = arg + n;
    return true;
}

enum { MOST_PASSES = 64 };

struct command {
    const struct qbc_pass *passes[MOST_PASSES];
    const char *rules[MOST_PASSES], *loads[MOST_PASSES];
    size_t n;
    const char *context, *weights, *file;
};

static void unknown(struct qbc *q, const char *arg)
{
    const char *near = qbc_nearest(arg + 1, qbc_pass_flags(q));
    qbc_error_in(q, "qbc-opt", "unknown option '%s'%s%s%s", arg, near ? "; did you mean '-" : "; -h lists them",
                 near ? near : "", near ? "'?" : "");
}

/* False: errors were reported. */
static bool parse(struct qbc *q, int argc, char **argv, struct command *c)
{
    const char *rule, *load;
    q->options.quant_tensor = c->rules;
    for (int i = 1; i < argc; ++i) {
        const char *arg = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
        const struct qbc_pass *pass = arg[0] == '-' && arg[1] ? qbc_find_pass(q, arg + 1) : NULL;
        if (pass && c->n < MOST_PASSES)
            c->passes[c->n++] = pass;
        else if (option(arg, "-quant-tensor=", &rule) && q->options.n_quant_tensor < MOST_PASSES)
            c->rules[q->options.n_quant_tensor++] = rule;
        else if (option(arg, "-load=", &load)) /* done already: its passes are options */
            continue;
        else if (option(arg, "-weights=", &c->weights) || option(arg, "-ctx=", &c->context) ||
                 option(arg, "-target=", &q->options.target) ||
                 option(arg, "-quant=", &q->options.quant) || option(arg, "-fit=", &q->options.fit) ||
                 option(arg, "-kv=", &q->options.kv) || option(arg, "-act=", &q->options.act))
            continue;
        else if (arg[0] == '-' && arg[1])
            unknown(q, arg);
        else
            c->file = arg;
    }
    if (c->context && (sscanf(c->context, "%" SCNd64, &q->options.context) != 1 || q->options.context < 1))
        qbc_error_in(q, "-ctx", "'%s' is no number from 1 up", c->context);
    return !q->errors;
}

/* Everything after the command line. False after errors. */
static bool run(struct qbc *q, const struct command *c)
{
    MlirModule model = {NULL}, module = {NULL};
    if (c->weights)
        model = qbc_import_onnx(q, c->weights); /* for the store that it fills */
    if (!q->errors)
        module = qbc_parse_file(q, strcmp(c->file, "-") ? c->file : "/dev/stdin");
    bool good = !mlirModuleIsNull(module) && !q->errors;
    for (size_t i = 0; i < c->n && good; ++i)
        good = qbc_pass_run(q, c->passes[i], mlirModuleGetOperation(module));
    if (good) {
        mlirOperationPrint(mlirModuleGetOperation(module), print, stdout);
        putchar('\n');
    }
    if (!mlirModuleIsNull(module))
        mlirModuleDestroy(module);
    if (!mlirModuleIsNull(model))
        mlirModuleDestroy(model);
    return good;
}

static bool open_extensions(struct qbc *q, int argc, char **argv, struct command *c)
{
    q->options.load = c->loads;
    for (int i = 1; i < argc; ++i) {
        const char *arg = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
        if (q->options.n_load < MOST_PASSES && option(arg, "-load=", &c->loads[q->options.n_load]))
            ++q->options.n_load;
    }
    return qbc_extensions_open(q) && qbc_passes_open(q);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; ++i)
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "-help") || !strcmp(argv[i], "--help"))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    struct qbc q = {.options = {.target = "x86-64-v3", .diagnose = qbc_print_diagnostic}};
    struct command command = {.file = "-"};
    qbc_options_complete(&q);
    bool good = open_extensions(&q, argc, argv, &command);
    if (good && wants_help(argc, argv)) {
        help(&q);
    } else if (good && parse(&q, argc, argv, &command) && qbc_choose_target(&q)) {
        good = qbc_open(&q) && run(&q, &command);
        qbc_close(&q);
    } else {
        good = false;
    }
    qbc_extensions_close(&q);
    qbc_arena_free(&q);
    return good ? 0 : 1;
}
