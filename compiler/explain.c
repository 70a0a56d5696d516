/* explain: a page about a model, for people: what was recognised in it, and what was not.
 *
 *     exporter       PyTorch's dynamo exporter (pytorch 2.13.0), ONNX opset 18
 *     blocks         2
 *     attention      4 heads, 2 of keys and values, of 16 columns, scale 0.25
 *     ...
 *
 * It is written from the module at level "graph", or at the level that the recognising passes reached; what the importer
 * said and passes take away (inputs, opset) is noted before.
 */
#include "pipeline.h"

#include "emit.h"
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KINDS = 64 };

/* Different texts, and which blocks they are of. */
struct kinds {
    struct {
        const char *text, *blocks;
        size_t n;
        int64_t from, to; /* the last run of blocks */
    } kind[MOST_KINDS];
    size_t n;
};

/* --- lines */

__attribute__((format(printf, 4, 5)))
static void line(struct qbc *q, struct qbc_page *page, const char *title, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = qbc_alloc(q, (size_t)length + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    page->text = qbc_text(q, "%s%-15s%s\n", page->text ? page->text : "", title, text);
}

static const char *run_text(struct qbc *q, int64_t from, int64_t to)
{
    return from == to ? qbc_text(q, "%ld", (long)from) : qbc_text(q, "%ld-%ld", (long)from, (long)to);
}

static void add_kind(struct qbc *q, struct kinds *k, const char *text, int64_t block)
{
    size_t i = 0;
    while (i < k->n && strcmp(k->kind[i].text, text))
        ++i;
    if (i == MOST_KINDS)
        return;
    if (i == k->n) {
        k->kind[k->n++].text = text;
        k->kind[i].from = k->kind[i].to = block;
        k->kind[i].blocks = "";
    } else if (block > k->kind[i].to + 1) {
        const char *run = run_text(q, k->kind[i].from, k->kind[i].to);
        k->kind[i].blocks = qbc_text(q, "%s%s,", k->kind[i].blocks, run);
        k->kind[i].from = block;
    }
    k->kind[i].to = block;
    ++k->kind[i].n;
}

/* A line each; with the blocks where kinds differ by them. */
static void put_kinds(struct qbc *q, struct qbc_page *page, const char *title, const struct kinds *k)
{
    for (size_t i = 0; i < k->n; ++i) {
        const char *run = run_text(q, k->kind[i].from, k->kind[i].to);
        if (k->n > 1 && k->kind[i].from >= 0)
            line(q, page, i ? "" : title, "%s (blocks %s%s)", k->kind[i].text, k->kind[i].blocks, run);
        else if (k->kind[i].n > 1)
            line(q, page, i ? "" : title, "%s (%zu of them)", k->kind[i].text, k->kind[i].n);
        else
            line(q, page, i ? "" : title, "%s", k->kind[i].text);
    }
}

/* --- the exporter: by what it wrote into the file, and by how it calls nodes */

static const char *guess_exporter(struct qbc *q, MlirOperation func, const char *producer)
{
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    size_t slashes = 0, nodes = 0, fused = 0;
    for (size_t i = 0; i < ops.n; ++i) {
        const char *name = qbc_place_name(q, ops.op[i]);
        slashes += *name == '/';
        nodes += !strncmp(name, "node_", 5);
        fused += strstr(qbc_op_name(ops.op[i]), "com.microsoft.") != NULL;
    }
    const char *more = fused ? ", with operations of ONNX Runtime" : "";
    if (strstr(producer, "genai"))
        return "the model builder of ONNX Runtime GenAI";
    if (nodes > slashes && nodes > ops.n / 8)
        return qbc_text(q, "PyTorch's dynamo exporter%s", more);
    if (slashes > nodes && slashes > ops.n / 8)
        return qbc_text(q, "PyTorch's TorchScript exporter%s", more);
    return qbc_text(q, "unknown%s", more);
}

static const char *dims_of(struct qbc *q, MlirOperation func, const char *list, size_t i)
{
    MlirAttribute dims = qbc_function_attr(func, list, i, "qb.dims");
    const char *text = "[";
    if (mlirAttributeIsNull(dims) || !mlirAttributeIsAArray(dims))
        return "of any dims";
    for (intptr_t d = 0; d < mlirArrayAttrGetNumElements(dims); ++d) {
        MlirStringRef s = mlirStringAttrGetValue(mlirArrayAttrGetElement(dims, d));
        text = qbc_text(q, "%s%s%.*s", text, d ? ", " : "", (int)s.length, s.data);
    }
    return qbc_text(q, "%s]", text);
}

static const char *text_of(struct qbc *q, MlirAttribute a, const char *otherwise)
{
    if (mlirAttributeIsNull(a) || !mlirAttributeIsAString(a))
        return otherwise;
    MlirStringRef s = mlirStringAttrGetValue(a);
    return qbc_copy(q, s.data, s.length);
}

/* Inputs or outputs: what the importer takes each for; those of one role and dims on one line. */
static void put_interface(struct qbc *q, struct qbc_page *page, MlirOperation func, const char *title, const char *list,
                          const char *role, size_t n)
{
    for (size_t i = 0, first = 0; i < n; ++i) {
        const char *dims = dims_of(q, func, list, i), *next = i + 1 < n ? dims_of(q, func, list, i + 1) : "";
        const char *what = text_of(q, qbc_function_attr(func, list, i, role), "other");
        const char *then = i + 1 < n ? text_of(q, qbc_function_attr(func, list, i + 1, role), "other") : "";
        const char *name = text_of(q, qbc_function_attr(func, list, first, "qb.name"), "?");
        if (i + 1 < n && !strcmp(what, then) && !strcmp(dims, next))
            continue;
        const char *others = i > first ? qbc_text(q, " and %zu like it", i - first) : "";
        line(q, page, first ? "" : title, "%s: '%s' %s%s", what, name, dims, others);
        first = i + 1;
    }
}

void qbc_explain_import(struct qbc *q, MlirOperation module, struct qbc_page *page)
{
    MlirOperation func = qbc_find_func(module, "main");
    if (mlirOperationIsNull(func))
        return;
    const char *producer = qbc_string(q, module, "qb.producer", "no name"), *opset = "";
    MlirAttribute all = mlirOperationGetAttributeByName(module, qbc_str("qb.opset"));
    for (intptr_t i = 0; !mlirAttributeIsNull(all) && i < mlirArrayAttrGetNumElements(all); ++i) {
        const char *text = text_of(q, mlirArrayAttrGetElement(all, i), "");
        opset = qbc_text(q, "%s, %s", opset, *text == '=' ? qbc_text(q, "opset %s", text + 1) : text);
    }
    line(q, page, "model", "%s", q->options.input);
    line(q, page, "exporter", "%s (%s%s)", guess_exporter(q, func, producer), producer, opset);
    put_interface(q, page, func, "inputs", "arg_attrs", "qb.input",
                  (size_t)mlirBlockGetNumArguments(qbc_func_body(func)));
    put_interface(q, page, func, "outputs", "res_attrs", "qb.output",
                  (size_t)mlirOperationGetNumOperands(qbc_return_of(func)));
    page->past = qbc_has_past(func);
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(qbc_func_body(func)); ++i)
        page->past |= !strcmp(text_of(q, qbc_function_attr(func, "arg_attrs", (size_t)i, "qb.input"), ""), "past");
}

