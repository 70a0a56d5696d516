/* session.c: step a model, one caller at a time.
 *
 * A session's memory, each part at a multiple of QBRT_ALIGN:
 *
 *     struct qbrt_session | state, for all of the context | arena, scratch of a step
 *
 * Neither state nor arena is cleared: code reads what it wrote, so untouched pages cost nothing.
 */
#include "checksum.h"
#include "internal.h"

struct qbrt_session {
    const struct qbrt_model *model;
    struct qbrt_parallel parallel;
    uint8_t *state, *arena;
    size_t position;
};

/* A saved state: this header, then the state. */
struct saved {
    uint64_t magic, model, position, bytes, checksum, unused[3];
};
_Static_assert(sizeof(struct saved) == 64, "the size that reaches disk");
#define SAVED_MAGIC UINT64_C(0x31455441545342) /* "BSTATE1" */

static size_t aligned(uint64_t bytes)
{
    return (size_t)((bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN);
}

static void run_alone(void *context, void (*body)(void *arg, int64_t thread), void *arg)
{
    (void)context;
    body(arg, 0);
}

static void meet_nobody(void *context)
{
    (void)context;
}

size_t qbrt_session_size(const struct qbrt_model *model)
{
    if (!model)
        return 0;
    return aligned(sizeof(struct qbrt_session)) + aligned(model->facts.state_bytes) +
           aligned(model->facts.arena_bytes);
}

enum qbrt_status qbrt_session_create(const struct qbrt_model *model, void *memory, size_t bytes,
                                     const struct qbrt_parallel *parallel,
                                     struct qbrt_session **out)
{
    static const struct qbrt_parallel alone = {
        .threads = 1, .run = run_alone, .barrier = meet_nobody};

    if (!out)
        return QBRT_BAD_ARGUMENT;
    *out = NULL;
    if (!parallel)
        parallel = &alone;
    if (!model || !memory || parallel->threads < 1 || !parallel->run || !parallel->barrier)
        return QBRT_BAD_ARGUMENT;
    if (!model->step)
        return QBRT_NO_VARIANT;
    if ((uintptr_t)memory % QBRT_ALIGN)
        return QBRT_BAD_ALIGN;
    if (bytes < qbrt_session_size(model))
        return QBRT_NO_ROOM;

    struct qbrt_session *s = memory;
    uint8_t *state = (uint8_t *)memory + aligned(sizeof *s);
    *s = (struct qbrt_session){
        .model = model,
        .parallel = *parallel,
        .state = state,
        .arena = state + aligned(model->facts.state_bytes),
    };
    *out = s;
    return QBRT_OK;
}

size_t qbrt_position(const struct qbrt_session *s)
{
    return s->position;
}

size_t qbrt_room(const struct qbrt_session *s)
{
    return s->model->facts.context - s->position;
}

void qbrt_reset(struct qbrt_session *s)
{
    s->position = 0;
}

struct call {
    qbrt_step_function function;
    const struct qbrt_step *step;
};

static void call_step(void *arg, int64_t thread)
{
    const struct call *call = arg;
    call->function(call->step, thread);
}

/* n tokens at once, n <= chunk; logits of tokens first_logit .. n - 1. */
static void step(struct qbrt_session *s, const int32_t *tokens, size_t n, size_t first_logit,
                 float *logits)
{
    const struct qbrt_step facts = {
        .weights = s->model->weights,
        .arena = s->arena,
        .state = s->state,
        .tokens = tokens,
        .logits = logits,
        .n_tokens = (int64_t)n,
        .pos = (int64_t)s->position,
        .first_logit = (int64_t)first_logit,
        .threads = s->parallel.threads,
        .barrier = s->parallel.barrier,
        .barrier_arg = s->parallel.context,
    };
    const bool one = n == 1 && first_logit == 0; /* what decode is for: abi/step.h */
    struct call call = {one ? s->model->decode : s->model->step, &facts};
    s->parallel.run(s->parallel.context, call_step, &call);
    s->position += s->model->facts.whole ? 0 : n; /* a whole text leaves nothing behind */
}

static enum qbrt_status check_tokens(const struct qbrt_session *s, const int32_t *tokens, size_t n,
                                     const float *logits)
{
    if (!s || !tokens || !logits)
        return QBRT_BAD_ARGUMENT;
    if (!n || n > qbrt_room(s))
        return QBRT_BAD_COUNT;
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= s->model->facts.vocab)
            return QBRT_BAD_TOKEN;
    return QBRT_OK;
}

enum qbrt_status qbrt_eval(struct qbrt_session *s, const int32_t *tokens, size_t n, float *logits)
{
    enum qbrt_status status = check_tokens(s, tokens, n, logits);
    if (status)
        return status;
    for (size_t chunk = s->model->facts.chunk; n > chunk; tokens += chunk, n -= chunk)
        step(s, tokens, chunk, chunk, logits);
    step(s, tokens, n, n - 1, logits);
    return QBRT_OK;
}

enum qbrt_status qbrt_eval_all(struct qbrt_session *s, const int32_t *tokens, size_t n,
                               float *logits)
{
    enum qbrt_status status = check_tokens(s, tokens, n, logits);
    if (status)
        return status;
    while (n) {
        size_t now = n < s->model->facts.chunk ? n : s->model->facts.chunk;
        step(s, tokens, now, 0, logits);
        logits += now * s->model->facts.outputs;
        tokens += now;
        n -= now;
    }
    return QBRT_OK;
}

size_t qbrt_state_size(const struct qbrt_session *s)
{
    return sizeof(struct saved) + (size_t)s->model->facts.state_bytes;
}

static uint64_t saved_checksum(struct saved header, const void *state)
{
    header.checksum = qbrt_checksum(state, header.bytes);
    return qbrt_checksum(&header, sizeof header);
}

enum qbrt_status qbrt_state_save(const struct qbrt_session *s, void *out, size_t bytes)
{
    if (!s || !out)
        return QBRT_BAD_ARGUMENT;
    if (bytes < qbrt_state_size(s))
        return QBRT_NO_ROOM;
    struct saved header = {
        .magic = SAVED_MAGIC,
        .model = s->model->root.checksum,
        .position = s->position,
        .bytes = s->model->facts.state_bytes,
    };
    header.checksum = saved_checksum(header, s->state);
    memcpy(out, &header, sizeof header);
    memcpy((uint8_t *)out + sizeof header, s->state, header.bytes);
    return QBRT_OK;
}

enum qbrt_status qbrt_state_restore(struct qbrt_session *s, const void *in, size_t bytes)
{
    if (!s || !in)
        return QBRT_BAD_ARGUMENT;
    struct saved header;
    if (bytes != qbrt_state_size(s))
        return QBRT_BAD_STATE;
    memcpy(&header, in, sizeof header);
    const uint8_t *state = (const uint8_t *)in + sizeof header;
    if (header.magic != SAVED_MAGIC || header.model != s->model->root.checksum ||
        header.bytes != s->model->facts.state_bytes || header.position > s->model->facts.context ||
        header.checksum != saved_checksum(header, state))
        return QBRT_BAD_STATE;
    memcpy(s->state, state, header.bytes);
    s->position = (size_t)header.position;
    return QBRT_OK;
}
