/* qbc: the command line. It is a user of qbc.h like any other program. */
#include "progress_line.h"
#include "qbc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "qbc: compile a language model for one kind of CPU\n"
    "\n"
    "  qbc MODEL.onnx [-target=NAME] [-quant=FORMAT] [-o FILE.qbm]\n"
    "\n"
    "what to make\n"
    "  -target=NAME[,NAME ...]    the CPU; native (this one) unless given; --list-targets. Several: code\n"
    "                             for each, and the best that a CPU can run is taken there\n"
    "  -mcpu=NAME -mattr=+x,-y -mtriple=TRIPLE\n"
    "                             another CPU, features, system, as in llc\n"
    "  -quant=FORMAT              format of every matrix; f32 unless given; --list-formats\n"
    "  -quant-tensor=REGEX=FORMAT another format for tensors whose name matches; may be repeated,\n"
    "                             the last that matches wins ('ffn_down=i8g32')\n"
    "  -fit=rtn|range|gptq|gptq-plain|gptq-cd|...\n"
    "                             how codes are chosen: nearest, the scale searched, or so that errors\n"
    "                             compensate each other on the text of -calib (rtn)\n"
    "  -calib=TEXT|TOKENS.npy     what to learn from (a text that the model writes itself)\n"
    "  -bpw=N                     choose a format for each tensor: the least loss within N bits a weight\n"
    "  -size=N                    the same for a file of N bytes at most (900M)\n"
    "  -max-ppl=N|N% -max-kld=N   the same in as few bytes as keep perplexity (or its rise), or the KL\n"
    "                             divergence from the float model; with a budget, check them\n"
    "  -eval=TEXT|TOKENS.npy      tell the quality of the result on this text\n"
    "  -precision=FILE.json       formats by name, as -report writes them; they are not chosen again\n"
    "  -formats=NAME[,NAME ...]   what to choose from\n"
    "  -allocator=NAME            the rule: mckp unless given; --list-allocators\n"
    "  -metric=NAME               what it goes by: hessian_loss unless given; --list-metrics\n"
    "  -granularity=tensor|block|segment\n"
    "                             what gets a format of its own (tensor)\n"
    "  -share=N                   of tensors (top_ratio, 0.1), or times the median (threshold, 64)\n"
    "  -kv=FORMAT|k:FORMAT,v:FORMAT\n"
    "                             how keys and values are kept: f16, i8, i4g64, ...; with an r behind:\n"
    "                             rotated (f32)\n"
    "  -transform=NAME[,NAME ...] first scale or turn what is between operations; --list-transforms\n"
    "  -kv-sink=N -kv-recent=N    the first N tokens, and the last N before each, are read as f16 (0)\n"
    "  -act=NAME                  how activations are rounded: i8g32 unless given, i8t, i8s, i4tz, ...\n"
    "  -ctx=N                     most tokens in a session (what the model says, up to 4096)\n"
    "  -chunk=N                   most tokens in one step (512)\n"
    "  -tokenizer=FILE|none       tokenizer.json (beside the model, or one folder up)\n"
    "  -shape=INPUT=1x3x224x224   sizes of an input of a model that is no language model; may be repeated\n"
    "  -entry=run|text            compile it as it is, arrays in and out, or as a language model (what it\n"
    "                             looks like)\n"
    "\n";
static const char usage_of_output[] =
    "output\n"
    "  -o FILE                    - is the standard output (MODEL.qbm; - for text)\n"
    "  -emit=LEVEL                onnx, graph, quant, kernels, llvm, asm or obj: how far to go; or qbm,\n"
    "                             exe, static-lib, shared, header: what to make of it (qbm)\n"
    "  -report=FILE.html|json     also write what was learned, chosen and measured\n"
    "  -resume=DIR                keep there what is worked out; after an interruption, go on from it\n"
    "  --explain                  compile nothing; say what was recognised in the model, and what was not\n"
    "  -prefix=NAME               of all names in a library or object (model)\n"
    "  -depfile=FILE              also write, for make and ninja, which files the output was made of\n"
    "  -weights=MODEL.onnx        for a .mlir input: the model that its weights are in\n"
    "  -print-after=PASS|all      print the IR after a pass, to the standard error\n"
    "  -debug-match=NAME          say why patterns did not match at nodes of such a name\n"
    "  -Wslow-path -Wno-slow-path warn of what will run slowly, and why; or do not (it does)\n"
    "  -q                         no progress line\n"
    "  -threads=N                 threads of the compiler (all cores)\n"
    "  -load=FILE.so              an extension: more targets, formats, passes; may be repeated\n"
    "\n"
    "  --list-targets  --list-formats  --list-passes  --list-allocators  --list-metrics\n"
    "  --list-transforms  --version  -h\n"
    "\n"
    "examples\n"
    "  qbc model.onnx -quant=i4g32 -o model.qbm && qbrun model.qbm -p 'Once upon a time'\n"
    "  qbc model.onnx -target=armv8 -quant=i8g32 -emit=asm | less\n";

