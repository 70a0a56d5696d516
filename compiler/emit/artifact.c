/* artifact: gather the facts of a compiled model. */
#include "artifact.h"
#include "cpu_features.h"
#include "fit_weights.h"
#include "kernel.h"
#include "tokenizer.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>
#include <unistd.h>

/* --- symbols of the image: .dynsym, as lld wrote it */

enum { SHT_DYNSYM = 11, SECTION_BYTES = 64, SYMBOL_BYTES = 24 };

static uint64_t number(struct qbc_bytes image, uint64_t at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes && at + (uint64_t)i < image.size; ++i)
        value |= (uint64_t)image.data[at + (uint64_t)i] << 8 * i;
    return value;
}

static uint64_t find_symbol(struct qbc_bytes image, uint64_t section, uint64_t sections, const char *name)
{
    uint64_t at = number(image, section + 24, 8), size = number(image, section + 32, 8);
    uint64_t link = number(image, section + 40, 4);
    uint64_t strings = number(image, sections + link * SECTION_BYTES + 24, 8);
    for (uint64_t s = at; s + SYMBOL_BYTES <= at + size; s += SYMBOL_BYTES) {
        uint64_t text = strings + number(image, s, 4);
        if (text + strlen(name) < image.size && !strcmp((const char *)image.data + text, name))
            return number(image, s + 8, 8);
    }
    return 0;
}

uint64_t qbc_image_symbol(struct qbc_bytes image, const char *name)
{
    uint64_t sections = number(image, 40, 8), n = number(image, 60, 2), found = 0;
    for (uint64_t i = 0; i < n && !found; ++i) {
        uint64_t section = sections + i * SECTION_BYTES;
        if (number(image, section + 4, 4) == SHT_DYNSYM)
            found = find_symbol(image, section, sections, name);
    }
    return found;
}

/* --- facts */

static struct qbc_artifact_tensor tensor_of(struct qbc *q, MlirOperation weight)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    size_t rank = qbc_rank(w);
    const struct qbc_format *format = qbc_weight_format(q, weight);
    struct qbc_artifact_tensor t = {
        .name = qbc_string(q, weight, "name", ""),
        .role = qbc_string(q, weight, "role", NULL),
        .block = (int)qbc_int(weight, "block", -1),
        .rows = rank == 2 ? (uint64_t)qbc_dim(w, 0) : 1,
        .cols = (uint64_t)qbc_dim(w, rank - 1),
        .offset = (uint64_t)qbc_int(weight, "place", 0),
        .lookup = qbc_bool(weight, "lookup", false),
        .packing = {1, 1, false},
    };
    if (!format)
        return t;
    t.format = format->name;
    if (rank == 2)
        t.packing = qbc_packing_for(q->target, format, qbc_dim(w, 0));
    t.size = (uint64_t)qbc_layout(format, t.packing, (int64_t)t.rows, (int64_t)t.cols).bytes;
    return t;
}

static struct qbc_artifact_tensor *tensors_of(struct qbc *q, struct qbc_ops weights)
{
    struct qbc_artifact_tensor *tensors = qbc_alloc(q, (weights.n + 1) * sizeof *tensors);
    for (size_t i = 0; i < weights.n; ++i)
        tensors[i] = tensor_of(q, weights.op[i]);
    return tensors;
}

/* Weights of the model: not what passes made, and pieces of a composite (which follow each other) once for all of them. */
static uint64_t parameters_of(struct qbc *q, struct qbc_ops weights, const struct qbc_artifact_tensor *tensors)
{
    uint64_t total = 0;
    const char *whole = "";
    for (size_t i = 0; i < weights.n; ++i) {
        const struct qbc_artifact_tensor *t = &tensors[i];
        const char *piece_of = qbc_string(q, weights.op[i], "whole", "");
        const int64_t *shape;
        bool made = t->role && (!strcmp(t->role, "rope") || !strcmp(t->role, "alibi"));
        if (qbc_ints(q, weights.op[i], "shape", &shape) == 2)
            total += strcmp(piece_of, whole) ? (uint64_t)(shape[0] * shape[1]) : 0;
        else
            total += made ? 0 : t->rows * t->cols;
        whole = piece_of;
    }
    return total;
}

static void set_states(struct qbc *q, MlirOperation module, struct qbc_artifact *a)
{
    MlirAttribute names = mlirOperationGetAttributeByName(module, qbc_str("qb.state_names"));
    const int64_t *offsets, *sizes;
    size_t n = qbc_ints(q, module, "qb.state_offsets", &offsets);
    if (qbc_ints(q, module, "qb.state_sizes", &sizes) != n || mlirAttributeIsNull(names))
        return;
    struct qbc_artifact_state *states = qbc_alloc(q, (n + 1) * sizeof *states);
    for (size_t i = 0; i < n; ++i) {
        MlirStringRef name = mlirStringAttrGetValue(mlirArrayAttrGetElement(names, (intptr_t)i));
        states[i] = (struct qbc_artifact_state){qbc_copy(q, name.data, name.length),
                                                (uint64_t)offsets[i], (uint64_t)sizes[i]};
    }
    a->states = states;
    a->n_states = n;
}

