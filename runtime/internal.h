/* internal.h: what the files of libqbrt share.
 *
 * The core (every file that does not say "hosted" in its head) also builds -ffreestanding: it
 * needs the headers of the compiler, no library, and brings memory.h's functions itself.
 */
#ifndef QBRT_INTERNAL_H
#define QBRT_INTERNAL_H

#include "memory.h"
#include "qbm_read.h"
#include "qbrt.h"
#include "step.h"

struct qbrt_model {
    struct qbrt_facts facts;
    struct qbm_root root;
    const uint8_t *file;
    const uint8_t *weights;
    qbrt_step_function decode, step; /* NULL: opened for its facts */
    struct qbrt_host host;
    struct qbm_variant variant; /* the one in use */
    struct flat_vector tensors;
    const void *code;                                     /* where its address 0 lies */
    void (*unmap_file)(const void *file, uint64_t bytes); /* NULL: the file is not ours */
};

/* --- model.c: the i-th requirement of v that the host lacks, NULL when there are no more; v is code for its machine. */
const char *model_missing(const struct qbm_root *root, const struct qbrt_host *host,
                          const struct qbm_variant *v, size_t i);

/* --- explain.c: write to `detail` (may be NULL), cut at QBRT_DETAIL. In the format, %s takes a
 * string and %u a uint64_t. */
void qbrt_explain(char *detail, const char *format, ...);

#endif
