/* gptq.h: codes for the rows of a matrix whose errors compensate each other: GPTQ, with any scalar leaf. */
#ifndef QBC_GPTQ_H
#define QBC_GPTQ_H

#include "format.h"

/* What H says about errors, made once for all matrices with the same input. Threads may use it at once. */
struct qbc_sweep {
    int64_t cols;
    float *u;       /* [cols][cols] upper, U^T U = (H + damping)^-1 */
    float *weight;  /* [cols] of squared errors when the parameters of a group are fitted: H's diagonal */
    double damping; /* share of H's mean diagonal that was added; 0: H is of no use, `u` is NULL */
};

/* h f32 [cols][cols]: H = 2/T sum x^T x. Columns where H is 0 (never used) get 1. `damping`, a share of H's mean diagonal,
 * is added to the diagonal, ten times as much while that is not enough, at most all of it. False: no memory.
 * QBC_DAMPING is the usual share. Rows that are looked up as well as multiplied are used in ways that H does not know,
 * and get QBC_DAMPING_LOOKUP: measured on docs-4m's embedding, whose least loss is there. */
bool qbc_sweep_create(struct qbc_sweep *s, int64_t cols, const float *h, double damping);
#define QBC_DAMPING 0.01
#define QBC_DAMPING_LOOKUP 0.3
double qbc_damping(const char *role); /* of a weight: "embed" is looked up; NULL: none */
void qbc_sweep_destroy(struct qbc_sweep *s);

/* Can the codes of this format be chosen column by column? Others are fitted with `weight` only. */
bool qbc_can_sweep(const struct qbc_format *f);

/* As qbc_format_fit_weighted for rows [row, row + n) of b, with w f32 [n][cols], which is used up. *loss (NULL: not wanted)
 * becomes sum (w - q)^2 / (2 U_jj^2) over what was rounded: half of (w - q) H (w - q)^T, near enough. */
int64_t qbc_gptq(const struct qbc_sweep *s, struct qbc_blocks *b, int64_t row, int64_t n, float *w, double *loss);

#endif
