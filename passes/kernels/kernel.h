/* kernel.h: what the generators of kernels share.
 *
 * A kernel is generated from a qb.launch as one function
 *
 *     func @kernel_N(%step: ptr, %thread: i64, %rows: i64, operands: ptr...)
 *
 * that every thread calls; it takes its share by `thread` of `threads`. `rows` is how many tokens
 * there are to work on: a constant 1 in the step for one token. Operand pointers point at the first
 * row; launch attribute `row_bytes` has the distance between rows of each operand.
 *
 * Generators write scf, arith, math, vector and llvm operations; upstream lowers those. Vectors are as
 * wide as the work wants, and LLVM splits them into registers.
 */
#ifndef QBC_KERNEL_H
#define QBC_KERNEL_H

#include "base.h"
#include "format.h"
#include "packing.h"
#include "target.h"

/* Activations quantized for an integer product: per token, a record for each 32 columns. */
enum {
    QBC_ACT_GROUP = 32,  /* columns */
    QBC_ACT_MINUS = 0,   /* i32: minus the sum of the codes, times the launch's `multiplier` */
    QBC_ACT_SCALE = 4,   /* f32 */
    QBC_ACT_HALF = 8,    /* i32: as QBC_ACT_MINUS, of the first 16 codes */
    QBC_ACT_CODES = 12,  /* i8 [32], within -127 .. 127 */
    QBC_ACT_RECORD = 44, /* bytes */
    QBC_POSITIONS = 16,  /* positions that lie side by side in the key state */
    QBC_PIECE = 16       /* rows of weights: what threads share, where vectors are of any length */
};

/* --- cache.c: the state of one layer's keys or values, as cache.h says */
int64_t qbc_state_bytes(struct qbc *q, MlirOperation append, bool keys); /* of a launch */
int64_t qbc_ring_blocks(int64_t recent, int64_t chunk); /* of 16 positions, where so many are to be read as floats */
const char *qbc_format_lacks_cache(const struct qbc_format *f); /* why it cannot be a cache's, in a few words; NULL: it can */

/* A kernel being written: where the next operation goes, and types at hand. */
struct qbc_kernel {
    struct qbc *q;
    struct qbc_build b;
    MlirOperation launch;
    bool one; /* the step for one token: rows is 1 */
    MlirValue step, thread, threads, rows, pos;
    MlirValue operand[16];
    const int64_t *row_bytes;
    MlirType i1, i8, i16, i32, i64, f16, f32, f64, ptr;
    int lanes; /* f32 in a vector register */
};

struct qbc_generator {
    const char *name;
    void (*generate)(struct qbc_kernel *k);
    /* How the kernel splits an operand over threads; where two launches have the same words for one place,
     * a thread reads only what it wrote itself. NULL: every thread reads all of it. */
    const char *(*partition)(struct qbc *q, MlirOperation launch, intptr_t operand);
};

/* Rows of kernels.def. */
#define KERNEL(name, split) void qbc_kernel_##name(struct qbc_kernel *k);
#include "kernels.def"
#undef KERNEL
const struct qbc_generator *qbc_generator_find(const char *name);

/* The packing of a weight's tensor of `rows` rows for this target: which tile serves it, and how it lies. */
const struct qbc_tile *qbc_tile_for(const struct qbc_target *t, const struct qbc_format *f, int tokens);
/* How weights that are codes are multiplied (strategy.c): decoded to floats; as levels, in runs of columns with one scale, by
 * float arithmetic or by integers. The one that is fastest for one token; how many weights times tokens a cycle each is
 * counted to multiply, 0: it cannot; all of these, for people. */
