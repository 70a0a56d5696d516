/* format.h: what a block format is. A format is data; everything else is derived from it.
 *
 * A *leaf* cuts a row into groups of `group` columns. Each weight has a code of `bits` bits, which stands for a level;
 * each group has a scale and, where the format says so, an offset and a selector of its own:
 *
 *     QBC_CODE_FLOAT      w = the stored float itself (bits 32 or 16), no groups
 *     QBC_CODE_AFFINE     w = scale * (code - bias)                 offset NONE
 *                         w = scale * (code - zero)                 offset ZERO, zero in the code's range
 *                         w = scale * code + min                    offset MIN (bias is 0)
 *     QBC_CODE_TABLE      w = scale * level[selector][code] + min   int8 levels, written in the description
 *     QBC_CODE_LEARNED    w = scale * table[code]                   f16 levels, stored with the tensor
 *     QBC_CODE_PLANES     w = min + sum over k of scale[k] * (plane_step * digit[k](code) + plane_low)
 *     QBC_CODE_VECTOR     v weights at once = scale * table[code]   f16 vectors, stored with the tensor
 *     QBC_CODE_COMPUTED   w = scale * generated value               a trellis over the codes of a group (computed.c)
 *
 * A scale may be a number of a type of its own, or a *code* that is multiplied by an outer scale: of a super-block of
 * `block` columns, of the row, or of the tensor. A coded min is subtracted: min = -(outer min) * code.
 *
 * *Composite* formats put others together; their parts are formats (qbc_format_part):
 *
 *     QBC_CODE_SUM        w = sum of the parts; without its last parts it is a coarser tensor
 *     QBC_CODE_SPLIT      each part has some of the columns (or rows), perhaps after a stored permutation
 *     QBC_CODE_SCALED     w = u[row] * v[column] * part
 *     QBC_CODE_SPARSE     w = part, + an f16 in some columns of each row (a share `sparse` of them)
 *     QBC_CODE_LOWRANK    w = part + A B, A f16 [rows][rank], B f16 [rank][columns]
 *
 * The numeric rules are docs/numerics.md's: scale first (f32, rounded to its storage type, then codes are chosen with
 * the decoded value, at every level of a chain), round half to even, an all-zero group has scale 0. How codes lie in
 * memory is no part of a format: packing.h. Names are a grammar: docs/formats.md, formats/parse.c.
 */
#ifndef QBC_FORMAT_H
#define QBC_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum qbc_codebook {
    QBC_CODE_FLOAT,
    QBC_CODE_AFFINE,
    QBC_CODE_TABLE,
    QBC_CODE_LEARNED,
    QBC_CODE_PLANES,
    QBC_CODE_VECTOR,
    QBC_CODE_COMPUTED,
    QBC_CODE_SUM, /* from here on: composites */
    QBC_CODE_SPLIT,
    QBC_CODE_SCALED,
    QBC_CODE_SPARSE,
    QBC_CODE_LOWRANK,
};
/* Types of scales; formats/scale.c has their sizes and meanings. From U4 on they are codes under an outer scale. */
enum qbc_scale {
    QBC_SCALE_NONE,
    QBC_SCALE_F16,
    QBC_SCALE_BF16,
    QBC_SCALE_F32,
    QBC_SCALE_E8M0,
    QBC_SCALE_E4M3,
    QBC_SCALE_U4,
    QBC_SCALE_U6,
    QBC_SCALE_U8,
    QBC_SCALE_I6,
    QBC_SCALE_I8,
};
enum qbc_offset { QBC_OFFSET_NONE, QBC_OFFSET_ZERO, QBC_OFFSET_MIN };
/* What shares a number: a group, a super-block of `block` columns, a row, the tensor. */
enum qbc_span { QBC_SPAN_GROUP, QBC_SPAN_BLOCK, QBC_SPAN_ROW, QBC_SPAN_TENSOR };

enum {
    QBC_FORMAT_NAME = 64,   /* bytes of the longest name, with its NUL */
    QBC_MOST_LEVELS = 64,   /* of all tables of a format together */
    QBC_MOST_PLANES = 4,
    QBC_FORMAT_PARTS = 4,
    QBC_MAX_GROUP = 1024,
};

struct qbc_format {
    char name[QBC_FORMAT_NAME]; /* as the grammar prints it: equal formats have equal names */
    enum qbc_codebook codebook;
    int bits;  /* of a code: 1..8, or 16, 32 for floats */
    int group; /* columns that share a scale; 1 for floats */
    int bias;  /* code of the value 0, where offset is NONE */
    int low, high; /* codes in use: low .. high, within 0 .. 2^bits - 1 */
    enum qbc_scale scale;
    enum qbc_offset offset;

