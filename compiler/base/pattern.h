/* pattern.h: what the passes share that find out what level-0 operations mean.
 *
 * They all work the same way: guess what a part of the graph computes, evaluate that part on numbers
 * of our own (evaluate.h), compare with the formula. So it does not matter which operations an
 * exporter wrote, or in which order.
 *
 * While these passes run, a graph is partly level 0 and partly level 1. A level-1 activation is
 * tensor<?xCxf32>, a row for each token of the call; onnx.Reshape stands where the two meet, and
 * vanishes when both sides are level 1.
 */
#ifndef QBC_PATTERN_H
#define QBC_PATTERN_H

#include "evaluate.h"

struct qbc_values {
    MlirValue *v;
    size_t n;
};

/* --- graph.c: looking around */
MlirOperation qbc_main(struct qbc *q, MlirOperation module); /* func @main; null after an error */
bool qbc_is_level1(MlirValue v);              /* rows from a qb. or arith. operation */
bool qbc_is_constant(MlirValue v);            /* onnx.Constant or qb.weight */
bool qbc_is_none(MlirValue v);                /* an operand that was left out */
MlirValue qbc_operand_at(MlirOperation op, intptr_t i); /* null where it was left out */
MlirType qbc_unranked(struct qbc *q);         /* f32 of a shape that nobody says */
bool qbc_is_elementwise(MlirOperation op);    /* onnx: each element from the same one of operands */
bool qbc_same(MlirValue a, MlirValue b);
MlirOperation qbc_only_user(MlirValue v);     /* null unless exactly one operation uses v */
struct qbc_ops qbc_users(struct qbc *q, MlirValue v); /* each once */
/* What v is in other dims or another float type: behind Reshape, Squeeze, Cast, ... the elements and
 * their row-major order are the same. */
MlirValue qbc_strip(MlirValue v);
/* Where the cone of v ends: arguments, level-1 values, constants, and the values of `cut`. What only
 * a Shape reads is no part of it: numbers there do not matter. */
struct qbc_values qbc_leaves(struct qbc *q, MlirValue v, size_t n_cut, const MlirValue *cut);
/* All operations in the cone of v, up to the same ends (constants included). */
struct qbc_ops qbc_cone(struct qbc *q, MlirValue v, size_t n_cut, const MlirValue *cut);
/* "tokens", "past", ...: the input that v is; NULL when it is none. */
const char *qbc_input(struct qbc *q, MlirOperation func, MlirValue v);
/* Which operand of the function's return continues this input; -1: none. */
intptr_t qbc_present_of(MlirOperation func, MlirValue past);
/* "file:node" for names that we make up. */
const char *qbc_place_name(struct qbc *q, MlirOperation op);
/* Remember at op why a pattern did not match; qbc_pass_check_graph reports it if op is still there
 * in the end. */
