/* extension.h: targets, formats and passes, and how more of them come from outside.
 *
 * An extension is a constant in a shared object (`qbc -load=FILE.so`; the object exports it as
 * `qbc_extension`) or in the program that calls qbc_compile (options.extensions). docs/plugins.md shows one..
 *
 * What it holds is used by the compiler's own code, through the structs of these headers: they may change
 * with every version, so an extension works with the version that it was compiled for and is refused by
 * others.
 */
#ifndef QBC_EXTENSION_H
#define QBC_EXTENSION_H

#include "base.h"

struct qbc_pass {
    const char *name;  /* "fuse_dequant", as the file; or as the flag, "fuse-dequant" */
    const char *level; /* "onnx", "graph", "quant", "kernels", "code": that the module is at afterwards */
    const char *about; /* for --list-passes */
    void (*run)(struct qbc *q, MlirOperation module);
};

/* A pass of an extension stands before or after another one (of qbc or of an extension before it), whose
 * level it has; or, where both are NULL, at the end of its own level. Those at one place run in the order
 * in which they come. */
struct qbc_extension_pass {
    struct qbc_pass pass;
    const char *before, *after;
};

struct qbc_extension {
    const char *version; /* QBC_VERSION of the headers it was compiled with */
    const char *name;    /* for messages */
    const struct qbc_target *const *targets; /* [n_targets] target.h */
    size_t n_targets;
    const struct qbc_format *const *formats; /* [n_formats] format.h */
    size_t n_formats;
    const struct qbc_extension_pass *passes; /* [n_passes] */
    size_t n_passes;
};

/* What a shared object for `-load` defines. */
__attribute__((visibility("default"))) extern const struct qbc_extension qbc_extension;

/* --- extension.c: for the tools, before anything is looked up. False after an error. */
bool qbc_extensions_open(struct qbc *q); /* options.load and options.extensions, to q->extensions */
void qbc_extensions_close(struct qbc *q);

#endif