    bool brain;     /* floats of 16 bits: bf16, not f16 */
    int group_rows; /* rows that share a scale; 0 means 1 */
    /* radix packing: `digits` codes are one number of base high + 1 in `radix_bits` bits, the first one least
     * significant; 0: a code has bits of its own */
    int digits, radix_bits;
    int8_t level[QBC_MOST_LEVELS]; /* [2^selector_bits][2^bits], TABLE */
    float unit;                    /* of levels, a factor of the scale; 0 means 1 */
    int selector_bits;
    enum qbc_span table_span; /* LEARNED: whose tables; VECTOR: the tensor's */
    int planes, plane_base, plane_step, plane_low; /* PLANES: digits of the code, least significant first */
    int vector_rows, vector_cols; /* VECTOR: weights that a code stands for; 0 means 1 */

    enum qbc_scale outer; /* what a scale is multiplied by; its span: */
    enum qbc_span outer_span;
    int block;   /* columns of a super-block; 0: a group is all there is */
    bool floor;  /* scale = code * outer / (2^bits - 1) + the tensor's floor, f32 */

    /* composites */
    int n_parts;
    struct {
        uint8_t from, length; /* of its name inside `name` */
        float share;          /* SPLIT: of the columns or rows; the last part has the rest */
    } part[QBC_FORMAT_PARTS];
    bool by_rows, permuted; /* SPLIT */
    double sparse;          /* SPARSE: share of a row */
    bool any;               /* SPARSE: entries at random, to tell what choosing them is worth */
    int rank;               /* LOWRANK */
};

/* Rows of formats.def. */
#define FORMAT(name) extern const struct qbc_format qbc_format_##name;
#include "formats.def"
#undef FORMAT

const struct qbc_format *qbc_format_find(const char *name); /* a row of formats.def, or NULL */
const struct qbc_format *qbc_format_at(size_t i);           /* NULL: past the end; in .def order */

/* The format that `name` describes. False: `why` (QBC_FORMAT_WHY bytes) tells what is wrong, and where. `out->name` is
 * the name that the format has: other spellings ("q4_0") and defaults come out the same ("i4g32"). */
enum { QBC_FORMAT_WHY = 256 };
bool qbc_format_parse(const char *name, struct qbc_format *out, char *why);
/* Names worth knowing, for lists and "did you mean"; NULL: past the end. */
const char *qbc_format_example(size_t i);
/* How names of leaves begin, for every kind and width: "i4", "t1.6", "pow4a0.5"; NULL: past the end. */
const char *qbc_format_kind(size_t i);
/* Rows and columns of weights that a code stands for. */
static inline int qbc_vector_rows(const struct qbc_format *f)
{
    return f->vector_rows > 1 ? f->vector_rows : 1;
}
static inline int qbc_vector_cols(const struct qbc_format *f)
{
    return f->vector_cols > 1 ? f->vector_cols : 1;
}
static inline int qbc_group_rows(const struct qbc_format *f)
{
    return f->group_rows > 1 ? f->group_rows : 1;
}
static inline int64_t qbc_common_divisor(int64_t a, int64_t b)
{
    return b ? qbc_common_divisor(b, a % b) : a;
}
static inline int64_t qbc_common_multiple(int64_t a, int64_t b)
{
    return a / qbc_common_divisor(a, b) * b;
}
/* Part i of a composite. False: it has fewer. */
bool qbc_format_part(const struct qbc_format *f, int i, struct qbc_format *out);

int64_t qbc_format_groups(const struct qbc_format *f, int64_t cols);       /* in a row, padding included */
double qbc_format_bits(const struct qbc_format *f);                        /* per weight, all told */
/* Bytes of N x K weights with all metadata, tails counted as full blocks; packing adds only the
 * padding of the last panel of rows. */
int64_t qbc_format_bytes(const struct qbc_format *f, int64_t rows, int64_t cols);

/* The meaning of a quantized tensor, one byte a code, not packed. For floats `codes` is NULL and
 * `values` holds the stored bits. `scales`, `mins`, `outer` and `outer_mins` hold stored bits, 16 a number; an f32 is two,
 * the low half first (qbc_number in derive.h). What a format lacks is NULL. G: groups, B: super-blocks of a row. */