enum qbc_strategy { QBC_STRATEGY_DECODE, QBC_STRATEGY_AS_FLOATS, QBC_STRATEGY_INTEGERS, QBC_STRATEGIES };
enum qbc_strategy qbc_strategy_for(const struct qbc_target *t, const struct qbc_format *f);
double qbc_strategy_speed(const struct qbc_target *t, const struct qbc_format *f, enum qbc_strategy s, int tokens);
const char *qbc_strategy_name(enum qbc_strategy s); /* "S2" */
const char *qbc_describe_strategy(struct qbc *q, const struct qbc_target *t, const struct qbc_format *f, int tokens);
/* What of this format no kernel can do, in a few words; NULL: all is well. */
const char *qbc_format_lacks_kernel(const struct qbc_format *f);
/* What products of these weights take off the sums of activations' codes: what the quantizer may multiply by. */
int qbc_linear_shift(const struct qbc_target *t, const struct qbc_format *f);
/* How it is multiplied, and on which targets otherwise, for people. */
const char *qbc_describe_kernels(struct qbc *q, const struct qbc_format *f);
struct qbc_packing qbc_packing_for(const struct qbc_target *t, const struct qbc_format *f, int64_t rows);

/* --- composite.c: what lacks a kernel, and how it is multiplied, of formats that are made of others */
const char *qbc_parts_lack_kernel(const struct qbc_format *f);
const char *qbc_describe_parts(struct qbc *q, const struct qbc_format *f);

/* --- build_kernel.c: operations in few words. Results have the type of the first operand. */
MlirType k_vec(struct qbc_kernel *k, int64_t n, MlirType element);
MlirType k_with_element(MlirType like, MlirType element); /* as many of another element */
MlirValue k_i64(struct qbc_kernel *k, int64_t value);
MlirValue k_i32(struct qbc_kernel *k, int32_t value);
MlirValue k_f32(struct qbc_kernel *k, float value);
MlirValue k_int_of(struct qbc_kernel *k, MlirType type, int64_t value);  /* scalar or splat */
MlirValue k_float_of(struct qbc_kernel *k, MlirType type, double value); /* scalar or splat */
MlirValue k_iota(struct qbc_kernel *k, int64_t n, MlirType element);     /* 0, 1, .. n - 1 */
MlirValue k_op1(struct qbc_kernel *k, const char *name, MlirValue a);
MlirValue k_op2(struct qbc_kernel *k, const char *name, MlirValue a, MlirValue b);
MlirValue k_add(struct qbc_kernel *k, MlirValue a, MlirValue b);
MlirValue k_sub(struct qbc_kernel *k, MlirValue a, MlirValue b);
MlirValue k_mul(struct qbc_kernel *k, MlirValue a, MlirValue b);
MlirValue k_fadd(struct qbc_kernel *k, MlirValue a, MlirValue b);
MlirValue k_fsub(struct qbc_kernel *k, MlirValue a, MlirValue b);
MlirValue k_fmul(struct qbc_kernel *k, MlirValue a, MlirValue b);
MlirValue k_fdiv(struct qbc_kernel *k, MlirValue a, MlirValue b);
MlirValue k_fma(struct qbc_kernel *k, MlirValue a, MlirValue b, MlirValue c); /* a * b + c, rounded once where it can be */
MlirValue k_mul_i(struct qbc_kernel *k, MlirValue a, int64_t b); /* i64 by a constant */
MlirValue k_add_i(struct qbc_kernel *k, MlirValue a, int64_t b);
MlirValue k_cast(struct qbc_kernel *k, const char *name, MlirValue v, MlirType element);
MlirValue k_hidden(struct qbc_kernel *k, MlirValue vector); /* the same, of which LLVM knows nothing; bytes or more, by fours */
MlirValue k_bitcast(struct qbc_kernel *k, MlirValue v, MlirType type);
MlirValue k_splat(struct qbc_kernel *k, MlirValue scalar, int64_t n);
MlirValue k_extract(struct qbc_kernel *k, MlirValue vector, int64_t i);
/* "add", "maxsi"; floats: "add", "maxnumf" (NaN when some are), 2^i lanes */
MlirValue k_reduce(struct qbc_kernel *k, const char *kind, MlirValue vector);
/* Lanes of a, then of b, in any order. */
MlirValue k_shuffle(struct qbc_kernel *k, MlirValue a, MlirValue b, int64_t n, const int64_t *lanes);
MlirValue k_repeat(struct qbc_kernel *k, MlirValue vector, int64_t first, int64_t n, int64_t times); /* n lanes, each so often */
MlirValue k_spread(struct qbc_kernel *k, MlirValue vector, int64_t lane); /* that lane in all lanes */
MlirValue k_part(struct qbc_kernel *k, MlirValue vector, int64_t from, int64_t n); /* lanes from .. */
MlirValue k_join(struct qbc_kernel *k, size_t n, const MlirValue *parts);          /* n equal ones */
MlirValue k_select(struct qbc_kernel *k, MlirValue which, MlirValue a, MlirValue b);
enum qbc_compare { QBC_EQ = 0, QBC_NE = 1, QBC_LT = 2, QBC_LE = 3, QBC_GT = 4, QBC_GE = 5, QBC_ULT = 6, QBC_UGE = 9 }; /* signed; U: not */
MlirValue k_cmp(struct qbc_kernel *k, enum qbc_compare how, MlirValue a, MlirValue b);
enum qbc_compare_float { QBC_FGT = 2, QBC_FLT = 4 }; /* ordered: false for NaN */
MlirValue k_fcmp(struct qbc_kernel *k, enum qbc_compare_float how, MlirValue a, MlirValue b);
MlirValue k_fmax(struct qbc_kernel *k, MlirValue limit, MlirValue x); /* NaN when x is */
MlirValue k_fmin(struct qbc_kernel *k, MlirValue limit, MlirValue x);
MlirValue k_intrinsic(struct qbc_kernel *k, const char *name, MlirType result, size_t n,
                      const MlirValue *operands); /* result null: there is none */
