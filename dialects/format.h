/* format.h: what a block format is. A format is data; everything else is derived from it.
 *
 * Weights of one row are cut into groups of `group` columns; each group has codes of `bits` bits
 * and, where the format says so, a scale and a zero point of its own.
 *
 *     QBC_CODE_FLOAT    w = the stored float itself (bits 32 or 16), no groups
 *     QBC_CODE_AFFINE   w = scale * (code - bias)            offset NONE
 *                       w = scale * (code - zero)            offset ZERO, zero in the code's range
 *
 * The numeric rules are docs/numerics.md's: scale first (f32, rounded to its storage type, then
 * codes are chosen with the decoded value), round half to even, an all-zero group has scale 0.
 * How codes lie in memory is no part of a format: packing.h.
 */
#ifndef QBC_FORMAT_H
#define QBC_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum qbc_codebook { QBC_CODE_FLOAT, QBC_CODE_AFFINE };
enum qbc_scale { QBC_SCALE_NONE, QBC_SCALE_F16 };
enum qbc_offset { QBC_OFFSET_NONE, QBC_OFFSET_ZERO };

struct qbc_format {
    const char *name;
    int bits;  /* of a code: 1..8, or 16, 32 for floats */
    int group; /* columns that share a scale; 1 for floats */
    enum qbc_codebook codebook;
    int bias;     /* code of the value 0, where offset is NONE */
    int low, high; /* codes in use: low .. high, within 0 .. 2^bits - 1 */
    enum qbc_scale scale;
    enum qbc_offset offset;
};

/* Rows of formats.def. */
#define FORMAT(name) extern const struct qbc_format qbc_format_##name;
#include "formats.def"
#undef FORMAT

const struct qbc_format *qbc_format_find(const char *name); /* NULL: no such format */
const struct qbc_format *qbc_format_at(size_t i);           /* NULL: past the end; in .def order */

int64_t qbc_format_groups(const struct qbc_format *f, int64_t cols);       /* ceil(cols / group) */
double qbc_format_bits(const struct qbc_format *f);                        /* per weight, all told */
/* Bytes of N x K weights with all metadata, tails counted as full blocks; packing adds only the
 * padding of the last panel of rows. */
int64_t qbc_format_bytes(const struct qbc_format *f, int64_t rows, int64_t cols);

/* The meaning of a quantized tensor, one byte a code, not packed. For floats `codes` is NULL and
 * `values` holds the stored bits. */
struct qbc_blocks {
    const struct qbc_format *format;
    int64_t rows, cols, groups;
    uint8_t *codes;   /* [rows][groups * group]; the tail of the last group has code `bias` or zero */
    uint16_t *scales; /* [rows][groups] f16 bits */
    uint8_t *zeros;   /* [rows][groups], offset ZERO only */
    void *values;     /* [rows][cols] f32 or f16 bits, floats only */
};

/* Memory for rows x cols, in one piece; false when there is none. */
bool qbc_blocks_create(struct qbc_blocks *b, const struct qbc_format *f, int64_t rows, int64_t cols);
void qbc_blocks_destroy(struct qbc_blocks *b);

/* The slow reference: rows x cols floats. It *is* the meaning of the format. */
void qbc_format_decode(const struct qbc_blocks *b, float *out);

/* Choose codes for rows [row, row + n) of `b` from w f32 [n][cols]. Returns -1 when all is well, or
 * the index into w of the first weight that cannot be kept: it is not finite, or too large for the
 * format's f16 (isfinite tells which). Threads may fit different rows at once.
 *   rtn    nearest: scale from the largest magnitude (or range)
 *   range  search the scale that gives the least squared error
 */
enum qbc_fit { QBC_FIT_RTN, QBC_FIT_RANGE };
int64_t qbc_format_fit(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w);

#endif
