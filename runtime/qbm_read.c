/* qbm_read.c: what must hold before anything in a .qbm is used.
 *
 *   1. its seal: the checksum behind the root fits the root       (damage)
 *   2. its structure: every table, string and vector lies inside   (flat.c)
 *   3. its meaning: what it points to lies in the file, numbers are in range
 *
 * The code image is image.c's. Weights are never looked at: they are numbers, any will do.
 */
#include "qbm_read.h"
#include "checksum.h"
#include "internal.h"

/* Fields in the order of qbm.fbs. */
enum variant_field {
    VARIANT_TARGET,
    VARIANT_TRIPLE,
    VARIANT_MACHINE,
    VARIANT_REQUIRES,
    VARIANT_IMAGE_OFFSET,
    VARIANT_IMAGE_SIZE,
    VARIANT_DECODE,
    VARIANT_STEP,
    VARIANT_WEIGHTS,
    VARIANT_IMAGE_CHECKSUM
};
enum tensor_field {
    TENSOR_NAME,
    TENSOR_ROLE,
    TENSOR_BLOCK,
    TENSOR_FORMAT,
    TENSOR_ROWS,
    TENSOR_COLS,
    TENSOR_PACKING,
    TENSOR_OFFSET,
    TENSOR_SIZE,
    TENSOR_LOOKUP
};
enum weights_field { WEIGHTS_OFFSET, WEIGHTS_SIZE, WEIGHTS_TENSORS };
enum state_field { STATE_NAME, STATE_OFFSET, STATE_SIZE };
enum fact_field { FACT_KEY, FACT_VALUE };
enum model_field {
    MODEL_PRODUCER,
    MODEL_VERSION,
    MODEL_VOCAB,
    MODEL_CONTEXT,
    MODEL_CHUNK,
    MODEL_PARAMETERS,
    MODEL_ARENA_BYTES,
    MODEL_STATE_BYTES,
    MODEL_STATES,
    MODEL_WEIGHTS,
    MODEL_VARIANTS,
    MODEL_TOKENIZER,
    MODEL_BOS,
    MODEL_EOS,
    MODEL_CHAT_TEMPLATE,
    MODEL_RECORD,
    MODEL_OUTPUTS,
    MODEL_WHOLE,
    MODEL_INPUTS,
    MODEL_RESULTS
};
enum port_field { PORT_NAME, PORT_ELEMENT, PORT_DIMS };

/* Far above any use; they keep sums from wrapping and checks from taking long. */
enum { MOST_VARIANTS = 64, MOST_TENSORS = 1 << 20 };
#define MOST_BYTES (UINT64_C(1) << 46)

static struct qbm_variant read_variant(struct flat *f, struct flat_vector v, uint32_t i)
{
    struct flat_table t = flat_table_at(f, v, i);
    return (struct qbm_variant){
        .target = flat_string(f, t, VARIANT_TARGET),
        .triple = flat_string(f, t, VARIANT_TRIPLE),
        .requirements = flat_vector(f, t, VARIANT_REQUIRES, 4),
        .machine = (uint16_t)flat_scalar(f, t, VARIANT_MACHINE, 2, 0),
        .image_offset = flat_scalar(f, t, VARIANT_IMAGE_OFFSET, 8, 0),
        .image_bytes = flat_scalar(f, t, VARIANT_IMAGE_SIZE, 8, 0),
        .image_checksum = flat_scalar(f, t, VARIANT_IMAGE_CHECKSUM, 8, 0),
        .decode = flat_scalar(f, t, VARIANT_DECODE, 8, 0),
        .step = flat_scalar(f, t, VARIANT_STEP, 8, 0),
        .weights = (uint32_t)flat_scalar(f, t, VARIANT_WEIGHTS, 4, 0),
    };
}

static struct qbm_weights read_weights(struct flat *f, struct flat_vector v, uint32_t i)
{
    struct flat_table t = flat_table_at(f, v, i);
    return (struct qbm_weights){
        .offset = flat_scalar(f, t, WEIGHTS_OFFSET, 8, 0),
        .size = flat_scalar(f, t, WEIGHTS_SIZE, 8, 0),
        .tensors = flat_vector(f, t, WEIGHTS_TENSORS, 4),
    };
}