MlirValue k_at(struct qbc_kernel *k, MlirValue base, MlirValue bytes);
MlirValue k_at_i(struct qbc_kernel *k, MlirValue base, int64_t bytes);
MlirValue k_load(struct qbc_kernel *k, MlirType type, MlirValue at, int alignment);
/* lookup.c: table[index], n = 16, 32 or 64 entries, index a vector of bytes below n. */
MlirValue k_lookup(struct qbc_kernel *k, const uint8_t *table, int n, MlirValue index);
/* One of n = 2^b values, by the low bits of `index`, lane by lane; `values` is used up. */
MlirValue k_choose(struct qbc_kernel *k, size_t n, MlirValue *values, MlirValue index);
/* A vector of `element` from base + index * (the size of) step, index a vector of i32. */
MlirValue k_gather_from(struct qbc_kernel *k, MlirType element, MlirType step, MlirValue base, MlirValue index, int alignment);
MlirValue k_load_half(struct qbc_kernel *k, int64_t n, MlirValue at); /* n finite f16 as f32; n 0: one, a scalar */
MlirType k_half(struct qbc_kernel *k);                                /* what f16 are loaded as */
MlirValue k_half_to_float(struct qbc_kernel *k, MlirValue half);      /* and then become f32 */
/* --- half.c */
MlirValue k_float_to_half(struct qbc_kernel *k, MlirValue x); /* bits, i16 */
MlirValue k_load_any_half(struct qbc_kernel *k, int64_t n, MlirValue at); /* as k_load_half; what is not finite stays so, or becomes no number */
void k_store(struct qbc_kernel *k, MlirValue value, MlirValue at, int alignment);
void k_store_first(struct qbc_kernel *k, MlirValue vector, MlirValue at, MlirValue n); /* n lanes */
MlirValue k_load_upto(struct qbc_kernel *k, MlirType type, MlirValue at, MlirValue n); /* n lanes, others 0 */
void k_prefetch(struct qbc_kernel *k, MlirValue at, bool to_write); /* a line, which may lie anywhere, to come near */
MlirValue k_scratch(struct qbc_kernel *k, int64_t bytes); /* on the stack, 64-byte aligned */

