/* make.h: the ways from a module to code and to an artifact; shared by the files of the pipeline. */
#ifndef QBC_MAKE_H
#define QBC_MAKE_H

#include "bounds.h"
#include "choose.h"
#include "emit.h"
#include "pipeline.h"

/* --- make_code.c */
/* From level "code" to code. The weights are taken out of the module and become the caller's. */
struct qbc_bytes qbc_make_code(struct qbc *q, MlirOperation module, enum qbc_code what, MlirOperation *weights);
/* variants [q->n_targets], from a module at `level`. False after an error. */
bool qbc_make_variants(struct qbc *q, MlirOperation module, const char *level, struct qbc_variant *variants);
void qbc_destroy_variants(struct qbc *q, struct qbc_variant *variants);

/* --- within.c: choose formats so that the artifact comes out within the budget, and write it */
bool qbc_emit_within(struct qbc *q, MlirOperation graph, struct qbc_choice *choice);

/* --- precision.c: -precision's formats to the weights of the graph. False after an error. */
bool qbc_read_precision(struct qbc *q, MlirOperation graph);

enum qbc_phase { QBC_PHASE_LEARN, QBC_PHASE_EMIT, QBC_PHASE_JUDGE, QBC_PHASES };

/* What was learned from running the float model, and what is promised of the artifact. */
struct qbc_learned {
    struct qbc_calibration calibration;
    struct qbc_choice choice;
    struct qbc_bounds bounds;
    struct qbc_quality quality; /* of the artifact as far as it was judged */
    double seconds[QBC_PHASES];
    const struct qbc_peak *before; /* [n_before] peaks before -transform, for the report; NULL: not looked at */
    size_t n_before;
};

/* --- report.c: -report. False after an error. */
bool qbc_write_report(struct qbc *q, struct qbc_learned *learned);

/* --- twin.c: what the graph (level "graph", formats chosen) would be as an artifact for this machine, judged */
bool qbc_judge_twin(struct qbc *q, MlirOperation graph, struct qbc_learned *learned);
/* The artifact itself, where this machine can run it, else its twin. */
bool qbc_judge_output(struct qbc *q, MlirOperation graph, struct qbc_learned *learned);

/* --- search.c: choose formats of the fewest bytes that keep the bounds; where none do, of the most. */
bool qbc_search_bytes(struct qbc *q, MlirOperation graph, struct qbc_learned *learned);

#endif
