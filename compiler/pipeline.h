/* pipeline.h: the compilation from the model file to the artifact. */
#ifndef QBC_PIPELINE_H
#define QBC_PIPELINE_H

#include "base.h"

struct qbc_pass {
    const char *name;  /* "fuse_dequant", as the file */
    const char *level; /* "graph", "quant", "kernels" */
    const char *about;
    void (*run)(struct qbc *q, MlirOperation module);
};

const struct qbc_pass *qbc_pass_at(size_t i); /* NULL past the end */
const struct qbc_pass *qbc_pass_find(const char *name); /* either way of writing it */
const char *qbc_pass_flag(struct qbc *q, const struct qbc_pass *pass); /* "fuse-dequant" */
/* The flag nearest to `wrong`, or NULL when none is near. */
const char *qbc_pass_nearest(struct qbc *q, const char *wrong);
/* Set q->target from q->options.target. False after an error; near misses are suggested. */
bool qbc_choose_target(struct qbc *q);
/* Run one pass, verify the module after it, print it where options say so. False after errors. */
bool qbc_pass_run(struct qbc *q, const struct qbc_pass *pass, MlirOperation module);
/* Everything: q->options says what. False after errors; then no output is left behind. */
bool qbc_compile(struct qbc *q);

#endif
