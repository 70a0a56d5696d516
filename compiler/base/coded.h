/* coded.h: weights that the model file holds as codes with scales: MatMulNBits, DequantizeLinear, ...
 *
 * Element (o, a, i) of [outer, length, inner], `length` being the axis along which scales change, is
 *
 *     (code - zero) * scale,     in f32
 *
 * where the code is number (o * stored + a) * inner + i of its tensor, low bits first, and scale and zero are numbers
 * o * stride[0] + a / group * stride[1] + i * stride[2] of theirs. In the IR all of it but `codes` is the attribute
 * `blocks` of the qb.weight, whose `source` names the codes; offset and strides count elements as if they were plain:
 *
 *   "qb.weight"() {source = "down.codes", offset = 0, strides = array<i64: 160, 1>, blocks = {bits = 4, group = 32,
 *                  inner = 1, length = 160, scale_strides = array<i64: 5, 1, 0>, scales = "down.scales", signed = false,
 *                  stored = 160, zero = 8}} : () -> tensor<128x160xf32>
 *   and, where each group has a zero of its own, zero_bits, zero_strides, zeros = "down.zeros"
 *
 * With {floats = f8E4M3FN} codes are numbers of that type, and have no zero. Scales may be such numbers too, powers of two
 * (e8m0), or codes with a scale themselves: {scale_blocks = {...}} says what those in `scales` stand for.
 * With {groups = "down.g_idx"}, GPTQ's order of columns, number a is in group groups[a], not a / group. {sorted}: they stand in
 * the order of their groups, so that number a is number order[a] of the tensor, and in group a / group (sort-columns).
 */
#ifndef QBC_CODED_H
#define QBC_CODED_H

#include "base.h"
#include "format.h"

struct qbc_coded {
    const struct qbc_source *codes, *scales, *zeros; /* zeros NULL: `zero` is the zero of all */
    int bits, zero_bits; /* 2, 4, 8, 16 or 32; a zero may also be a float: 0 bits */
    bool is_signed;      /* codes and zeros */
    int64_t zero;
    int64_t length, stored, inner, group;
    int64_t scale_stride[3], zero_stride[3];
    enum qbc_element floats; /* of the codes; 0: they are whole numbers */
    const float *levels;     /* [1 << bits] what a code stands for, where they are floats; else NULL */
    const struct qbc_source *groups;   /* [length]; NULL: a / group */
    const int32_t *group_of, *order;   /* coded_order.c, from `groups`; `order` NULL: groups are not `group` long each */
    bool sorted;
};

MlirAttribute qbc_coded_attr(struct qbc *q, const struct qbc_coded *coded);
/* The source of these codes; NULL when a tensor is missing, or too small for what `blocks` says. */
const struct qbc_source *qbc_coded_source(struct qbc *q, const char *codes, MlirAttribute blocks);
/* Is the axis of the scales in groups of another order, which could be sorted? As attribute: the same, sorted. */
bool qbc_coded_sortable(const struct qbc_coded *coded);
MlirAttribute qbc_coded_sorted(struct qbc *q, MlirAttribute blocks);
/* n consecutive elements as f32 */
void qbc_coded_read(const struct qbc_coded *coded, int64_t first, int64_t n, float *out);

/* --- coded_blocks.c: codes taken over into a format of ours */

/* Can `format` hold the codes of a view as they are? ROUNDED: yes, but a scale must be rounded to f16. */
enum qbc_kept { QBC_KEPT_NOT, QBC_KEPT_ROUNDED, QBC_KEPT_EXACT };
enum qbc_kept qbc_coded_keeps(const struct qbc_view *view, const struct qbc_format *format);
/* --- coded_format.c: the smallest format that can, of the most exact; NULL: none. */
const struct qbc_format *qbc_coded_format(struct qbc *q, const struct qbc_view *view, enum qbc_kept *kept);
/* Are all of the floats that they stand for halves? */
bool qbc_coded_is_half(const struct qbc_view *view);
/* --- coded_blocks.c: rows [row, row + n) of the view as rows [0, n) of b, whose format can hold them. */
void qbc_coded_take(const struct qbc_view *view, int64_t row, int64_t n, struct qbc_blocks *b);
/* What all rows share (the tensor's scale, tables), before any row is taken. False: no memory. */
bool qbc_coded_share(const struct qbc_view *view, const struct qbc_format *format, struct qbc_blocks *shared);

/* --- exact_format.c: a format that holds all floats of a view as they are, where these are -s, 0 and s; NULL: none. Such a weight
 * has {fit = "exact"}: the search of -fit=range finds their scales. */
const struct qbc_format *qbc_exact_format(struct qbc *q, const struct qbc_view *view);

/* --- coded_order.c: group_of and order, from `groups`. False: they are no numbers of groups. */
bool qbc_coded_order(struct qbc *q, int64_t groups, struct qbc_coded *coded);

/* --- coded.c: scale, zero and code of element `at`. */
float qbc_coded_scale(const struct qbc_coded *coded, int64_t at);
int64_t qbc_coded_scale_index(const struct qbc_coded *coded, int64_t at); /* which of `scales` that is */
double qbc_coded_zero(const struct qbc_coded *coded, int64_t at);
int64_t qbc_coded_code(const struct qbc_coded *coded, int64_t at);

#endif
