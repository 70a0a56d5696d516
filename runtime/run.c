/* run.c: (hosted) run a model that is no language model. Its code asks for memory where sizes depend on numbers, and never
 * returns from a request that fails: it is left by a jump, so it needs no check behind each. */
#include "run.h"
#include "internal.h"

#include <setjmp.h>

struct running {
    jmp_buf out;
    void *(*allocate)(void *context, size_t bytes);
    void *context;
};

static void *allocate(void *context, int64_t bytes)
{
    struct running *r = context;
    void *memory = bytes >= 0 ? r->allocate(r->context, (size_t)bytes + 1) : NULL;
    if (!memory)
        longjmp(r->out, bytes < 0 ? QBRT_BAD_SHAPE : QBRT_NO_ROOM);
    return memory;
}

static void fail(void *context, int64_t code)
{
    struct running *r = context;
    longjmp(r->out, code == QBRT_RUN_BAD_INDEX   ? QBRT_BAD_INDEX
                    : code == QBRT_RUN_BY_CHANCE ? QBRT_BY_CHANCE
                                                 : QBRT_BAD_SHAPE);
}

static void call(const struct qbrt_model *m, struct qbrt_run *run, uint8_t *arena)
{
    struct qbrt_step step = {.weights = m->weights, .arena = arena, .state = (uint8_t *)run, .threads = 1};
    m->step(&step, 0);
}

enum qbrt_status qbrt_run(const struct qbrt_model *m, const void *const *inputs, struct qbrt_array *results,
                          void *(*allocator)(void *context, size_t bytes), void *context)
{
    if (!m || !results || !allocator || !m->facts.n_results || (m->facts.n_inputs && !inputs))
        return QBRT_BAD_ARGUMENT;
    if (!m->step)
        return QBRT_NO_VARIANT;
    size_t n = m->facts.n_inputs + m->facts.n_results;
    uint8_t *arena = allocator(context, (size_t)m->facts.arena_bytes + 1);
    struct qbrt_run_tensor *ports = allocator(context, n * sizeof *ports);
    struct running running = {.allocate = allocator, .context = context};
    struct qbrt_run run = {ports, ports + m->facts.n_inputs, allocate, fail, &running};
    if (!arena || !ports)
        return QBRT_NO_ROOM;
    for (size_t i = 0; i < m->facts.n_inputs; i++)
        ports[i] = (struct qbrt_run_tensor){.data = inputs[i]};
    int status = setjmp(running.out);
    if (status)
        return (enum qbrt_status)status;
    call(m, &run, arena);
    for (size_t i = 0; i < m->facts.n_results; i++) {
        results[i].data = run.outputs[i].data;
        memcpy(results[i].dims, run.outputs[i].dims, sizeof results[i].dims);
    }
    return QBRT_OK;
}
