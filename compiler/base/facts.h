/* facts.h: what a value is for several T (tokens of this call) and P (tokens in the cache).
 *
 * The graph is evaluated for a few pairs of T and P (evaluate.h). What agrees in all of them is
 * taken as a constant; what lies on a plane as a sum of numbers, T and P. There are more pairs than
 * unknowns, and one of them is the shortest call there is: one token and an empty cache.
 */
#ifndef QBC_FACTS_H
#define QBC_FACTS_H

#include "evaluate.h"

enum { QBC_PROBES = 5 };

struct qbc_probes {
    struct qbc *q;
    struct qbc_evaluation *e[QBC_PROBES];
};

struct qbc_facts {
    const struct qbc_array *a[QBC_PROBES];
};

struct qbc_probes qbc_probes_create(struct qbc *q, MlirOperation func);
void qbc_probes_destroy(struct qbc_probes *probes);

/* False when a shape cannot be told, or the number of dimensions depends on T or P. */
bool qbc_facts_of(const struct qbc_probes *probes, MlirValue v, struct qbc_facts *out);
bool qbc_facts_known(const struct qbc_facts *facts);    /* there are numbers */
bool qbc_facts_constant(const struct qbc_facts *facts); /* the same ones, bit for bit */
bool qbc_same_dims(const struct qbc_array *a, const struct qbc_array *b);
/* The type that holds for all: `?` where a dimension differs. */
MlirType qbc_facts_type(struct qbc *q, const struct qbc_facts *facts);

/* "P + T", "2*T - 1", "16": the sum that gives x for each probe; NULL when there is none. */
const char *qbc_affine(struct qbc *q, const int64_t x[QBC_PROBES]);
/* Dims, or the numbers of a list of integers, as an array of such texts (of a scalar: one text);
 * null when one of them is no such sum. */
MlirAttribute qbc_affine_dims(struct qbc *q, const struct qbc_facts *facts);
MlirAttribute qbc_affine_list(struct qbc *q, const struct qbc_facts *facts);

/* --- idle.c: which operand an operation of one used result, whose facts are given, gives as it is; -1: none */
intptr_t qbc_idle_operand(const struct qbc_probes *probes, MlirOperation op, const struct qbc_facts *result);

/* --- dense.c: an array's numbers as they lie in memory */
/* a->n * qbc_element_bytes(a->element) bytes, row-major, little-endian. */
void qbc_array_bytes(const struct qbc_array *a, void *out);
MlirAttribute qbc_array_dense(struct qbc *q, const struct qbc_array *a);

#endif
