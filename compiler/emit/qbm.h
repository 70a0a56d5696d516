/* qbm.h: write an artifact. docs/qbm.md tells the file, runtime/qbm.fbs its root.
 *
 * The facts come first: with the sizes of all tensors known, root, code and weights get their
 * places before the first weight is packed, so weights stream through and are never held.
 *
 *     struct qbc_qbm *w = qbc_qbm_begin(q, "model.qbm", &artifact);
 *     for each tensor: qbc_qbm_write(w, section, offset, packed, bytes);     any order, any thread
 *     ok = qbc_qbm_finish(w);
 *
 * The file appears under its name only when it is whole; after an error, or a signal that ends the
 * program, nothing is left. Same facts and weights, same bytes.
 */
#ifndef QBC_QBM_H
#define QBC_QBM_H

#include "packing.h"
#include "run_program.h"
#include "base.h"

/* Fields mean what the fields of the same name in qbm.fbs mean. Strings may be NULL where the
 * schema does not say `required`. All memory is borrowed until qbc_qbm_begin returns. */
struct qbc_artifact_tensor {
    const char *name, *role, *format;
    int block;
    uint64_t rows, cols;
    struct qbc_packing packing;
    uint64_t offset, size; /* in the section; qbc_qbm_place sets offsets */
    bool lookup;
};

struct qbc_artifact_weights {
    const struct qbc_artifact_tensor *tensors;
    size_t n_tensors;
    uint64_t size; /* of the section: what qbc_qbm_place returned */
};

struct qbc_artifact_variant {
    const char *target, *triple;
    int machine;
    const char *const *requirements; /* [n_requirements] CPU features, LLVM's names without '+' */
    size_t n_requirements;
    const uint8_t *image; /* an ELF shared image; see docs/qbm.md, "Code" */
    size_t image_bytes;
    uint64_t decode, step; /* virtual addresses in the image */
    uint32_t weights;
};

struct qbc_artifact_state {
    const char *name;
    uint64_t offset, size;
};

struct qbc_artifact_fact {
    const char *key, *value;
};

struct qbc_artifact {
    const char *producer;
    uint32_t vocab, context, chunk;
    uint32_t outputs; /* 0: vocab */
    bool whole;
    uint64_t parameters, arena_bytes, state_bytes;
    const struct qbc_artifact_state *states;
    size_t n_states;
    const struct qbc_artifact_weights *weights;
    size_t n_weights;
    const struct qbc_artifact_variant *variants;
    size_t n_variants;
    const uint8_t *tokenizer;
    size_t tokenizer_bytes;
    int32_t bos; /* -1: none */
    const int32_t *eos;
    size_t n_eos;
    const char *chat_template;
    const struct qbc_artifact_fact *record; /* any order: written sorted by key */
    size_t n_record;
    const struct qbc_run_port *inputs, *results; /* of a model that is no language model */
    size_t n_inputs, n_results;
    const uint8_t *program; /* an executable that the file begins with (runtime/abi/program.h), or NULL */
    size_t program_bytes;
};

/* Give each tensor its offset, 64-byte aligned, in order; returns the size of the section. */
uint64_t qbc_qbm_place(struct qbc_artifact_tensor *tensors, size_t n);

/* Open a temporary file beside `path` and write root and code. NULL after an error, which is
 * reported in `path`'s name. */
struct qbc_qbm;
struct qbc_qbm *qbc_qbm_begin(struct qbc *q, const char *path, const struct qbc_artifact *artifact);
/* Put n bytes of the weights section `section` (index into artifact->weights) at `offset`. Bytes
 * that are never written are zero. Threads may write at once. The first failure is remembered for
 * qbc_qbm_finish; false: this or an earlier write failed, more work is in vain. */
bool qbc_qbm_write(struct qbc_qbm *w, size_t section, uint64_t offset, const void *bytes, size_t n);
/* Close and name the file; `w` is gone. False after an error, reported; then no file is left.
 * `keep` false: give up, remove everything, report nothing, return false. */
bool qbc_qbm_finish(struct qbc_qbm *w, bool keep);

/* The root of a file with these variants and weights and its seal, for other places than a file; a multiple of 8
 * bytes, malloc'ed. *file_bytes: what such a file would have. NULL after an error, reported in `path`'s name. */
uint8_t *qbc_qbm_sealed_root(struct qbc *q, const char *path, const struct qbc_artifact *artifact, size_t *bytes,
                             uint64_t *file_bytes);

/* qbm_writer.cc: the root alone, size-prefixed. offsets[0..n_variants-1] are file offsets of the
 * images, offsets[n_variants..] of the weights. Its size depends on none of the offsets. The bytes
 * are malloc'ed and become the caller's; NULL when there is no memory. */
uint8_t *qbc_qbm_root(const struct qbc_artifact *artifact, const uint64_t *offsets, size_t *bytes);

#endif