static struct qbrt_tensor_facts read_tensor(struct flat *f, struct flat_vector v, uint32_t i)
{
    struct flat_table t = flat_table_at(f, v, i);
    const char *role = flat_string(f, t, TENSOR_ROLE);
    return (struct qbrt_tensor_facts){
        .name = flat_string(f, t, TENSOR_NAME),
        .role = role ? role : "",
        .format = flat_string(f, t, TENSOR_FORMAT),
        .block = (int32_t)flat_scalar(f, t, TENSOR_BLOCK, 4, UINT32_MAX),
        .rows = flat_scalar(f, t, TENSOR_ROWS, 8, 0),
        .cols = flat_scalar(f, t, TENSOR_COLS, 8, 0),
        .offset = flat_scalar(f, t, TENSOR_OFFSET, 8, 0),
        .size = flat_scalar(f, t, TENSOR_SIZE, 8, 0),
        .lookup = flat_scalar(f, t, TENSOR_LOOKUP, 1, 0) != 0,
    };
}

static bool inside(uint64_t offset, uint64_t bytes, uint64_t whole)
{
    return offset <= whole && bytes <= whole - offset;
}

/* Does [offset, offset + bytes) lie behind the root, on a page, inside of the file? */
static bool is_section(const struct qbm_root *root, uint64_t offset, uint64_t bytes)
{
    return offset % QBM_PAGE == 0 && offset >= root->flat.size + QBRT_SEAL_BYTES &&
           inside(offset, bytes, root->file_bytes);
}

static bool damaged(char *detail, const char *what, uint64_t i, const char *name)
{
    qbrt_explain(detail, "%s %u (%s) is not what it should be", what, i, name ? name : "no name");
    return false;
}

static bool check_variants(struct qbm_root *root, char *detail)
{
    struct flat *f = &root->flat;
    if (root->variants.n > MOST_VARIANTS)
        return damaged(detail, "the list of variants", root->variants.n, "too long");
    for (uint32_t i = 0; i < root->variants.n; i++) {
        struct qbm_variant v = read_variant(f, root->variants, i);
        for (uint32_t k = 0; k < v.requirements.n && !f->bad; k++)
            flat_string_at(f, v.requirements, k);
        if (f->bad || !v.target || !v.triple || v.weights >= root->weights.n ||
            !is_section(root, v.image_offset, v.image_bytes))
            return damaged(detail, "variant", i, v.target);
        root->facts.code_bytes += v.image_bytes;
    }
    return true;
}

static bool check_tensors(struct qbm_root *root, struct qbm_weights w, char *detail)
{
    for (uint32_t i = 0; i < w.tensors.n; i++) {
        struct qbrt_tensor_facts t = read_tensor(&root->flat, w.tensors, i);
        if (root->flat.bad || !t.name || !t.format || t.offset % QBRT_ALIGN ||
            !inside(t.offset, t.size, w.size) || t.rows > MOST_BYTES || t.cols > MOST_BYTES)
            return damaged(detail, "tensor", i, t.name);
    }
    return true;
}

static bool check_weights(struct qbm_root *root, char *detail)
{
    if (root->weights.n > MOST_VARIANTS)
        return damaged(detail, "the list of weights", root->weights.n, "too long");
    uint64_t tensors = 0;
    for (uint32_t i = 0; i < root->weights.n; i++) {
        struct qbm_weights w = read_weights(&root->flat, root->weights, i);
        tensors += w.tensors.n;
        if (root->flat.bad || w.size % QBRT_ALIGN || !is_section(root, w.offset, w.size) ||
            tensors > MOST_TENSORS)
            return damaged(detail, "weights section", i, "of the file");
        if (!check_tensors(root, w, detail))
            return false;
    }
    return true;
}

static bool check_states(struct qbm_root *root, char *detail)
{
    struct flat *f = &root->flat;
    for (uint32_t i = 0; i < root->states.n; i++) {
        struct flat_table t = flat_table_at(f, root->states, i);
        const char *name = flat_string(f, t, STATE_NAME);
        uint64_t offset = flat_scalar(f, t, STATE_OFFSET, 8, 0);
        uint64_t size = flat_scalar(f, t, STATE_SIZE, 8, 0);
        if (f->bad || !name || !inside(offset, size, root->facts.state_bytes))
            return damaged(detail, "state", i, name);
    }
    return true;
}

static bool check_record(struct qbm_root *root, char *detail)
{
    struct flat *f = &root->flat;
    for (uint32_t i = 0; i < root->record.n; i++) {
        struct flat_table t = flat_table_at(f, root->record, i);
        const char *key = flat_string(f, t, FACT_KEY);
        const char *value = flat_string(f, t, FACT_VALUE);
        if (f->bad || !key || !value)
            return damaged(detail, "fact", i, key);
    }
    return true;
}

