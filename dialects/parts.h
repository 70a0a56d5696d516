/* parts.h: what a tensor of a composite format is stored as.
 *
 * Kernels multiply leaves only. So a composite is taken apart (passes/split_composites.c), and each piece is a tensor of its
 * own: a part, or one of the tables that hold the parts together. A *path* names it, an element for each level of the
 * format, divided by '/':
 *
 *     SUM       sum0 sum1 ..
 *     SPLIT     columns0 columns1 .. (or rows0 ..); permuted: order, inverse
 *     SCALED    scaled; u, v
 *     SPARSE    dense; values, indices
 *     LOWRANK   rest; a, b, b_transposed
 *
 * "columns1/sum0" of (i4g32@25%p|i3g64+i2g64) is what i3g64 holds of the last columns. Tables, in their own formats:
 *
 *     order         u16 [columns][1]   position k of the parts is column order[k] of the tensor
 *     inverse       u16 [columns][1]   and column k of the tensor is position inverse[k]: for embeddings
 *     u, v          f32 [rows], [columns]
 *     values        f16 [rows][n], and their columns `indices`, u16 [rows][n]
 *     a             f16 [rows][rank]
 *     b             f16 [rank][columns], as [rank * columns][1]; b_transposed [columns][rank], for embeddings
 */
#ifndef QBC_PARTS_H
#define QBC_PARTS_H

#include "format.h"

/* Whole numbers below 65536 that are no weights. No name of the grammar, so nobody can ask for it. */
extern const struct qbc_format qbc_format_u16;
enum { QBC_MOST_INDEX = 65536 }; /* columns that such numbers can name */

static inline bool qbc_is_composite(const struct qbc_format *f)
{
    return f->codebook >= QBC_CODE_SUM;
}

/* SPLIT: where part i begins, of `size` columns or rows; part n_parts begins at `size`. */
int64_t qbc_format_cut(const struct qbc_format *f, int i, int64_t size);
int64_t qbc_format_sparse(const struct qbc_format *f, int64_t cols); /* SPARSE: weights of a row */
double qbc_any_rank(int64_t row, int64_t col); /* SPARSE {any}: entries are those of the highest; 0 .. 1 */

/* The element of a path for part i of a composite; `out` has QBC_FORMAT_NAME bytes. */
void qbc_part_name(const struct qbc_format *f, int i, char *out);

/* The piece that `path` names, as blocks that qbc_pack takes. They borrow from `whole`, or from `memory`. False: no such
 * piece, or no memory. */
struct qbc_piece {
    struct qbc_blocks blocks;
    void *memory; /* NULL: all is borrowed */
};
bool qbc_piece_open(const struct qbc_blocks *whole, const char *path, struct qbc_piece *out);
void qbc_piece_close(struct qbc_piece *piece);

/* A format's part by the first element of a path, which is stepped over; -1: that names no part. */
int qbc_part_of_path(const struct qbc_format *f, const char **path);

#endif
