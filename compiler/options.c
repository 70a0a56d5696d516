/* options: what is meant by what was left out, and what cannot be meant. */
#include "pipeline.h"

#include "activation.h"
#include "transform.h"

#include <string.h>

static const char *const emits[] = {"onnx", "graph", "quant", "kernels", "llvm", "asm", "obj", "qbm",
                                    "exe", "static-lib", "shared", "header", "explain", NULL};
static const char *const fits[] = {"rtn", "range", "gptq", "gptq-plain", "gptq-order", "gptq-sqc", "gptq-cd", NULL};

const char *const *qbc_emits(void)
{
    return emits;
}

const char *const *qbc_fits(void)
{
    return fits;
}

bool qbc_is_library(const char *emit)
{
    static const char *const libraries[] = {"static-lib", "shared", "header", NULL};
    return qbc_one_of(emit, libraries);
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

void qbc_options_complete(struct qbc *q)
{
    struct qbc_options *o = &q->options;
    bool choice = o->bpw || o->size || ((o->max_ppl || o->max_kld) && !o->quant);
    o->fit = o->fit ? o->fit : choice ? "gptq" : "rtn";
    o->emit = o->emit ? o->emit : "qbm";
    o->act = o->act ? o->act : "i8g32";
    if (!o->prefix && (qbc_is_library(o->emit) || !strcmp(o->emit, "obj")))
        o->prefix = "model";
    if (!o->output && o->input)
        o->output = default_output(q);
}

/* -prefix=: names of C, for what has names. */
static void check_prefix(struct qbc *q)
{
    static const char *const files[] = {"static-lib", "shared", "exe", NULL};
    static const char *const texts[] = {"obj", "asm", "llvm", NULL};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    enum { LONGEST = 64 };
    const char *prefix = q->options.prefix, *emit = q->options.emit;
    bool library = qbc_is_library(emit);
    if (prefix && !library && !qbc_one_of(emit, texts))
        qbc_error_in(q, "-prefix", "names the symbols of a library or an object; -emit=%s has none", emit);
    else if (prefix && (!*prefix || prefix[strspn(prefix, letters)] || strspn(prefix, "0123456789") || strlen(prefix) > LONGEST))
        qbc_error_in(q, "-prefix", "'%s' is no name of C: letters, digits and '_', at most %d, not a digit first", prefix,
                     LONGEST);
    else if (prefix && !strcmp(prefix, "qbrt"))
        qbc_error_in(q, "-prefix", "'qbrt' is the runtime's own; take another");
    if (!strcmp(q->options.output, "-") && qbc_one_of(emit, files))
        qbc_error_in(q, "-o", "-emit=%s is written to a file, not to the standard output", emit);
}

static void one_of(struct qbc *q, const char *option, const char *value, const char *const *choices)
{
    if (!qbc_one_of(value, choices))
        qbc_error_in(q, option, "'%s' is no choice%s", value, qbc_suggestion(q, value, choices, "; see qbc -h"));
}

/* "NAME=1x128" */
static void check_shapes(struct qbc *q)
{
    static const char *const entries[] = {"run", "text", NULL};
    const struct qbc_options *o = &q->options;
    if (o->entry)
        one_of(q, "-entry", o->entry, entries);
    for (size_t i = 0; i < o->n_shapes; ++i) {
        const char *equals = strrchr(o->shapes[i], '=');
        if (!equals || equals == o->shapes[i] || equals[1 + strspn(equals + 1, "0123456789x")])
            qbc_error_in(q, "-shape", "'%s' does not say which input has which sizes; for example -shape=input=1x3x224x224", o->shapes[i]);
    }
}

static void check_numbers(struct qbc *q)
{
    const struct {
        const char *option;
        int64_t value;
    } numbers[] = {{"-ctx", q->options.context}, {"-chunk", q->options.chunk}, {"-threads", q->options.threads},
                 {"-kv-sink", q->options.kv_sink}, {"-kv-recent", q->options.kv_recent}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
        if (numbers[i].value < 0 || numbers[i].value > INT32_MAX)
            qbc_error_in(q, numbers[i].option, "'%lld' is no number from 1 up", (long long)numbers[i].value);
}

static void check_activation(struct qbc *q)
{
    struct qbc_activation a;
    if (!qbc_activation_parse(q->options.act, &a))
        qbc_error_in(q, "-act", "'%s' is no way to round activations; i8g32, i8t, i8s, i4tz or i4g128q are (docs/numerics.md)",
                     q->options.act);
}

static void check_report(struct qbc *q)
{
    const struct qbc_options *o = &q->options;
    const char *dot = o->report ? strrchr(o->report, '.') : NULL;
    if (o->report && (!dot || (strcmp(dot, ".html") && strcmp(dot, ".json"))))
        qbc_error_in(q, "-report", "'%s' ends neither in .html nor in .json", o->report);
    if (o->report && (strcmp(o->emit, "qbm") || !strcmp(o->output, "-")))
        qbc_error_in(q, "-report", "is about an artifact in a file: -emit=qbm -o FILE.qbm");
}

bool qbc_options_check(struct qbc *q)
{
    const struct qbc_options *o = &q->options;
    if (!o->input) {
        qbc_error_in(q, "qbc", "no model was given; qbc -h tells how to");
        return false;
    }
    check_numbers(q);
    check_shapes(q);
    one_of(q, "-emit", o->emit, emits);
    one_of(q, "-fit", o->fit, fits);
    check_prefix(q);
    qbc_choice_options_check(q);
    check_activation(q);
    qbc_transform_check(q);
    check_report(q);
    if (o->depfile && !strcmp(o->output, "-"))
        qbc_error_in(q, "-depfile", "a rule needs the name of a file; say where to write with -o FILE");
    if ((o->kv_sink || o->kv_recent) && !o->kv)
        qbc_error_in(q, o->kv_sink ? "-kv-sink" : "-kv-recent", "keys and values are floats; say what the others are with -kv=FORMAT");
    const char *wanted = o->print_after, *dot = strrchr(o->input, '.');
    if (o->weights && (!dot || strcmp(dot, ".mlir")))
        qbc_error_in(q, "-weights", "'%s' has its own weights; this is for .mlir files", o->input);
    if (wanted && strcmp(wanted, "all") && !qbc_find_pass(q, wanted))
        qbc_error_in(q, "-print-after", "there is no pass '%s'%s", wanted,
                     qbc_suggestion(q, wanted, qbc_pass_flags(q), "; see qbc --list-passes"));
    return !q->errors;
}