static struct qbrt_port read_port(struct flat *f, struct flat_vector v, uint32_t i)
{
    struct flat_table t = flat_table_at(f, v, i);
    struct flat_vector dims = flat_vector(f, t, PORT_DIMS, 8);
    struct qbrt_port port = {.name = flat_string(f, t, PORT_NAME),
                             .element = (uint32_t)flat_scalar(f, t, PORT_ELEMENT, 4, 0),
                             .rank = dims.n};
    for (uint32_t d = 0; d < dims.n && d < QBRT_MOST_RANK && !f->bad; d++)
        port.dims[d] = (int64_t)qbrt_checksum_word(f->bytes + dims.at + 8 * d, 8);
    return port;
}

/* Sizes of an input are fixed; of a result they may be open. */
static bool check_ports(struct qbm_root *root, struct flat_vector ports, int64_t least, char *detail)
{
    for (uint32_t i = 0; i < ports.n; i++) {
        struct qbrt_port p = read_port(&root->flat, ports, i);
        uint64_t bytes = qbrt_element_bytes(p.element);
        bool good = !root->flat.bad && p.name && bytes && p.rank <= QBRT_MOST_RANK;
        for (size_t d = 0; d < p.rank && good; d++) {
            good = p.dims[d] >= least && (uint64_t)(p.dims[d] + 1) <= MOST_BYTES / bytes;
            bytes *= good && p.dims[d] > 0 ? (uint64_t)p.dims[d] : 1;
        }
        if (!good)
            return damaged(detail, "input or result", i, root->flat.bad ? NULL : p.name);
    }
    return true;
}

static bool check_run(struct qbm_root *root, char *detail)
{
    const struct qbrt_facts *facts = &root->facts;
    if (facts->vocab || facts->context || facts->chunk || facts->arena_bytes > MOST_BYTES || root->states.n ||
        root->inputs.n > MOST_TENSORS || root->results.n > MOST_TENSORS)
        return damaged(detail, "one of the sizes of a model that is no language model", facts->vocab, "vocabulary");
    return check_ports(root, root->inputs, 0, detail) && check_ports(root, root->results, -1, detail);
}

static bool check_facts(struct qbm_root *root, char *detail)
{
    const struct qbrt_facts *facts = &root->facts;
    if (root->results.n)
        return check_run(root, detail);
    if (!facts->vocab || facts->vocab > INT32_MAX || !facts->chunk ||
        facts->chunk > facts->context || facts->context > INT32_MAX ||
        facts->arena_bytes > MOST_BYTES || facts->state_bytes > MOST_BYTES)
        return damaged(detail, "one of the sizes of vocabulary", facts->vocab,
                       "context, chunk, arena or state");
    if (facts->outputs > INT32_MAX || (facts->whole && facts->chunk != facts->context))
        return damaged(detail, "a row of results, or the chunk, of", facts->outputs, "columns");
    bool ids = facts->bos >= -1 && facts->bos < (int64_t)facts->vocab;
    for (uint32_t i = 0; i < root->eos.n; i++)
        ids = ids && flat_u32(&root->flat, root->eos.at + 4 * i) < facts->vocab;
    if (!ids || root->tokenizer.at % 8)
        return damaged(detail, "a token's id, or the tokenizer, of", facts->vocab, "tokens");
    return true;
}

static void read_facts(struct qbm_root *root, struct flat_table model)
{
    struct flat *f = &root->flat;
    const char *producer = flat_string(f, model, MODEL_PRODUCER);
    const char *chat_template = flat_string(f, model, MODEL_CHAT_TEMPLATE);
    root->states = flat_vector(f, model, MODEL_STATES, 4);
    root->weights = flat_vector(f, model, MODEL_WEIGHTS, 4);
    root->variants = flat_vector(f, model, MODEL_VARIANTS, 4);
    root->tokenizer = flat_vector(f, model, MODEL_TOKENIZER, 1);
    root->eos = flat_vector(f, model, MODEL_EOS, 4);
    root->record = flat_vector(f, model, MODEL_RECORD, 4);
    root->inputs = flat_vector(f, model, MODEL_INPUTS, 4);
    root->results = flat_vector(f, model, MODEL_RESULTS, 4);
    root->facts = (struct qbrt_facts){
        .vocab = (uint32_t)flat_scalar(f, model, MODEL_VOCAB, 4, 0),
        .context = (uint32_t)flat_scalar(f, model, MODEL_CONTEXT, 4, 0),
        .chunk = (uint32_t)flat_scalar(f, model, MODEL_CHUNK, 4, 0),
        .parameters = flat_scalar(f, model, MODEL_PARAMETERS, 8, 0),
        .arena_bytes = flat_scalar(f, model, MODEL_ARENA_BYTES, 8, 0),
        .state_bytes = flat_scalar(f, model, MODEL_STATE_BYTES, 8, 0),
        .file_bytes = root->file_bytes,
        .root_bytes = f->size,
        .tokenizer_bytes = root->tokenizer.n,
        .tokenizer = root->tokenizer.n ? f->bytes + root->tokenizer.at : NULL,
        .bos = (int32_t)flat_scalar(f, model, MODEL_BOS, 4, UINT32_MAX),
        .n_eos = root->eos.n,
        .n_states = root->states.n,
        .n_variants = root->variants.n,
        .n_record = root->record.n,
        .variant = -1,
        .outputs = (uint32_t)flat_scalar(f, model, MODEL_OUTPUTS, 4, 0),
        .whole = flat_scalar(f, model, MODEL_WHOLE, 1, 0),
        .n_inputs = root->inputs.n,
        .n_results = root->results.n,
        .producer = producer ? producer : "",
        .chat_template = chat_template ? chat_template : "",
    };
    if (!root->facts.outputs)
        root->facts.outputs = root->facts.vocab;
}

