/* edges.h: what products read, and what is known of it. */
#ifndef QBC_EDGES_H
#define QBC_EDGES_H

#include "base.h"

/* A row that products with stored matrices read, and nothing else does; the matrices are used nowhere else, and are not
 * held as codes. */
struct qbc_edge {
    MlirValue x;
    int64_t cols;
    MlirOperation *linear, *weight; /* [n] */
    size_t n;
    const char *name;   /* of the first weight */
    float *peak, *mean; /* [cols] of |x|, once calibrated */
    float low, high;    /* of all x, and 0 */
    float *rows;        /* [n_rows][cols] some of the rows, from all of the text */
    int64_t n_rows;
    int64_t shared;     /* heads that read the same values: runs of `head` columns that must be scaled alike; 1: none */
    int64_t head;
};

struct qbc_edges {
    struct qbc_edge *edge; /* [n] */
    size_t n;
};

/* ALL: whatever products with stored matrices read, also where something else does, or where matrices are used elsewhere:
 * to be looked at, not to be changed. */
enum qbc_which_edges { QBC_EDGES_OWN, QBC_EDGES_ALL };
struct qbc_edges qbc_edges_find(struct qbc *q, MlirOperation graph, enum qbc_which_edges which);
/* Read the text and fill in peak, mean and rows (H's: hessians.h). False after an error. */
bool qbc_edges_learn(struct qbc *q, MlirOperation graph, struct qbc_edges *edges);
void qbc_edges_destroy(struct qbc_edges *edges);

#endif
