/* base.h: what every part of the compiler shares. Prototypes are grouped by the file that defines
 * them. Everything takes the context `q` first; a function that can fail reports through the
 * diagnostics below and the caller looks at `q->errors`.
 */
#ifndef QBC_BASE_H
#define QBC_BASE_H

#include "../qbc.h" /* struct qbc_options, qbc_nearest */
#include "half.h"   /* qbc_half_to_float, qbc_float_to_half */

#include <mlir-c/IR.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qbc_target; /* targets/target.h */
struct qbc_format; /* dialects/format.h */
struct qbc_store;  /* store.c */

struct qbc {
    MlirContext mlir;
    const struct qbc_target *target;   /* the one that code is made for just now */
    const struct qbc_target **targets; /* [n_targets] all that were asked for, plainest first */
    size_t n_targets;
    struct qbc_options options; /* what the user asked for; qbc_compile fills in the defaults */
    const struct qbc_extension **extensions; /* [n_extensions], see extension.h */
    void **handles;                          /* [n_extensions] of shared objects; NULL: not loaded by us */
    size_t n_extensions;
    const struct qbc_pass *passes; /* the pipeline with that of extensions, once it was asked for */
    struct qbc_store *store;
    const char *calibrated, *chosen, *learned; /* for the artifact's record: with what text, by what rule, a transform's result; NULL: not */
    const char *judged;              /* by what text its quality is told; NULL: not */
    struct qbc_hessians *hessians; /* NULL: nobody calibrated (compiler/fit/hessians.h) */
    struct qbc_changes *changes;   /* NULL: no weight is changed (changes.h) */
    struct qbc_factor *factors;    /* made of them (compiler/fit/sweeps.h) */
    const char **inputs; /* [n_inputs] files that were read */
    size_t n_inputs, inputs_room;
    struct qbc_block_of_memory *memory; /* the arena: freed by qbc_close */
    struct qbc_known_format *formats;   /* those seen so far (formats.c) */
    size_t errors;
    size_t warnings;
    bool stopped; /* options.stop said so; counts as an error */
    bool quick; /* code for tests: little time for LLVM */
    bool keeps;   /* options.resume names a folder that fits (compiler/emit/kept.h) */
    bool missed;  /* the output is worse than a bound allows */
};

/* --- context.c: open the MLIR context with our dialect (and upstream's) loaded. Safe from any thread. */
bool qbc_open(struct qbc *q);
void qbc_close(struct qbc *q);
MlirModule qbc_parse_file(struct qbc *q, const char *path); /* null after an error */
/* LLVM's and MLIR's tables of targets and passes, of which a process has one: filled at most once. */
void qbc_initialize_llvm(void);

/* --- inputs.c: to be called with the path of every file that is read */
void qbc_note_input(struct qbc *q, const char *path);

/* --- find.c: rows of targets.def and of extensions, by name or by number */
const struct qbc_target *qbc_find_target(const struct qbc *q, const char *name); /* NULL: no such one */
const struct qbc_target *qbc_listed_target(const struct qbc *q, size_t i); /* NULL: past the end */