void qbc_miss(struct qbc *q, MlirOperation op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- linear_attention.c: a state of a matrix a head, as level 1 (passes/kernels/linear_attention.c) */
struct qbc_linear {
    MlirValue q, k, v, decay, beta; /* rows; decay and beta may be null */
    int64_t heads, query_heads, key_heads, keys, values; /* heads of values; fewer of queries or keys are repeated; their lengths */
    double scale; /* 0: 1 / sqrt(keys) */
    bool delta;
};
/* From the numbers of columns of q, k and v; false: they do not fit. */
bool qbc_linear_has_heads(struct qbc_linear *l, int64_t heads, int64_t query_heads, int64_t q, int64_t k, int64_t v);
MlirValue qbc_linear_emit(struct qbc_build *b, const struct qbc_linear *l, MlirValue state);

/* --- rows.c: where level 0 and level 1 meet */

/* The dims of a value for all T and P: numbers, or one of these. */
enum { QBC_T = -1, QBC_P_PLUS_T = -2, QBC_P = -3, QBC_UNCLEAR = -4 };
struct qbc_dims {
    size_t rank;
    int64_t at[QBC_MAX_RANK];
};
/* Two evaluations that differ in T and P. Closed and opened again whenever the graph has changed. */
struct qbc_shapes {
    struct qbc *q;
    struct qbc_evaluation *at[2];
    int64_t tokens[2], past[2];
    int64_t fixed; /* tokens of each call; 0: any. Then dims have this number for T */
    bool step;     /* it is 1 */
};
void qbc_shapes_open(struct qbc *q, MlirOperation func, struct qbc_shapes *s);
void qbc_shapes_close(struct qbc_shapes *s);
bool qbc_shapes_dims(struct qbc_shapes *s, MlirValue v, struct qbc_dims *out);
bool qbc_is_tokens(const struct qbc_shapes *s, int64_t size); /* may a dim of this size be T? */
/* The width C of a value [1, ..., T, c1, c2, ...], C = c1 c2 ..., whose rows are the tokens, or of
 * [1, ..., m T, c1, ...], C = m c1 ..., where each token has m of them; 0: not so. The dims go to
 * *dims when that is not NULL. */
int64_t qbc_shapes_width(struct qbc_shapes *s, MlirValue v, struct qbc_dims *dims);

/* --- recurrence.c: states of a fixed size */
struct qbc_state {
    MlirOperation func;
    MlirValue value, next; /* the argument, and what the function returns for it */
    intptr_t result;       /* where */
    struct qbc_dims dims;  /* all of them numbers */
};
/* Is argument i one? */
bool qbc_state_at(struct qbc_shapes *s, MlirOperation func, intptr_t i, struct qbc_state *out);
void qbc_state_replace(const struct qbc_state *s, MlirValue next); /* what is returned for it */
/* v and what ONNX's operations make of it, nearest first; a bounded number of them. */
struct qbc_values qbc_made_of(struct qbc *q, MlirValue v);

const char *qbc_dims_text(struct qbc_shapes *s, MlirValue v); /* "[1, 4, T, P + T]"; NULL: cannot be told */

MlirType qbc_rows_type(struct qbc *q, int64_t width); /* tensor<?xCxf32> */
MlirValue qbc_rows(struct qbc_build *b, MlirValue v, int64_t width); /* v as level-1 rows */
MlirValue qbc_unrows(struct qbc_build *b, MlirValue rows, const struct qbc_dims *dims);
MlirValue qbc_unrows_across(struct qbc_build *b, MlirValue rows, const struct qbc_dims *dims); /* dims [1, .., C, T] */
MlirValue qbc_ints_constant(struct qbc_build *b, const int64_t *v, size_t n);
MlirValue qbc_number_constant(struct qbc_build *b, double x); /* an f32 of no dims */
MlirValue qbc_reshape(struct qbc_build *b, MlirValue v, MlirType type, size_t n, const int64_t *to);
MlirValue qbc_transpose(struct qbc_build *b, MlirValue v, size_t n, const int64_t *perm);
/* upright.c: elementwise operations on transposed values become transpositions of theirs. */
void qbc_upright(struct qbc *q, MlirOperation func);
/* After a pass: transpositions that undo each other go; level-1 operands that reach level-1 values through Reshape only take them directly;
 * what nothing uses goes; the function's type says what it now takes and returns. */
void qbc_tidy(struct qbc *q, MlirOperation module);
void qbc_retype(struct qbc *q, MlirOperation func);
MlirOperation qbc_return_of(MlirOperation func);
/* Attribute of argument or result i of a function ("arg_attrs", "res_attrs"); null: absent. */
MlirAttribute qbc_function_attr(MlirOperation func, const char *list, size_t i, const char *name);

/* --- view.c: weights under Transpose, Slice, Split, Reshape */
struct qbc_strided {
    const char *name, *source;
    MlirAttribute blocks; /* coded.h; null: the source's elements are the numbers */
    size_t rank;
    int64_t dims[QBC_MAX_RANK], strides[QBC_MAX_RANK], offset;
    int64_t run, run_stride; /* of its first dimension, as in struct qbc_view; 0: none */
};
/* False when v is no float constant, or no strided view of one. `e`: for shapes, any T and P. */
bool qbc_strided_of(struct qbc *q, struct qbc_evaluation *e, MlirValue v, struct qbc_strided *out);
/* Makes a qb.weight of a view: n dims of `view`, given by index. */
MlirValue qbc_weight(struct qbc_build *b, const struct qbc_strided *view, size_t n,
                     const size_t *dims);

/* As a vector of `width` numbers, if these meet the elements of a row of a value of these dims one by one. */
bool qbc_strided_vector(struct qbc_strided *view, const struct qbc_dims *dims, int64_t width);
/* Leading dims of 1 go; true if two are left. */
bool qbc_strided_matrix(struct qbc_strided *view);
/* Its numbers, row-major, if they are n; NULL otherwise. */
float *qbc_strided_read(struct qbc *q, const struct qbc_strided *view, size_t n);

/* --- codes.c: the floats that codes stand for, in an operation of level 0; `zeros` may be left out, axis of the scales */
void qbc_copy_attributes(MlirOperation from, MlirOperation to); /* all of them */
MlirType qbc_typed_as(struct qbc *q, MlirType type, MlirType element); /* of the same dims */
MlirType qbc_as_floats(struct qbc *q, MlirType type);
MlirValue qbc_dequantized(struct qbc_build *b, MlirValue codes, MlirValue scales, MlirValue zeros, int64_t axis);

/* --- probe.c: numbers to evaluate with */
bool qbc_has_past(MlirOperation func);
/* How many tokens a call has in a graph that takes only so many; 0: any number. Then it is always evaluated with as many. */
int64_t qbc_call_tokens(MlirOperation func);
int64_t qbc_tokens_or(MlirOperation func, int64_t usual); /* that number; `usual` where any will do */
bool qbc_is_step(MlirOperation func); /* it is one: shapes have no T, a row is all of a value */
/* An evaluation in which the level-1 values have their shapes. */
struct qbc_evaluation *qbc_probe(struct qbc *q, MlirOperation func, int64_t tokens, int64_t past);
/* Binds v to numbers in (-1, 1) that depend on `seed`; NULL when v has no shape or is too large. */
const struct qbc_array *qbc_bind_random(struct qbc *q, struct qbc_evaluation *e, MlirValue v,
                                        uint32_t seed);
/* Binds v to 0, 1, 2, ... NULL as above. */
const struct qbc_array *qbc_bind_iota(struct qbc *q, struct qbc_evaluation *e, MlirValue v);
void qbc_fill_random(struct qbc_array *a, uint32_t seed);
/* Binds v to zeros that the caller fills. */
struct qbc_array *qbc_bind_zero(struct qbc *q, struct qbc_evaluation *e, MlirValue v);
/* The float numbers of v, or NULL. */
const struct qbc_array *qbc_floats_of(struct qbc_evaluation *e, MlirValue v);
bool qbc_near(double a, double b, double relative, double absolute);
/* The number with the fewest decimal digits within `relative` of v. */
double qbc_shortest(double v, double relative);
/* A measured scale of attention as it was meant: 1 / sqrt(head_dim), or a short decimal. */
double qbc_exact_scale(double measured, int64_t head_dim);
/* The module's qb.context: positions for which the model has tables; the least counts. */
void qbc_limit_context(struct qbc *q, MlirOperation op, int64_t length);

/* --- rotary.c: rotary position embeddings from their cosines and sines */
struct qbc_rotary {
    int64_t dim;          /* columns of a head that turn; 0: none */
    bool adjacent;        /* pairs are (2i, 2i + 1), not (i, i + dim / 2) */
    double theta;         /* pair i turns by p theta^(-2i/dim) at position p; 0: by frequencies */
    float *frequencies;   /* [dim / 2], radians a position */
    double scale;         /* of the columns that turn, when they are not all */
    double precision;     /* relative, of the cosines that it was read from */
    double absolute;      /* what may be added to that */
    double drift;         /* radians a position: how well least squares tell a frequency */
};
/* From cosines and sines [n][dim / 2] of positions 0 .. n - 1, n >= 2. Sets all but `dim` and
 * `adjacent`, which say how many there are; NULL, or why no rotation by p times a frequency. */
const char *qbc_rotary_fit(struct qbc *q, size_t n, const float *cosines, const float *sines,
                           struct qbc_rotary *out);
double qbc_rotary_angle(const struct qbc_rotary *r, int64_t position, int64_t pair);
/* Turns a head in place. */
void qbc_rotary_apply(const struct qbc_rotary *r, int64_t position, float *head);
/* Do two describe the same rotation? */
bool qbc_rotary_same(const struct qbc_rotary *a, const struct qbc_rotary *b);
MlirValue qbc_rotary_emit(struct qbc_build *b, const struct qbc_rotary *r, MlirValue rows,
                          int64_t head_dim);

/* Does a stored table [positions, dim / 2 or dim] hold this law's cosines, or its sines, in every
 * row, or the ones beside the others? Notes at `where` if not. */
bool qbc_rotary_check_table(struct qbc *q, MlirOperation where, const struct qbc_rotary *r,
                            MlirValue table);

/* --- operand.c: what an operand of attention is made of */
enum { QBC_MOST_SOURCES = 2 };
struct qbc_operand {
    MlirValue value;
    MlirValue rows, past; /* the level-1 value that turns, and the input before it or null */
    int64_t head_dim, heads; /* of rows */
    MlirValue source[QBC_MOST_SOURCES]; /* level-1 values of whose columns, side by side, rows are made; `rows` is the first */
    size_t n_sources;
    const int64_t *from; /* [heads * head_dim], which of these columns; NULL: all of `rows` as they are */
    int64_t first;       /* column of a head as the graph has it that is our first: those that turn come first */
    double factor, past_factor; /* of the new and of the past rows */
    struct qbc_rotary rotary;
};
/* Fills in all but `value` and `head_dim`. `like`: of another layer, tried first; factor 0: none. False after a
 * note at `attention`. */
bool qbc_operand_find(struct qbc *q, MlirOperation func, MlirOperation attention,
                      struct qbc_operand *o, const struct qbc_operand *like);
/* Is what the function returns for the next call the past with the rows that attention used? */
bool qbc_operand_check_present(struct qbc *q, MlirOperation func, MlirOperation attention,
                               const struct qbc_operand *o);
/* qb.heads where columns are put together, qb.rope where it turns, qb.append where it has a past; the function returns the
 * latter. */
MlirValue qbc_operand_emit(struct qbc_build *b, MlirOperation func, const struct qbc_operand *o);

/* --- columns.c: which columns of which level-1 values the heads of an operand are */
/* Finds `from` and `heads`. False: the operand is not made of columns at position 0. */
bool qbc_columns_find(struct qbc *q, MlirOperation func, struct qbc_operand *o);
/* Column `first` of each head, as it is now, becomes the first one; those before it the last. */
void qbc_columns_turn(struct qbc *q, struct qbc_operand *o, int64_t first);
/* "qb.heads" of the sources; null: no equal runs in all heads. */
MlirValue qbc_columns_emit(struct qbc_build *b, const struct qbc_operand *o);

/* --- sample.c: an operand computed from numbers of our own */
enum qbc_pattern {
    QBC_RANDOM,
    QBC_ONES_HALF,    /* 1 in the first column of each pair, 0 in the second */
    QBC_ONES_ADJACENT /* the same for the other pairing */
};
struct qbc_sample {
    struct qbc_evaluation *e; /* to be destroyed by who took the sample */
    int64_t tokens, past;
    int64_t old_rows, rows;          /* of y: those of the past, and all */
    const struct qbc_array *x, *old; /* what was put in */
    const float *y;                  /* [rows][heads][head_dim]; NULL: could not be computed */
    int64_t heads;                   /* of y */
};
/* The heads [rows][heads][head_dim] that an evaluation gives for the operand; NULL: none. */
const float *qbc_sample_heads(struct qbc *q, struct qbc_evaluation *e, const struct qbc_operand *o, int64_t rows, int64_t *heads);
struct qbc_sample qbc_sample_take(struct qbc *q, MlirOperation func, const struct qbc_operand *o,
                                  int64_t tokens, int64_t past, enum qbc_pattern pattern);
double qbc_sample_size(int64_t token); /* of a random sample's numbers */
/* Is y what the operand's description says? Of a random sample. */
bool qbc_sample_agrees(struct qbc *q, const struct qbc_sample *s, const struct qbc_operand *o);
/* [head_dim] of a row of the past; NULL: there is no past of that shape. */
const float *qbc_sample_old_head(const struct qbc_sample *s, const struct qbc_operand *o,
                                 int64_t position, int64_t head);
/* Positions for which the operand's cone has stored tables, which it lists; 0: it has none. */
int64_t qbc_sample_tables(struct qbc *q, const struct qbc_operand *o, struct qbc_values *tables);

/* --- routing.c: which experts a router's scores choose, and how much each counts (passes/kernels/route.c) */
struct qbc_routing {
    int64_t experts, top;
    const char *score;  /* "softmax", "sigmoid", "none" */
    const float *bias;  /* [experts]; NULL: none */
    int64_t groups, kept, best; /* groups 1: all experts may be chosen */
    bool normalise;
    double scale;
};
enum { QBC_MOST_CHOSEN = 64, QBC_MOST_EXPERTS = 4096 };
/* ids[top], weights[top] for a token's logits [experts]. */
void qbc_route(const struct qbc_routing *r, const float *logits, int64_t *ids, double *weights);

/* --- router.c: routers of a graph, each once */
struct qbc_router {
    MlirValue logits;
    struct qbc_routing law;
    struct qbc_strided bias; /* of the law */
    size_t bias_axis;
    MlirValue route; /* once it is made */
    bool settled;    /* weights are known too */
};
struct qbc_router_finder {
    struct qbc *q;
    MlirOperation func;
    struct qbc_shapes shapes;
    struct qbc_router *router; /* room for as many as there may be */
    size_t n_routers;
};
/* The router whose choice these numbers are, token by token; NULL, with a note at `where`: of none. */
struct qbc_router *qbc_router_find(struct qbc_router_finder *f, MlirOperation where, MlirValue ids);
/* Is v the sum of what the chosen experts gave, rows [T, top C], times their weights? Then the law is all known. */
bool qbc_router_sums(struct qbc_router_finder *f, struct qbc_router *r, MlirValue rows, MlirValue v);
/* Are these the weights that the router gives all experts, [tokens][experts], for these logits? Then the law is all known. */
bool qbc_router_weighs(struct qbc_router *r, size_t tokens, const float *logits, const double *weights);
MlirValue qbc_router_route(struct qbc_build *b, struct qbc_router *r); /* its qb.route, made behind the logits */
void qbc_router_settle(struct qbc *q, struct qbc_router *r);           /* qb.route says the law as it is known now */
/* The only level-1 value that v is made of; null: none, or several. */
MlirValue qbc_only_rows(struct qbc *q, MlirValue v, size_t n_cut, const MlirValue *cut);

/* --- mixture.c: a sum of what all experts give, each times the weight that a router gives it */
struct qbc_mixture {
    struct qbc_router_finder *f;
    MlirValue sum, logits, ids;
    MlirValue *z; /* [experts], level 1, in the router's order */
    int64_t experts, width;
    struct qbc_router *router;
    struct qbc_dims dims; /* of the sum */
};
/* Is op's result such a sum? Then the router's law is all known. */
bool qbc_mixture_find(struct qbc_router_finder *f, MlirOperation op, struct qbc_mixture *m);

/* --- ssm.c: h[t] = exp(dt[t] a) h[t - 1] + dt[t] b[t] x[t], y[t] = c[t] h[t] + d x[t] */
struct qbc_ssm {
    MlirOperation where;     /* what names of new weights are made of */
    MlirValue x, dt, b, c;   /* rows: of `columns`, `dts`, and groups of n */
    int64_t columns, n, dts; /* n states a column; columns / dts of them side by side have the same dt, a and d */
    float *rates, *skips;    /* a [dts][n], d [dts] */
    struct qbc_values near_rates, near_skips; /* where stored ones may be */
};
/* y; its first operand is the state. */
MlirValue qbc_ssm_emit(struct qbc_build *b, struct qbc_shapes *s, struct qbc_ssm *scan);

/* --- bias.c: stored vectors that rows of products are added to, or multiplied by: qb.bias, qb.scale */
void qbc_biases(struct qbc *q, MlirOperation func);

/* --- elementwise.c: arithmetic on the elements of level-1 rows as level 1 */
enum qbc_arithmetic {
    QBC_ALL_ARITHMETIC,
    QBC_CLIPS,  /* only what keeps rows within bounds */
    QBC_FACTORS /* only multiples of rows that an activation is taken of */
};
void qbc_elementwise(struct qbc *q, MlirOperation module, enum qbc_arithmetic which);

/* --- part_columns.c: Split and Slice of rows that one of these operations gives, as qb.columns; the list ends with NULL */
void qbc_part_columns(struct qbc *q, MlirOperation module, const char *const *sources);

/* --- piecewise.c: activations that are several operations of level 1, choices between rows, and what they are made of */
MlirValue qbc_with_number(struct qbc_build *b, const char *name, MlirValue x, double by); /* qb.times, qb.plus */
MlirValue qbc_act(struct qbc_build *b, const char *name, MlirValue x);
MlirValue qbc_clip(struct qbc_build *b, MlirValue x, double low, double high);
MlirValue qbc_rows_of_number(struct qbc_build *b, MlirValue like, double number); /* of x's numbers, which are finite */
bool qbc_is_piecewise(MlirOperation op);
MlirValue qbc_piecewise(struct qbc_build *b, MlirOperation op, MlirValue x); /* null: it is none */
struct qbc_where {
    MlirValue more, less, yes, no; /* yes where more > less, else no */
};
bool qbc_where_find(MlirOperation op, struct qbc_where *out); /* Where of a comparison */

/* --- mask.c: what an attention mask allows */
struct qbc_mask {
    int64_t window;  /* token t sees the last `window` positions, itself included; 0: all */
    int64_t longest; /* most positions that a token was seen to see */
    int64_t ahead;   /* later positions that a token sees, where it could see more; meaningful if `bounded` */
    int64_t most_ahead; /* that a token was seen to see */
    bool bounded;
};
/* One more sample: allowed[t * (past + tokens) + s]. NULL, or what is neither causal nor in both directions about it. */
const char *qbc_mask_add(struct qbc *q, struct qbc_mask *m, int64_t tokens, int64_t past,
                         const bool *allowed);
/* How many later positions a token sees: 0: causal; -1: all of them. After all samples. */
int64_t qbc_mask_ahead(const struct qbc_mask *m);

/* --- law.c: what attention makes of its scores */
struct qbc_law {
    struct qbc_mask mask;
    double scale;
    double cap;           /* of scores; 0: none */
    const double *slopes; /* [heads], a position back; NULL: none */
    const float *sinks;   /* [heads]; NULL: none */
};
struct qbc_scores {
    int64_t heads, tokens, past;
    int64_t score_heads; /* fewer of them: they are repeated */
    const float *scores; /* [score_heads][tokens][past + tokens] */
    const float *p;      /* [heads][tokens][past + tokens] */
};
enum qbc_lesson {
    QBC_LEARN_SLOPES, /* of scores of 0 */
    QBC_LEARN_SCALE,  /* of small random ones */
    QBC_LEARN_CAP,    /* of large ones, scale known */
    QBC_REFINE_SCALE  /* of larger ones, cap known */
};
void qbc_law_learn(struct qbc *q, struct qbc_law *law, enum qbc_lesson lesson, const struct qbc_scores *x);
/* Are the probabilities what the law makes of the scores? Adds their mask. NULL, or why not. */
const char *qbc_law_check(struct qbc *q, struct qbc_law *law, const struct qbc_scores *x);

#endif