/* Find the root and look at its seal. */
static enum qbrt_status check_seal(struct qbm_root *root, const uint8_t *file, uint64_t bytes,
                                   char *detail)
{
    enum { IDENTIFIER_END = 12 };
    if (bytes < IDENTIFIER_END || qbrt_checksum_word(file + 8, 4) != 0x314d4251) /* "QBM1" */
        return QBRT_NOT_QBM;
    uint64_t size = qbrt_checksum_word(file, 4) + 4;
    uint64_t seal = (size + 7) / 8 * 8;
    if (size < IDENTIFIER_END || size > INT32_MAX || !inside(seal, QBRT_SEAL_BYTES, bytes)) {
        qbrt_explain(detail, "the root should end at byte %u, the file ends at %u", size, bytes);
        return QBRT_DAMAGED;
    }
    root->flat = (struct flat){.bytes = file, .size = (uint32_t)size};
    root->file_bytes = bytes;
    root->checksum = qbrt_checksum(file, size);
    if (qbrt_checksum_word(file + seal, 8) != QBRT_SEAL_MAGIC ||
        qbrt_checksum_word(file + seal + 8, 8) != root->checksum) {
        qbrt_explain(detail, "the checksum of the root, bytes 0 to %u, does not fit", size - 1);
        return QBRT_DAMAGED;
    }
    return QBRT_OK;
}

enum qbrt_status qbm_check(struct qbm_root *root, const uint8_t *file, uint64_t bytes, char *detail)
{
    enum qbrt_status status = check_seal(root, file, bytes, detail);
    if (status)
        return status;
    struct flat_table model = flat_root(&root->flat);
    uint64_t version = flat_scalar(&root->flat, model, MODEL_VERSION, 4, 0);
    if (!root->flat.bad && version > QBM_VERSION) {
        qbrt_explain(detail, "layout %u, this runtime knows %u", version, (uint64_t)QBM_VERSION);
        return QBRT_NEWER;
    }
    read_facts(root, model);
    if (root->flat.bad || version != QBM_VERSION) {
        qbrt_explain(detail, "the root is not a table of layout %u", (uint64_t)QBM_VERSION);
        return QBRT_DAMAGED;
    }
    bool sound = check_facts(root, detail) && check_states(root, detail) &&
                 check_weights(root, detail) && check_variants(root, detail) &&
                 check_record(root, detail);
    return sound ? QBRT_OK : QBRT_DAMAGED;
}

/* Readers of a checked root work on a copy of `flat`: nothing is left to be remembered. */

struct qbm_variant qbm_variant(const struct qbm_root *root, uint32_t i)
{
    struct flat f = root->flat;
    return read_variant(&f, root->variants, i);
}

struct qbm_weights qbm_weights(const struct qbm_root *root, uint32_t i)
{
    struct flat f = root->flat;
    return read_weights(&f, root->weights, i);
}

struct qbrt_tensor_facts qbm_tensor(const struct qbm_root *root, struct flat_vector tensors,
                                    uint32_t i)
{
    struct flat f = root->flat;
    return read_tensor(&f, tensors, i);
}

const char *qbm_text(const struct qbm_root *root, struct flat_vector strings, uint32_t i)
{
    struct flat f = root->flat;
    return flat_string_at(&f, strings, i);
}

const char *qbm_fact(const struct qbm_root *root, uint32_t i, bool value)
{
    struct flat f = root->flat;
    return flat_string(&f, flat_table_at(&f, root->record, i), value ? FACT_VALUE : FACT_KEY);
}

int32_t qbm_eos(const struct qbm_root *root, uint32_t i)
{
    struct flat f = root->flat;
    return (int32_t)flat_u32(&f, root->eos.at + 4 * i);
}

struct qbrt_port qbm_port(const struct qbm_root *root, struct flat_vector ports, uint32_t i)
{
    struct flat f = root->flat;
    return read_port(&f, ports, i);
}
