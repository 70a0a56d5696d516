/* model.c: open a model that lies in memory, choose its code, answer questions about it. */
#include "checksum.h"
#include "image.h"
#include "internal.h"

size_t qbrt_model_size(void)
{
    return sizeof(struct qbrt_model);
}

const char *model_missing(const struct qbm_root *root, const struct qbrt_host *host,
                          const struct qbm_variant *v, size_t i)
{
    for (uint32_t k = 0; k < v->requirements.n; k++) {
        const char *feature = qbm_text(root, v->requirements, k);
        if (!host->has_feature(host->context, feature) && i-- == 0)
            return feature;
    }
    return NULL;
}

static int32_t last_that_fits(const struct qbm_root *root, const struct qbrt_host *host)
{
    for (uint32_t i = root->variants.n; i-- > 0;) {
        const struct qbm_variant v = qbm_variant(root, i);
        if (v.machine == host->machine && !model_missing(root, host, &v, 0))
            return (int32_t)i;
    }
    return -1;
}

/* Names with commas between, as many as fit into a sentence. */
struct names {
    char text[QBRT_DETAIL / 2];
    size_t used, left_out;
};

static void add_name(struct names *names, const char *name)
{
    size_t length = 0;
    while (name[length])
        length++;
    if (names->left_out || names->used + length + 3 > sizeof names->text) {
        names->left_out++;
        return;
    }
    if (names->used) {
        names->text[names->used++] = ',';
        names->text[names->used++] = ' ';
    }
    memcpy(names->text + names->used, name, length + 1);
    names->used += length;
}

/* What the plainest code for this machine lacks. */
static void explain_missing(const struct qbm_root *root, const struct qbrt_host *host,
                            const struct qbm_variant *v, char *detail)
{
    struct names names = {.used = 0};
    const char *feature;
    for (size_t i = 0; (feature = model_missing(root, host, v, i)); i++)
        add_name(&names, feature);
    if (names.left_out)
        qbrt_explain(detail, "its code for %s needs %s and %u more, which this CPU lacks, or its system keeps back", v->target,
                     names.text, (uint64_t)names.left_out);
    else
        qbrt_explain(detail, "its code for %s needs %s, which this CPU lacks, or its system keeps back", v->target, names.text);
}

static void explain_refusal(const struct qbm_root *root, const struct qbrt_host *host, char *detail)
{
    struct names triples = {.used = 0};
    for (uint32_t i = 0; i < root->variants.n; i++) {
        const struct qbm_variant v = qbm_variant(root, i);
        if (v.machine == host->machine) {
            explain_missing(root, host, &v, detail);
            return;
        }
        add_name(&triples, v.triple);
    }
    if (root->variants.n)
        qbrt_explain(detail, "its code is for %s", triples.text);
    else
        qbrt_explain(detail, "it holds no code at all");
}

/* Plainest first; the last one that fits wins. */
static enum qbrt_status choose(struct qbrt_model *m, const struct qbrt_host *host, char *detail)
{
    m->facts.variant = last_that_fits(&m->root, host);
    if (m->facts.variant < 0) {
        explain_refusal(&m->root, host, detail);
        return QBRT_NO_VARIANT;
    }
    m->variant = qbm_variant(&m->root, (uint32_t)m->facts.variant);
    return QBRT_OK;
}

static enum qbrt_status load_code(struct qbrt_model *m, char *detail)
{
    const struct qbm_variant *v = &m->variant;
    const uint8_t *bytes = m->file + v->image_offset;
    if (qbrt_checksum(bytes, v->image_bytes) != v->image_checksum) {
        qbrt_explain(detail, "the checksum of the code image for %s, bytes %u to %u, does not fit",
                     v->target, v->image_offset, v->image_offset + v->image_bytes);
        return QBRT_DAMAGED;
    }
    struct image image;
    enum qbrt_status status = image_check(&image, bytes, v->image_bytes, v->machine, detail);
    if (status)
        return status;
    if (!image_holds_code(&image, v->decode) || !image_holds_code(&image, v->step)) {
        qbrt_explain(detail, "an entry point of the code image is not in its code");
        return QBRT_BAD_CODE;
    }
    status = m->host.map_code(m->host.context, m->file, v->image_offset, v->image_bytes, &m->code);
    if (status)
        return status;
    m->decode = (qbrt_step_function)((uintptr_t)m->code + v->decode);
    m->step = (qbrt_step_function)((uintptr_t)m->code + v->step);
    return QBRT_OK;
}

