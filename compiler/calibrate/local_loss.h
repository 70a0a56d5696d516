/* local_loss.h: what rounding some rows of a tensor costs, by what is known of the tensor and its input alone. */
#ifndef QBC_LOCAL_LOSS_H
#define QBC_LOCAL_LOSS_H

#include "measure.h"

struct qbc_local {
    const struct qbc_metric *metric;
    int64_t cols;
    const float *weight; /* [cols] H's diagonal, or NULL: all alike */
    const float *h;      /* [cols][cols], where it is asked for; NULL: the diagonal is all there is */
    uint8_t *segment;    /* [cols] which one a column is in; NULL: there are none */
};

/* `n` rows of the tensor, w f32 [n][cols], say which columns weigh most. */
void qbc_local_create(struct qbc *q, const struct qbc_items *items, const struct qbc_item *item, const struct qbc_sweep *sweep,
                      int64_t n, const float *w, struct qbc_local *out);
void qbc_local_destroy(struct qbc_local *l);
/* Does the metric, or do segments, ask for what codes stand for? Else the sweep's own loss is all there is. */
bool qbc_local_looks(const struct qbc_local *l);
/* `local` and `share` of a candidate whose n rows w became `decoded`, and whose sweep (or weighted fit) lost `swept`; < 0: that is
 * not known, and H tells. False: no memory. */
bool qbc_local_tell(const struct qbc_local *l, int64_t n, const float *w, const float *decoded, double swept,
                    struct qbc_candidate *candidate);

#endif
