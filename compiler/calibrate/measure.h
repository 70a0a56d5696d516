/* measure.h: what each format would cost each tensor. */
#ifndef QBC_MEASURE_H
#define QBC_MEASURE_H

#include "calibrate.h"
#include "gptq.h"
#include "metrics.h"

enum { QBC_SEGMENTS = 4 }; /* of a tensor's columns: a quarter each, those that weigh most first */

/* A format for a tensor. */
struct qbc_candidate {
    const struct qbc_format *format;
    int64_t bytes;    /* in the artifact's weights, padding included */
    double local;     /* what the metric says of the tensor alone, of some rows, scaled to all */
    double measured;  /* what it costs the model, nats a token; may be negative; where `is_measured` */
    bool is_measured;
    double loss;      /* what the allocator sees: measured, or local in nats by what was measured beside it */
    double share[QBC_SEGMENTS]; /* of the loss, by segments; where these have formats of their own */
};

struct qbc_item {
    MlirOperation weight; /* in the graph */
    const char *name, *role;
    int block;
    struct qbc_view view;
    bool pinned;                      /* -quant-tensor names its format, or the model has codes */
    struct qbc_candidate *candidate;  /* [n] by rising bytes; pinned: one */
    size_t n;
    struct qbc_candidate *reference;  /* what it has where pairs are measured, or NULL */
    double importance;                /* where the metric is one */
    /* the choice at hand */
    const struct qbc_format *format;
    int64_t bytes;
    double loss;
};

struct qbc_items {
    struct qbc_item *item; /* [n] in the order of the model */
    size_t n;
    const struct qbc_metric *metric;
    enum qbc_granularity granularity;
    bool alone;    /* nobody asks what formats cost the model: tensors are looked at alone */
    double *pairs; /* [n][n] how losses of one block's tensors add up (trials.h); NULL: not wanted */
};

/* Do two items get one format together? Is an item the first of those that do? */
bool qbc_same_unit(const struct qbc_items *items, size_t i, size_t j);
bool qbc_leads_unit(const struct qbc_items *items, size_t i);
/* The candidate in this format; NULL: there is none. */
struct qbc_candidate *qbc_item_candidate(const struct qbc_item *item, const struct qbc_format *format);

/* Fill in `local`, `measured`, `loss`, `pairs` and `importance`. False after an error. */
bool qbc_measure(struct qbc *q, struct qbc_calibration *c, struct qbc_items *items);
/* How much is measured: candidates of each tensor, windows of the calibration text, tokens of each. Less of large models. */
struct qbc_effort {
    size_t anchors, windows, tokens;
};
struct qbc_effort qbc_measure_effort(const struct qbc_items *items, size_t length);

/* --- importance.c: `importance` of all items. False after an error. */
bool qbc_measure_importance(struct qbc *q, const struct qbc_calibration *c, struct qbc_items *items);

/* --- nats.c */
/* Of an item's candidates those that are to be measured, at most `most`: spread evenly over the logarithm of their local
 * losses. sorted [item->n]: its first ones are they; returns how many. */
size_t qbc_choose_anchors(struct qbc_item *item, size_t most, struct qbc_candidate **sorted);
/* `loss` of all candidates, by those that were measured. anchors [n_anchors] get sorted. */
void qbc_set_losses(struct qbc_item *item, size_t n_anchors, struct qbc_candidate **anchors);

#endif
