/* artifact.h: what is said about a compiled model, for whatever it is put into: a .qbm, a library, a program. */
#ifndef QBC_ARTIFACT_H
#define QBC_ARTIFACT_H

#include "emit.h"
#include "qbm.h"

/* A model of one variant; `artifact` points into the rest. Lives as long as `q`. */
struct qbc_described {
    struct qbc_artifact artifact;
    struct qbc_artifact_variant variant; /* its code is for the caller to fill in */
    struct qbc_artifact_weights section;
    struct qbc_artifact_fact record[4];
    struct qbc_ops weights; /* [n] qb.weight */
    struct qbc_artifact_tensor *tensors; /* [n], placed */
};

/* Facts of a module after generate-kernels: its attributes, the weights, the tokenizer. NULL after an error. */
struct qbc_described *qbc_describe(struct qbc *q, MlirOperation module, MlirOperation weights_func);

/* Fit and pack all weights; `put` gets the bytes of the section in pieces, from several threads at once, and says
 * false when more is in vain. False after an error, reported. What is never put is zero. */
typedef bool (*qbc_put)(void *user, uint64_t offset, const void *bytes, size_t n);
bool qbc_stream_weights(struct qbc *q, const struct qbc_described *described, qbc_put put, void *user);

#endif
