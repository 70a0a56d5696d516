/* calibrate.h: what the compiler learns from running the float model. */
#ifndef QBC_CALIBRATE_H
#define QBC_CALIBRATE_H

#include "stage.h"
#include "tokens.h"

/* What a product reads: how far its largest number is from the usual. */
struct qbc_peak {
    const char **weights; /* [n_weights] names of what multiplies it */
    size_t n_weights;
    int64_t cols;
    double most, median; /* of |x| */
    double entropy;      /* of 64 bins of x between its extremes, nats */
};

/* The float model, what it was shown, and the values at each cut. */
struct qbc_calibration {
    struct qbc_stages stages;
    struct qbc_windows windows;
    struct qbrt_parallel threads;
    void *pool;
    /* values before stage i, of the first tokens of the first windows: f32 [n_measure * measured][in_cols]; 0: none */
    float **before; /* [stages.n] in files */
    float *logits;  /* [n_measure * measured][vocab] as probabilities */
    size_t n_measure, measured; /* windows, tokens of each */
    /* Whoever calls qbc_calibrate may want to see the rows of each tap, window by window. From several threads at once, but of
     * one tap in order. NULL: nobody does. */
    void (*watch)(void *user, const struct qbc_tap *tap, const float *x, int64_t rows);
    void *user;
    bool only_moments;         /* nobody will run the stages, or ask for values between them: what -resume kept is enough */
    bool judges, only_judges;  /* is there a text to judge by, is that all? */
    struct qbc_windows eval;   /* to judge by; the float model's values before the last stage: */
    float *eval_before;        /* f32 [eval.n * eval.length][in_cols]; NULL where there is one stage */
    struct qbc_peak *peaks;    /* [n_peaks] in the arena, in the order of the model */
    size_t n_peaks;
};

/* Run the texts through the model and keep H of every product's input (hessians.h). n_measure, `measured`, `judges`, `only_judges`,
 * `only_moments` and `watch` say what is wanted. False after an error. */
bool qbc_calibrate(struct qbc *q, MlirOperation graph, struct qbc_calibration *out);
/* What only measurements needed. */
void qbc_calibration_forget(struct qbc_calibration *c);
void qbc_calibration_destroy(struct qbc_calibration *c);

#endif
