/* artifact.h: what is said about a compiled model, for whatever it is put into: a .qbm, a library, a program. */
#ifndef QBC_ARTIFACT_H
#define QBC_ARTIFACT_H

#include "emit.h"
#include "qbm.h"

/* A model of one variant, q->target's; `artifact` points into the rest. Lives as long as `q`. */
struct qbc_described {
    struct qbc_artifact artifact;
    struct qbc_artifact_variant variant; /* its code is for the caller to fill in */
    struct qbc_artifact_weights section;
    struct qbc_artifact_fact record[8];
    struct qbc_ops weights; /* [n] qb.weight */
    struct qbc_artifact_tensor *tensors; /* [n], placed */
};

/* tokenizer.json next to the model or one folder up, unless an option says where; NULL: none. */
const char *qbc_tokenizer_path(struct qbc *q);

/* Facts of a module after generate-kernels: its attributes, the weights, the tokenizer. NULL after an error. */
struct qbc_described *qbc_describe(struct qbc *q, MlirOperation module, MlirOperation weights_func);

/* What its code demands of the CPU, as names. */
size_t qbc_requirements_of(struct qbc *q, const char *const **out);

/* The same without what all variants have in common: no tokenizer, no states. */
struct qbc_described *qbc_describe_variant(struct qbc *q, MlirOperation module, MlirOperation weights_func);

/* Fit and pack all weights; `put` gets the bytes of the section in pieces, from several threads at once, and says
 * false when more is in vain. False after an error, reported. What is never put is zero. */
typedef bool (*qbc_put)(void *user, uint64_t offset, const void *bytes, size_t n);
bool qbc_stream_weights(struct qbc *q, const struct qbc_described *described, qbc_put put, void *user);
/* The same for n sections of the same tensors, each laid out in its own way: every tensor is read and fitted once.
 * users[i] is put's for section i. */
bool qbc_stream_sections(struct qbc *q, struct qbc_ops weights, const struct qbc_artifact_weights *sections, size_t n,
                         qbc_put put, void *const *users);

#endif
