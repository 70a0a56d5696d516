/* score.h: what logits say, a row at a time, exactly enough and fast: sums of some ten thousand exponentials. */
#ifndef QBC_SCORE_H
#define QBC_SCORE_H

#include <stdbool.h>
#include <stdint.h>

/* log sum e^x of n logits, so that x - norm are logarithms of probabilities. */
double qbc_log_norm(const float *x, int64_t n);
/* sum p (x - shift) */
double qbc_expectation(const float *p, const float *x, int64_t n, double shift);

/* A row of one model against the same row of another. */
struct qbc_row_score {
    double divergence;       /* KL(want || got), nats */
    double want_loss, loss;  /* of the token that came next, nats */
    bool same_top;           /* the likeliest token is the same */
};
struct qbc_row_score qbc_score_row(const float *want, const float *got, int64_t n, int32_t next);

#endif
