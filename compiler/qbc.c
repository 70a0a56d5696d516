/* qbc: the command line. Everything else is pipeline.c. */
#include "pipeline.h"
#include "format.h"
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "qbc: compile a language model for one kind of CPU\n"
    "\n"
    "  qbc MODEL.onnx [-target=NAME] [-quant=FORMAT] [-o FILE.qbm]\n"
    "\n"
    "what to make\n"
    "  -target=NAME               the CPU; native (this one) unless given; --list-targets\n"
    "  -quant=FORMAT              format of every matrix; f32 unless given; --list-formats\n"
    "  -quant-tensor=REGEX=FORMAT another format for tensors whose name matches; may be repeated,\n"
    "                             the last that matches wins ('ffn_down=i8g32')\n"
    "  -fit=rtn|range             how codes are chosen: nearest, or the scale searched (rtn)\n"
    "  -ctx=N                     most tokens in a session (what the model says, up to 4096)\n"
    "  -chunk=N                   most tokens in one step (512)\n"
    "  -tokenizer=FILE|none       tokenizer.json (beside the model, or one folder up)\n"
    "\n"
    "output\n"
    "  -o FILE                    - is the standard output (MODEL.qbm; - for text)\n"
    "  -emit=LEVEL                onnx, graph, quant, kernels, llvm, asm or obj: how far to go; or qbm,\n"
    "                             exe, static-lib, shared, header: what to make of it (qbm)\n"
    "  -prefix=NAME               of all names in a library or object (model)\n"
    "  -weights=MODEL.onnx        for a .mlir input: the model that its weights are in\n"
    "  -print-after=PASS|all      print the IR after a pass, to the standard error\n"
    "  -q                         no progress line\n"
    "  -threads=N                 threads of the compiler (all cores)\n"
    "\n"
    "  --list-targets  --list-formats  --list-passes  --version  -h\n"
    "\n"
    "examples\n"
    "  qbc model.onnx -quant=i4g32 -o model.qbm && qbrun model.qbm -p 'Once upon a time'\n"
    "  qbc model.onnx -target=armv8 -quant=i8g32 -emit=asm | less\n";

static const char *const emits[] = {"onnx", "graph", "quant", "kernels", "llvm", "asm", "obj", "qbm",
                                    "exe", "static-lib", "shared", "header", NULL};
static const char *const fits[] = {"rtn", "range", NULL};

/* --- options: a row each */

struct option {
    const char *name; /* with its '=' when it takes a value */
    const char **text;
    int64_t *number;
};

static bool set_number(struct qbc *q, const char *arg, const char *value, int64_t *to)
{
    char *end;
    long long n = strtoll(value, &end, 10);
    if (!*value || *end || n < 1 || n > INT32_MAX) {
        qbc_error_in(q, arg, "'%s' is no number from 1 up", value);
        return false;
    }
    *to = n;
    return true;
}

static bool set_option(struct qbc *q, const struct option *options, const char *arg)
{
    for (; options->name; ++options) {
        size_t n = strlen(options->name);
        if (strncmp(arg, options->name, n))
            continue;
        if (options->text)
            *options->text = arg + n;
        else if (!set_number(q, arg, arg + n, options->number))
            return true;
        return true;
    }
    return false;
}

static bool one_of(struct qbc *q, const char *option, const char *value, const char *const *choices)
{
    for (const char *const *c = choices; *c; ++c)
        if (!strcmp(*c, value))
            return true;
    const char *near = qbc_nearest(value, choices);
    qbc_error_in(q, option, "'%s' is no choice%s%s%s", value, near ? "; did you mean '" : "",
                 near ? near : "; see qbc -h", near ? "'?" : "");
    return false;
}

static void unknown_option(struct qbc *q, const struct option *options, const char *arg)
{
    static const char *const flags[] = {"-quant-tensor=", "--list-targets", "--list-formats",
                                        "--list-passes", "--version"};
    enum { N_FLAGS = sizeof flags / sizeof *flags };
    const char *names[64];
    char name[64];
    size_t n = 0, length = strcspn(arg, "=");
    for (size_t i = 0; i < N_FLAGS; ++i)
        names[n++] = flags[i];
    for (; options->name && n < 63; ++options)
        names[n++] = options->name;
    names[n] = NULL;
    snprintf(name, sizeof name, "%.*s%s", (int)(length < 60 ? length : 60), arg, arg[length] ? "=" : "");
    const char *near = qbc_nearest(name, names);
    if (near)
        qbc_error_in(q, "qbc", "unknown option '%s'; did you mean '%s'?", arg, near);
    else
        qbc_error_in(q, "qbc", "unknown option '%s'; qbc -h lists them", arg);
}

/* --- lists */

static void list_targets(void)
{
    for (size_t i = 0; qbc_target_at(i); ++i)
        printf("%-16s %-28s %s\n", qbc_target_at(i)->name, qbc_target_at(i)->triple, qbc_target_at(i)->about);
    printf("%-16s %-28s %s\n", "native", "", "the best of these that this CPU has");
}

static void list_formats(void)
{
    for (size_t i = 0; qbc_format_at(i); ++i)
        printf("%-10s %6.3f bits a weight, all told\n", qbc_format_at(i)->name,
               qbc_format_bits(qbc_format_at(i)));
}

static void list_passes(struct qbc *q)
{
    for (size_t i = 0; qbc_pass_at(i); ++i)
        printf("%-20s %-8s %s\n", qbc_pass_flag(q, qbc_pass_at(i)), qbc_pass_at(i)->level,
               qbc_pass_at(i)->about);
}

