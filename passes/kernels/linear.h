/* linear.h: between linear.c and the kinds of arithmetic. */
#ifndef QBC_LINEAR_H
#define QBC_LINEAR_H

#include "kernel.h"

enum {
    QBC_MOST_TOKENS = 16,
    QBC_MOST_PARTS = 16, /* registers of a chunk */
};

/* --- levels.c: codes as operands of integer products, a byte each, which stands for byte * times - shift */

struct qbc_levels {
    int entries;       /* of the table that the byte is looked up in by code; 0: none */
    uint8_t table[QBC_MOST_LEVELS];
    int bit, step;     /* bit - 1 of the code, times step; bit 0: all of the code */
    bool as_masks;     /* the bit as -1 or 0; digits of base 3 as -1, 0, 1 */
    int times;         /* 0: once */
    int shift;         /* where the format has zero points, theirs comes besides */
    int most;          /* the largest byte, or magnitude */
    bool is_signed;
    int base;          /* of digits that are the bytes themselves; 0: they are not */
};
int qbc_operands(const struct qbc_format *f);    /* planes, or 1 */
bool qbc_has_levels(const struct qbc_format *f); /* its weights are whole levels times scales */
bool qbc_has_runs(const struct qbc_format *f);   /* and there are integer sums of 32 or 16 columns with one scale */
int qbc_run_columns(const struct qbc_format *f); /* 32 or 16 */
struct qbc_levels qbc_levels(const struct qbc_format *f, int operand, bool as_signed);
/* Bits and digits become bytes of ones, which are -1, where the target makes these in one step. */
void qbc_levels_as_masks(const struct qbc_format *f, struct qbc_levels *v);
/* Do kernels of this tile have signed bytes? */
bool qbc_takes_signed(const struct qbc_tile *tile, const struct qbc_format *f);

int qbc_tile_depth(const struct qbc_tile *tile); /* of the packing */
/* Has the target instructions for products of such groups and such levels? */
bool qbc_multiplies_integers(const struct qbc_target *t, const struct qbc_format *f);

/* --- the kernel */

struct qbc_linear {
    struct qbc_kernel *k;
    const struct qbc_format *format;
    const struct qbc_tile *tile;
    struct qbc_packing packing;
    struct qbc_layout layout;
    struct qbc_levels levels[QBC_MOST_PLANES]; /* of each operand */
    int64_t depth;      /* K */
    int64_t multiplier; /* of QBC_ACT_MINUS in the activations' records */

    int rows;           /* of the panel, that are worked on at once: the tile's n */
    MlirValue row;      /* the first of them in the panel, i64 */
    MlirValue panel, tail; /* where this panel begins, and what the tensor shares */
    MlirValue from, to; /* the tokens to work on, in a step for several */
    MlirValue x_shift, y_shift; /* bytes into the rows of x and y, where not all of a row is one product's; or null */
    MlirValue y;        /* where results of column 0 go, instead of a row of y; or null */
    size_t extras;      /* inputs of the epilogue */
    int64_t lanes;      /* where vectors are of any length: of which type, */
    MlirValue vl;       /* and how many rows a strip has; else null */
};
/* Of `rows` x `columns` weights, all of them at w: what does not change from panel to panel. */
struct qbc_linear qbc_linear_of(struct qbc_kernel *k, const struct qbc_format *f, int64_t rows, int64_t columns, MlirValue w);

/* m tokens from `token` on, with one panel's weights. */
typedef void (*qbc_linear_block)(struct qbc_linear *l, MlirValue panel, MlirValue token, int m);
/* All tokens from .. to - 1: full blocks of the tile's M, and the rest as one block, which may be a little larger: the
 * last token is then done again. */
