/* general.h: models that are no language models, from level 0 to code.
 *
 * Each value of the graph is a tensor that either lies in memory, row-major, or is a function of the index that gives its
 * elements (`at`). Elementwise and moving operations make functions, which are written into the loops of whoever reads
 * them, so a chain of them is one loop and moves nothing; what is read often is computed into memory first (general.c
 * decides). Everything is scf, arith and llvm operations in one function
 *
 *     run(%step: ptr, %thread: i64)           runtime/abi/run.h says what it finds there
 *
 * Sizes are numbers where the compiler knows them and values where it does not.
 */
#ifndef QBC_GENERAL_H
#define QBC_GENERAL_H

#include "kernel.h"
#include "run_program.h"

struct general; /* general.c */

/* A size or another whole number: known, or an i64 of the program. */
struct g_size {
    int64_t n;
    MlirValue v; /* null: it is n */
};

/* A number of the program. Elements narrower than f32 are f32 as numbers, narrower than i8 are i8; bools are i1. */
struct g_num {
    MlirValue v;
    enum qbc_element element;
};

struct g_tensor;
typedef struct g_num (*g_at_function)(struct general *g, const struct g_tensor *t, const MlirValue *index);

struct g_tensor {
    enum qbc_element element;
    size_t rank;
    struct g_size size[QBC_MAX_RANK];
    MlirValue data;   /* where it lies: elements of qbc_element_bytes each, packed ones a byte each; null: nowhere */
    g_at_function at; /* NULL: it lies in memory, or is known */
    const void *user; /* of `at` */
    size_t depth;     /* functions that it goes through */
    const void *known; /* the compiler has its numbers, laid out like `data`; NULL: no */
};

/* An operation being lowered. */
struct g_op {
    struct general *g;
    MlirOperation op;
    const struct g_row *row;
    size_t n_in, n_out;
    struct g_tensor **in; /* NULL: left out */
    struct g_tensor **out;
};

struct g_row {
    const char *name; /* "Add", "com.microsoft.Gelu" */
    void (*lower)(struct g_op *o);
    bool reads_once; /* of each operand about as many elements as it has: it may be a function */
    const char *text; /* of elementwise ones: see expression.c */
    enum g_result { G_LIKE, G_LIKE_1, G_BOOL } result; /* whose element the result has */
};
const struct g_row *g_row_find(const char *name); /* rows.c; NULL: there is none */

/* The functions of rows.def. */
void g_lower_map(struct g_op *o);
#define MAP(name, result, text)
#define ROW(name, function, once) void g_lower_##function(struct g_op *o);
#include "rows.def"
#undef MAP
#undef ROW

struct g_map; /* map.c */
struct general {
    struct qbc_kernel k;
    struct qbc *q;
    MlirOperation module;
    MlirOperation op; /* being lowered, for messages */
    int64_t opset;
    MlirValue weights, arena, run; /* pointers */
    int64_t arena_bytes, weight_bytes;
    struct qbc_run_weight *weight; /* [n_weights] */
    size_t n_weights, weights_room;
    struct g_map *tensors; /* value -> struct g_tensor */
    struct qbc_evaluation *evaluation;
    int in_loop; /* code that may run any number of times is being written */
};

