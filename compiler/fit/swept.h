/* swept.h: between gptq.c and swept.c. */
#ifndef QBC_SWEPT_H
#define QBC_SWEPT_H

#include "gptq.h"

/* [n][cols], in the order of the sweep: the number of the entry that a column has, counted from the first row of the tensor,
 * or -1. The indices of rows row .. are written. NULL: there are no entries, or there is no memory. */
int *qbc_swept_entries(const struct qbc_sweep *s, const struct qbc_swept *b, int64_t row, int64_t n, const float *w);
/* Rows of w to the order of the sweep. False: no memory. */
bool qbc_swept_order(const struct qbc_swept *b, int64_t n, int64_t cols, float *w);

#endif