void qbc_linear_tokens(struct qbc_linear *l, MlirValue panel, qbc_linear_block block);
/* Where a row of an operand begins, `shift` bytes on; null: none. */
MlirValue qbc_linear_row(struct qbc_linear *l, size_t operand, MlirValue row, MlirValue shift);
/* Token j of a block that begins at `token`. Results may be written twice: no input shares their place. */
MlirValue qbc_linear_token(struct qbc_linear *l, MlirValue token, int j);
/* Tokens from .. to - 1 with this thread's share of the weights, where vectors are of any length (linear_axpy.c). */
void qbc_linear_axpy(struct qbc_linear *l);
/* One token with rows from .. to - 1 of the weights, where vectors are of any length. */
void qbc_linear_axpy_rows(struct qbc_linear *l, MlirValue token, MlirValue from, MlirValue to);
/* One token with a panel, where vectors are of one length (linear.c). */
void qbc_linear_panel(struct qbc_linear *l, MlirValue panel, MlirValue token);

/* For m tokens with rows x[m] and l->rows rows of l->panel: sums[m] (room for one more), f32 vectors of these. The first is
 * whichever it takes of: weights that are floats; codes with integer products; any codes, decoded. */
void qbc_linear_sums(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums);
void qbc_linear_float(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums);
void qbc_linear_groups(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums);
void qbc_linear_decoded(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums);

/* --- lanes.c: a lane for each row that is worked on */

bool qbc_is_strip(const struct qbc_linear *l); /* vectors are of any length */
MlirType qbc_lanes(const struct qbc_linear *l, MlirType element);
MlirValue qbc_lanes_load(struct qbc_linear *l, MlirType element, MlirValue at); /* at any address */
MlirValue qbc_lanes_load_half(struct qbc_linear *l, MlirValue at);              /* finite f16 to f32 */
MlirValue qbc_lanes_splat(struct qbc_linear *l, MlirValue scalar);
MlirValue qbc_lanes_number(struct qbc_linear *l);                  /* 0, 1, .. i32 */
MlirValue qbc_lanes_half(struct qbc_linear *l, MlirValue words);   /* the lower halves of i32 as f16, to f32 */
MlirValue qbc_lanes_gather_half(struct qbc_linear *l, MlirValue base, MlirValue bytes); /* f16 at base + bytes, i32 */
/* f32: v * by, a * b + sum, v * by + sum; `by` is a scalar, where added i32 or f32. */
MlirValue qbc_lanes_mul(struct qbc_linear *l, MlirValue v, MlirValue by);
MlirValue qbc_lanes_fma(struct qbc_linear *l, MlirValue a, MlirValue b, MlirValue sum);
MlirValue qbc_lanes_fma_by(struct qbc_linear *l, MlirValue v, MlirValue by, MlirValue sum);

/* --- one group's numbers (scales.c): f32 [l->rows]. `unit` points at the unit, `group` is its number there, i64. */

MlirValue qbc_group_of(struct qbc_linear *l, MlirValue span, int column); /* that a column of a span is in; span: its number */
MlirValue qbc_group_scales(struct qbc_linear *l, MlirValue unit, MlirValue group, int plane);
MlirValue qbc_group_mins(struct qbc_linear *l, MlirValue unit, MlirValue group);
MlirValue qbc_group_zeros(struct qbc_linear *l, MlirValue unit, MlirValue group);
MlirValue qbc_group_selectors(struct qbc_linear *l, MlirValue unit, MlirValue group); /* u8; null: there are none */
/* Is a scale an f16, as loaded, and nothing else? Then the load alone, to be converted later. */
bool qbc_scales_are_half(const struct qbc_linear *l);
MlirValue qbc_group_halves(struct qbc_linear *l, MlirValue unit, MlirValue group);

/* --- integer products of a run: 32 columns with one scale, or 16 */

struct qbc_run {
    MlirValue codes;     /* of row l->row in the span */
    MlirValue selectors; /* u8 [l->rows], or null */
    int first, chunks;   /* of the span */
    int column;          /* of the record, where they begin: 0 or 16 */
    int operand;
    int fractions;       /* 0: levels; else what digits are taken from, before (1) and after (2) that (linear_fractions.c) */
    MlirValue act[QBC_MOST_TOKENS]; /* the activations' records */
};
/* out[token] = vectors of exact integers (i32, or f32 from linear_fma.c): sum of level * activation code; for formats with
 * zero points sum of code * activation code. */