struct k_loop {
    MlirOperation op;
    MlirValue i;             /* i64 */
    MlirValue *carried;      /* inside: this turn's values; after k_end: the results */
    size_t n;
    struct qbc_build outer;
};
/* for i = from; i < to; i += by, with n carried values. Between begin and end, operations go into
 * the body. */
struct k_loop k_for(struct qbc_kernel *k, MlirValue from, MlirValue to, int64_t by, size_t n,
                    const MlirValue *init);
struct k_loop k_for_by(struct qbc_kernel *k, MlirValue from, MlirValue to, MlirValue by, size_t n,
                       const MlirValue *init);
void k_end(struct qbc_kernel *k, struct k_loop *loop, const MlirValue *next);
void k_not_unrolled(struct qbc_kernel *k, const struct k_loop *loop); /* by LLVM: its body is large enough */
struct k_loop k_if(struct qbc_kernel *k, MlirValue condition); /* ends with k_end(k, &it, NULL) */

/* --- build_scalable.c: RISC-V vectors of any length. A type has a multiple of `lanes`, as many as the hardware's
 * vectors are 64 bits long; of these the operations work on the first `vl`. Lanes times an element's bits is 64
 * for one register, 512 for a group of eight, the most. */
MlirType k_scalable(struct qbc_kernel *k, int64_t lanes, MlirType element);
MlirValue k_most_lanes(struct qbc_kernel *k, int64_t lanes); /* how many there are in such a vector, i64 */
/* llvm.riscv.NAME. `op`: of vectors, or a vector and a scalar; `op_float`: the same, rounding as the mode says;
 * `add_product`, `add_product_float`: sum + a * b, where a may be a scalar. */
MlirValue k_rvv_op1(struct qbc_kernel *k, const char *name, MlirType type, MlirValue a, MlirValue vl);
MlirValue k_rvv_op(struct qbc_kernel *k, const char *name, MlirType type, MlirValue a, MlirValue b, MlirValue vl);
MlirValue k_rvv_op_float(struct qbc_kernel *k, const char *name, MlirValue a, MlirValue b, MlirValue vl);
MlirValue k_rvv_add_product(struct qbc_kernel *k, const char *name, MlirValue sum, MlirValue a, MlirValue b,
                            MlirValue vl);
MlirValue k_rvv_add_product_float(struct qbc_kernel *k, MlirValue sum, MlirValue a, MlirValue b, MlirValue vl);
MlirValue k_rvv_int_to_float(struct qbc_kernel *k, MlirValue v, MlirValue vl); /* i16 or i32 to f32 */
MlirValue k_rvv_splat(struct qbc_kernel *k, MlirType type, MlirValue scalar, MlirValue vl);
MlirValue k_rvv_load(struct qbc_kernel *k, MlirType type, MlirValue at, MlirValue vl);
MlirValue k_rvv_load_half(struct qbc_kernel *k, int64_t lanes, MlirValue at, MlirValue vl); /* finite f16 to f32 */
MlirValue k_rvv_numbers(struct qbc_kernel *k, MlirType type, MlirValue vl); /* 0, 1, .. */
MlirValue k_rvv_gather(struct qbc_kernel *k, MlirType type, MlirValue at, MlirValue bytes, MlirValue vl); /* bytes: i32 */
/* table[index] of all lanes, 0 beyond; n <= 16 bytes, index a vector of bytes. */
MlirValue k_rvv_look_up(struct qbc_kernel *k, int n, const int8_t *table, MlirValue index);
MlirValue k_rvv_spread(struct qbc_kernel *k, MlirValue v, MlirValue index); /* v[index], of the same type */
void k_rvv_store(struct qbc_kernel *k, MlirValue v, MlirValue at, MlirValue vl);
MlirValue k_rvv_half_of(struct qbc_kernel *k, MlirValue v, bool high); /* the lower or upper half of the lanes */