/* Weights and tensors are those of the variant; without one, of the first section. */
static void settle(struct qbrt_model *m)
{
    if (!m->root.weights.n)
        return;
    struct qbm_weights w = qbm_weights(&m->root, m->variant.weights);
    m->weights = m->file + w.offset;
    m->tensors = w.tensors;
    m->facts.n_tensors = w.tensors.n;
    m->facts.weights_bytes = w.size;
}

enum qbrt_status qbrt_open_memory(const void *file, size_t file_bytes, const struct qbrt_host *host,
                                  void *memory, size_t bytes, struct qbrt_model **out, char *detail)
{
    qbrt_explain(detail, "");
    if (!out)
        return QBRT_BAD_ARGUMENT;
    *out = NULL;
    if (!file || !memory)
        return QBRT_BAD_ARGUMENT;
    if ((uintptr_t)file % QBRT_ALIGN || (uintptr_t)memory % QBRT_ALIGN)
        return QBRT_BAD_ALIGN;
    if (bytes < sizeof(struct qbrt_model))
        return QBRT_NO_ROOM;

    struct qbrt_model *m = memory;
    *m = (struct qbrt_model){.file = file};
    enum qbrt_status status = qbm_check(&m->root, file, file_bytes, detail);
    if (status)
        return status;
    m->facts = m->root.facts;
    if (host) {
        m->host = *host;
        status = choose(m, host, detail);
        if (!status)
            status = load_code(m, detail);
        if (status)
            return status;
    }
    settle(m);
    *out = m;
    return QBRT_OK;
}

void qbrt_close(struct qbrt_model *m)
{
    if (!m)
        return;
    if (m->code)
        m->host.unmap_code(m->host.context, m->file, m->variant.image_offset,
                           m->variant.image_bytes, m->code);
    if (m->unmap_file)
        m->unmap_file(m->file, m->root.file_bytes);
}

const struct qbrt_facts *qbrt_facts(const struct qbrt_model *m)
{
    return &m->facts;
}

int32_t qbrt_eos(const struct qbrt_model *m, size_t i)
{
    return i < m->facts.n_eos ? qbm_eos(&m->root, (uint32_t)i) : -1;
}

bool qbrt_is_eos(const struct qbrt_model *m, int32_t token)
{
    for (size_t i = 0; i < m->facts.n_eos; i++)
        if (qbrt_eos(m, i) == token)
            return true;
    return false;
}

int32_t qbrt_choose(const struct qbrt_model *m, const struct qbrt_host *host)
{
    return last_that_fits(&m->root, host);
}

const char *qbrt_missing(const struct qbrt_model *m, const struct qbrt_host *host, size_t variant, size_t i)
{
    if (variant >= m->facts.n_variants)
        return NULL;
    const struct qbm_variant v = qbm_variant(&m->root, (uint32_t)variant);
    return v.machine == host->machine ? model_missing(&m->root, host, &v, i) : NULL;
}

struct qbrt_variant_facts qbrt_variant(const struct qbrt_model *m, size_t i)
{
    if (i >= m->facts.n_variants)
        return (struct qbrt_variant_facts){.target = "", .triple = ""};
    struct qbm_variant v = qbm_variant(&m->root, (uint32_t)i);
    return (struct qbrt_variant_facts){
        .target = v.target,
        .triple = v.triple,
        .machine = v.machine,
        .n_requirements = v.requirements.n,
        .image_bytes = v.image_bytes,
        .weights = v.weights,
        .weights_bytes = qbm_weights(&m->root, v.weights).size,
    };
}

const char *qbrt_requirement(const struct qbrt_model *m, size_t variant, size_t i)
{
    if (i >= qbrt_variant(m, variant).n_requirements)
        return "";
    struct qbm_variant v = qbm_variant(&m->root, (uint32_t)variant);
    return qbm_text(&m->root, v.requirements, (uint32_t)i);
}

struct qbrt_tensor_facts qbrt_tensor(const struct qbrt_model *m, size_t i)
{
    if (i >= m->facts.n_tensors)
        return (struct qbrt_tensor_facts){.name = "", .role = "", .format = "", .block = -1};
    return qbm_tensor(&m->root, m->tensors, (uint32_t)i);
}

const char *qbrt_record_key(const struct qbrt_model *m, size_t i)
{
    return i < m->facts.n_record ? qbm_fact(&m->root, (uint32_t)i, false) : "";
}

const char *qbrt_record_value(const struct qbrt_model *m, size_t i)
{
    return i < m->facts.n_record ? qbm_fact(&m->root, (uint32_t)i, true) : "";
}