struct qbc_blocks {
    const struct qbc_format *format;
    int64_t rows, cols, groups;
    uint8_t *codes;   /* [rows][groups * group]; the tail of the last group has code `bias` or zero. VECTOR: by vectors */
    uint16_t *scales; /* [rows / group_rows][G][planes, or 1] */
    uint8_t *zeros;   /* [rows / group_rows][G], or one for whom `outer` is */
    void *values;     /* [rows][cols] f32 or f16 bits, floats only */
    uint16_t *mins;   /* [rows / group_rows][G] */
    uint8_t *selectors;           /* [rows / group_rows][G] */
    uint16_t *outer, *outer_mins; /* [rows][B], [rows] or [1], by outer_span */
    uint16_t *tables;             /* f16 [rows][G], [rows] or [1] tables, by table_span, of [2^bits][vector] */
    float floor;
    struct qbc_blocks *parts;     /* composites: [n_parts] */
    struct qbc_format *formats;   /* theirs */
    uint16_t *left, *right;       /* SCALED f16 u[rows], v[cols]; LOWRANK f16 A[rows][rank], B[rank][cols];
                                   * SPARSE f16 values, u16 columns, [rows][n]; SPLIT left: whence [cols] (or rows) */
    void *memory;
};

/* Memory for rows x cols, in one piece; false when there is none. */
bool qbc_blocks_create(struct qbc_blocks *b, const struct qbc_format *f, int64_t rows, int64_t cols);
void qbc_blocks_destroy(struct qbc_blocks *b);
bool qbc_format_is_shared(const struct qbc_format *f); /* leaves: has the tensor scales or tables for all its rows? */
void qbc_blocks_share(struct qbc_blocks *b, const struct qbc_blocks *from); /* b gets those of `from` */

/* The slow reference: rows x cols floats. It *is* the meaning of the format. */
void qbc_format_decode(const struct qbc_blocks *b, float *out);
void qbc_format_decode_rows(const struct qbc_blocks *b, int64_t row, int64_t n, float *out); /* [n][cols] */

/* Choose codes for rows [row, row + n) of `b` from w f32 [n][cols]. Returns -1 when all is well, or
 * the index into w of the first weight that cannot be kept: it is not finite, or too large for the
 * format's f16 (isfinite tells which). Threads may fit different rows at once; `row` is a multiple of group_rows and
 * vector_rows, and so is n but at the end.
 *   rtn    nearest: scale from the largest magnitude (or range)
 *   range  search the parameters that give the least squared error: scales (docs/numerics.md), planes by alternating
 *          least squares, tables by k-means
 * `h` f32 [cols] >= 0 weighs the squared errors of columns; NULL: all alike.
 */
enum qbc_fit { QBC_FIT_RTN, QBC_FIT_RANGE, QBC_FIT_POWER };
int64_t qbc_format_fit(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w);
int64_t qbc_format_fit_weighted(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w,
                                const float *h);
/* What the whole tensor shares (scales, tables) is chosen before any row is fitted, from n rows of it: all of them, or a
 * sample. False: there is nothing to prepare, rows may be fitted at once. */
bool qbc_format_prepare(struct qbc_blocks *b, int64_t n, const float *w, const float *h);
bool qbc_format_can_fit(const struct qbc_format *f); /* false: such tensors can only be decoded */

/* --- one unit (a super-block, or a group) at a time, for fits that go on choosing codes as they go along (GPTQ)
 *
 * qbc_fit_unit chooses the parameters of unit number `unit` of a row from its n real weights, and stores them in b;
 * qbc_unit_grid then gives the weight that each code of a group stands for, and qbc_grid_round the code for a weight.
 * For scalar leaves with groups in a row; the scales of tensors are fitted as a whole, those of rows by qbc_fit_row.
 */
struct qbc_grid {
    int low, high;
    float value[256]; /* low .. high */
};
int64_t qbc_fit_unit(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t unit, int n, const float *w,
                     const float *h);
/* Leaves whose parameters are a row's, all at once: those of w [cols]. Codes are not chosen. */
bool qbc_format_is_row(const struct qbc_format *f);
int64_t qbc_fit_row(enum qbc_fit how, struct qbc_blocks *b, int64_t row, const float *w, const float *h);
void qbc_unit_grid(const struct qbc_blocks *b, int64_t row, int64_t group, struct qbc_grid *grid);
int qbc_grid_round(const struct qbc_grid *grid, float w); /* the nearest; the lowest code in a tie */

#endif