/* Digits without taking them out (linear_fractions.c): whether that pays for so many tokens; what sums of fractions start at. */
bool qbc_takes_fractions(const struct qbc_target *t, const struct qbc_tile *tile, const struct qbc_levels *v, int tokens);
void qbc_linear_fractions(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out);
MlirValue qbc_fractions_start(struct qbc_linear *l, const struct qbc_run *run, int token);
/* The same for each kind of arithmetic. */
void qbc_linear_bytes(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out);
void qbc_linear_dot4(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out);
void qbc_linear_mull(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out);
void qbc_linear_mmla(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out);
void qbc_linear_fma(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out);
void qbc_linear_axpy_codes(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out); /* all as f32 */

/* sums[token] += scales * the activations' scale * what the above give. And of minima, after all operands. */
void qbc_linear_add_products(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue scales, MlirValue *sums);
void qbc_linear_add_scaled(struct qbc_linear *l, int m, const struct qbc_run *run, const MlirValue *products, MlirValue scales,
                           MlirValue *sums); /* of products that are there already */
void qbc_linear_add_mins(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue mins, MlirValue *sums);

/* Minus the sum of the run's activation codes, as the quantizer left it in the record: times l->multiplier; i32. */
MlirValue qbc_run_minus(struct qbc_linear *l, const struct qbc_run *run, int token);
/* Where a sum of bytes begins: -shift * sum(activation codes), i32. */
MlirValue qbc_run_start(struct qbc_linear *l, const struct qbc_run *run, int token);

/* --- codes */

/* A chunk of a span: number `number`; in a loop over chunks it is counted from chunk `from` on, which is a multiple of what
 * divides all fields' numbers of vectors, and `number` is less than that. Of digits, both are of the number that has it. */
struct qbc_chunk {
    MlirValue from; /* i64, or null */
    int number, digit;
};
/* Its codes: `bytes` bytes, where `at` points at the span, or at one lane of it (unpack.c). */
MlirValue qbc_unpack_at(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c);
struct qbc_chunk qbc_chunk_of(const struct qbc_linear *l, int chunk);
/* Bytes that have bit `bit` of the codes at bit `place`, and others beside it; not in a loop. */
MlirValue qbc_unpack_bit(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c, int bit, int *place);
/* The digits of one part of the numbers; of base 3, less one. */
MlirValue qbc_unpack_digits(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c, int part);
/* What the digit of the chunk, and `digits` before it, are taken from. */
MlirValue qbc_unpack_fractions(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c, int part, int digits);
MlirValue qbc_unpack_trits(struct qbc_linear *l, MlirValue at, int bytes, const struct qbc_chunk *c, int part);
/* A chunk as operand number `operand` (levels.c); the first row is `row` in `selectors`. */
MlirValue qbc_unpack_level(struct qbc_linear *l, int operand, MlirValue at, int bytes, const struct qbc_chunk *c,
                           MlirValue selectors, int row);
/* The same of `rows` rows from l->row + row on, of chunk run->first + chunk. */
MlirValue qbc_level_chunk(struct qbc_linear *l, const struct qbc_run *run, int row, int rows, int chunk);

/* --- weights of any format */

/* A span of codes: where, and which of its unit; what a computed codebook goes on from. */
struct qbc_code_span {
    MlirValue unit, number; /* number: i64 */
    MlirValue state;        /* i32 [l->rows] */
};
/* decode.c: the state at the start of a group; a chunk of the span, whose first column there is `column`, i64, as f32
 * [rows * depth]: where codes are vectors of columns, one vector each. */
MlirValue qbc_decode_begin(struct qbc_linear *l, const struct qbc_code_span *s);
void qbc_decode_chunk(struct qbc_linear *l, struct qbc_code_span *s, const struct qbc_chunk *c, MlirValue column, MlirValue *out);

/* Does something with f32 [rows * depth] of the columns from `column` of the unit on, i64. */
typedef void (*qbc_decode_use)(struct qbc_linear *l, void *user, MlirValue column, MlirValue w, MlirValue *carried);
enum { QBC_MOST_CARRIED = QBC_MOST_TOKENS };
/* decode_unit.c: all of a unit, column after column; what `use` leaves in carried[n] goes to the next columns. */
void qbc_decode_unit(struct qbc_linear *l, MlirValue unit, qbc_decode_use use, void *user, size_t n, MlirValue *carried);

#endif