/* "+avx2,+fma" to names. */
size_t qbc_requirements_of(struct qbc *q, const char *const **out)
{
    const char *features = qbc_required_features(q, q->target);
    const char **names = qbc_alloc(q, (strlen(features) + 1) * sizeof *names);
    size_t n = 0;
    for (const char *at = features; *at;) {
        size_t length = strcspn(at, ",");
        names[n++] = qbc_copy(q, at + 1, length - 1);
        at += length + (at[length] == ',');
    }
    *out = names;
    return n;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *qbc_tokenizer_path(struct qbc *q)
{
    if (q->options.tokenizer)
        return *q->options.tokenizer && strcmp(q->options.tokenizer, "none") ? q->options.tokenizer : NULL;
    int folder = (int)(base_name(q->options.input) - q->options.input);
    static const char *const places[] = {"tokenizer.json", "../tokenizer.json"};
    for (size_t i = 0; i < sizeof places / sizeof *places; ++i) {
        const char *path = qbc_text(q, "%.*s%s", folder, q->options.input, places[i]);
        if (!access(path, R_OK))
            return path;
    }
    return NULL;
}

static bool set_tokenizer(struct qbc *q, struct qbc_artifact *a)
{
    const char *path = qbc_tokenizer_path(q);
    struct qbc_tokenizer_facts facts;
    uint8_t *blob;
    a->bos = -1;
    if (!path)
        return true;
    if (!qbc_tokenizer_compile(q, path, &blob, &a->tokenizer_bytes) ||
        !qbc_tokenizer_facts(q, path, &facts))
        return false;
    a->tokenizer = blob;
    a->bos = facts.bos;
    a->eos = facts.eos;
    a->n_eos = facts.n_eos;
    a->chat_template = facts.chat_template;
    return true;
}

/* --- all of it */

/* How many tensors have the model's own codes (assign-formats); NULL: none. */
static const char *imports_of(struct qbc *q, struct qbc_ops weights)
{
    size_t exact = 0, rounded = 0, repacked = 0;
    for (size_t i = 0; i < weights.n; ++i) {
        const char *fit = qbc_string(q, weights.op[i], "fit", "");
        exact += !strcmp(fit, "import");
        rounded += !strcmp(fit, "import_rounded");
        repacked += !strcmp(fit, "exact");
    }
    if (repacked)
        return qbc_text(q, "%zu tensors of floats repacked without loss%s", repacked,
                        exact + rounded ? qbc_text(q, "; codes of %zu others, scales of %zu of them rounded", exact + rounded, rounded) : "");
    if (!exact && !rounded)
        return NULL;
    if (!rounded)
        return qbc_text(q, "codes and scales of %zu tensors, bit for bit", exact);
    return qbc_text(q, "codes and scales of %zu tensors, bit for bit; of %zu tensors codes bit for bit, scales or minima rounded",
                    exact, rounded);
}

/* How it was made; returns how many facts. */
static size_t record_of(struct qbc *q, struct qbc_ops weights, struct qbc_artifact_fact *out)
{
    const char *quant = q->chosen ? q->chosen : q->options.quant ? q->options.quant : "as the model has it";
    const struct qbc_artifact_fact facts[] = {{"source", base_name(q->options.input)},
                                              {"quant", quant},
                                              {"fit", q->options.fit},
                                              {"import", imports_of(q, weights)},
                                              {"calibration", q->calibrated},
                                              {"transform", q->options.transform},
                                              {"learned", q->learned},
                                              {"activations", strcmp(q->options.act, "i8g32") ? q->options.act : NULL}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; ++i)
        if (facts[i].value)
            out[n++] = facts[i];
    return n;
}

struct qbc_described *qbc_describe_variant(struct qbc *q, MlirOperation module, MlirOperation weights_func)
{
    struct qbc_described *d = qbc_alloc(q, sizeof *d);
    d->weights = qbc_collect(q, weights_func, "qb.weight");
    d->tensors = tensors_of(q, d->weights);
    d->section = (struct qbc_artifact_weights){d->tensors, d->weights.n,
                                               qbc_qbm_place(d->tensors, d->weights.n)};
    d->variant = (struct qbc_artifact_variant){
        .target = q->target->name,
        .triple = q->target->triple,
        .machine = q->target->machine,
    };
    d->variant.n_requirements = qbc_requirements_of(q, &d->variant.requirements);
    d->artifact = (struct qbc_artifact){
        .producer = "qbc 0.1",
        .vocab = (uint32_t)qbc_int(module, "qb.vocab", 0),
        .context = (uint32_t)qbc_int(module, "qb.context", 0),
        .chunk = (uint32_t)qbc_int(module, "qb.chunk", 0),
        .outputs = (uint32_t)qbc_int(module, "qb.outputs", 0),
        .whole = qbc_bool(module, "qb.whole", false),
        .parameters = parameters_of(q, d->weights, d->tensors),
        .arena_bytes = (uint64_t)qbc_int(module, "qb.arena_bytes", 0),
        .state_bytes = (uint64_t)qbc_int(module, "qb.state_bytes", 0),
        .weights = &d->section,
        .n_weights = 1,
        .variants = &d->variant,
        .n_variants = 1,
        .record = d->record,
        .n_record = record_of(q, d->weights, d->record),
    };
    return d;
}

struct qbc_described *qbc_describe(struct qbc *q, MlirOperation module, MlirOperation weights_func)
{
    struct qbc_described *d = qbc_describe_variant(q, module, weights_func);
    set_states(q, module, &d->artifact);
    return !q->errors && set_tokenizer(q, &d->artifact) ? d : NULL;
}