/* --- general.c */
void g_lower_block(struct general *g, MlirBlock block);
struct g_tensor *g_value(struct general *g, MlirValue v); /* NULL: an error was told */
void g_bind(struct general *g, MlirValue v, struct g_tensor *t);
/* The operation is not supported for this reason; its results stay empty. */
void g_refuse(struct g_op *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- known.c */
void g_remember(struct general *g, MlirValue v, const struct g_tensor *t); /* for what is computed from it */
bool g_fold_known(struct g_op *o); /* true: all results are there, known */

/* --- operands.c: operands are there and have ranks that the lowering takes; else refused */
bool g_operands_fit(struct g_op *o);

/* --- map.c */
struct g_map *g_map_create(struct qbc *q);
void *g_map_get(const struct g_map *map, const void *key);
void g_map_put(struct qbc *q, struct g_map *map, const void *key, void *value);

/* --- size.c */
struct g_size g_size(int64_t n);
struct g_size g_size_of(MlirValue v);
bool g_is_known(struct g_size s);
bool g_is(struct g_size s, int64_t n); /* known to be n */
bool g_same(struct g_size a, struct g_size b); /* known to be equal */
MlirValue g_i64(struct general *g, struct g_size s);
struct g_size g_plus(struct general *g, struct g_size a, struct g_size b);
struct g_size g_minus(struct general *g, struct g_size a, struct g_size b);
struct g_size g_times(struct general *g, struct g_size a, struct g_size b);
struct g_size g_over(struct general *g, struct g_size a, struct g_size b); /* rounded towards zero */
struct g_size g_min_size(struct general *g, struct g_size a, struct g_size b);
struct g_size g_max_size(struct general *g, struct g_size a, struct g_size b);
struct g_size g_count(struct general *g, const struct g_tensor *t); /* of elements */
int64_t g_known_count(const struct g_tensor *t); /* -1: not known */
bool g_known_sizes(const struct g_tensor *t);

/* --- number.c: arithmetic on numbers. Operands of one operation have the same element. */
MlirType g_type(struct general *g, enum qbc_element element); /* as a number */
enum qbc_element g_number_element(enum qbc_element element);  /* f16 -> f32, i4 -> i8 */
bool g_is_float(enum qbc_element element);
bool g_is_unsigned(enum qbc_element element);
int g_bits(enum qbc_element element);
struct g_num g_const(struct general *g, enum qbc_element element, double value);
struct g_num g_int(struct general *g, enum qbc_element element, int64_t value);
struct g_num g_index(struct general *g, MlirValue i64); /* as an i64 number */
enum g_binary { G_ADD, G_SUB, G_MUL, G_DIV, G_REM, G_AND, G_OR, G_XOR, G_SHL, G_SHR, G_MIN, G_MAX };
struct g_num g_do(struct general *g, enum g_binary what, struct g_num a, struct g_num b);
enum g_compare { G_EQ, G_NE, G_LT, G_LE, G_GT, G_GE };
struct g_num g_compare(struct general *g, enum g_compare how, struct g_num a, struct g_num b);
struct g_num g_select(struct general *g, struct g_num which, struct g_num a, struct g_num b);
struct g_num g_not(struct general *g, struct g_num a); /* bits, or truth */
struct g_num g_neg(struct general *g, struct g_num a);
/* To another element's numbers: towards zero, wrapping. */
struct g_num g_convert(struct general *g, struct g_num a, enum qbc_element element);
MlirValue g_truth(struct general *g, struct g_num a); /* i1: not zero */

/* --- narrow.c: elements narrower than their numbers, in memory */
struct g_num g_load(struct general *g, enum qbc_element element, MlirValue data, MlirValue index);
void g_store(struct general *g, enum qbc_element element, struct g_num value, MlirValue data, MlirValue index);
/* f32 or f64 to the bits of a narrow float, an i32; to nearest even. `saturate`: beyond the largest is the largest. */
MlirValue g_encode(struct general *g, enum qbc_element element, struct g_num value, bool saturate);
MlirValue g_bits_of(struct general *g, enum qbc_element element, MlirValue data, MlirValue index); /* as they lie there */
/* The number that is left of `value` when an element keeps it. */
struct g_num g_round_to(struct general *g, enum qbc_element element, struct g_num value);

/* --- functions.c: of one number, f32 or f64; NaN where there is none */
struct g_num g_call(struct general *g, const char *name, struct g_num x); /* "exp", "sin", ...: see functions.c */
bool g_has_function(const char *name);
struct g_num g_power(struct general *g, struct g_num x, struct g_num y);

/* --- expression.c: "x / (1 + exp(-x))" as operations; x, y, z, w are the arguments */
struct g_num g_expression(struct g_op *o, const char *text, size_t n, const struct g_num *arguments);
/* The same of tensors, as a function with broadcasting. */
struct g_tensor *g_map_tensors(struct g_op *o, const char *text, enum qbc_element element, size_t n,
                               struct g_tensor *const *in);

/* --- tensor.c */
struct g_tensor *g_new(struct general *g, enum qbc_element element, size_t rank, const struct g_size *size);
struct g_tensor *g_new_like(struct general *g, enum qbc_element element, const struct g_tensor *like);
/* A tensor that `at` computes. */
struct g_tensor *g_function(struct general *g, enum qbc_element element, size_t rank, const struct g_size *size,
                            g_at_function at, const void *user, size_t depth);
/* Memory, contents unspecified. */
MlirValue g_memory(struct general *g, struct g_size bytes);
void g_allocate(struct general *g, struct g_tensor *t);
/* Into memory, if it is not there. */
struct g_tensor *g_solid(struct general *g, struct g_tensor *t);
/* Into these bytes, which become its place. */
void g_write_to(struct general *g, struct g_tensor *t, MlirValue data);
/* Numbers of the compiler: n of the element's size. Copied. */
struct g_tensor *g_known(struct general *g, enum qbc_element element, size_t rank, const int64_t *dims, const void *data);
struct g_tensor *g_known_ints(struct general *g, size_t n, const int64_t *values);
MlirValue g_constant_data(struct general *g, const void *data, size_t bytes); /* where they lie; borrowed for good */
struct g_num g_at(struct general *g, const struct g_tensor *t, const MlirValue *index);
struct g_num g_at_n(struct general *g, const struct g_tensor *t, size_t n, ...); /* n values */
struct g_num g_at_flat(struct general *g, const struct g_tensor *t, MlirValue index); /* of a solid one */
/* Elements of a small tensor as whole numbers: known, or read. */
struct g_size g_element(struct general *g, const struct g_tensor *t, int64_t i);
bool g_known_number(const struct g_tensor *t, int64_t i, double *out);
bool g_known_int(const struct g_tensor *t, int64_t i, int64_t *out);
MlirValue g_flat(struct general *g, const struct g_tensor *t, const MlirValue *index);
void g_put(struct general *g, struct g_tensor *t, const MlirValue *index, struct g_num value); /* converts */
void g_put_flat(struct general *g, struct g_tensor *t, MlirValue index, struct g_num value);
/* Where its elements are read with the index of a larger one (NumPy's rule). */
void g_broadcast_index(struct general *g, const struct g_tensor *t, size_t rank, const MlirValue *index, MlirValue *out);
/* The sizes of n tensors together; false: they do not fit. */
bool g_broadcast(struct g_op *o, size_t n, struct g_tensor *const *in, size_t *rank, struct g_size *size);
/* The same elements in another shape. */
struct g_tensor *g_reshaped(struct general *g, struct g_tensor *t, size_t rank, const struct g_size *size);
/* Axis from the front; false: outside (refused). */
bool g_axis(struct g_op *o, int64_t *axis, size_t rank);
/* Of the first axes of x, where the program says which: what is before it, the axis, what is behind it. The axis, from the front. */
struct g_num g_around_axis(struct general *g, const struct g_tensor *x, struct g_tensor *axis, size_t axes, struct g_size *three);

/* --- helpers that families share, each in the file of its family */
struct g_tensor *g_product(struct g_op *o, struct g_tensor *a, struct g_tensor *b, bool a_transposed, bool b_transposed,
                           enum qbc_element sum, const struct g_tensor *a_zero, const struct g_tensor *b_zero);
struct g_tensor *g_reduce(struct g_op *o, const char *name, struct g_tensor *x, const bool *axis, bool keep); /* solid */
struct g_tensor *g_softmax(struct g_op *o, struct g_tensor *x, const bool *axis, bool logarithm); /* x solid */
struct g_tensor *g_transposed(struct general *g, struct g_tensor *x, const int64_t *order);
struct g_tensor *g_part(struct general *g, struct g_tensor *x, size_t axis, struct g_size from, struct g_size n);
struct g_tensor *g_for_heads(struct general *g, struct g_tensor *x, struct g_size heads); /* [B, fewer, S, D]: shared in order */
MlirBlock g_body(struct g_op *o, const char *name); /* of a subgraph; null: there is none */
struct g_tensor *g_body_result(struct general *g, MlirBlock body, size_t i); /* solid, once it was lowered; NULL after an error */
bool g_shape_operand(struct g_op *o, size_t i, size_t *rank, struct g_size *size);
/* To a narrow float where what is too large becomes infinite, or NaN. */
struct g_tensor *g_unsaturated(struct g_op *o, struct g_tensor *t);
/* An attribute that is a tensor; NULL: absent. */
struct g_tensor *g_attr_tensor(struct g_op *o, const char *name);

/* Ends the run where the condition holds. */
void g_fail_if(struct general *g, MlirValue condition, int64_t code);
/* From the front, inside of n, or the run ends. */
MlirValue g_checked_index(struct general *g, struct g_num index, struct g_size n);

/* --- loops.c */
struct g_nest {
    size_t rank;
    MlirValue index[2 * QBC_MAX_RANK];
    struct k_loop loop[2 * QBC_MAX_RANK];
};
/* for all indices of these sizes; between begin and end, operations go into the body */
void g_begin(struct general *g, struct g_nest *nest, size_t rank, const struct g_size *size);
void g_end(struct general *g, struct g_nest *nest);
/* A sum (or another fold) over all indices of these sizes: n numbers go through; body gives the next. */
typedef void (*g_fold_body)(struct general *g, void *user, const MlirValue *index, struct g_num *carried);
void g_fold(struct general *g, size_t rank, const struct g_size *size, size_t n, struct g_num *carried,
            g_fold_body body, void *user);
/* if (condition): begin, body, end */
struct k_loop g_if(struct general *g, MlirValue condition);
void g_end_if(struct general *g, struct k_loop *l);
/* An if with a number: `yes` gives it where the condition holds, else it is `otherwise`. */
struct g_num g_guarded(struct general *g, MlirValue condition, struct g_num (*yes)(struct general *g, void *user), void *user,
                       struct g_num otherwise);

/* --- calling out: run.c */
MlirValue g_field(struct general *g, int64_t offset, MlirType type); /* of struct qbrt_run */

/* --- attributes of the operation */
int64_t g_attr_int(struct g_op *o, const char *name, int64_t fallback);
double g_attr_float(struct g_op *o, const char *name, double fallback);
const char *g_attr_text(struct g_op *o, const char *name, const char *fallback);
const char *g_attr_list_text(struct g_op *o, const char *name, size_t i, const char *fallback); /* of a list of texts */
size_t g_attr_ints(struct g_op *o, const char *name, const int64_t **out); /* 0: absent or empty */
bool g_has_attr(struct g_op *o, const char *name);
/* A list that is operand i, or an attribute; SIZE_MAX: neither, or not known. */
size_t g_list(struct g_op *o, size_t i, const char *name, int64_t *out, size_t most);
/* Is operand i there? */
bool g_has(const struct g_op *o, size_t i);
/* Rank and sizes that the model declares for result i, QBC_ANY where it does not; false: not even the rank. */
bool g_declared(struct g_op *o, size_t i, size_t *rank, int64_t *dims);
enum qbc_element g_declared_element(struct g_op *o, size_t i, enum qbc_element fallback);

#endif
