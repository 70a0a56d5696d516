/* choose.h: a format for each tensor, within a budget. */
#ifndef QBC_CHOOSE_H
#define QBC_CHOOSE_H

#include "units.h"

/* All that was learned, for as many budgets as are tried. */
struct qbc_choice {
    struct qbc_items items;
    struct qbc_units *units;
    const char *budget;   /* the option, for the record: "-bpw=4.25" */
    bool whole_file;      /* the budget is of the file, not of its weights alone */
    bool bounded;         /* there is no budget, but a bound on what may be lost: bytes are searched */
    double bits;          /* of a weight, 0: `bytes` says it */
    int64_t bytes;        /* the budget, once the model's parameters are known */
    int64_t parameters;
    int64_t others;       /* bytes of all that is no item, as far as is known */
    int64_t target;       /* bytes for the items, this time */
    int64_t low, high;    /* the most that came out within the budget (0: none so far), the least that did not */
    bool settles;         /* another number of bytes would not change the choice */
    double predicted;     /* nats (or the metric's unit), of the choice at hand */
    size_t measured_tokens;
};

/* Is a choice asked for? */
bool qbc_choice_wanted(const struct qbc *q);
/* Calibrate, measure. The calibration stays with the caller, whose `judges` is set; empty after an error. False after an error. */
bool qbc_choice_learn(struct qbc *q, MlirOperation graph, struct qbc_calibration *calibration, struct qbc_choice *out);
/* What the best choices for n budgets, evenly from the least to the most bytes, would cost. False: no memory. */
struct qbc_frontier_point {
    int64_t bytes;
    double loss; /* nats a token */
};
bool qbc_choice_frontier(struct qbc *q, struct qbc_choice *choice, struct qbc_frontier_point *points, int n);
int64_t qbc_choice_item_bytes(const struct qbc_choice *choice); /* of the choice at hand */
/* Choose within the budget, and say so at each weight of the graph: {assigned = "i4g64"}. False: it cannot be met. */
bool qbc_choice_make(struct qbc *q, struct qbc_choice *choice);
/* The choice at hand came out with `bytes` (of the weights, or the file). True: that is within the budget, and another
 * would hardly use it better. False: choose again. */
bool qbc_choice_settled(struct qbc_choice *choice, int64_t bytes);
/* Enough was tried: choose again, what came nearest. False: nothing was within the budget. */
bool qbc_choice_fall_back(struct qbc_choice *choice);

#endif
