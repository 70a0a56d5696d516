/* transform.h: changes of the model that leave its function as it is and make it easier to round: -transform=.
 *
 * A transform works on the graph (level "graph"), before formats are chosen: it scales or turns the values between two
 * operations, and the weights on both sides so that nothing changes. Weights themselves stay in the file; what is done to
 * them is done when they are read (compiler/base/changes.h).
 */
#ifndef QBC_TRANSFORM_H
#define QBC_TRANSFORM_H

#include "base.h"

struct qbc_transform {
    const char *name, *about;
    void (*run)(struct qbc *q, MlirOperation graph, const struct qbc_transform *self);
    /* of a diagonal: see diagonal.c */
    float least, most, step;
    int by;
    const char *where; /* of a rotation: insert_rotations.c */
};

/* All of options.transform, in their order. False after an error. */
bool qbc_transform_run(struct qbc *q, MlirOperation graph);
/* Complain about names that are none. */
void qbc_transform_check(struct qbc *q);
const struct qbc_transform *qbc_transform_at(size_t i); /* NULL: past the end */

/* --- ranges.c: what static activations are rounded between, where options.act asks for such. False after an error. */
bool qbc_static_ranges(struct qbc *q, MlirOperation graph);

/* --- cached.c: tables of vectors for keys and values, where -kv asks for some. False after an error. */
bool qbc_cached_learns(const struct qbc_options *o);
bool qbc_cached_learn(struct qbc *q, MlirOperation graph);

/* --- rotate.c */
void qbc_transform_rotate(struct qbc *q, MlirOperation graph, const struct qbc_transform *self);

/* --- clip.c */
void qbc_transform_clip(struct qbc *q, MlirOperation graph, const struct qbc_transform *self);

/* --- psot.c */
void qbc_transform_psot(struct qbc *q, MlirOperation graph, const struct qbc_transform *self);

/* --- diagonal.c */
void qbc_transform_diagonal(struct qbc *q, MlirOperation graph, const struct qbc_transform *self);

#endif
