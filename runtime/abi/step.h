/* step.h: the contract between the runtime and generated code.
 *
 * A code image exports step functions (qbm.fbs, Variant). All threads of a session call the same
 * step function with the same `struct qbrt_step` and their own number; each takes its share of
 * every kernel (SPMD) and meets the others at `barrier`.
 *
 * Generated code reads this struct by the offsets below and calls nothing but `barrier`.
 */
#ifndef QBRT_STEP_H
#define QBRT_STEP_H

#include <stddef.h>
#include <stdint.h>

struct qbrt_step {
    const uint8_t *weights; /* start of the weights section, 64-byte aligned */
    uint8_t *arena;         /* Model.arena_bytes, 64-byte aligned, contents unspecified */
    uint8_t *state;         /* Model.state_bytes, 64-byte aligned; positions < pos are filled */
    const int32_t *tokens;  /* [n_tokens] ids in [0, vocab) */
    float *logits;          /* [n_tokens - first_logit][vocab] */
    int64_t n_tokens;       /* T: 1 .. Model.chunk; `decode` is `step` for T = 1, first_logit = 0 */
    int64_t pos;            /* tokens already in the state; pos + n_tokens <= Model.context */
    int64_t first_logit;    /* logits are wanted for tokens first_logit .. n_tokens - 1 */
    int64_t threads;        /* how many threads walk this step together, >= 1 */
    void (*barrier)(void *);
    void *barrier_arg;
};

/* A step function: walk the program as thread `thread` of `step->threads`. */
typedef void (*qbrt_step_function)(const struct qbrt_step *step, int64_t thread);

enum qbrt_step_offset {
    QBRT_STEP_WEIGHTS = 0,
    QBRT_STEP_ARENA = 8,
    QBRT_STEP_STATE = 16,
    QBRT_STEP_TOKENS = 24,
    QBRT_STEP_LOGITS = 32,
    QBRT_STEP_N_TOKENS = 40,
    QBRT_STEP_POS = 48,
    QBRT_STEP_FIRST_LOGIT = 56,
    QBRT_STEP_THREADS = 64,
    QBRT_STEP_BARRIER = 72,
    QBRT_STEP_BARRIER_ARG = 80
};

_Static_assert(sizeof(void *) == 8, "64-bit targets only");
_Static_assert(offsetof(struct qbrt_step, logits) == QBRT_STEP_LOGITS, "offsets are the contract");
_Static_assert(offsetof(struct qbrt_step, pos) == QBRT_STEP_POS, "offsets are the contract");
_Static_assert(offsetof(struct qbrt_step, barrier) == QBRT_STEP_BARRIER, "offsets are the contract");
_Static_assert(sizeof(struct qbrt_step) == 88, "offsets are the contract");

#endif
