/* gptq.h: codes for the rows of a matrix whose errors compensate each other: GPTQ, with any scalar leaf. */
#ifndef QBC_GPTQ_H
#define QBC_GPTQ_H

#include "format.h"

/* What H says about errors, made once for all matrices with the same input. Threads may use it at once. */
struct qbc_sweep {
    int64_t cols;
    float *u;       /* [cols][cols] upper, U^T U = (H + damping)^-1 */
    float *weight;  /* [cols] of squared errors when the parameters of a group are fitted: H's diagonal */
    const float *h; /* [cols][cols] borrowed: codes are refined when all are chosen; NULL: they are not */
    int32_t *order; /* [cols] column at each place, by falling H_jj; u is in that order, all else is not; NULL: as they are */
    enum qbc_fit how; /* parameters of groups: searched, unless it says otherwise */
    bool borrowed;  /* u is somebody else's */
    double damping; /* share of H's mean diagonal that was added; 0: H is of no use, `u` is NULL */
};

/* h f32 [cols][cols]: H = 2/T sum x^T x. Columns where H is 0 (never used) get 1. `damping`, a share of H's mean diagonal,
 * is added to the diagonal, ten times as much while that is not enough, at most all of it. False: no memory.
 * QBC_DAMPING is the usual share. Rows that are looked up as well as multiplied are used in ways that H does not know,
 * and get QBC_DAMPING_LOOKUP: measured on docs-4m's embedding, whose least loss is there. */
bool qbc_sweep_create(struct qbc_sweep *s, int64_t cols, const float *h, double damping, bool ordered);
#define QBC_DAMPING 0.01
#define QBC_DAMPING_LOOKUP 0.3
bool qbc_fit_sweeps(const char *fit); /* is -fit= one that chooses codes column by column? */
struct qbc_sweep_kind {
    enum qbc_fit how;      /* of a group's parameters */
    bool ordered, refined; /* by falling H_jj; codes changed afterwards */
};
struct qbc_sweep_kind qbc_sweep_kind(const char *fit); /* "gptq", "gptq-plain", "gptq-order", ... */
double qbc_damping(const char *role); /* of a weight: "embed" is looked up; NULL: none */
/* The diagonal of h, malloc'ed; NULL: no memory. */
float *qbc_sweep_weights(int64_t cols, const float *h);
void qbc_sweep_destroy(struct qbc_sweep *s);
/* A row [cols] in the order of s->order, which is there. */
void qbc_sweep_put_in_order(const struct qbc_sweep *s, const float *restrict from, float *restrict to);

/* Can the codes of this format be chosen column by column? Others are fitted with `weight` only. */
bool qbc_can_sweep(const struct qbc_format *f);
bool qbc_can_sweep_parts(const struct qbc_format *f); /* of a composite too */

/* What the columns of rows are rounded to, in the order of the sweep: a leaf for each segment of them, or a sum of leaves;
 * and entries of f16, as many in each row, beside these. */
struct qbc_segment {
    struct qbc_blocks *leaf[QBC_FORMAT_PARTS]; /* columns count from `first` */
    int n;
    int64_t first, cols; /* places in the sweep */
    int64_t stored;      /* and where they are stored */
};
struct qbc_swept {
    struct qbc_segment segment[QBC_FORMAT_PARTS];
    int n;
    const uint16_t *order; /* [cols] column of the tensor at each stored place, or NULL */
    struct qbc_blocks *sparse; /* whose values and indices they are, or NULL */
};
int64_t qbc_swept_column(const struct qbc_swept *b, int64_t place); /* of the tensor, at a place of the sweep */
/* Of blocks in a format that can be swept: a leaf, a sum of leaves with equal groups, columns split into such, or entries
 * beside all that. What is shared, `order` above all, was prepared. */
struct qbc_swept qbc_swept_of(struct qbc_blocks *b);
/* H in the order of the sweep, [cols][cols], from H; the same where there is no order. */
void qbc_swept_hessian(const struct qbc_swept *b, int64_t cols, const float *h, float *out);
int64_t qbc_gptq_swept(const struct qbc_sweep *s, const struct qbc_swept *b, int64_t row, int64_t n, float *w, double *loss);

/* qbc_gptq where the sweep has an order: parameters of all groups are those of the weights as they came, and each column
 * stays in its group (act-order with static groups). */
int64_t qbc_gptq_ordered(const struct qbc_sweep *s, struct qbc_blocks *b, int64_t row, int64_t n, float *w, double *loss);

/* Codes of rows that were chosen for w f32 [n][cols], changed while that lowers the rows' losses by s->h. False: no memory. */
bool qbc_refine(const struct qbc_sweep *s, const struct qbc_blocks *b, int64_t row, int64_t n, const float *w);

/* As qbc_format_fit_weighted for rows [row, row + n) of b, with w f32 [n][cols], which is used up. *loss (NULL: not wanted)
 * becomes sum (w - q)^2 / (2 U_jj^2) over what was rounded: half of (w - q) H (w - q)^T, near enough. */
int64_t qbc_gptq(const struct qbc_sweep *s, struct qbc_blocks *b, int64_t row, int64_t n, float *w, double *loss);

#endif
