/* fit_item.h: one tensor in one format, as the artifact will have it, on all threads. */
#ifndef QBC_FIT_ITEM_H
#define QBC_FIT_ITEM_H

#include "measure.h"

/* What the sweep of a tensor needs; u NULL: nothing is known of its input. */
bool qbc_item_sweep(struct qbc *q, const struct qbc_item *item, struct qbc_sweep *out);
/* out f32 [rows][cols]: what codes of this format stand for. False after an error. */
bool qbc_item_decoded(struct qbc *q, const struct qbc_item *item, const struct qbc_sweep *sweep,
                      const struct qbc_format *format, const struct qbrt_parallel *threads, float *out);
/* `local` (and `share`) of all its candidates, from a sample of the rows. False after an error. */
bool qbc_item_losses(struct qbc *q, const struct qbc_items *items, struct qbc_item *item, const struct qbc_sweep *sweep,
                     const struct qbrt_parallel *threads);

#endif
