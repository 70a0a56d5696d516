/* qbrt.h: run a .qbm model. The public interface of libqbrt, version 1.
 *
 *     size_t bytes = qbrt_model_size();
 *     struct qbrt_model *model;
 *     qbrt_open_file("model.qbm", memory, bytes, &model, NULL);
 *     struct qbrt_session *s;
 *     qbrt_session_create(model, room, qbrt_session_size(model), NULL, &s);
 *     qbrt_eval(s, prompt, n, logits);
 *     while ((token = qbrt_argmax(logits, qbrt_facts(model)->vocab)) != eos)
 *         qbrt_eval(s, &token, 1, logits);
 *
 * The library allocates nothing, prints nothing, keeps no globals and starts no thread unless a
 * pool is asked for. Memory is the caller's, aligned to QBRT_ALIGN, and used lazily: what is not
 * needed is not touched. Everything fails by its return value and sets *out (to NULL on errors).
 *
 * A .qbm holds native code. Damage is found, malice is not: open models only from a maker whose
 * programs you would run.
 *
 * Source: docs/qbm.md.
 */
#ifndef QBRT_H
#define QBRT_H

#include "qbrt_types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QBRT_VERSION = 1 };
enum { QBRT_DETAIL = 192 };

/* A sentence without a final point, never NULL. */
const char *qbrt_status_text(enum qbrt_status status);

/* --- Models ------------------------------------------------------------------------------- */

struct qbrt_model; /* read-only once open; any number of sessions and threads may share it */

/* What a host knows that the portable core does not. */
struct qbrt_host {
    void *context;
    uint16_t machine; /* e_machine of the code it runs: 62 x86-64, 183 AArch64, 243 RISC-V */
    /* Has this CPU the feature? LLVM's name: "avx2", "dotprod", "v". */
    bool (*has_feature)(void *context, const char *feature);
    /* Make the image in file[offset, offset + bytes) executable, its segments at the distances that
     * its program headers say. *base is where virtual address 0 comes to lie. */
    enum qbrt_status (*map_code)(void *context, const void *file, uint64_t offset, uint64_t bytes,
                                 const void **base);
    void (*unmap_code)(void *context, const void *file, uint64_t offset, uint64_t bytes,
                       const void *base);
};

/* Bytes for a `struct qbrt_model`. */
size_t qbrt_model_size(void);

/* Open a model that lies in memory as it lies in its file, aligned to 64 bytes and unchanged until
 * qbrt_close.
 *
 * host     NULL: read the facts only; no session can be made
 * detail   char [QBRT_DETAIL], or NULL: on an error, what exactly is wrong, "" when the status
 *          says it all
 *
 * Returns  QBRT_OK, or NOT_QBM, NEWER, DAMAGED, NO_VARIANT, BAD_CODE, CANNOT_MAP, NO_ROOM,
 *          BAD_ALIGN, BAD_ARGUMENT
 */
enum qbrt_status qbrt_open_memory(const void *file, size_t file_bytes, const struct qbrt_host *host,
                                  void *memory, size_t bytes, struct qbrt_model **out,
                                  char *detail);

/* Map a file read-only and open it on this machine; also returns CANNOT_OPEN. */
enum qbrt_status qbrt_open_file(const char *path, void *memory, size_t bytes,
                                struct qbrt_model **out, char *detail);
/* The same without code: any machine's model tells its facts. */
enum qbrt_status qbrt_open_facts(const char *path, void *memory, size_t bytes,
                                 struct qbrt_model **out, char *detail);

/* Gives back mappings; the memory is the caller's again. All sessions must be gone. NULL is fine. */
void qbrt_close(struct qbrt_model *model);

/* Either, for an artifact that lies inside of a file: part_bytes from offset, a multiple of the
 * system's pages (65536 is one everywhere). */
enum qbrt_status qbrt_open_part(const char *path, uint64_t offset, uint64_t part_bytes,
                                bool with_code, void *memory, size_t bytes, struct qbrt_model **out,
                                char *detail);

/* A model that was linked into the program (qbc -emit=static-lib, -emit=shared). qbc writes this. */
struct qbrt_step; /* abi/step.h */
struct qbrt_linked {
    const void *root;    /* as in a file, with its seal behind it; aligned to 8 */
    const void *weights; /* the section of its only variant; aligned to QBRT_ALIGN */
    uint64_t file_bytes; /* of the file that root, no image, and weights would make */
    void (*decode)(const struct qbrt_step *step, int64_t thread);
    void (*step)(const struct qbrt_step *step, int64_t thread);
};

