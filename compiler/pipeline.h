/* pipeline.h: the compilation from the model file to the artifact. */
#ifndef QBC_PIPELINE_H
#define QBC_PIPELINE_H

#include "extension.h" /* struct qbc_pass */

/* --- pass_list.c: passes.def's rows and, once qbc_passes_open was called, those of extensions */
bool qbc_passes_open(struct qbc *q); /* false after an error */
const struct qbc_pass *qbc_listed_pass(const struct qbc *q, size_t i); /* NULL past the end */
const struct qbc_pass *qbc_find_pass(const struct qbc *q, const char *name); /* either way of writing it */
bool qbc_pass_is(const struct qbc_pass *pass, const char *name);
const char *qbc_pass_flag(struct qbc *q, const struct qbc_pass *pass); /* "fuse-dequant" */
const char *const *qbc_pass_flags(struct qbc *q); /* all of them, then NULL: for qbc_nearest */
size_t qbc_level_number(const char *name); /* "onnx" 0, "graph" 1, ...; past the last: no such level */

/* --- choose_target.c: set q->targets, and q->target to the first, from q->options.target, mcpu, mattr and mtriple. False
 * after an error; near misses are suggested. */
bool qbc_choose_target(struct qbc *q);
const struct qbc_target *qbc_native_target(struct qbc *q); /* the best row for this CPU; NULL after an error */

/* --- check_machine.c: the CPU and features of targets that came from outside. False after an error. */
bool qbc_check_machines(struct qbc *q);

/* --- refine_target.c: `given` (NULL: none was) changed by mcpu, mattr and mtriple. NULL after an error. */
const struct qbc_target *qbc_refine_target(struct qbc *q, const struct qbc_target *given);

/* --- describe_target.c: what a target enables, lines for people */
const char *qbc_describe_target(struct qbc *q, const struct qbc_target *target);

/* --- options.c: fill in defaults, complain about what does not fit together. False after an error. */
void qbc_options_complete(struct qbc *q);
bool qbc_options_check(struct qbc *q);
const char *const *qbc_emits(void); /* choices of -emit, then NULL */
const char *const *qbc_fits(void);
bool qbc_is_library(const char *emit); /* a choice that makes a header */

/* --- choice_options.c: those that say how formats are chosen. Errors are reported. */
void qbc_choice_options_check(struct qbc *q);

/* --- depfile.c: if options.depfile asks for it. False after an error. */
bool qbc_write_depfile(struct qbc *q);

/* --- explain.c: --explain. First what the importer says, then what the passes made of it, finished or not. */
struct qbc_page {
    const char *text;
    bool past; /* the export has a cache */
};
void qbc_explain_import(struct qbc *q, MlirOperation module, struct qbc_page *page);
void qbc_explain_graph(struct qbc *q, MlirOperation module, struct qbc_page *page);
bool qbc_explain_write(struct qbc *q, const struct qbc_page *page); /* false after an error */

/* --- run_model.c */
bool qbc_is_run_model(struct qbc *q, MlirOperation module); /* of level 0 */
bool qbc_compile_run_model(struct qbc *q, MlirOperation module); /* false after errors */

/* --- pipeline.c */
/* Run one pass, verify the module after it, print it where options say so. False after errors, or when the
 * user wants to stop. */
bool qbc_pass_run(struct qbc *q, const struct qbc_pass *pass, MlirOperation module);
/* All passes that lead from one level to another. False after errors. */
bool qbc_run_passes(struct qbc *q, MlirOperation module, const char *from, const char *to);
/* Everything: q->options says what. False after errors; then no output is left behind. */
bool qbc_pipeline_run(struct qbc *q);

#endif
