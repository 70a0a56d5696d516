/* trials.h: the model with a few of its tensors in other formats: which are measured, and what they say about losses. */
#ifndef QBC_TRIALS_H
#define QBC_TRIALS_H

#include "divergence.h"
#include "measure.h"

struct qbc_patch {
    struct qbc_item *item;
    struct qbc_candidate *candidate;
};

struct qbc_trial {
    struct qbc_patch *patch; /* [n] in the order of the model */
    size_t n;
    bool pair;   /* two tensors of a block that are measured alone too: what they cost beyond that */
    bool begun;  /* it has left the float model */
    float *rows; /* [windows][tokens][cols] before the next stage; in a file until then */
    struct qbc_distance distance; /* sums over tokens */
};

struct qbc_trials {
    struct qbc_trial *list; /* [n] */
    size_t n;
};

/* All that are to be measured, from losses of tensors alone (`local`). */
struct qbc_trials qbc_trials_create(struct qbc *q, struct qbc_items *items, size_t anchors);
/* `measured`, `loss` and `pairs` of the items, from distances over so many tokens. */
void qbc_trials_tell(struct qbc *q, struct qbc_items *items, const struct qbc_trials *v, size_t tokens);

#endif
