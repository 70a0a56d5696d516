/* linked.c: open a model whose code and weights a linker has put into the program. */
#include "internal.h"

static enum qbrt_status check_arguments(const struct qbrt_linked *linked, const void *memory,
                                        size_t bytes)
{
    if (!linked || !linked->root || !linked->weights || !linked->decode || !linked->step || !memory)
        return QBRT_BAD_ARGUMENT;
    if ((uintptr_t)linked->root % 8 || (uintptr_t)linked->weights % QBRT_ALIGN ||
        (uintptr_t)memory % QBRT_ALIGN)
        return QBRT_BAD_ALIGN;
    return bytes < sizeof(struct qbrt_model) ? QBRT_NO_ROOM : QBRT_OK;
}

/* The root is that of a file without an image, so it is checked as any other. */
static enum qbrt_status read_root(struct qbrt_model *m, const struct qbrt_linked *linked,
                                  char *detail)
{
    enum qbrt_status status = qbm_check(&m->root, linked->root, linked->file_bytes, detail);
    if (status)
        return status;
    if (m->root.variants.n != 1) {
        qbrt_explain(detail, "it holds %u variants, a linked model has one",
                     (uint64_t)m->root.variants.n);
        return QBRT_DAMAGED;
    }
    m->facts = m->root.facts;
    m->variant = qbm_variant(&m->root, 0);
    m->facts.variant = 0;
    struct qbm_weights w = qbm_weights(&m->root, m->variant.weights);
    m->tensors = w.tensors;
    m->facts.n_tensors = w.tensors.n;
    m->facts.weights_bytes = w.size;
    return QBRT_OK;
}

enum qbrt_status qbrt_open_linked(const struct qbrt_linked *linked, const struct qbrt_host *host,
                                  void *memory, size_t bytes, struct qbrt_model **out, char *detail)
{
    qbrt_explain(detail, "");
    if (!out)
        return QBRT_BAD_ARGUMENT;
    *out = NULL;
    enum qbrt_status status = check_arguments(linked, memory, bytes);
    if (status)
        return status;
    struct qbrt_model *m = memory;
    *m = (struct qbrt_model){.weights = linked->weights};
    status = read_root(m, linked, detail);
    if (status)
        return status;
    const char *lacks = host ? model_missing(&m->root, host, &m->variant, 0) : NULL;
    if (lacks) {
        qbrt_explain(detail, "its code for %s needs the CPU feature '%s', which is not there",
                     m->variant.target, lacks);
        return QBRT_NO_VARIANT;
    }
    m->decode = linked->decode;
    m->step = linked->step;
    *out = m;
    return QBRT_OK;
}