/* --- arena.c: memory that lives as long as `q`. Zeroed; never NULL: see qbc_out_of_memory. */
void *qbc_alloc(struct qbc *q, size_t bytes);
char *qbc_text(struct qbc *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *qbc_copy(struct qbc *q, const char *text, size_t length); /* with a final NUL */
void qbc_arena_free(struct qbc *q);

/* --- diagnostics.c: "model.onnx:node: error: what" the way clang prints; errors are counted. */
void qbc_error(struct qbc *q, MlirOperation op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void qbc_warn(struct qbc *q, MlirOperation op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void qbc_warn_slow(struct qbc *q, MlirOperation op, const char *format, ...) /* -Wslow-path: why it will be slow */
    __attribute__((format(printf, 3, 4)));
void qbc_note(struct qbc *q, MlirOperation op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* For faults that no operation stands for; `where` is a file, an option, ... */
void qbc_error_in(struct qbc *q, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* For what was asked for, and is no fault. */
void qbc_remark_in(struct qbc *q, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void qbc_warn_in(struct qbc *q, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool qbc_one_of(const char *word, const char *const *words); /* ends with NULL */
/* "nearest" with what to say around it: "; did you mean 'x'?", or `otherwise`. */
const char *qbc_suggestion(struct qbc *q, const char *wrong, const char *const *names, const char *otherwise);
void qbc_diagnostics_attach(struct qbc *q);
/* Tells the user how far long work is; call as often as you like. */
void qbc_progress(struct qbc *q, const char *what, size_t done, size_t total);
/* Does the user want to stop? Then this counts as an error; say nothing and return. */
bool qbc_stop(struct qbc *q);
/* Tells the user and ends the process: every allocation of the compiler that fails comes here. */
void qbc_out_of_memory(const struct qbc *q, size_t bytes) __attribute__((noreturn));

/* --- ir.c: reading and changing operations */
struct qbc_ops {
    MlirOperation *op;
    size_t n;
};

MlirStringRef qbc_str(const char *s);
const char *qbc_op_name(MlirOperation op); /* "qb.linear"; lives as long as the context */
bool qbc_is(MlirOperation op, const char *name);
MlirOperation qbc_def(MlirValue v, const char *name); /* what defines v if it is a `name`, else null */
MlirOperation qbc_def_any(MlirValue v);               /* null for block arguments */
struct qbc_ops qbc_collect(struct qbc *q, MlirOperation root, const char *name); /* NULL: all */
void qbc_each(struct qbc *q, MlirOperation root, const char *name,
              void (*visit)(struct qbc *q, MlirOperation op)); /* collects first: visit may erase */
size_t qbc_uses(MlirValue v);
void qbc_replace(MlirOperation op, MlirValue with); /* all uses of op's only result; erases op */
void qbc_sweep(struct qbc *q, MlirOperation op); /* erase op if unused, then what only it used */
void qbc_sweep_all(struct qbc *q, MlirOperation root); /* every op in root that is unused and pure */
MlirOperation qbc_find_func(MlirOperation module, const char *name); /* func.func, null if absent */
MlirBlock qbc_func_body(MlirOperation func);
MlirOperation qbc_last_of(MlirBlock body);             /* null: it is empty. Where MLIR knows no terminator: of ONNX's graphs */
MlirOperation qbc_splice(MlirBlock body, MlirOperation at); /* all but the last one go before `at`; the last one, which stays */
MlirOperation qbc_module_op(MlirOperation op);         /* the builtin.module around op, or op */

/* attributes; `fallback` when absent */
bool qbc_has(MlirOperation op, const char *name);
int64_t qbc_int(MlirOperation op, const char *name, int64_t fallback);
double qbc_float(MlirOperation op, const char *name, double fallback);
bool qbc_bool(MlirOperation op, const char *name, bool fallback);
const char *qbc_string(struct qbc *q, MlirOperation op, const char *name, const char *fallback);
size_t qbc_ints(struct qbc *q, MlirOperation op, const char *name, const int64_t **out);
size_t qbc_floats(struct qbc *q, MlirOperation op, const char *name, const float **out);
void qbc_set(MlirOperation op, const char *name, MlirAttribute value);
void qbc_set_int(struct qbc *q, MlirOperation op, const char *name, int64_t value); /* i64 */
void qbc_set_float(struct qbc *q, MlirOperation op, const char *name, float value); /* f32 */
void qbc_set_bool(struct qbc *q, MlirOperation op, const char *name, bool value);
void qbc_set_string(struct qbc *q, MlirOperation op, const char *name, const char *value);
void qbc_set_ints(struct qbc *q, MlirOperation op, const char *name, const int64_t *v, size_t n);
void qbc_set_floats(struct qbc *q, MlirOperation op, const char *name, const float *v, size_t n);
MlirAttribute qbc_attr_int(struct qbc *q, int64_t value);
MlirAttribute qbc_attr_float(struct qbc *q, float value);
MlirAttribute qbc_attr_string(struct qbc *q, const char *value);

/* types; QBC_ANY stands for `?` */
enum { QBC_ANY = -1 };
MlirType qbc_type(struct qbc *q, const char *text); /* parsed: "f32", "vector<16xf32>", "!llvm.ptr" */
MlirType qbc_tensor(struct qbc *q, MlirType element, size_t rank, const int64_t *dims);
MlirType qbc_tensor2(struct qbc *q, MlirType element, int64_t rows, int64_t cols);
size_t qbc_rank(MlirValue v);               /* 0 for what is no ranked tensor */
int64_t qbc_dim(MlirValue v, size_t i);     /* QBC_ANY when dynamic */
MlirType qbc_block_type(struct qbc *q, const char *format);           /* !qb.block<"i4g32"> */
const struct qbc_format *qbc_block_format(struct qbc *q, MlirValue v); /* NULL: not blocks, or unknown */

/* --- formats.c: block formats by name; equal names give equal pointers, which live as long as `q` */
const struct qbc_format *qbc_find_format(struct qbc *q, const char *name); /* NULL: no such format */
/* The same, with an error that says what is wrong with the name, and what is near. `where`: an option. */
const struct qbc_format *qbc_read_format(struct qbc *q, const char *where, const char *name);
/* Some that are worth knowing, and those of extensions. NULL: past the end. */
const struct qbc_format *qbc_listed_format(struct qbc *q, size_t i);

/* --- build.c: making operations. A builder is a place in a block and a location. */
struct qbc_build {
    struct qbc *q;
    MlirBlock block;
    MlirOperation before; /* null: at the end of the block */
    MlirLocation loc;
};

struct qbc_build qbc_before(struct qbc *q, MlirOperation op);
struct qbc_build qbc_after(struct qbc *q, MlirOperation op);
struct qbc_build qbc_at_end(struct qbc *q, MlirBlock block, MlirLocation loc);

struct qbc_attr {
    const char *name;
    MlirAttribute value;
};

/* The general form. `result` null: no result. `attrs` ends with {0}; may be NULL. */
MlirOperation qbc_make(struct qbc_build *b, const char *name, MlirType result,
                       const struct qbc_attr *attrs, size_t n, const MlirValue *operands);
/* The usual one: n operands follow as MlirValue; gives the (only) result. */
MlirValue qbc_op(struct qbc_build *b, const char *name, MlirType result, size_t n, ...);
/* An operation without result. */
MlirOperation qbc_do(struct qbc_build *b, const char *name, size_t n, ...);
/* An operation with regions and any number of results; each region gets one empty block whose
 * arguments have the types given, or none. */
struct qbc_region {
    size_t n_args;
    const MlirType *args;
    bool no_block;
};
MlirOperation qbc_make_regions(struct qbc_build *b, const char *name, size_t n_results,
                               const MlirType *results, const struct qbc_attr *attrs,
                               size_t n_operands, const MlirValue *operands, size_t n_regions,
                               const struct qbc_region *regions);
MlirBlock qbc_region_block(MlirOperation op, size_t region);
/* The only block of from's first region replaces that of to's; gives it. */
MlirBlock qbc_move_body(MlirOperation from, MlirOperation to);

/* --- store.c: weights stay in the mapped files; the IR knows them by name.
 *
 * A source is a tensor as the model file holds it. `data` points into a mapping (or the arena),
 * row-major, little-endian. The store owns the mappings.
 */
enum qbc_element {
    QBC_F32 = 1, /* the numbers are ONNX's TensorProto.DataType */
    QBC_U8 = 2,
    QBC_I8 = 3,
    QBC_U16 = 4,
    QBC_I16 = 5,
    QBC_I32 = 6,
    QBC_I64 = 7,
    QBC_BOOL = 9,
    QBC_F16 = 10,
    QBC_F64 = 11,
    QBC_U32 = 12,
    QBC_U64 = 13,
    QBC_BF16 = 16,
    QBC_F8E4M3FN = 17,
    QBC_F8E4M3FNUZ = 18,
    QBC_F8E5M2 = 19,
    QBC_F8E5M2FNUZ = 20,
    QBC_U4 = 21, /* from here on packed, low bits first */
    QBC_I4 = 22,
    QBC_F4E2M1 = 23,
    QBC_F8E8M0 = 24, /* a byte: a power of two */
    QBC_U2 = 25,
    QBC_I2 = 26
};
enum { QBC_MAX_RANK = 8 };

struct qbc_coded;   /* coded.h */
struct qbc_changed; /* changes.h */
struct qbc_source {
    const char *name;
    enum qbc_element element;
    size_t rank;
    int64_t dims[QBC_MAX_RANK];
    const void *data;
    size_t bytes;
    bool mapped; /* data lies in a file mapping, whose pages may be given back */
    const struct qbc_coded *coded; /* elements are codes with scales, floats in f32; NULL: plain */
    const struct qbc_stack *stack; /* rows of several views, f32; `data` is NULL then; NULL: it is none */
    struct qbc_changed *changed;   /* what a transform made of a view, f32; `data` is NULL then; NULL: nothing */
};

/* A weight is a strided view of a source: w[n][k] = source[offset + n*row_stride + k*col_stride],
 * in elements. A vector has rows = 1. In the IR:
 *   "qb.weight"() {name = "0.ffn_up", source = "onnx::MatMul_7", offset = 0 : i64,
 *                  strides = array<i64: 1, 160>} : () -> tensor<160x128xf32>
 * With {runs = array<i64: 16, 7680>} rows come in runs of 16 that are 7680 elements apart (of a vector: columns): heads of
 * queries, keys and values that lie mixed in one matrix.
 * With {blocks = {...}} (coded.h) the source holds codes, and the elements are what they stand for. With {changes = [...]}
 * (changes.h) they are scaled or turned when they are read.
 */
struct qbc_view {
    const struct qbc_source *source;
    int64_t rows, cols;
    int64_t offset, row_stride, col_stride;
    int64_t run, run_stride; /* rows, of a vector columns, in a run; 0: all are one */
};

/* --- stack.c: views of one shape, one after the other */
struct qbc_stack {
    const struct qbc_view *parts;
    size_t n;
    int64_t rows, cols; /* of each */
};
const char *qbc_stack_add(struct qbc *q, const struct qbc_view *parts, size_t n); /* the source's name; n > 0 */
void qbc_stack_read(const struct qbc_stack *stack, int64_t first, int64_t n, float *out); /* n elements, row-major */
void qbc_stack_release(const struct qbc_stack *stack);

struct qbc_store *qbc_store_create(struct qbc *q);
void qbc_store_destroy(struct qbc_store *store);
/* Map a file read-only; NULL after an error. The mapping lives as long as the store. */
const void *qbc_store_map(struct qbc *q, const char *path, size_t *bytes);
void qbc_store_add(struct qbc *q, struct qbc_source source); /* copies the struct */
const struct qbc_source *qbc_store_find(struct qbc *q, const char *name);
/* The source that a qb.weight names, codes included; NULL: there is none, or its blocks do not fit. */
const struct qbc_source *qbc_weight_source(struct qbc *q, MlirOperation weight);
int64_t qbc_source_elements(const struct qbc_source *source);
bool qbc_view_of(struct qbc *q, MlirOperation weight, struct qbc_view *out); /* false after an error */
/* rows x cols of the view as f32, row-major. Exact for f32, f16, bf16. */
void qbc_view_read(const struct qbc_view *view, int64_t row, int64_t rows, float *out);
/* Element of the source at a row and column. */
int64_t qbc_view_at(const struct qbc_view *view, int64_t row, int64_t col);
/* Tell the system that the pages of this view are not needed any more. */
void qbc_view_release(const struct qbc_view *view);
/* The same for some rows, where they lie in one piece; else nothing. */
void qbc_view_release_rows(const struct qbc_view *view, int64_t row, int64_t rows);
size_t qbc_element_bytes(enum qbc_element element); /* 1 for packed ones; 0: no element of ours */
int qbc_element_bits(enum qbc_element element);

/* --- element.c: element types as MLIR has them: f32, i64, i1, ui8, ... */
MlirType qbc_element_type(struct qbc *q, enum qbc_element element); /* null: no such element */
bool qbc_element_of(MlirType type, enum qbc_element *out);          /* false: not one of them */

/* --- narrow.c: floats of sixteen bits and fewer: sign, exponent, fraction. Where `infinite` is 0 there is no infinity. */
struct qbc_narrow {
    enum qbc_element element;
    int fraction, bias;             /* bits of the fraction */
    int32_t largest, nan, infinite; /* codes, without sign; nan -1: there is none */
    bool one_zero;                  /* the code of minus zero is NaN, the only one */
};
const struct qbc_narrow *qbc_narrow_of(enum qbc_element element); /* NULL: not one of them */
float qbc_narrow_to_float(enum qbc_element element, uint32_t code); /* e8m0 too */

/* --- evaluate.c: run imported operations on small concrete tensors; see evaluate.h */

#endif
