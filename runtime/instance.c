/* instance.c: see instance.h.
 *
 *     struct qbrt_instance | struct qbrt_model | session      each at a multiple of QBRT_ALIGN
 */
#include "instance.h"

struct qbrt_instance {
    struct qbrt_model *model;
    struct qbrt_session *session;
    size_t vocab;
    bool has_tokenizer;
    struct qbrt_tokenizer tokenizer;
    struct qbrt_tokenizer_stream stream;
};

enum { NO_TOKENIZER = -2 };

static size_t aligned(size_t bytes)
{
    return (bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN;
}

static size_t before_session(void)
{
    return aligned(sizeof(struct qbrt_instance)) + aligned(qbrt_model_size());
}

size_t qbrt_instance_size(const struct qbrt_model *model)
{
    return before_session() + qbrt_session_size(model);
}

static enum qbrt_status open_tokenizer(struct qbrt_instance *i)
{
    const struct qbrt_facts *facts = qbrt_facts(i->model);
    if (!facts->tokenizer)
        return QBRT_OK;
    if (qbrt_tokenizer_open(&i->tokenizer, facts->tokenizer, facts->tokenizer_bytes))
        return QBRT_DAMAGED;
    i->has_tokenizer = true;
    qbrt_instance_text_begin(i, 0);
    return QBRT_OK;
}

enum qbrt_status qbrt_instance_open(const struct qbrt_linked *linked, void *memory, size_t bytes,
                                    const struct qbrt_parallel *parallel,
                                    struct qbrt_instance **out)
{
    if (!out)
        return QBRT_BAD_ARGUMENT;
    *out = NULL;
    if (!memory)
        return QBRT_BAD_ARGUMENT;
    if ((uintptr_t)memory % QBRT_ALIGN)
        return QBRT_BAD_ALIGN;
    if (bytes < before_session())
        return QBRT_NO_ROOM;
    struct qbrt_instance *i = memory;
    uint8_t *at = (uint8_t *)memory + aligned(sizeof *i);
    *i = (struct qbrt_instance){.model = NULL};
    enum qbrt_status status =
        qbrt_open_linked(linked, NULL, at, qbrt_model_size(), &i->model, NULL);
    if (!status)
        status = open_tokenizer(i);
    if (!status)
        status = qbrt_session_create(i->model, (uint8_t *)memory + before_session(),
                                     bytes - before_session(), parallel, &i->session);
    if (status)
        return status;
    i->vocab = qbrt_facts(i->model)->whole ? 0 : qbrt_facts(i->model)->vocab; /* hidden states are no scores */
    *out = i;
    return QBRT_OK;
}

/* --- the session */

enum qbrt_status qbrt_instance_eval(struct qbrt_instance *i, const int32_t *tokens, size_t n,
                                    float *logits)
{
    return i ? qbrt_eval(i->session, tokens, n, logits) : QBRT_BAD_ARGUMENT;
}

enum qbrt_status qbrt_instance_eval_all(struct qbrt_instance *i, const int32_t *tokens, size_t n,
                                        float *logits)
{
    return i ? qbrt_eval_all(i->session, tokens, n, logits) : QBRT_BAD_ARGUMENT;
}

size_t qbrt_instance_position(const struct qbrt_instance *i)
{
    return qbrt_position(i->session);
}

void qbrt_instance_reset(struct qbrt_instance *i)
{
    qbrt_reset(i->session);
}

enum qbrt_status qbrt_instance_save(const struct qbrt_instance *i, void *out, size_t bytes)
{
    return i ? qbrt_state_save(i->session, out, bytes) : QBRT_BAD_ARGUMENT;
}

enum qbrt_status qbrt_instance_restore(struct qbrt_instance *i, const void *in, size_t bytes)
{
    return i ? qbrt_state_restore(i->session, in, bytes) : QBRT_BAD_ARGUMENT;
}

/* --- the next token */

int32_t qbrt_instance_argmax(const struct qbrt_instance *i, const float *logits)
{
    return i->vocab ? qbrt_argmax(logits, i->vocab) : -1;
}

int32_t qbrt_instance_sample(const struct qbrt_instance *i, struct qbrt_sampler *sampler,
                             const float *logits, struct qbrt_candidate *scratch)
{
    return i->vocab ? qbrt_sample(sampler, logits, i->vocab, scratch) : -1;
}

int32_t qbrt_instance_is_end(const struct qbrt_instance *i, int32_t token)
{
    return qbrt_is_eos(i->model, token);
}

/* --- text */

ptrdiff_t qbrt_instance_encode(const struct qbrt_instance *i, const char *text, size_t length,
                               int32_t flags, int32_t *ids, size_t capacity, void *scratch,
                               size_t scratch_bytes)
{
    if (!i->has_tokenizer)
        return NO_TOKENIZER;
    return qbrt_tokenizer_encode(&i->tokenizer, text, length, flags, ids, capacity, scratch,
                                 scratch_bytes);
}

size_t qbrt_instance_decode(const struct qbrt_instance *i, const int32_t *ids, size_t n,
                            int32_t flags, char *text, size_t capacity)
{
    if (!i->has_tokenizer)
        return 0;
    return qbrt_tokenizer_decode(&i->tokenizer, ids, n, flags, text, capacity);
}

void qbrt_instance_text_begin(struct qbrt_instance *i, int32_t flags)
{
    if (i->has_tokenizer)
        qbrt_tokenizer_stream_begin(&i->stream, &i->tokenizer, flags);
}

size_t qbrt_instance_text_next(struct qbrt_instance *i, int32_t token, char *text, size_t capacity)
{
    return i->has_tokenizer ? qbrt_tokenizer_stream_next(&i->stream, token, text, capacity) : 0;
}

size_t qbrt_instance_text_end(struct qbrt_instance *i, char *text, size_t capacity)
{
    return i->has_tokenizer ? qbrt_tokenizer_stream_end(&i->stream, text, capacity) : 0;
}