/* --- what was recognised */

static size_t count(struct qbc *q, MlirOperation func, const char *name)
{
    return qbc_collect(q, func, name).n;
}

static int64_t block_of(MlirOperation op)
{
    return qbc_int(op, "block", -1);
}

static void put_embedding(struct qbc *q, struct qbc_page *page, MlirOperation func)
{
    struct qbc_ops embeds = qbc_collect(q, func, "qb.embed"), places = qbc_collect(q, func, "qb.embed_positions");
    for (size_t i = 0; i < embeds.n; ++i) {
        MlirValue w = mlirOperationGetOperand(embeds.op[i], 1);
        struct qbc_ops users = qbc_users(q, w);
        bool tied = false;
        for (size_t k = 0; k < users.n; ++k)
            tied |= qbc_is(users.op[k], "qb.linear");
        line(q, page, "embedding", "%ld tokens, %ld columns%s", (long)qbc_dim(w, 0), (long)qbc_dim(w, 1),
             tied ? "; the output has the same matrix" : "");
    }
    for (size_t i = 0; i < places.n; ++i)
        line(q, page, "positions", "learned, %ld rows", (long)qbc_dim(mlirOperationGetOperand(places.op[i], 0), 0));
}

static void put_rotary(struct qbc *q, struct qbc_page *page, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, "qb.rope");
    struct kinds *k = qbc_alloc(q, sizeof *k);
    for (size_t i = 0; i < ops.n; ++i) {
        int64_t head_dim = qbc_int(ops.op[i], "head_dim", 0), dim = qbc_int(ops.op[i], "rotary_dim", head_dim);
        double theta = qbc_float(ops.op[i], "theta", 0), scale = qbc_float(ops.op[i], "scale", 1);
        const char *law = theta > 0 ? qbc_text(q, "theta %g", theta) : "frequencies of its own (a scaled rotary)";
        const char *times = scale != 1 ? qbc_text(q, ", times %g", scale) : "";
        add_kind(q, k, qbc_text(q, "rotary, %ld of %ld columns of a head, %s pairs, %s%s", (long)dim, (long)head_dim,
                                qbc_string(q, ops.op[i], "pairing", "half"), law, times), block_of(ops.op[i]));
    }
    for (size_t i = 0; i < k->n; ++i)
        k->kind[i].n = 1; /* of queries and keys: no number of interest */
    put_kinds(q, page, "positions", k);
}

