/* linear_many.h: products of many tokens (linear_many.c), and the form that weights take for them (linear_normal.c). */
#ifndef QBC_LINEAR_MANY_H
#define QBC_LINEAR_MANY_H

#include "linear.h"

/* Decoded weights of a panel: for each group its runs, in the order in which they are added up, then
 *
 *     scales   f32 [rows]
 *
 * A run is up to QBC_ACT_GROUP columns, laid out as a format of 8 bits with groups of that length would be:
 * [chunk][rows][depth], a byte a level. Run i of a group is at columns `length` * qbc_normal_run(i). */
struct qbc_normal {
    struct qbc_format format; /* of the levels: its bias, the largest; no zero points */
    bool is_signed;           /* levels less the bias, in two's complement */
    struct qbc_layout layout; /* of a run */
    int length, runs;         /* columns of a run; in a group */
    int turns;                /* the runs of a turn lie so far apart */
    int run_bytes, scales_offset, group_bytes;
};

/* False: the levels of this format do not fit in bytes. */
bool qbc_normal_form(const struct qbc_linear *l, const struct qbc_tile *tile, struct qbc_normal *out);
/* The group at `group` of a panel, all rows, to `out`. */
void qbc_normal_decode(struct qbc_linear *l, const struct qbc_normal *form, MlirValue group, MlirValue out);

/* How many tokens there must be; 0: the target has no tile for that. */
int qbc_linear_least_many(const struct qbc_linear *l);
/* Tokens of all rows with this thread's share of the panels; at least that many. */
void qbc_linear_many(struct qbc_linear *l, struct k_range panels);

/* linear.c: a token's results of one panel, f32 [rows], through the epilogue. */
void qbc_linear_finish(struct qbc_linear *l, MlirValue token, MlirValue panel, MlirValue sums);

#endif