enum { MOST_RULES = 256, MOST_LOADS = 16, MOST_SHAPES = 64 };

struct command {
    struct qbc_options options;
    const char *rules[MOST_RULES], *loads[MOST_LOADS], *shapes[MOST_SHAPES];
    int64_t threads;
    bool quiet;
    size_t errors;
    struct progress_line line;
};

__attribute__((format(printf, 3, 4)))
static void complain(struct command *c, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: error: ", where);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    ++c->errors;
}

/* --- what the library tells */

static void diagnose(void *user, const struct qbc_diagnostic *d)
{
    qbc_print_diagnostic(user, d);
    if (d->severity == QBC_FATAL)
        exit(1); /* the library would abort */
}

static void print_ir(void *user, const char *pass, const char *text, size_t length)
{
    (void)user;
    fprintf(stderr, "// after %s\n", pass);
    fwrite(text, 1, length, stderr);
    fputc('\n', stderr);
}

static void progress(void *user, const char *what, size_t done, size_t total)
{
    progress_line_show(&((struct command *)user)->line, what, done, total);
}

/* --- options: a row each */

struct option {
    const char *name; /* with its '=' when it takes a value */
    const char **text;
    int64_t *number;
};

static void set_number(struct command *c, const char *arg, const char *value, int64_t *to)
{
    char *end;
    long long n = strtoll(value, &end, 10);
    if (!*value || *end || n < 1 || n > INT32_MAX)
        complain(c, arg, "'%s' is no number from 1 up", value);
    else
        *to = n;
}

static bool set_option(struct command *c, const struct option *options, const char *arg)
{
    for (; options->name; ++options) {
        size_t n = strlen(options->name);
        if (strncmp(arg, options->name, n))
            continue;
        if (options->text)
            *options->text = arg + n;
        else
            set_number(c, arg, arg + n, options->number);
        return true;
    }
    return false;
}

/* One more of a list of at most `most`. False: arg is another option. */
static bool add_to(struct command *c, const char *arg, const char *name, const char **list, size_t *n, size_t most)
{
    if (strncmp(arg, name, strlen(name)))
        return false;
    if (*n == most)
        complain(c, arg, "more than %zu of this option", most);
    else
        list[(*n)++] = arg + strlen(name);
    return true;
}

static void unknown_option(struct command *c, const struct option *options, const char *arg)
{
    static const char *const flags[] = {"-quant-tensor=", "-shape=", "-load=", "--explain", "-Wslow-path", "-Wno-slow-path",
                                        "--list-targets", "--list-formats", "--list-passes", "--list-allocators",
                                        "--list-metrics", "--list-transforms", "--version"};
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
        complain(c, "qbc", "unknown option '%s'; did you mean '%s'?", arg, near);
    else
        complain(c, "qbc", "unknown option '%s'; qbc -h lists them", arg);
}

/* "--x" is "-x". */
static const char *one_dash(const char *arg)
{
    return arg[0] == '-' && arg[1] == '-' ? arg + 1 : arg;
}

/* False after an error. */
static bool parse(struct command *c, int argc, char **argv, const struct option *options)
{
    struct qbc_options *o = &c->options;
    for (int i = 1; i < argc; ++i) {
        const char *arg = one_dash(argv[i]);
        if (!strncmp(arg, "-load=", 6) ||
            add_to(c, arg, "-quant-tensor=", c->rules, &o->n_quant_tensor, MOST_RULES) ||
            add_to(c, arg, "-shape=", c->shapes, &o->n_shapes, MOST_SHAPES))
            continue;
        else if (!strcmp(arg, "-o") && i + 1 < argc && (argv[i + 1][0] != '-' || !argv[i + 1][1]))
            o->output = argv[++i];
        else if (!strcmp(arg, "-o"))
            complain(c, "-o", "the name of a file is missing");
        else if (!strcmp(arg, "-q"))
            c->quiet = true;
        else if (!strcmp(arg, "-Wslow-path") || !strcmp(arg, "-Wno-slow-path"))
            o->no_slow_path = arg[2] == 'n';
        else if (!strcmp(arg, "-explain"))
            o->emit = "explain";
        else if (arg[0] == '-' && arg[1] && !set_option(c, options, arg))
            unknown_option(c, options, argv[i]);
        else if (arg[0] != '-' && o->input)
            complain(c, arg, "only one model at a time; '%s' was given already", o->input);
        else if (arg[0] != '-')
            o->input = arg;
    }
    o->threads = (int)c->threads;
    return !c->errors;
}

