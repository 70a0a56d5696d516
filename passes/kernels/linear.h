/* linear.h: between linear.c and the kinds of arithmetic. */
#ifndef QBC_LINEAR_H
#define QBC_LINEAR_H

#include "kernel.h"

enum {
    QBC_MOST_TOKENS = 16,
    QBC_MOST_PARTS = 16, /* registers of a chunk */
};

struct qbc_linear {
    struct qbc_kernel *k;
    const struct qbc_format *format;
    const struct qbc_tile *tile;
    struct qbc_packing packing;
    struct qbc_layout layout;
    int64_t depth;      /* K */
    int64_t multiplier; /* of QBC_ACT_MINUS in the activations' records */
    MlirValue from, to; /* the tokens to work on, in a step for several */
    /* vectors of a fixed length: */
    int rows;      /* of the panel, that are worked on at once: the tile's n */
    MlirValue row; /* the first of them in the panel, i64 */
    /* of any length: */
    int64_t lanes; /* of a vector's type */
    MlirValue vl;  /* how many rows a strip has */
};

/* m tokens from `token` on, with one panel's weights. */
typedef void (*qbc_linear_block)(struct qbc_linear *l, MlirValue panel, MlirValue token, int m);
/* All tokens from .. to - 1: full blocks of the tile's M, and the rest, less than M, by its bits. */
void qbc_linear_tokens(struct qbc_linear *l, MlirValue panel, qbc_linear_block block);
/* Tokens from .. to - 1 with this thread's share of the weights, where vectors are of any length (linear_axpy.c). */
void qbc_linear_axpy(struct qbc_linear *l);

/* For m tokens with rows x[m] and l->rows rows of the panel w: sums[m], f32 vectors of these. */
void qbc_linear_float(struct qbc_linear *l, int m, const MlirValue *x, MlirValue w, MlirValue *sums);
void qbc_linear_groups(struct qbc_linear *l, int m, const MlirValue *x, MlirValue w, MlirValue *sums);

/* Runs of QBC_ACT_GROUP columns (or fewer, of a smaller group) whose codes come from the same vectors. */
enum { QBC_MOST_RUNS = 2, QBC_MOST_SUMS = QBC_MOST_RUNS * QBC_MOST_TOKENS };
struct qbc_runs {
    MlirValue codes;              /* those of row l->row */
    int n, first[QBC_MOST_RUNS];  /* chunk that a run begins with */
    int chunks;                   /* of a run */
    MlirValue act[QBC_MOST_RUNS][QBC_MOST_TOKENS]; /* the activations' records */
};
/* out[run * m + token] = vectors of exact integers (i32, or f32 from linear_fma.c): sum of (code - bias) * activation
 * code; for zero-point formats sum of code * activation code. */
void qbc_linear_dot4(struct qbc_linear *l, int m, const struct qbc_runs *runs, MlirValue *out);
void qbc_linear_mull(struct qbc_linear *l, int m, const struct qbc_runs *runs, MlirValue *out);
void qbc_linear_mmla(struct qbc_linear *l, int m, const struct qbc_runs *runs, MlirValue *out);
void qbc_linear_fma(struct qbc_linear *l, int m, const struct qbc_runs *runs, MlirValue *out);

/* Where a sum of unsigned codes begins: -bias * sum(activation codes), which the quantizer left in the record, maybe
 * not multiplied; i32. 0 where the codes are signed, or the format has zero points. */
MlirValue qbc_linear_start(struct qbc_linear *l, MlirValue record);

/* Codes of one chunk: `bytes` bytes at `group`, which may point at one lane of it (unpack.c). */
MlirValue qbc_unpack_chunk(struct qbc_kernel *k, const struct qbc_layout *layout, MlirValue group,
                           int bytes, int chunk);
/* Where a chunk has one code of a row (packing depth 1): so many codes of the row whose first code is at `row`, from this
 * chunk on, a multiple of as many. */
enum { QBC_MOST_WIDTH = 32 };
int qbc_common_divisor(int a, int b); /* the greatest */
int qbc_unpack_width(const struct qbc_layout *layout);
MlirValue qbc_unpack_row(struct qbc_kernel *k, const struct qbc_layout *layout, MlirValue row, int chunk);

#endif
