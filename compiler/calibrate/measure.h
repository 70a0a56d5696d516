/* measure.h: what each format would cost each tensor. */
#ifndef QBC_MEASURE_H
#define QBC_MEASURE_H

#include "calibrate.h"
#include "gptq.h"

/* A format for a tensor. */
struct qbc_candidate {
    const struct qbc_format *format;
    int64_t bytes;   /* in the artifact's weights, padding included */
    double squared;  /* hessian_loss of some rows, scaled to all: squared errors of outputs, a token */
    double measured; /* KL divergence of the model with only this, nats a token; < 0: not measured */
    double loss;     /* what the allocator sees: measured, or squared in nats by what was measured beside it */
};

struct qbc_item {
    MlirOperation weight; /* in the graph */
    const char *name, *role;
    int block;
    struct qbc_view view;
    bool pinned;                      /* -quant-tensor names its format, or the model has codes */
    struct qbc_candidate *candidate;  /* [n] by rising bytes; pinned: one */
    size_t n;
    size_t chosen;
};

struct qbc_items {
    struct qbc_item *item; /* [n] */
    size_t n;
};

/* Fill in `squared`, `measured` and `loss` of all candidates. False after an error. */
bool qbc_measure(struct qbc *q, struct qbc_calibration *c, struct qbc_items *items);
/* How many windows of the calibration text are measured on, and how many candidates of each tensor. */
size_t qbc_measure_windows(const struct qbc_items *items, size_t length, size_t *anchors);

/* --- nats.c */
/* Of an item's candidates those that are to be measured, at most `most`: spread evenly over the logarithm of their squared
 * errors. sorted [item->n]: its first ones are they; returns how many. */
size_t qbc_choose_anchors(struct qbc_item *item, size_t most, struct qbc_candidate **sorted);
/* `loss` of all candidates, by those that were measured. anchors [n_anchors] get sorted. */
void qbc_set_losses(struct qbc_item *item, size_t n_anchors, struct qbc_candidate **anchors);

#endif
