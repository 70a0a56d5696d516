/* trial.h: what rounding would cost the products of an edge, if its channels were scaled. */
#ifndef QBC_TRIAL_H
#define QBC_TRIAL_H

#include "activation.h"
#include "edges.h"
#include "format.h"

/* Some rows of the edge's matrices, and room to try. */
struct qbc_trial {
    const struct qbc_edge *edge;
    const struct qbc_format *format;
    struct qbc_activation act;
    const float *h;                 /* of the edge */
    float *w, *scaled, *errors;     /* [m][cols] */
    float *x, *scaled_x;            /* [cols][n_rows], transposed */
    float *y, *scaled_y;            /* [m][n_rows] */
    struct qbc_blocks blocks;
    int64_t m;
};

/* False: no memory. */
bool qbc_trial_create(struct qbc *q, const struct qbc_edge *edge, struct qbc_trial *out);
void qbc_trial_destroy(struct qbc_trial *t);
/* With weights times s and rounded, activations as they are: squared errors of outputs, a token. */
double qbc_trial_weights(struct qbc_trial *t, const float *s);
/* With activations over s and rounded as well: squared errors of the outputs of the sampled rows. */
double qbc_trial_both(struct qbc_trial *t, const float *s);
/* With activations rounded as t->act says, weights as they are: the same. */
double qbc_trial_activations(struct qbc_trial *t);

#endif