/* Open a linked model: nothing is mapped, copied or looked up. `linked` must stay.
 *
 * host     its has_feature is asked for each CPU feature that the code uses; the rest of it is not
 *          used. NULL: nobody is asked, the caller knows what CPU this is
 * Returns  QBRT_OK, or DAMAGED, NOT_QBM, NEWER, NO_VARIANT, NO_ROOM, BAD_ALIGN, BAD_ARGUMENT
 */
enum qbrt_status qbrt_open_linked(const struct qbrt_linked *linked, const struct qbrt_host *host,
                                  void *memory, size_t bytes, struct qbrt_model **out,
                                  char *detail);

/* This machine's host for qbrt_open_memory: copies code into pages of its own. Borrowed, constant. */
const struct qbrt_host *qbrt_this_machine(void);
/* Does this machine's CPU (and its system) have the feature? Unknown names: no. */
bool qbrt_cpu_has(const char *feature);

/* Everything a model says about itself. Strings and arrays live as long as the model. */
struct qbrt_facts {
    uint32_t vocab;
    uint32_t context; /* most tokens in a session */
    uint32_t chunk;   /* most tokens in one step */
    uint64_t parameters;
    uint64_t arena_bytes, state_bytes;
    uint64_t file_bytes, root_bytes, code_bytes, tokenizer_bytes;
    uint64_t weights_bytes; /* the weights section of the chosen variant (facts only: the first) */
    const void *tokenizer;  /* tables for qbrt_tokenizer_open, NULL when there are none */
    int32_t bos;            /* -1: none */
    size_t n_eos, n_states, n_tensors, n_variants, n_record;
    int32_t variant; /* the one in use, -1: none */
    const char *producer, *chat_template; /* "" when absent */
    uint32_t outputs; /* floats of a row that qbrt_eval gives: `vocab` scores, or of an encoder a hidden state */
    size_t n_inputs, n_results; /* of a model that is no language model; n_results 0: it is one */
    bool whole;       /* an encoder: each call is a text of its own, at most `context` tokens, and leaves nothing behind */
};
const struct qbrt_facts *qbrt_facts(const struct qbrt_model *model);

struct qbrt_variant_facts {
    const char *target, *triple;
    uint16_t machine;
    size_t n_requirements;
    uint64_t image_bytes;
    uint32_t weights; /* its weights section; variants that want weights packed alike share one */
    uint64_t weights_bytes;
};
struct qbrt_tensor_facts {
    const char *name, *role, *format; /* role "" when absent */
    int32_t block;                    /* -1: outside of any */
    uint64_t rows, cols, offset, size;
    bool lookup; /* a token reads one row, not all */
};

/* i < the count in qbrt_facts; beyond it: -1, "" or zeros. */
int32_t qbrt_eos(const struct qbrt_model *model, size_t i);
bool qbrt_is_eos(const struct qbrt_model *model, int32_t token);
/* The i-th feature that a variant requires and `host` lacks, NULL when there are no more. NULL for another machine's
 * code too: that lacks nothing, it is of no use. */
const char *qbrt_missing(const struct qbrt_model *model, const struct qbrt_host *host, size_t variant, size_t i);
/* The variant that `host` runs: the last one for its machine whose features it all has; -1: none. */
int32_t qbrt_choose(const struct qbrt_model *model, const struct qbrt_host *host);
struct qbrt_variant_facts qbrt_variant(const struct qbrt_model *model, size_t i);
const char *qbrt_requirement(const struct qbrt_model *model, size_t variant, size_t i);
struct qbrt_tensor_facts qbrt_tensor(const struct qbrt_model *model, size_t i);
const char *qbrt_record_key(const struct qbrt_model *model, size_t i);
const char *qbrt_record_value(const struct qbrt_model *model, size_t i);

/* --- Models that are no language models: fixed sizes in, arrays out ------------------------- */

enum { QBRT_MOST_RANK = 8 };

/* An input or a result. `element` is ONNX's number (1 f32, 7 i64, 9 bool, 10 f16, ...). */
struct qbrt_port {
    const char *name;
    uint32_t element;
    size_t rank;
    int64_t dims[QBRT_MOST_RANK]; /* of a result -1: known when it has run */
};
/* i < n_inputs, n_results of qbrt_facts; beyond: name "". */
struct qbrt_port qbrt_input(const struct qbrt_model *model, size_t i);
struct qbrt_port qbrt_result(const struct qbrt_model *model, size_t i);
/* Bytes of an element; those narrower than a byte have one each. 0: unknown. */
size_t qbrt_element_bytes(uint32_t element);

struct qbrt_array {
    const void *data; /* row-major; belongs to whoever `allocate`s, or is an input, or the model's */
    int64_t dims[QBRT_MOST_RANK];
};

