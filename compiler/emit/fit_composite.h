/* fit_composite.h: a tensor of a composite format is fitted once, as a whole, and written piece by piece. */
#ifndef QBC_FIT_COMPOSITE_H
#define QBC_FIT_COMPOSITE_H

#include "fit_weights.h"

/* What is fitted together: all pieces with this name (split-composites). NULL: `weight` is no piece. Parts that are rows
 * have nothing in common, and names of their own. */
const char *qbc_piece_group(struct qbc *q, MlirOperation weight);

/* Fit what the weight is a piece of. False after an error, reported. Memory: the codes of this tensor, a byte each, and
 * of its weights a sample (at most 128 MiB and twice as much to work with) and some MiB a thread. */
struct qbc_fitted {
    struct qbc_blocks blocks;
};
bool qbc_composite_fit(struct qbc *q, MlirOperation weight, struct qbc_fitted *out);
/* The same for a weight that is whole still, as it would be in this format; also one that is no composite, whose rows share something. */
bool qbc_composite_try(struct qbc *q, MlirOperation weight, const struct qbc_format *f, struct qbc_fitted *out);
void qbc_fitted_destroy(struct qbc_fitted *fitted);

/* Pack one piece of it, as qbc_fit_and_pack does. */
bool qbc_composite_pack(struct qbc *q, const struct qbc_fitted *fitted, MlirOperation weight,
                        const struct qbc_packing *packings, size_t n, qbc_write_packed write, void *user);

#endif
