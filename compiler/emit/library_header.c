/* library_header.c: header.h.in with its @words@ filled in. The sizes are asked of the runtime itself, which opens what will
 * be linked. */
#include "library.h"
#include "data_object.h"
#include "instance.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

extern const char qbc_header_text[];       /* header.h.in */
extern const char qbc_header_types_text[]; /* runtime/qbrt_types.h */

struct word {
    const char *name, *value;
};

static const char *number(struct qbc *q, uint64_t value)
{
    return qbc_text(q, "%llu", (unsigned long long)value);
}

static const char *upper(struct qbc *q, const char *name)
{
    char *text = qbc_copy(q, name, strlen(name));
    for (char *c = text; *c; ++c)
        *c = (char)toupper((unsigned char)*c);
    return text;
}

static const char *requirements(struct qbc *q, const struct qbc_artifact_variant *v)
{
    const char *text = "";
    for (size_t i = 0; i < v->n_requirements; ++i)
        text = qbc_text(q, "%s%s%s", text, i ? "," : "", v->requirements[i]);
    return text;
}

static const char *find(const struct word *words, const char *name, size_t length)
{
    for (; words->name; ++words)
        if (strlen(words->name) == length && !strncmp(words->name, name, length))
            return words->value;
    return NULL;
}

/* Each @word@ by its value. */
static const char *filled(struct qbc *q, const char *text, const struct word *words)
{
    size_t bytes = strlen(text) + 1;
    for (const char *at = text; (at = strchr(at, '@')); ++at) {
        const char *value = find(words, at + 1, strcspn(at + 1, "@"));
        bytes += value ? strlen(value) : 0;
    }
    char *out = qbc_alloc(q, bytes), *to = out;
    while (*text) {
        size_t length = *text == '@' ? strcspn(text + 1, "@") : 0;
        const char *value = *text == '@' ? find(words, text + 1, length) : NULL;
        if (!value) {
            *to++ = *text++;
            continue;
        }
        memcpy(to, value, strlen(value));
        to += strlen(value);
        text += length + 2;
    }
    return out;
}

static void no_step(const struct qbrt_step *step, int64_t thread)
{
    (void)step, (void)thread;
}

struct sizes {
    size_t session, saved, text, tokenize, tokenize_factor;
    const char *weights_section;
};

/* Open the root as a program will. */
static bool measure(struct qbc *q, const struct qbc_described *d, const struct qbc_linked_root *root, struct sizes *out)
{
    static const _Alignas(QBRT_ALIGN) char no_weights[1];
    size_t bytes = qbrt_model_size();
    void *memory = aligned_alloc(QBRT_ALIGN, (bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN);
    const struct qbrt_linked linked = {root->root.data, no_weights, root->file_bytes, no_step, no_step};
    struct qbrt_model *model;
    struct qbrt_tokenizer tokenizer;
    char detail[QBRT_DETAIL] = "";
    enum qbrt_status status =
        memory ? qbrt_open_linked(&linked, NULL, memory, bytes, &model, detail) : QBRT_NO_ROOM;
    *out = (struct sizes){0};
    if (!status) {
        out->session = qbrt_instance_size(model);
        out->saved = 64 + d->artifact.state_bytes; /* docs/qbm.md, "State" */
        if (d->artifact.tokenizer_bytes &&
            !qbrt_tokenizer_open(&tokenizer, d->artifact.tokenizer, d->artifact.tokenizer_bytes)) {
            out->text = qbrt_tokenizer_stream_room(&tokenizer);
            out->tokenize = qbrt_tokenizer_scratch(&tokenizer, 0);
            out->tokenize_factor = qbrt_tokenizer_scratch(&tokenizer, 1) - out->tokenize;
        }
    } else {
        qbc_error_in(q, q->options.output, "internal error: the runtime does not take the model: %s: %s",
                     qbrt_status_text(status), detail);
    }
    free(memory);
    return !status;
}

const char *qbc_library_header(struct qbc *q, const struct qbc_described *d, const struct qbc_linked_root *root)
{
    const struct qbc_artifact *a = &d->artifact;
    struct sizes sizes;
    if (!measure(q, d, root, &sizes))
        return NULL;
    const char *name = q->options.prefix;
    const struct word words[] = {
        {"name", name},
        {"NAME", upper(q, name)},
        {"types", qbc_header_types_text},
        {"source", d->record[0].value},
        {"producer", a->producer},
        {"about", qbc_text(q, "-target=%s -quant=%s", d->variant.target, q->options.quant)},
        {"target", d->variant.target},
        {"requires", requirements(q, &d->variant)},
        {"vocab", number(q, a->vocab)},
        {"outputs", number(q, a->outputs ? a->outputs : a->vocab)},
        {"is_encoder", a->whole ? "1" : "0"},
        {"context", number(q, a->context)},
        {"chunk", number(q, a->chunk)},
        {"session_bytes", number(q, sizes.session)},
        {"saved_bytes", number(q, sizes.saved)},
        {"weights_bytes", number(q, d->section.size)},
        {"weights_section", qbc_text(q, "%s.%s.weights", qbc_data_is_large(d->variant.machine, d->section.size)
                                                             ? ".lrodata" : ".rodata", name)},
        {"root_bytes", number(q, root->root.size)},
        {"bos", qbc_text(q, "%d", (int)a->bos)},
        {"has_tokenizer", a->tokenizer_bytes ? "1" : "0"},
        {"text_bytes", number(q, sizes.text)},
        {"tokenize_bytes", number(q, sizes.tokenize)},
        {"tokenize_factor", number(q, sizes.tokenize_factor)},
        {0},
    };
    return filled(q, qbc_header_text, words);
}
