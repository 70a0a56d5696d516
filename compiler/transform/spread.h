/* spread.h: an orthogonal matrix by which rows lose their peaks (PSOT). */
#ifndef QBC_SPREAD_H
#define QBC_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

/* Some rows that are to be turned by the same matrix. */
struct qbc_spread_rows {
    const float *x; /* [n][cols] */
    float *columns; /* [cols][n], the same transposed */
    int64_t n;
    double first;   /* cost at the start */
};

/* What is learned: matrices q [cols / order][order][order], of which each turns its columns of a row. */
struct qbc_spread {
    int64_t cols, order;
    struct qbc_spread_rows *rows; /* [n] */
    int64_t n;
    float *q;
    double cost; /* sum over rows of their cost over the first; n at the start */
};

/* Make the cost as small as it gets in `steps` steps, from where q is. False: no memory. */
bool qbc_spread_learn(struct qbc_spread *s, int steps);

#endif
