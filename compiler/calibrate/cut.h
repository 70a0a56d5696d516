/* cut.h: parts of a graph (level "graph"): where it can be cut, what crosses, what its products read. */
#ifndef QBC_CUT_H
#define QBC_CUT_H

#include "stage.h"

/* Indices of the operations of @main whose results cross a cut, in order: where the block changes, one value crosses, and
 * the ids are used up. *n: how many. */
size_t *qbc_find_cuts(struct qbc *q, MlirOperation graph, size_t *n);
/* Of a copy of the graph only what lies between two cuts is kept (NULL: from the start, to the end); what comes in becomes
 * an argument, what goes out the result. stage->module is the copy; fills in its columns. */
void qbc_keep_part(struct qbc *q, const size_t *from, const size_t *to, struct qbc_stage *stage);
/* The inputs of its products are to be left in taps. */
void qbc_add_taps(struct qbc *q, struct qbc_stage *stage);
/* Where the taps of a compiled stage (level "code") lie in its state. */
void qbc_find_taps(struct qbc *q, struct qbc_stage *stage);

#endif
