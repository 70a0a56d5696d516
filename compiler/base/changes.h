/* changes.h: weights that transforms changed. The file's tensor stays where it is; what is done to it is in the IR, and
 * happens when the weight is read:
 *
 *   "qb.weight"() {name = "0.attn_q", ..., changes = [{scale = array<f32: 2.0, 0.5, ...>}, {rotate = 64 : i64}]}
 *
 * Changes are done in their order. Each is of the vectors along the columns (so, of each row), or with {along = "rows"} of
 * those along the rows. {scale}: element i times scale[i]. {add}: plus add[i]. {rotate = n}: runs of n elements as v Q, Q a
 * Hadamard matrix (hadamard.h); {transposed}: v Q^T. {rotate = n, matrix = "name"}: by a stored f32 [n, n], or
 * [runs, n, n], for each run its own. It may be in the module: {qb.matrices = {name = array<f32: ...>}}.
 *
 * A qb.weight with {values = array<f32: ...>} has these and no tensor.
 */
#ifndef QBC_CHANGES_H
#define QBC_CHANGES_H

#include "base.h"

struct qbc_changed;
struct qbc_changed_cache;

/* All of a compilation. */
struct qbc_changes {
    struct qbc_changed *list;
    struct qbc_changed_cache *cache;
};
void qbc_changes_destroy(struct qbc_changes *changes);

/* With a view of what is stored: the view of what the weight is. False after an error. */
bool qbc_changed_view(struct qbc *q, MlirOperation weight, struct qbc_view *view);
void qbc_changed_read(struct qbc_changed *changed, int64_t row, int64_t rows, float *out);
void qbc_changed_release(struct qbc_changed *changed);
/* The source of {values}; NULL: the weight has none. */
const struct qbc_source *qbc_values_source(struct qbc *q, MlirOperation weight);

/* One more change, behind those that there are. */
enum qbc_axis { QBC_ALONG_COLS, QBC_ALONG_ROWS };
void qbc_change_scale(struct qbc *q, MlirOperation weight, enum qbc_axis axis, const float *scale, int64_t n);
void qbc_change_add(struct qbc *q, MlirOperation weight, enum qbc_axis axis, const float *add, int64_t n);
void qbc_change_rotate(struct qbc *q, MlirOperation weight, enum qbc_axis axis, int64_t order, const char *matrix,
                       bool transposed);
/* A matrix [.., n] of f32 by which weights may be turned, for this compilation and in what is printed of the module. */
void qbc_matrix_add(struct qbc *q, MlirOperation module, const char *name, const float *values, size_t n);
void qbc_matrices_take(struct qbc *q, MlirOperation module); /* those of a module that was read from a file */
/* A vector, or a matrix, of these numbers as a weight. */
MlirValue qbc_values(struct qbc_build *b, const char *name, const float *values, int64_t n);
MlirValue qbc_matrix_values(struct qbc_build *b, const char *name, const float *values, int64_t rows, int64_t cols);

#endif