/* --- pages that are printed instead of compiling */

static void print_target(void *user, const struct qbc_row *row)
{
    (void)user;
    printf("%-17s %s\n%s", row->name, row->about, row->detail);
}

static void print_format(void *user, const struct qbc_row *row)
{
    (void)user;
    printf("%-18s %s\n", row->name, row->about);
}

static void print_pass(void *user, const struct qbc_row *row)
{
    (void)user;
    printf("%-20s %-8s %s\n", row->name, row->kind, row->about);
}

/* False: `arg` asks for none. */
static bool print_page(struct command *c, const char *arg, bool *good)
{
    static const struct {
        const char *name;
        enum qbc_list list;
        void (*print)(void *user, const struct qbc_row *row);
    } lists[] = {{"-list-targets", QBC_TARGETS, print_target},
                 {"-list-formats", QBC_FORMATS, print_format},
                 {"-list-passes", QBC_PASSES, print_pass},
                 {"-list-allocators", QBC_ALLOCATORS, print_format},
                 {"-list-metrics", QBC_METRICS, print_format},
                 {"-list-transforms", QBC_TRANSFORMS, print_format}};
    const char *name = one_dash(arg);
    if (!strcmp(name, "-h") || !strcmp(name, "-help"))
        return fputs(usage, stdout), fputs(usage_of_output, stdout), true;
    if (!strcmp(name, "-version"))
        return printf("qbc %s (LLVM %.2s)\n", qbc_version(), qbc_llvm_version()), true;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; ++i)
        if (!strcmp(name, lists[i].name)) {
            *good = qbc_list(&c->options, lists[i].list, lists[i].print, NULL) == QBC_OK;
            return true;
        }
    return false;
}

/* A page that nobody got is an error too. */
static int leave(int status)
{
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "<stdout>: error: cannot be written: %s\n", strerror(errno));
        return 1;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct command c = {.options = {.user = &c, .diagnose = diagnose, .print_ir = print_ir}};
    struct qbc_options *o = &c.options;
    const struct option options[] = {
        {"-target=", &o->target, NULL},       {"-quant=", &o->quant, NULL},
        {"-fit=", &o->fit, NULL},             {"-emit=", &o->emit, NULL},
        {"-tokenizer=", &o->tokenizer, NULL}, {"-print-after=", &o->print_after, NULL},
        {"-debug-match=", &o->debug_match, NULL},
        {"-weights=", &o->weights, NULL},     {"-prefix=", &o->prefix, NULL},
        {"-depfile=", &o->depfile, NULL},     {"-calib=", &o->calib, NULL},
        {"-bpw=", &o->bpw, NULL},             {"-size=", &o->size, NULL},
        {"-formats=", &o->formats, NULL},     {"-allocator=", &o->allocator, NULL},
        {"-kv=", &o->kv, NULL},               {"-transform=", &o->transform, NULL},
        {"-act=", &o->act, NULL}, 
        {"-kv-sink=", NULL, &o->kv_sink},     {"-kv-recent=", NULL, &o->kv_recent},
        {"-eval=", &o->eval, NULL},           {"-max-ppl=", &o->max_ppl, NULL},
        {"-max-kld=", &o->max_kld, NULL},     {"-precision=", &o->precision, NULL},
        {"-report=", &o->report, NULL},       {"-resume=", &o->resume, NULL},
        {"-metric=", &o->metric, NULL},       {"-granularity=", &o->granularity, NULL},
        {"-share=", &o->share, NULL},         {"-ctx=", NULL, &o->context},
        {"-chunk=", NULL, &o->chunk},         {"-threads=", NULL, &c.threads},
        {"-mcpu=", &o->mcpu, NULL},           {"-mattr=", &o->mattr, NULL},
        {"-mtriple=", &o->mtriple, NULL},     {"-entry=", &o->entry, NULL},
        {0},
    };
    bool good = true;
    qbc_remove_on_signals();
    o->quant_tensor = c.rules;
    o->shapes = c.shapes;
    o->load = c.loads;
    for (int i = 1; i < argc; ++i) /* lists show what extensions bring */
        add_to(&c, one_dash(argv[i]), "-load=", c.loads, &o->n_load, MOST_LOADS);
    for (int i = 1; i < argc; ++i)
        if (print_page(&c, argv[i], &good))
            return leave(good ? 0 : 1);
    if (!parse(&c, argc, argv, options))
        return leave(1);
    if (!c.quiet && isatty(STDERR_FILENO))
        o->progress = progress;
    enum { MISSED = 3 };
    enum qbc_status status = qbc_compile(o);
    return leave(status == QBC_OK ? 0 : status == QBC_MISSED ? MISSED : 1);
}
