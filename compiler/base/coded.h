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
};

MlirAttribute qbc_coded_attr(struct qbc *q, const struct qbc_coded *coded);
/* The source of these codes; NULL when a tensor is missing, or too small for what `blocks` says. */
const struct qbc_source *qbc_coded_source(struct qbc *q, const char *codes, MlirAttribute blocks);
/* n consecutive elements as f32 */
void qbc_coded_read(const struct qbc_coded *coded, int64_t first, int64_t n, float *out);

/* --- coded_blocks.c: codes taken over into a format of ours */

/* Can `format` hold the codes of a view as they are? ROUNDED: yes, but a scale must be rounded to f16. */
enum qbc_kept { QBC_KEPT_NOT, QBC_KEPT_ROUNDED, QBC_KEPT_EXACT };
enum qbc_kept qbc_coded_keeps(const struct qbc_view *view, const struct qbc_format *format);
/* The smallest format that can, of the most exact; NULL: none. */
const struct qbc_format *qbc_coded_format(struct qbc *q, const struct qbc_view *view, enum qbc_kept *kept);
/* Rows [row, row + n) of the view as rows [0, n) of b, whose format can hold them. */
void qbc_coded_take(const struct qbc_view *view, int64_t row, int64_t n, struct qbc_blocks *b);

/* --- exact_format.c: a format that holds all floats of a view as they are, where these are -s, 0 and s; NULL: none. Such a weight
 * has {fit = "exact"}: the search of -fit=range finds their scales. */
const struct qbc_format *qbc_exact_format(struct qbc *q, const struct qbc_view *view);

/* --- coded.c: scale, zero and code of element `at`. */
float qbc_coded_scale(const struct qbc_coded *coded, int64_t at);
double qbc_coded_zero(const struct qbc_coded *coded, int64_t at);
int64_t qbc_coded_code(const struct qbc_coded *coded, int64_t at);

#endif
