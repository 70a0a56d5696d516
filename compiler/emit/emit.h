/* emit.h: from level-3 IR to code and to the artifact. */
#ifndef QBC_EMIT_H
#define QBC_EMIT_H

#include "base.h"

#include <llvm-c/Types.h>

/* Bytes in malloc'ed memory; data NULL after an error. */
struct qbc_bytes {
    uint8_t *data;
    size_t size;
};

/* --- code.c: LLVM, from a module of upstream's dialects only. Errors are reported. */
bool qbc_lower_to_llvm(struct qbc *q, MlirOperation module);
enum qbc_code { QBC_CODE_LLVM, QBC_CODE_ASM, QBC_CODE_OBJ };
struct qbc_bytes qbc_emit_code(struct qbc *q, MlirOperation module, enum qbc_code what);
/* Textual LLVM IR to an object of the target. */
struct qbc_bytes qbc_compile_ir(struct qbc *q, const char *text);

/* --- link.cc: an object file to an image that needs nobody (docs/qbm.md, "Code"). */
struct qbc_bytes qbc_link(struct qbc *q, struct qbc_bytes object);
/* lld with these arguments ("ld.lld" first, NULL last); what it says is reported. */
bool qbc_run_lld(struct qbc *q, const char *const *arguments);
/* A nameless file with these bytes, which goes when it is closed: path "/proc/self/fd/N". -1 after an error, reported. */
int qbc_memory_file(struct qbc *q, const void *data, size_t size);
/* The address of a symbol that the image exports; 0: there is none. */
uint64_t qbc_image_symbol(struct qbc_bytes image, const char *name);

/* --- variants.c: everything to the output file: n variants, plainest first. */
struct qbc_variant {
    const struct qbc_target *target;
    MlirOperation module;  /* with the attributes qb.vocab, qb.context, ... and of @step's states */
    MlirOperation weights; /* holds the qb.weight operations */
    struct qbc_bytes image;
};
bool qbc_emit_artifact(struct qbc *q, const struct qbc_variant *variants, size_t n);
/* What it would have: of the whole file, and without code and tokenizer. False after an error. */
struct qbc_artifact_size {
    int64_t file, weights;
};
bool qbc_measure_artifact(struct qbc *q, const struct qbc_variant *variants, size_t n, struct qbc_artifact_size *out);

/* --- run_artifact.c: the same for models that are no language models; variants have images, no weights. */
struct qbc_run_program; /* run_program.h */
bool qbc_emit_run_artifact(struct qbc *q, const struct qbc_run_program *program, const struct qbc_variant *variants, size_t n);

/* --- write_file.c: `path` "-" is the standard output. False after an error, reported. */
bool qbc_write_file(struct qbc *q, const char *path, const void *data, size_t size);

#endif
