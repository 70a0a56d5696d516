/* bounds.h: what quality was promised: -max-ppl, -max-kld. */
#ifndef QBC_BOUNDS_H
#define QBC_BOUNDS_H

#include "judge.h"

struct qbc_bounds {
    const char *option;  /* for people: "-max-ppl=5%"; NULL: there are none */
    double ratio;        /* of perplexities, > 1; 0: not bounded so */
    double perplexity;   /* 0: not bounded so */
    double divergence;   /* nats; 0: not bounded so */
};

/* From the options. False after an error. */
bool qbc_bounds_read(struct qbc *q, struct qbc_bounds *out);
/* How much of what is allowed is used up: 1 and less keeps all bounds. Logarithms of perplexities are compared. */
double qbc_bounds_used(const struct qbc_bounds *bounds, const struct qbc_quality *quality);
/* The divergence, in nats, that is about as far away as the bounds are, from the float model's perplexity. */
double qbc_bounds_divergence(const struct qbc_bounds *bounds, double float_perplexity);

#endif
