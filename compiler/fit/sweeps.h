/* sweeps.h: what the sweep of a weight needs, made once of each H: a wide one takes a while, and is wanted by all matrices with
 * the same input, when they are measured and again when they are written.
 */
#ifndef QBC_SWEEPS_H
#define QBC_SWEEPS_H

#include "base.h"
#include "gptq.h"

/* Of a weight by name; `u` NULL: nothing is known of its input. False: no memory. */
bool qbc_sweep_of(struct qbc *q, const char *weight, const char *role, int64_t cols, bool ordered, struct qbc_sweep *out);

#endif
