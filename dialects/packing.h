/* packing.h: how the codes of a tensor lie in memory, for any format and any tile.
 *
 * Rows are cut into panels of `rows`; the last panel is padded with rows whose bytes are all 0. A panel is a sequence of
 * units, then what its rows have for themselves; behind the last panel is what the tensor shares.
 *
 *     unit      columns that are stored together: a super-block, or a group; 32 columns where groups are shorter
 *       spans     its codes, in pieces of `span` columns
 *       numbers   scales, minima, selectors, zeros of its groups: [group][plane][rows] each; outer scales and minima [rows]
 *     rows      outer scales, minima, zeros of rows; tables of rows [entry][rows]
 *     tail      outer scale, minimum, zero, floor, tables of the tensor
 *
 * A chunk is `rows` x `depth` codes: for each row of the panel, `depth` consecutive k. A span has span / depth
 * chunks (depth divides the span); byte r * depth + d of a chunk is row r, k d. Where codes stand for vectors of columns or
 * rows, "k" and "row" count vectors.
 *
 * A code of b bits is split into fields of 8, 4, 2 and 1 bits (5 = 4 + 1), low bits first into the widest field. A field of f
 * bits stores chunk c in vector c % V at bit f * (c / V) of each byte, V = ceil(chunks * f / 8): so one vector
 * of rows * depth bytes holds 8 / f chunks, and unpacking is a shift and a mask. (Where 8 / f does not divide the
 * chunks, high bits of some vectors are 0.) Spans are as short as wastes least, from 32 columns on.
 *
 * Formats whose codes are digits: N numbers stand for the chunks of a span, number n for chunks n, n + N, n + 2 N ..,
 * and these lie in fields as codes do. A number is the fraction 0.d0 d1 d2 .. in base high + 1, rounded up to its bits, so
 * that times the base it gives the next digit as its whole part. Where a code is itself digits, one of each plane, and a number
 * has a byte for each plane, these are numbers of their own: 5 of 9 codes in 16 bits are 5 of 3 in 8 bits, twice.
 *
 * Numbers of less than 8 bits (codes of scales, selectors) lie in fields, a chunk a group (and plane), where that takes fewer
 * bytes than a byte each.
 *
 * Floats: a unit is one k: all rows of it together (depth 1).
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
    QBC_MAX_SPAN = 256,             /* columns */
    QBC_MAX_PANEL_SPAN = 1 << 16,   /* rows * span: codes of one span of a panel */
};
struct qbc_field {
    int bits;    /* 8, 4, 2 or 1 */
    int shift;   /* of the field inside the code */
    int vectors; /* V */
    int offset;  /* of its first vector, from the first field's, bytes */
};
/* Chunks of bytes, cut into fields. */
struct qbc_fields {
    int n;
    struct qbc_field field[QBC_MAX_FIELDS];
    int chunks;
    int vector_bytes;
    int bytes; /* all of them */
};
/* Numbers of the groups of a unit (or, of rows and tensors, one). */
struct qbc_numbers {
    int offset; /* from the start of the unit, the panel's row part, or the tail; bytes */
    int count;  /* 0: there are none */
    int bits;   /* 8, 16, 32: [count][rows] of as many; less: in fields */
    struct qbc_fields fields;
};

struct qbc_layout {
    struct qbc_fields codes; /* of a span; of digits: numbers */
    int chunks;              /* of codes in a span */
    int span, spans;         /* columns of a span; spans of a unit */
    int span_bytes;
    int unit, groups;        /* columns of a unit, groups in it */
    struct qbc_numbers scales, mins, selectors, zeros, tables; /* of groups */
    struct qbc_numbers outer, outer_mins;                      /* of the unit */
    int unit_bytes;
    int64_t units;           /* in a row */
    int64_t rows_offset;     /* from the start of a panel: */
    struct qbc_numbers row_outer, row_mins, row_zeros, row_tables;
    int64_t panels;
    int64_t panel_bytes;
    int64_t tail_offset;     /* from the start of the tensor; one of each, as if `rows` were 1: */
    struct qbc_numbers tail_outer, tail_mins, tail_zeros, tail_floor, tail_tables;
    int64_t tail_bytes;
    int64_t bytes;           /* of the tensor */
};

/* Of digits: how many numbers of at most 8 bits lie beside each other, for a plane each; and their base. */
static inline int qbc_number_parts(const struct qbc_format *f)
{
    return f->codebook == QBC_CODE_PLANES && f->radix_bits == 8 * f->planes ? f->planes : 1;
}

static inline int qbc_number_base(const struct qbc_format *f)
{
    return qbc_number_parts(f) > 1 ? f->plane_base : f->high + 1;
}

/* Everything that follows from a format, a packing and a size. For floats a "unit" is one k: no codes,
 * unit_bytes = the bytes of `rows` values. */
struct qbc_layout qbc_layout(const struct qbc_format *f, struct qbc_packing p, int64_t rows,
                             int64_t cols);
/* Rows [row, row + n) of b to ceil(n / p.rows) panels; `out` is where row's own panel begins. n is a
 * multiple of p.rows unless these are the last rows. Every byte of the panels is written. */
void qbc_pack(const struct qbc_blocks *b, struct qbc_packing p, int64_t row, int64_t n, uint8_t *out);
/* What the tensor shares: tail_bytes at `out`. */
void qbc_pack_tail(const struct qbc_blocks *b, struct qbc_packing p, uint8_t *out);
/* The way back of both, for the reference and for tests. */
void qbc_unpack(struct qbc_blocks *b, struct qbc_packing p, const uint8_t *in);

#endif
