/* instance.h: a linked model, its tokenizer and one session in one piece of memory.
 *
 * This is what the functions of a generated header (compiler/emit/header.h.in says what they do) forward to:
 * `model_eval` is a jump to `qbrt_instance_eval`. Programs call those.
 */
#ifndef QBRT_INSTANCE_H
#define QBRT_INSTANCE_H

#include "qbrt.h"
#include "tokenizer.h"

struct qbrt_instance;

/* Bytes that an instance of this model needs. */
size_t qbrt_instance_size(const struct qbrt_model *model);

enum qbrt_status qbrt_instance_open(const struct qbrt_linked *linked, void *memory, size_t bytes,
                                    const struct qbrt_parallel *parallel,
                                    struct qbrt_instance **out);

enum qbrt_status qbrt_instance_eval(struct qbrt_instance *i, const int32_t *tokens, size_t n,
                                    float *logits);
enum qbrt_status qbrt_instance_eval_all(struct qbrt_instance *i, const int32_t *tokens, size_t n,
                                        float *logits);
size_t qbrt_instance_position(const struct qbrt_instance *i);
void qbrt_instance_reset(struct qbrt_instance *i);
enum qbrt_status qbrt_instance_save(const struct qbrt_instance *i, void *out, size_t bytes);
enum qbrt_status qbrt_instance_restore(struct qbrt_instance *i, const void *in, size_t bytes);

int32_t qbrt_instance_argmax(const struct qbrt_instance *i, const float *logits);
int32_t qbrt_instance_sample(const struct qbrt_instance *i, struct qbrt_sampler *sampler,
                             const float *logits, struct qbrt_candidate *scratch);
int32_t qbrt_instance_is_end(const struct qbrt_instance *i, int32_t token);

ptrdiff_t qbrt_instance_encode(const struct qbrt_instance *i, const char *text, size_t length,
                               int32_t flags, int32_t *ids, size_t capacity, void *scratch,
                               size_t scratch_bytes);
size_t qbrt_instance_decode(const struct qbrt_instance *i, const int32_t *ids, size_t n,
                            int32_t flags, char *text, size_t capacity);
void qbrt_instance_text_begin(struct qbrt_instance *i, int32_t flags);
size_t qbrt_instance_text_next(struct qbrt_instance *i, int32_t token, char *text, size_t capacity);
size_t qbrt_instance_text_end(struct qbrt_instance *i, char *text, size_t capacity);

#endif
