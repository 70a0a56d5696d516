/* variants: one artifact with code for several kinds of CPU.
 *
 * Variants are the same model below level "quant": the same weights, states and facts, but code, and the layout of
 * weights, of their own. Where two want all tensors laid out alike they share a section. The arena is the largest
 * one's. Which variant is run: docs/qbm.md, "Code".
 */
#include "artifact.h"
#include "library.h"
#include "target.h"

#include <stdlib.h>
#include <string.h>

struct merged {
    struct qbc_described *first; /* the facts of all of them */
    struct qbc_artifact_variant *variants;
    struct qbc_artifact_weights *sections;
};

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool same_layout(const struct qbc_artifact_weights *a, const struct qbc_artifact_weights *b)
{
    for (size_t i = 0; i < a->n_tensors; ++i) {
        const struct qbc_artifact_tensor *x = &a->tensors[i], *y = &b->tensors[i];
        if (!qbc_same_packing(x->packing, y->packing) || x->offset != y->offset || x->size != y->size)
            return false;
    }
    return a->size == b->size;
}

/* What must not differ, whatever the target; a difference is a fault of a pass. */
static bool same_model(const struct qbc_variant *a, const struct qbc_variant *b)
{
    static const char *const facts[] = {"qb.vocab",       "qb.context",       "qb.chunk",      "qb.state_bytes",
                                        "qb.state_names", "qb.state_offsets", "qb.state_sizes"};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; ++i)
        if (!mlirAttributeEqual(mlirOperationGetAttributeByName(a->module, qbc_str(facts[i])),
                                mlirOperationGetAttributeByName(b->module, qbc_str(facts[i]))))
            return false;
    return true;
}

static bool same_tensors(const struct qbc_artifact_weights *a, const struct qbc_artifact_weights *b)
{
    bool same = a->n_tensors == b->n_tensors;
    for (size_t i = 0; same && i < a->n_tensors; ++i)
        same = same_text(a->tensors[i].name, b->tensors[i].name) &&
               same_text(a->tensors[i].format, b->tensors[i].format) && a->tensors[i].rows == b->tensors[i].rows &&
               a->tensors[i].cols == b->tensors[i].cols;
    return same;
}

static uint32_t section_for(struct merged *m, const struct qbc_artifact_weights *wanted)
{
    struct qbc_artifact *a = &m->first->artifact;
    for (size_t i = 0; i < a->n_weights; ++i)
        if (same_layout(&m->sections[i], wanted))
            return (uint32_t)i;
    m->sections[a->n_weights] = *wanted;
    return (uint32_t)a->n_weights++;
}

static bool add(struct qbc *q, struct merged *m, const struct qbc_variant *v, struct qbc_described *d)
{
    struct qbc_artifact *a = &m->first->artifact;
    struct qbc_artifact_variant *to = &m->variants[a->n_variants++];
    if (!same_tensors(&m->first->section, &d->section)) {
        qbc_error_in(q, v->target->name, "has other weights than the targets before; this is a bug in qbc");
        return false;
    }
    *to = d->variant;
    to->weights = section_for(m, &d->section);
    to->image = v->image.data;
    to->image_bytes = v->image.size;
    to->decode = qbc_image_symbol(v->image, "decode");
    to->step = qbc_image_symbol(v->image, "step");
    if (d->artifact.arena_bytes > a->arena_bytes)
        a->arena_bytes = d->artifact.arena_bytes;
    return true;
}

/* The facts of the first, without variants and sections so far. False after an error. */
static bool begin(struct qbc *q, struct merged *m, const struct qbc_variant *first, size_t n)
{
    q->target = first->target;
    m->first = qbc_describe(q, first->module, first->weights);
    m->variants = qbc_alloc(q, n * sizeof *m->variants);
    m->sections = qbc_alloc(q, n * sizeof *m->sections);
    if (!m->first)
        return false;
    m->first->artifact.variants = m->variants;
    m->first->artifact.weights = m->sections;
    m->first->artifact.n_variants = m->first->artifact.n_weights = 0;
    return add(q, m, first, m->first);
}

static bool merge(struct qbc *q, struct merged *m, const struct qbc_variant *variants, size_t n)
{
    bool good = begin(q, m, &variants[0], n);
    for (size_t i = 1; i < n && good; ++i) {
        q->target = variants[i].target;
        if (!same_model(&variants[0], &variants[i]))
            qbc_error_in(q, q->target->name, "lays out states otherwise than the targets before; this is a bug in qbc");
        good = !q->errors &&
               add(q, m, &variants[i], qbc_describe_variant(q, variants[i].module, variants[i].weights));
    }
    return good && !q->errors;
}

struct place {
    struct qbc_qbm *file;
    size_t section;
};

static bool put_into_file(void *user, uint64_t offset, const void *bytes, size_t n)
{
    const struct place *p = user;
    return qbc_qbm_write(p->file, p->section, offset, bytes, n);
}

/* -emit=exe: the runtime's program comes first. */
static bool add_program(struct qbc *q, struct qbc_artifact *a, struct qbc_bytes *program)
{
    if (strcmp(q->options.emit, "exe"))
        return true;
    *program = qbc_support_file(q, "qbrun");
    a->program = program->data;
    a->program_bytes = program->size;
    return program->data;
}

static bool write_sections(struct qbc *q, struct merged *m, struct qbc_qbm *file)
{
    size_t n = m->first->artifact.n_weights;
    struct place *places = qbc_alloc(q, n * sizeof *places);
    void **users = qbc_alloc(q, n * sizeof *users);
    for (size_t i = 0; i < n; ++i) {
        places[i] = (struct place){file, i};
        users[i] = &places[i];
    }
    return qbc_stream_sections(q, m->first->weights, m->sections, n, put_into_file, users);
}

bool qbc_measure_artifact(struct qbc *q, const struct qbc_variant *variants, size_t n, struct qbc_artifact_size *out)
{
    struct merged m = {NULL};
    size_t root_bytes;
    uint64_t bytes;
    if (!merge(q, &m, variants, n))
        return false;
    uint8_t *root = qbc_qbm_sealed_root(q, q->options.output, &m.first->artifact, &root_bytes, &bytes);
    free(root);
    out->file = out->weights = (int64_t)bytes;
    for (size_t i = 0; i < n; ++i)
        out->weights -= (int64_t)m.variants[i].image_bytes;
    out->weights -= (int64_t)m.first->artifact.tokenizer_bytes;
    return root;
}

bool qbc_emit_artifact(struct qbc *q, const struct qbc_variant *variants, size_t n)
{
    struct merged m = {NULL};
    struct qbc_bytes program = {0};
    if (!merge(q, &m, variants, n) || !add_program(q, &m.first->artifact, &program))
        return false;
    struct qbc_qbm *file = qbc_qbm_begin(q, q->options.output, &m.first->artifact);
    free(program.data);
    return file && qbc_qbm_finish(file, write_sections(q, &m, file));
}