/* --- outputs */

/* Options that only mean something together with others. */
static bool options_fit(struct qbc *q)
{
    const char *wanted = q->options.print_after, *dot = strrchr(q->options.input, '.');
    if (q->options.weights && (!dot || strcmp(dot, ".mlir")))
        qbc_error_in(q, "-weights", "'%s' has its own weights; this is for .mlir files", q->options.input);
    if (wanted && strcmp(wanted, "all") && !qbc_pass_find(wanted)) {
        const char *near = qbc_pass_nearest(q, wanted);
        qbc_error_in(q, "-print-after", "there is no pass '%s'%s%s%s", wanted,
                     near ? "; did you mean '" : "", near ? near : "; see qbc --list-passes", near ? "'?" : "");
    }
    return !q->errors;
}

/* Beside the input; text goes to the standard output. */
static const char *default_output(struct qbc *q)
{
    const char *emit = q->options.emit, *prefix = q->options.prefix ? q->options.prefix : "model";
    const char *input = q->options.input, *slash = strrchr(input, '/'), *dot = strrchr(input, '.');
    int folder = slash ? (int)(slash + 1 - input) : 0;
    int length = dot && (!slash || dot > slash) ? (int)(dot - input) : (int)strlen(input);
    if (!strcmp(emit, "qbm") || !strcmp(emit, "obj"))
        return qbc_text(q, "%.*s.%s", length, input, strcmp(emit, "qbm") ? "o" : "qbm");
    if (!strcmp(emit, "exe"))
        return qbc_text(q, "%.*s%s", length, input, input[length] ? "" : ".exe");
    if (!strcmp(emit, "static-lib") || !strcmp(emit, "shared"))
        return qbc_text(q, "%.*slib%s.%s", folder, input, prefix, strcmp(emit, "shared") ? "a" : "so");
    return "-";
}

enum { MOST_RULES = 256 };

/* False after an error. */
static bool parse(struct qbc *q, int argc, char **argv, const struct option *options, const char **rules)
{
    for (int i = 1; i < argc; ++i) {
        const char *arg = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
        if (!strncmp(arg, "-quant-tensor=", 14) && q->options.n_quant_tensor < MOST_RULES)
            rules[q->options.n_quant_tensor++] = arg + 14;
        else if (!strcmp(arg, "-o") && i + 1 < argc && (argv[i + 1][0] != '-' || !argv[i + 1][1]))
            q->options.output = argv[++i];
        else if (!strcmp(arg, "-o"))
            qbc_error_in(q, "-o", "the name of a file is missing");
        else if (!strcmp(arg, "-q"))
            q->options.quiet = true;
        else if (arg[0] == '-' && arg[1] && !set_option(q, options, arg))
            unknown_option(q, options, argv[i]);
        else if (arg[0] != '-' && q->options.input)
            qbc_error_in(q, arg, "only one model at a time; '%s' was given already", q->options.input);
        else if (arg[0] != '-')
            q->options.input = arg;
    }
    if (!q->options.input && !q->errors)
        qbc_error_in(q, "qbc", "no model was given; qbc -h tells how to");
    return !q->errors && one_of(q, "-emit", q->options.emit, emits) &&
           one_of(q, "-fit", q->options.fit, fits) && options_fit(q) && qbc_choose_target(q);
}

/* Pages that are printed instead of compiling. False: `arg` asks for none of them. */
static bool print_page(struct qbc *q, const char *arg)
{
    const char *name = arg[0] == '-' && arg[1] == '-' ? arg + 1 : arg;
    if (!strcmp(name, "-h") || !strcmp(name, "-help"))
        return fputs(usage, stdout), true;
    if (!strcmp(name, "-version"))
        return puts("qbc 0.1 (LLVM 22)"), true;
    if (!strcmp(name, "-list-targets"))
        return list_targets(), true;
    if (!strcmp(name, "-list-formats"))
        return list_formats(), true;
    return !strcmp(name, "-list-passes") && (list_passes(q), true);
}

/* A page that nobody got is an error too. */
static int leave(bool good)
{
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "<stdout>: error: cannot be written: %s\n", strerror(errno));
        return 1;
    }
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct qbc q = {
        .options = {.target = "native", .fit = "rtn", .emit = "qbm"},
    };
    int64_t threads = 0;
    const char *rules[MOST_RULES];
    const struct option options[] = {
        {"-target=", &q.options.target, NULL},       {"-quant=", &q.options.quant, NULL},
        {"-fit=", &q.options.fit, NULL},             {"-emit=", &q.options.emit, NULL},
        {"-tokenizer=", &q.options.tokenizer, NULL}, {"-print-after=", &q.options.print_after, NULL},
        {"-weights=", &q.options.weights, NULL},     {"-prefix=", &q.options.prefix, NULL},
        {"-ctx=", NULL, &q.options.context},
        {"-chunk=", NULL, &q.options.chunk},         {"-threads=", NULL, &threads},
        {0},
    };
    for (int i = 1; i < argc; ++i)
        if (print_page(&q, argv[i])) {
            qbc_arena_free(&q);
            return leave(true);
        }
    q.options.quant_tensor = rules;
    bool good = parse(&q, argc, argv, options, rules);
    q.options.threads = (int)threads;
    if (good && qbc_open(&q)) {
        if (!q.options.output)
            q.options.output = default_output(&q);
        good = qbc_compile(&q);
        qbc_close(&q);
    } else {
        good = false;
        qbc_arena_free(&q);
    }
    return leave(good);
}
