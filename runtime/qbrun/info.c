/* info.c: what a model says about itself, for people or as JSON. */
#include "npy.h"
#include "tool.h"
#include <stdio.h>

/* Everything but code and tokenizer. */
static uint64_t weight_bytes(const struct qbrt_facts *f)
{
    return f->file_bytes - f->code_bytes - f->tokenizer_bytes;
}

static double bits_per_weight(const struct qbrt_facts *f)
{
    return f->parameters ? 8.0 * (double)weight_bytes(f) / (double)f->parameters : 0;
}

static bool runs_here(const struct qbrt_model *m, size_t variant)
{
    const struct qbrt_host *host = qbrt_this_machine();
    return qbrt_variant(m, variant).machine == host->machine && !qbrt_missing(m, host, variant, 0);
}

/* --- JSON */

/* Strings of the file may hold anything; invalid UTF-8 is the only thing that passes as it is. */
static void print_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || c == 127)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_member(const char *key, const char *value)
{
    printf("  \"%s\": ", key);
    print_string(value);
    puts(",");
}

static void print_numbers(const struct qbrt_facts *f)
{
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"parameters", f->parameters},
        {"weight_bytes", weight_bytes(f)},
        {"file_bytes", f->file_bytes},
        {"code_bytes", f->code_bytes},
        {"tokenizer_bytes", f->tokenizer_bytes},
        {"root_bytes", f->root_bytes},
        {"arena_bytes", f->arena_bytes},
        {"state_bytes", f->state_bytes},
        {"vocab", f->vocab},
        {"context", f->context},
        {"chunk", f->chunk},
        {"outputs", f->outputs},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        printf("  \"%s\": %llu,\n", numbers[i].key, (unsigned long long)numbers[i].value);
    printf("  \"bits_per_weight\": %.6f,\n", bits_per_weight(f));
}

static void print_missing(const struct qbrt_model *m, size_t variant)
{
    const char *feature;
    printf("\"missing\": [");
    for (size_t i = 0; (feature = qbrt_missing(m, qbrt_this_machine(), variant, i)); i++) {
        printf("%s", i ? ", " : "");
        print_string(feature);
    }
    printf("]");
}

static void print_variants(const struct qbrt_model *m, size_t n)
{
    const int32_t chosen = qbrt_choose(m, qbrt_this_machine());
    printf("  \"variants\": [");
    for (size_t i = 0; i < n; i++) {
        const struct qbrt_variant_facts v = qbrt_variant(m, i);
        printf("%s\n    {\"target\": ", i ? "," : "");
        print_string(v.target);
        printf(", \"triple\": ");
        print_string(v.triple);
        printf(", \"requires\": [");
        for (size_t k = 0; k < v.n_requirements; k++) {
            printf("%s", k ? ", " : "");
            print_string(qbrt_requirement(m, i, k));
        }
        printf("], ");
        print_missing(m, i);
        printf(", \"code_bytes\": %llu, \"weights\": %u, \"weights_bytes\": %llu",
               (unsigned long long)v.image_bytes, v.weights, (unsigned long long)v.weights_bytes);
        printf(", \"runs_here\": %s, \"chosen\": %s}", runs_here(m, i) ? "true" : "false",
               (int32_t)i == chosen ? "true" : "false");
    }
    puts("\n  ],");
}

static void print_tensors(const struct qbrt_model *m, size_t n)
{
    printf("  \"tensors\": [");
    for (size_t i = 0; i < n; i++) {
        const struct qbrt_tensor_facts t = qbrt_tensor(m, i);
        printf("%s\n    {\"name\": ", i ? "," : "");
        print_string(t.name);
        printf(", \"role\": ");
        print_string(t.role);
        printf(", \"block\": %d, \"format\": ", t.block);
        print_string(t.format);
        printf(", \"rows\": %llu, \"cols\": %llu, \"bytes\": %llu}", (unsigned long long)t.rows,
               (unsigned long long)t.cols, (unsigned long long)t.size);
    }
    puts("\n  ],");
}

static void print_ports(const struct qbrt_model *m, const char *key, size_t n, struct qbrt_port (*get)(const struct qbrt_model *, size_t))
{
    printf("  \"%s\": [", key);
    for (size_t i = 0; i < n; i++) {
        const struct qbrt_port p = get(m, i);
        printf("%s\n    {\"name\": ", i ? "," : "");
        print_string(p.name);
        printf(", \"element\": %u, \"dims\": [", p.element);
        for (size_t d = 0; d < p.rank; d++)
            printf("%s%lld", d ? ", " : "", (long long)p.dims[d]);
        printf("]}");
    }
    puts("\n  ],");
}

static void print_record(const struct qbrt_model *m, size_t n)
{
    printf("  \"record\": {");
    for (size_t i = 0; i < n; i++) {
        printf("%s\n    ", i ? "," : "");
        print_string(qbrt_record_key(m, i));
        printf(": ");
        print_string(qbrt_record_value(m, i));
    }
    puts("\n  }");
}

