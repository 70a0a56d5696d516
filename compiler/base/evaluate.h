/* evaluate.h: run level-0 operations on small concrete tensors.
 *
 * This is how the compiler finds out what a graph *means*, whatever its exporter wrote: choose
 * numbers for T (tokens of this call) and P (tokens already in the cache), evaluate, look at the
 * result. Shapes that hold for several (T, P) are affine in them; a mask is causal if its values
 * are; a chain of Reshape, Transpose, Expand and Slice is the index map that it does to an iota.
 *
 * An evaluation is lazy and remembers what it computed; as long as it lives, operations may be
 * added to the IR but none erased, because a value is remembered by its address. Arguments of the
 * function are bound from their attributes (below); anything may be bound to something else, which
 * cuts the graph there. Arrays whose numbers are not known (token ids, past keys, products with
 * large weights) still have a shape, and shapes flow through them.
 *
 * Arguments of @main at level 0 have {qb.input, qb.dims}, dims an array of strings, each a sum of
 * numbers, T and P ("4", "T", "P + T"; the batch is already 1), or "?" where the file leaves open
 * what cannot be told:
 *
 *   "tokens"     [1, T]       unknown ids
 *   "positions"  [1, T]       P .. P + T - 1
 *   "types"      [1, T]       zeros
 *   "mask"       [1, P + T]   all ones
 *   "past"       any          unknown floats
 *   "other"      any          unknown
 *
 * What an operation computes is a row of evaluate.def.
 */
#ifndef QBC_EVALUATE_H
#define QBC_EVALUATE_H

#include "base.h"

struct qbc_array {
    enum qbc_element element; /* QBC_F16, QBC_F64 ...: computed as f32; integers and bool as i64 */
    size_t rank;
    int64_t dims[QBC_MAX_RANK];
    size_t n;   /* elements */
    bool known; /* are there numbers? */
    float *f;   /* floating elements, row-major; NULL unless known */
    int64_t *i; /* integers and bool */
};

struct qbc_evaluation *qbc_evaluation_create(struct qbc *q, MlirOperation func, int64_t tokens,
                                             int64_t past);
void qbc_evaluation_destroy(struct qbc_evaluation *e); /* arrays it gave are gone then */
/* An array of these dims for `bind`; f or i allocated (zeroed) in the evaluation. */
struct qbc_array qbc_array_create(struct qbc_evaluation *e, enum qbc_element element, size_t rank,
                                  const int64_t *dims);
void qbc_evaluation_bind(struct qbc_evaluation *e, MlirValue v, struct qbc_array array);
/* NULL when even the shape cannot be told (an operation that is not in the table, or shapes that
 * do not fit: qbc_evaluation_problem says which operation and why; nothing is reported). */
const struct qbc_array *qbc_evaluate(struct qbc_evaluation *e, MlirValue v);
/* The same, but what is large keeps its numbers where they are: for shapes and small lists. */
const struct qbc_array *qbc_evaluate_small(struct qbc_evaluation *e, MlirValue v);
const char *qbc_evaluation_problem(struct qbc_evaluation *e, MlirOperation *where);
bool qbc_is_float(enum qbc_element element);

#endif
