/* judge.h: how good an artifact is: run by the runtime on this machine, against the float model, token by token. */
#ifndef QBC_JUDGE_H
#define QBC_JUDGE_H

#include "calibrate.h"

/* Over all tokens of the windows to judge by but the last of each, which no token follows. */
struct qbc_quality {
    size_t predictions;                /* 0: this machine cannot run the artifact */
    double perplexity, float_perplexity;
    double divergence, median, high;   /* KL(float || artifact), nats: mean, middle, 99 % are below */
    double same_top;                   /* share of tokens where both think the same token likeliest */
};

/* `file`: an open descriptor of a .qbm; c->judges was set when it was calibrated. False after an error. */
bool qbc_judge(struct qbc *q, struct qbc_calibration *c, int file, struct qbc_quality *out);
/* A line for people. */
const char *qbc_quality_text(struct qbc *q, const struct qbc_quality *quality);

#endif
