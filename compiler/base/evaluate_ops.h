/* evaluate_ops.h: what an operation of the evaluator sees. evaluate.def has one row an operation;
 * a row's function gives each result a shape, and numbers where it has them. It returns false after
 * qbc_ev_fail: then not even the shape can be told.
 */
#ifndef QBC_EVALUATE_OPS_H
#define QBC_EVALUATE_OPS_H

#include "evaluate.h"

enum { QBC_EV_MOST_OPERANDS = 256, QBC_EV_LARGEST = 1 << 24, QBC_EV_LARGEST_WEIGHT = 1 << 20 };

struct qbc_ev;

struct qbc_ev_row {
    const char *name; /* "Shape", "com.microsoft.RotaryEmbedding", "qb.linear" */
    bool (*run)(struct qbc_ev *c);
    float (*float1)(float x); /* for the elementwise functions below */
    int64_t (*int1)(int64_t x);
    float (*float2)(float x, float y);
    int64_t (*int2)(int64_t x, int64_t y);
    bool (*test_float)(float x, float y);
    bool (*test_int)(int64_t x, int64_t y);
};

struct qbc_ev {
    struct qbc_evaluation *e;
    const struct qbc_ev_row *row;
    MlirOperation op;
    int64_t opset;   /* of the default domain */
    bool now, later; /* numbers are wanted now; they are left for later: evaluate.c */
    size_t n_in, n_out;
    struct qbc_array **in; /* NULL: left out. Numbers only after qbc_ev_known */
    struct qbc_array *out;
};

/* Looks up a row; NULL when there is none. `name` as MLIR has it: "onnx.Shape". */
const struct qbc_ev_row *qbc_ev_find(const char *name);

/* --- evaluate.c */
bool qbc_ev_fail(struct qbc_ev *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *qbc_ev_alloc(struct qbc_evaluation *e, size_t bytes); /* zeroed; lives as long as e */
const char *qbc_ev_text(struct qbc_evaluation *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int64_t qbc_ev_tokens(const struct qbc_evaluation *e);
int64_t qbc_ev_past(const struct qbc_evaluation *e);
struct qbc *qbc_ev_context(const struct qbc_evaluation *e);
/* Operand i has numbers (weights are read now). All operands that are there have. */
bool qbc_ev_known(struct qbc_ev *c, size_t i);
bool qbc_ev_all_known(struct qbc_ev *c);
/* About to take that many steps; false: too much, leave the numbers unknown. */
bool qbc_ev_work(struct qbc_ev *c, size_t steps);

/* --- evaluate_argument.c */
/* "P + T", "4", "2*T - 1": a sum of numbers and symbols. */
bool qbc_ev_affine(const struct qbc_evaluation *e, MlirStringRef text, int64_t *out);
/* Fills a; or says why that cannot be. */
const char *qbc_ev_argument(struct qbc_evaluation *e, MlirOperation func, MlirValue v,
                            struct qbc_array *a);

/* --- evaluate_array.c */
bool qbc_ev_count(struct qbc_array *a); /* n from dims; false: too many */
bool qbc_ev_make_room(struct qbc_evaluation *e, struct qbc_array *a);
/* Operand i is there. */
bool qbc_ev_has(const struct qbc_ev *c, size_t i);
/* Fails unless at least n operands are there. */
bool qbc_ev_wants(struct qbc_ev *c, size_t n);
/* Give result i (0 if the operation has fewer) its shape. */
bool qbc_ev_shape(struct qbc_ev *c, size_t i, enum qbc_element element, size_t rank,
                  const int64_t *dims);
bool qbc_ev_shape_like(struct qbc_ev *c, size_t i, enum qbc_element element,
                       const struct qbc_array *like);
/* Room for the numbers of result i, which is known from now on; false: too many, leave it. */
bool qbc_ev_numbers(struct qbc_ev *c, size_t i);
/* Result 0 is operand 0 with other dims; numbers are shared. */
bool qbc_ev_alias(struct qbc_ev *c, size_t rank, const int64_t *dims);

/* --- evaluate_read.c: attributes and operands that say how */
int64_t qbc_ev_int(struct qbc_ev *c, const char *name, int64_t fallback);
float qbc_ev_float(struct qbc_ev *c, const char *name, float fallback);
/* array<i64> attribute; SIZE_MAX when absent, at most QBC_EV_MOST_OPERANDS numbers. */
size_t qbc_ev_int_list(struct qbc_ev *c, const char *name, int64_t *out);
/* A list that is an operand (newer opsets), an attribute (older ones), or an attribute of texts
 * like "P + T" (after fold-shapes). *n = SIZE_MAX: not there. */
bool qbc_ev_list(struct qbc_ev *c, size_t operand, const char *name, int64_t *out, size_t *n);
/* Element of a dense attribute of any kind, as its array. */
bool qbc_ev_dense(struct qbc_evaluation *e, MlirAttribute dense, struct qbc_array *out);
/* A weight's numbers, of any rank. */
bool qbc_ev_read_weight(struct qbc_evaluation *e, MlirOperation weight, struct qbc_array *array);
/* Makes axis count from the front; false when it is outside. */
bool qbc_ev_axis(int64_t *axis, size_t rank);
double qbc_ev_get(const struct qbc_array *a, size_t i);
void qbc_ev_put(struct qbc_array *a, size_t i, double value);

/* --- evaluate_cast.c */
int64_t qbc_ev_wrap(int64_t x, enum qbc_element element); /* the low bits that fit */
int64_t qbc_ev_to_int(float x, enum qbc_element element);

/* --- evaluate_walk.c: indices of arrays */
const char *qbc_ev_dims_text(struct qbc_evaluation *e, const struct qbc_array *a); /* "[1, 4]" */
bool qbc_ev_broadcast(struct qbc_ev *c, size_t n, struct qbc_array *const *arrays, size_t *rank,
                      int64_t *dims);
/* Row-major strides of a, in elements. */
void qbc_ev_strides(const struct qbc_array *a, int64_t *strides);
/* The same for a walk over `rank` dims that a is broadcast to: 0 where it repeats. */
void qbc_ev_broadcast_strides(const struct qbc_array *a, size_t rank, int64_t *strides);
/* A walk over all indices of dims, row-major, that keeps offsets into up to three arrays. */
struct qbc_ev_walk {
    size_t rank;
    int64_t dims[QBC_MAX_RANK], index[QBC_MAX_RANK];
    int64_t stride[3][QBC_MAX_RANK], at[3];
};
void qbc_ev_walk_start(struct qbc_ev_walk *w, size_t rank, const int64_t *dims);
void qbc_ev_walk_next(struct qbc_ev_walk *w);
void qbc_ev_copy(struct qbc_array *to, size_t to_index, const struct qbc_array *from,
                 size_t from_index);
/* Result i[index] = operand 0[offset + index . strides], over the result's dims. */
void qbc_ev_strided(struct qbc_ev *c, size_t i, int64_t offset, const int64_t *strides);

/* The functions of the rows; a name that several rows share is declared again. */
bool qbc_ev_unary(struct qbc_ev *c);
bool qbc_ev_binary(struct qbc_ev *c);
bool qbc_ev_variadic(struct qbc_ev *c);
bool qbc_ev_compare(struct qbc_ev *c);
#define OP(name, function) bool qbc_ev_##function(struct qbc_ev *c);
#define UNARY(name, on_float, on_int)
#define BINARY(name, on_float, on_int)
#define VARIADIC(name, on_float, on_int)
#define COMPARE(name, test)
#include "evaluate.def"
#undef OP
#undef UNARY
#undef BINARY
#undef VARIADIC
#undef COMPARE

#endif
