/* fit_leaf.h: between the files of the fits. */
#ifndef QBC_FIT_LEAF_H
#define QBC_FIT_LEAF_H

#include "search.h"

/* As qbc_format_fit_weighted, for any leaf but floats. */
int64_t qbc_fit_leaf(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w, const float *h);

/* fit_vectors.c */
void qbc_prepare_vectors(struct qbc_blocks *b, int64_t n, const float *w, const float *h);
int64_t qbc_fit_vectors(struct qbc_blocks *b, int64_t row, int64_t n, const float *w);

/* compose_fit.c */
bool qbc_prepare_composite(struct qbc_blocks *b, int64_t n, const float *w, const float *h);
int64_t qbc_fit_composite(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w, const float *h);

#endif