/* Attributes of attention that say more than heads: window, soft cap, slopes, ... */
static const char *specials(struct qbc *q, MlirOperation op)
{
    static const char *const numbers[][2] = {{"window", "sliding window"}, {"cap", "scores capped at"}};
    const char *text = "";
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
        if (qbc_has(op, numbers[i][0])) {
            double v = qbc_float(op, numbers[i][0], (double)qbc_int(op, numbers[i][0], 0));
            text = qbc_text(q, "%s, %s %g", text, numbers[i][1], v);
        }
    if (qbc_has(op, "slopes"))
        text = qbc_text(q, "%s, ALiBi", text);
    if (mlirOperationGetNumOperands(op) > 3)
        text = qbc_text(q, "%s, sinks", text);
    return !qbc_has(op, "ahead") ? text : qbc_text(q, "%s, in both directions", text);
}

static void put_attention(struct qbc *q, struct qbc_page *page, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, "qb.attention");
    struct kinds *k = qbc_alloc(q, sizeof *k);
    for (size_t i = 0; i < ops.n; ++i) {
        MlirOperation op = ops.op[i];
        add_kind(q, k, qbc_text(q, "%ld heads, %ld of keys and values, of %ld columns, scale %g%s",
                                (long)qbc_int(op, "heads", 0), (long)qbc_int(op, "kv_heads", 0),
                                (long)qbc_int(op, "head_dim", 0), qbc_float(op, "scale", 1), specials(q, op)),
                 block_of(op));
    }
    put_kinds(q, page, "attention", k);
}

static void put_ffn(struct qbc *q, struct qbc_page *page, MlirOperation func)
{
    static const char *const names[] = {"qb.glu", "qb.act"};
    struct kinds *k = qbc_alloc(q, sizeof *k);
    for (size_t g = 0; g < 2; ++g) {
        struct qbc_ops ops = qbc_collect(q, func, names[g]);
        for (size_t i = 0; i < ops.n; ++i) {
            int64_t width = qbc_dim(mlirOperationGetResult(ops.op[i], 0), 1);
            add_kind(q, k, qbc_text(q, "%ld columns, %s%s", (long)width, qbc_string(q, ops.op[i], "act", "?"),
                                    g ? "" : ", gated"), block_of(ops.op[i]));
        }
    }
    put_kinds(q, page, "feed-forward", k);
}

static void put_experts(struct qbc *q, struct qbc_page *page, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, "qb.route");
    struct kinds *k = qbc_alloc(q, sizeof *k);
    for (size_t i = 0; i < ops.n; ++i)
        add_kind(q, k, qbc_text(q, "%ld, of which a token goes to %ld, by %s%s",
                                (long)qbc_dim(mlirOperationGetOperand(ops.op[i], 0), 1), (long)qbc_int(ops.op[i], "top", 0),
                                qbc_string(q, ops.op[i], "score", "?"), qbc_has(ops.op[i], "groups") ? ", within groups" : ""),
                 block_of(ops.op[i]));
    put_kinds(q, page, "experts", k);
}

static void put_norms(struct qbc *q, struct qbc_page *page, MlirOperation func)
{
    static const char *const names[][2] = {{"qb.rms_norm", "RMS"}, {"qb.layer_norm", "layer"}};
    struct kinds *k = qbc_alloc(q, sizeof *k);
    for (size_t g = 0; g < 2; ++g) {
        struct qbc_ops ops = qbc_collect(q, func, names[g][0]);
        for (size_t i = 0; i < ops.n; ++i) {
            const char *role = qbc_string(q, ops.op[i], "role", NULL);
            const char *of = role ? qbc_text(q, "%s: ", role) : "";
            add_kind(q, k, qbc_text(q, "%s%s norm, eps %g", of, names[g][1], qbc_float(ops.op[i], "eps", 0)), -1);
        }
    }
    put_kinds(q, page, "norms", k);
    size_t biases = count(q, func, "qb.bias"), times = count(q, func, "qb.times");
    if (biases)
        line(q, page, "biases", "%zu", biases);
    if (times)
        line(q, page, "multipliers", "%zu", times);
}

