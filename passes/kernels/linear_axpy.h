/* linear_axpy.h: between the parts of products where vectors are of any length. */
#ifndef QBC_LINEAR_AXPY_H
#define QBC_LINEAR_AXPY_H

#include "linear.h"

enum {
    QBC_ONE_LANES = 16, /* of a vector, for one token: floats fill eight registers */
    QBC_MANY_LANES = 8, /* for several: four */
    QBC_AXPY_RUNS = 2
};

/* sums[m] of rows x[m] with a strip: the rows from `lane` on of the panel w (linear_axpy_groups.c). */
void qbc_linear_axpy_groups(struct qbc_linear *l, int m, const MlirValue *x, MlirValue w, MlirValue lane,
                            MlirValue *sums);

/* Runs of a group that are multiplied together. */
struct qbc_axpy_runs {
    MlirValue codes, zeros;      /* of the strip's first row */
    int length;                  /* columns of a run */
    int n, first[QBC_AXPY_RUNS]; /* the runs' first chunks, seen from `codes` */
    MlirValue act[QBC_AXPY_RUNS][QBC_MOST_TOKENS]; /* records of the activations */
};
/* out[run * m + j] = exact integers as f32: sum of (code - bias or zero point) * activation (linear_axpy_codes.c). */
void qbc_linear_axpy_integers(struct qbc_linear *l, int m, const struct qbc_axpy_runs *runs, MlirValue *out);
/* Do a run's sums need so few registers that another has room beside it? */
bool qbc_linear_axpy_is_narrow(const struct qbc_linear *l);

#endif