/* n elements that lie `stride` bytes apart, as a vector of n. RISC-V has instructions for that; others go lane by lane. */
MlirValue k_load_strided(struct qbc_kernel *k, int64_t n, MlirType element, MlirValue at, int64_t stride);
void k_store_strided(struct qbc_kernel *k, MlirValue vector, MlirValue at, int64_t stride);

/* --- share.c: work for this thread */
struct k_range {
    MlirValue from, to;
};
struct k_range k_share(struct qbc_kernel *k, MlirValue units); /* thread's part of 0 .. units - 1 */
MlirValue k_row(struct qbc_kernel *k, size_t operand, MlirValue row); /* pointer to a row */

/* Visit columns 0 .. n - 1 of a row in vectors: a loop of `width` wide ones, then pieces of powers of
 * two. `sum` goes through all of them (null: nothing does); body returns the next one. */
typedef MlirValue (*k_column_body)(struct qbc_kernel *k, void *user, MlirValue column, int64_t width,
                                   MlirValue sum);
MlirValue k_columns(struct qbc_kernel *k, int64_t n, int64_t width, k_column_body body, void *user,
                    MlirValue sum);
MlirValue k_float_at(struct qbc_kernel *k, MlirValue row, MlirValue column, int64_t width);
void k_float_to(struct qbc_kernel *k, MlirValue value, MlirValue row, MlirValue column);
/* The first n of `width` floats, the others 0 and not touched in memory. */
MlirValue k_load_first(struct qbc_kernel *k, int64_t width, MlirValue at, int64_t n);

/* --- gather.c: n f32 of the `count` at `base`, whose numbers are the u16 at `indices`. Numbers of the artifact are
 * brought below `count`, so that a damaged file makes wrong results and nothing worse. */
MlirValue k_gather(struct qbc_kernel *k, int64_t n, MlirValue base, int64_t count, MlirValue indices);
MlirValue k_gather_numbers(struct qbc_kernel *k, MlirValue base, MlirValue numbers); /* f32 at base, whose numbers are a vector of i32 */
MlirValue k_index(struct qbc_kernel *k, MlirValue index, int64_t count); /* i16, as unsigned: at most count - 1 */

/* --- embed.c: the id of token t, i64: which row of n it is, where the launch has rows_before */
MlirValue k_token(struct qbc_kernel *k, MlirValue t);

/* --- norm.c: 1 / sqrt(mean(x[0 .. n-1]^2) + eps), f32 */
MlirValue k_inverse_rms(struct qbc_kernel *k, MlirValue x, int64_t n, float eps);

/* --- math.c: on f32, scalar or vector */
MlirValue k_exp(struct qbc_kernel *k, MlirValue x);  /* relative error < 2^-22; tiny, not 0, below -87 */
MlirValue k_silu(struct qbc_kernel *k, MlirValue x); /* x / (1 + exp(-x)): < 2^-22 from -87 up */
/* erfc(|x| / sqrt 2): relative error < (3 + x^2 / 2) 2^-23; tiny, not 0, beyond 13 */
MlirValue k_erfc_of(struct qbc_kernel *k, MlirValue x);
MlirValue k_tanh(struct qbc_kernel *k, MlirValue x); /* relative error < 2^-21 */
struct k_sincos {
    MlirValue sin, cos;
};
struct k_sincos k_sincos(struct qbc_kernel *k, MlirValue angle); /* f64 vector -> f32; |angle| < 2^30 */

/* --- activation.c: by name; the error of each is in test/unit/kernel_activation_test.c */
bool qbc_knows_activation(const char *name);
MlirValue k_activation(struct qbc_kernel *k, const char *name, MlirValue x);

/* --- epilogue.c: the launch's region on vectors */
MlirValue k_epilogue(struct qbc_kernel *k, MlirValue product, size_t n_extra, const MlirValue *extra);

#endif