static int64_t taps_of(MlirOperation conv)
{
    return qbc_dim(mlirOperationGetOperand(conv, 2), 0) / qbc_dim(mlirOperationGetResult(conv, 0), 1);
}

static void put_state(struct qbc *q, struct qbc_page *page, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, "qb.state");
    bool encoder = qbc_bool(qbc_module_op(func), "qb.whole", false);
    struct kinds *k = qbc_alloc(q, sizeof *k);
    for (size_t i = 0; i < ops.n; ++i) {
        const char *name = qbc_string(q, ops.op[i], "name", ""), *dot = strrchr(name, '.');
        MlirValue v = mlirOperationGetResult(ops.op[i], 0);
        MlirOperation user = qbc_only_user(v);
        bool grows = !mlirOperationIsNull(user) && qbc_is(user, "qb.append"), numbered = dot && strspn(dot + 1, "0123456789");
        const char *what = numbered ? qbc_copy(q, name, (size_t)(dot - name)) : dot ? dot + 1 : name;
        int64_t floats = qbc_dim(v, 1) * (!mlirOperationIsNull(user) && qbc_is(user, "qb.conv1d") ? taps_of(user) - 1 : 1);
        add_kind(q, k, qbc_text(q, "%s: %ld floats%s", what, (long)floats, grows ? " a token" : ""), block_of(ops.op[i]));
    }
    if (ops.n)
        line(q, page, "cache", "%s", encoder ? "none outside of a call, which reads a whole text" : page->past ? "the model's own, kept by the session" : "derived: the export has none");
    put_kinds(q, page, "", k);
}

static void put_weights(struct qbc *q, struct qbc_page *page, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, "qb.weight");
    struct kinds *k = qbc_alloc(q, sizeof *k);
    int64_t parameters = 0;
    for (size_t i = 0; i < ops.n; ++i) {
        const struct qbc_source *s = qbc_weight_source(q, ops.op[i]);
        MlirValue v = mlirOperationGetResult(ops.op[i], 0);
        int64_t n = 1;
        for (size_t d = 0; d < qbc_rank(v); ++d)
            n *= qbc_dim(v, d);
        parameters += n;
        if (!s)
            continue;
        MlirType type = s->coded ? (MlirType){NULL} : qbc_element_type(q, s->element);
        add_kind(q, k, mlirTypeIsNull(type) ? "codes with scales" : s->element == QBC_F32    ? "float32"
                                                                : s->element == QBC_F16  ? "float16"
                                                                : s->element == QBC_BF16 ? "bfloat16"
                                                                                         : "other numbers", -1);
    }
    line(q, page, "parameters", "%ld in %zu weights", (long)parameters, ops.n);
    put_kinds(q, page, "stored as", k);
}

/* --- what was not */

static void put_rest(struct qbc *q, struct qbc_page *page, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct kinds *k = qbc_alloc(q, sizeof *k);
    const char *list = "";
    for (size_t i = 0; i < ops.n; ++i)
        if (qbc_has(ops.op[i], "qb.unknown"))
            add_kind(q, k, qbc_op_name(ops.op[i]) + (strncmp(qbc_op_name(ops.op[i]), "onnx.", 5) ? 0 : 5), -1);
    for (size_t i = 0; i < k->n; ++i)
        list = qbc_text(q, "%s%s%zu %s", list, i ? ", " : "", k->kind[i].n, k->kind[i].text);
    if (k->n)
        line(q, page, "not understood", "%s; why is told by the errors", list);
    else
        line(q, page, "not understood", "nothing; every operation has a generated kernel");
}

void qbc_explain_graph(struct qbc *q, MlirOperation module, struct qbc_page *page)
{
    MlirOperation func = qbc_find_func(module, "main");
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    int64_t blocks = 0, context = qbc_int(module, "qb.context", 0);
    for (size_t i = 0; i < ops.n; ++i)
        blocks = block_of(ops.op[i]) + 1 > blocks ? block_of(ops.op[i]) + 1 : blocks;
    if (blocks)
        line(q, page, "blocks", "%ld", (long)blocks);
    put_embedding(q, page, func);
    put_rotary(q, page, func);
    put_norms(q, page, func);
    put_attention(q, page, func);
    put_ffn(q, page, func);
    put_experts(q, page, func);
    put_state(q, page, func);
    if (context)
        line(q, page, "context", "%ld positions, as long as the model's tables", (long)context);
    put_weights(q, page, func);
    put_rest(q, page, func);
}

bool qbc_explain_write(struct qbc *q, const struct qbc_page *page)
{
    return qbc_write_file(q, q->options.output, page->text, strlen(page->text));
}
