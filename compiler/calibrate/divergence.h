/* divergence.h: how far logits of a changed model are from the float model's, window by window. */
#ifndef QBC_DIVERGENCE_H
#define QBC_DIVERGENCE_H

#include "calibrate.h"

/* The float model's side. */
struct qbc_reference {
    struct qbc_calibration *c; /* c->logits become its probabilities */
    double *entropy;           /* [n_measure * measured] sum p log p */
    double *loss;              /* [n_measure * measured] of the token that came next, nats; of a window's last: 0 */
};

/* False: no memory. What it has besides c->logits lives in the arena. */
bool qbc_reference_create(struct qbc *q, struct qbc_calibration *c, struct qbc_reference *out);
/* Of window `window`, whose logits f32 [measured][vocab] are the float model's own; they become its probabilities. */
void qbc_reference_set(struct qbc_reference *r, size_t window, float *logits);
/* Sums over the tokens of a window that are measured on: of the KL divergence of `logits`; of the rise of the loss on the next token. */
struct qbc_distance {
    double divergence, rise;
};
struct qbc_distance qbc_reference_distance(const struct qbc_reference *r, size_t window, float *logits);

#endif