static void print_json(const struct tool *tool)
{
    const struct qbrt_facts *f = tool->facts;
    puts("{");
    print_member("file", tool->options.model);
    print_member("producer", f->producer);
    print_numbers(f);
    printf("  \"bos\": %d,\n  \"eos\": [", f->bos);
    for (size_t i = 0; i < f->n_eos; i++)
        printf("%s%d", i ? ", " : "", qbrt_eos(tool->model, i));
    puts("],");
    printf("  \"has_tokenizer\": %s,\n", tool->has_tokenizer ? "true" : "false");
    print_variants(tool->model, f->n_variants);
    print_tensors(tool->model, f->n_tensors);
    if (f->n_results) {
        print_ports(tool->model, "inputs", f->n_inputs, qbrt_input);
        print_ports(tool->model, "results", f->n_results, qbrt_result);
    }
    print_record(tool->model, f->n_record);
    puts("}");
}

/* --- text */

/* Why this variant is run here, or why it is not. */
static void print_reason(const struct qbrt_model *m, size_t variant, int32_t chosen)
{
    const struct qbrt_host *host = qbrt_this_machine();
    const char *feature = qbrt_missing(m, host, variant, 0);
    if ((int32_t)variant == chosen)
        printf("chosen");
    else if (qbrt_variant(m, variant).machine != host->machine)
        printf("for another machine");
    else if (!feature)
        printf("would run, but %s asks more of a CPU", qbrt_variant(m, (size_t)chosen).target);
    else
        printf("this CPU lacks");
    for (size_t i = 0; (feature = qbrt_missing(m, host, variant, i)); i++)
        printf("%s %s", i ? "," : "", feature);
}

static void print_code(const struct tool *tool)
{
    const int32_t chosen = qbrt_choose(tool->model, qbrt_this_machine());
    for (size_t i = 0; i < tool->facts->n_variants; i++) {
        const struct qbrt_variant_facts v = qbrt_variant(tool->model, i);
        printf("code for         %s (%s): ", v.target, v.triple);
        print_reason(tool->model, i, chosen);
        putchar('\n');
    }
}

static void print_port(const char *what, struct qbrt_port p)
{
    printf("%-16s %s: %s [", what, p.name, npy_type_of(p.element) ? npy_type_of(p.element) : "?");
    for (size_t d = 0; d < p.rank; d++)
        printf(p.dims[d] < 0 ? "%s?" : "%s%lld", d ? ", " : "", (long long)p.dims[d]);
    puts("]");
}

/* Of a model that is no language model. */
static void print_run(const struct tool *tool)
{
    const struct qbrt_facts *f = tool->facts;
    printf("model            %s\nmade by          %s\n", tool->options.model, f->producer);
    printf("file             %llu bytes: code %llu\n", (unsigned long long)f->file_bytes, (unsigned long long)f->code_bytes);
    printf("a run takes      %llu bytes\n", (unsigned long long)f->arena_bytes);
    for (size_t i = 0; i < f->n_inputs; i++)
        print_port("input", qbrt_input(tool->model, i));
    for (size_t i = 0; i < f->n_results; i++)
        print_port("result", qbrt_result(tool->model, i));
}

static void print_text(const struct tool *tool)
{
    const struct qbrt_facts *f = tool->facts;
    if (f->n_results) {
        print_run(tool);
        print_code(tool);
        return;
    }
    printf("model            %s\n", tool->options.model);
    printf("made by          %s\n", f->producer);
    printf("parameters       %llu\n", (unsigned long long)f->parameters);
    printf("weights          %llu bytes, %.3f bits a weight\n", (unsigned long long)weight_bytes(f),
           bits_per_weight(f));
    printf("file             %llu bytes: code %llu, tokenizer %llu\n",
           (unsigned long long)f->file_bytes, (unsigned long long)f->code_bytes,
           (unsigned long long)f->tokenizer_bytes);
    printf("vocabulary       %u\n", f->vocab);
    if (f->whole)
        printf("an encoder       texts of at most %u tokens, each gives %u numbers\n", f->context, f->outputs);
    else
        printf("context          %u tokens, %u a step\n", f->context, f->chunk);
    printf("a session takes  %llu bytes: state %llu, scratch %llu\n",
           (unsigned long long)qbrt_session_size(tool->model), (unsigned long long)f->state_bytes,
           (unsigned long long)f->arena_bytes);
    print_code(tool);
    for (size_t i = 0; i < f->n_record; i++)
        printf("%-16s %s\n", qbrt_record_key(tool->model, i), qbrt_record_value(tool->model, i));
}

bool task_info(struct tool *tool)
{
    if (tool->options.info_as_json)
        print_json(tool);
    else
        print_text(tool);
    return true;
}
