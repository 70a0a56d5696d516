/* linear_groups.h: between linear_groups.c, which adds up runs, and linear_span.c, which goes through those of a span. */
#ifndef QBC_LINEAR_GROUPS_H
#define QBC_LINEAR_GROUPS_H

#include "linear.h"

/* A span of codes, and what belongs to it. */
struct qbc_place {
    MlirValue unit, codes, number;  /* number: of the span in the unit, i64 */
    MlirValue act[QBC_MOST_TOKENS]; /* records of the span's first run */
};

/* All of the run that begins with column `column` of the span. */
void qbc_linear_add_run(struct qbc_linear *l, int m, const struct qbc_place *p, int column, MlirValue *sums);
/* All of a span (linear_span.c). */
void qbc_linear_add_span(struct qbc_linear *l, int m, const struct qbc_place *p, MlirValue *sums);

#endif
