/* packing.h: how the codes of a tensor lie in memory, for any format and any tile.
 *
 * Rows are cut into panels of `rows`; the last panel is padded with rows whose bytes are all 0 (so
 * their scale is 0). A panel is a sequence of groups (of the format's columns; the last may be
 * partly filled, its other codes decode to 0), a group is
 *
 *     codes    for each field of the code, most bits first: its vectors
 *     scales   f16 [rows]
 *     zeros    u8 [rows]                                         offset ZERO only
 *
 * A chunk is `rows` x `depth` codes: for each row of the panel, `depth` consecutive k. A group has
 * group / depth chunks (depth divides the group); byte r * depth + d of a chunk is row r, k d. A
 * code of b bits is split into fields of 8, 4, 2 and 1 bits (5 = 4 + 1), low bits first into the
 * widest field. A field of f bits stores chunk c in vector c % V at bit
 * f * (c / V) of each byte, V = ceil(chunks * f / 8): so one vector of rows * depth bytes
 * holds 8 / f chunks, and unpacking is a shift and a mask. (Where 8 / f does
 * not divide the chunks, high bits of some vectors are 0.)
 *
 * Floats: a panel is cols x rows values, k-major (depth 1): all rows of one k together.
 *
 * `is_signed`: bytes hold code - bias as two's complement (8-bit codes without zero point only).
 * Parts follow each other without gaps, so scales and vectors may lie at any address.
 */
#ifndef QBC_PACKING_H
#define QBC_PACKING_H

#include "format.h"

struct qbc_packing {
    int rows;
    int depth;
    bool is_signed;
};

static inline bool qbc_same_packing(struct qbc_packing a, struct qbc_packing b)
{
    return a.rows == b.rows && a.depth == b.depth && a.is_signed == b.is_signed;
}

enum {
    QBC_MAX_FIELDS = 4,
    QBC_MAX_PANEL_GROUP = 1 << 15, /* rows * group: codes of one group of a panel */
};
struct qbc_field {
    int bits;    /* 8, 4, 2 or 1 */
    int shift;   /* of the field inside the code */
    int vectors; /* V */
    int offset;  /* of its first vector, from the start of the group, bytes */
};

struct qbc_layout {
    int n_fields;
    struct qbc_field field[QBC_MAX_FIELDS];
    int chunks;        /* in a group */
    int vector_bytes;  /* rows * depth */
    int scales_offset; /* from the start of the group, bytes */
    int zeros_offset;
    int group_bytes;
    int64_t groups;    /* in a row */
    int64_t panels;
    int64_t panel_bytes;
    int64_t bytes; /* of the tensor */
};

/* Everything that follows from a format, a packing and a size. For floats a "group" is one k:
 * no fields, one chunk, vector_bytes = group_bytes = the bytes of `rows` values. */
struct qbc_layout qbc_layout(const struct qbc_format *f, struct qbc_packing p, int64_t rows,
                             int64_t cols);
/* Rows [row, row + n) of b to ceil(n / p.rows) panels; `out` is where row's own panel begins. n is a
 * multiple of p.rows unless these are the last rows. Every byte of the panels is written. */
void qbc_pack(const struct qbc_blocks *b, struct qbc_packing p, int64_t row, int64_t n, uint8_t *out);
/* The way back, for the reference and for tests. */
void qbc_unpack(struct qbc_blocks *b, struct qbc_packing p, const uint8_t *in);

#endif
