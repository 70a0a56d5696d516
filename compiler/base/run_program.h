/* run_program.h: what a lowered model that is no language model says about itself (passes/general/), for the artifact. */
#ifndef QBC_RUN_PROGRAM_H
#define QBC_RUN_PROGRAM_H

#include "base.h"

struct qbc_run_port {
    const char *name;
    enum qbc_element element;
    size_t rank;
    int64_t dims[QBC_MAX_RANK]; /* QBC_ANY: known when it has run */
};

struct qbc_run_weight {
    const void *data;
    size_t bytes;
    int64_t offset; /* in the weights section */
};

struct qbc_run_program {
    struct qbc_run_port *inputs, *outputs;
    size_t n_inputs, n_outputs;
    struct qbc_run_weight *weights;
    size_t n_weights;
    int64_t weight_bytes, arena_bytes;
};

/* passes/general/general.c: `main` of level 0 becomes a function `run` of upstream's dialects, ready for qbc_lower_to_llvm.
 * False after errors, all of them told. */
bool qbc_lower_run(struct qbc *q, MlirOperation module, struct qbc_run_program *out);

#endif