/* Run a model.
 *
 * inputs     [n_inputs] row-major elements of the sizes that qbrt_input says
 * results    [n_results] written on QBRT_OK
 * allocate   gives memory aligned to QBRT_ALIGN, NULL: there is none; what it gave may be taken back when the results are
 *            no longer used
 *
 * Returns  QBRT_OK, QBRT_BAD_ARGUMENT (a language model, NULL), QBRT_NO_VARIANT, QBRT_NO_ROOM (allocate gave NULL),
 *          QBRT_BAD_INDEX, QBRT_BAD_SHAPE, QBRT_BY_CHANCE (the numbers of the inputs ask for what is not there)
 */
enum qbrt_status qbrt_run(const struct qbrt_model *model, const void *const *inputs, struct qbrt_array *results,
                          void *(*allocate)(void *context, size_t bytes), void *context);

/* --- Threads ------------------------------------------------------------------------------ */

/* The built-in pool: threads - 1 helpers beside the calling thread. They spin for some
 * microseconds, then sleep, so that a busy machine costs a fair share and an idle one nothing. */
struct qbrt_pool;
size_t qbrt_pool_size(int threads); /* bytes; 0 for a number outside 1 .. 1024 */
/* Returns QBRT_OK, NO_ROOM, BAD_ALIGN, BAD_ARGUMENT, NO_THREADS. */
enum qbrt_status qbrt_pool_create(int threads, void *memory, size_t bytes, struct qbrt_pool **out);
void qbrt_pool_destroy(struct qbrt_pool *pool); /* joins the helpers; NULL is fine */
/* Cores that this process may run on. */
int qbrt_cores(void);
/* For one session at a time, or several that never run at once. */
struct qbrt_parallel qbrt_pool_parallel(struct qbrt_pool *pool);

/* --- Sessions ----------------------------------------------------------------------------- */

struct qbrt_session; /* one caller at a time; sessions may share a model */

/* Bytes for a session: its state (all of the context) and the scratch of a step. */
size_t qbrt_session_size(const struct qbrt_model *model);

/* parallel   copied; NULL: the calling thread alone. Any number of threads gives the same bits.
 * Returns QBRT_OK, NO_ROOM, BAD_ALIGN, BAD_ARGUMENT, NO_VARIANT (opened for facts only). */
enum qbrt_status qbrt_session_create(const struct qbrt_model *model, void *memory, size_t bytes,
                                     const struct qbrt_parallel *parallel,
                                     struct qbrt_session **out);

size_t qbrt_position(const struct qbrt_session *s); /* tokens fed since the last reset */
size_t qbrt_room(const struct qbrt_session *s);     /* tokens that still fit */
void qbrt_reset(struct qbrt_session *s);            /* position 0 */

/* Feed n tokens to a session and score what may come next.
 *
 * tokens   int32 [n]     ids in [0, vocab); read before return, never kept
 * n        1 .. room     a whole prompt, or one; cut into steps of `chunk` inside
 * logits   f32 [outputs] unnormalised log-probabilities, in nats, of the token after
 *                        tokens[n-1]; written only on QBRT_OK. Of an encoder: its result for tokens[n-1]
 *
 * Returns  QBRT_OK          s has advanced by n tokens
 *          QBRT_BAD_COUNT   n is 0 or more than the room left
 *          QBRT_BAD_TOKEN   an id is outside the vocabulary
 *          On an error nothing has changed, neither s nor logits.
 *
 * Costs    no allocation, no clock, no other threads than the session's.
 * Source   docs/qbm.md, "Entry points".
 */
enum qbrt_status qbrt_eval(struct qbrt_session *s, const int32_t *tokens, size_t n, float *logits);

/* The same with a row for each token: logits f32 [n][outputs]. */
enum qbrt_status qbrt_eval_all(struct qbrt_session *s, const int32_t *tokens, size_t n,
                               float *logits);

/* A session's state as bytes, to go on later with the same model file. */
size_t qbrt_state_size(const struct qbrt_session *s);
enum qbrt_status qbrt_state_save(const struct qbrt_session *s, void *out, size_t bytes);
/* Returns QBRT_OK or QBRT_BAD_STATE; on an error nothing has changed. */
enum qbrt_status qbrt_state_restore(struct qbrt_session *s, const void *in, size_t bytes);

/* --- Sampling ----------------------------------------------------------------------------- */

/* The largest logit; the lowest id of equals; NaN counts as the smallest. */
int32_t qbrt_argmax(const float *logits, size_t vocab);

/* Draw a token. scratch [vocab], contents irrelevant; logits are left alone. */
int32_t qbrt_sample(struct qbrt_sampler *sampler, const float *logits, size_t vocab,
                    struct qbrt_candidate *scratch);

#endif
