/* size: how many bytes a tensor takes, all told. */
#include "derive.h"

#include <math.h>

enum { RUN = 32, ZERO_BITS = 8, WORD = 2 /* bytes of an f16 */ };

int qbc_format_unit(const struct qbc_format *f)
{
    return f->block ? f->block : f->group_rows > 1 ? RUN : f->group;
}

int qbc_format_scales(const struct qbc_format *f)
{
    return f->codebook == QBC_CODE_PLANES ? f->planes : f->scale != QBC_SCALE_NONE;
}

int64_t qbc_format_groups(const struct qbc_format *f, int64_t cols)
{
    int unit = qbc_format_unit(f);
    return qbc_ceil_div(cols, unit) * (unit / f->group);
}

/* Bits of a group beside its codes. Offsets that a row or the tensor shares are not in it. */
static int group_bits(const struct qbc_format *f)
{
    int bits = qbc_format_scales(f) * qbc_scale_bits(f->scale) + f->selector_bits;
    if (f->offset == QBC_OFFSET_MIN)
        bits += qbc_scale_bits(f->scale);
    if (f->offset == QBC_OFFSET_ZERO && f->scale != QBC_SCALE_NONE)
        bits += ZERO_BITS;
    if (f->codebook == QBC_CODE_LEARNED && f->table_span == QBC_SPAN_GROUP)
        bits += 16 << f->bits;
    return bits;
}

/* Bits of what `span` shares: outer scales and minima, tables. */
static int64_t shared_bits(const struct qbc_format *f, enum qbc_span span)
{
    int64_t bits = 0;
    if (f->outer != QBC_SCALE_NONE && f->outer_span == span)
        bits += qbc_scale_bits(f->outer) * (f->offset == QBC_OFFSET_MIN ? 2 : 1);
    if (f->scale == QBC_SCALE_NONE && f->outer_span == span && f->offset == QBC_OFFSET_ZERO)
        bits += ZERO_BITS;
    if (f->codebook == QBC_CODE_LEARNED && span != QBC_SPAN_GROUP && f->table_span == span)
        bits += 16 << f->bits;
    if (f->codebook == QBC_CODE_VECTOR && span == QBC_SPAN_TENSOR)
        bits += ((int64_t)16 << f->bits) * f->vector_rows * f->vector_cols;
    if (f->floor && span == QBC_SPAN_TENSOR)
        bits += 32;
    return bits;
}

static int64_t code_bits(const struct qbc_format *f, int64_t columns)
{
    if (f->codebook == QBC_CODE_VECTOR)
        columns /= f->vector_cols;
    return f->digits ? qbc_ceil_div(columns, f->digits) * f->radix_bits : columns * f->bits;
}

static int64_t leaf_bytes(const struct qbc_format *f, int64_t rows, int64_t cols)
{
    if (f->codebook == QBC_CODE_FLOAT)
        return rows * cols * f->bits / 8;
    int unit = qbc_format_unit(f);
    int64_t units = qbc_ceil_div(cols, unit), row_groups = qbc_ceil_div(rows, qbc_group_rows(f));
    int64_t code_rows = f->codebook == QBC_CODE_VECTOR ? qbc_ceil_div(rows, f->vector_rows) : rows;
    int64_t codes = qbc_ceil_div(code_bits(f, unit), 8);
    int64_t extra = qbc_ceil_div((int64_t)unit / f->group * group_bits(f) + shared_bits(f, QBC_SPAN_BLOCK), 8);
    return code_rows * units * codes + row_groups * units * extra + rows * (shared_bits(f, QBC_SPAN_ROW) / 8) +
           shared_bits(f, QBC_SPAN_TENSOR) / 8;
}

static double leaf_bits(const struct qbc_format *f)
{
    if (f->codebook == QBC_CODE_FLOAT)
        return f->bits;
    double many = 4096; /* rows, columns: where these count */
    double codes = f->digits ? (double)f->radix_bits / f->digits : f->bits;
    if (f->codebook == QBC_CODE_VECTOR)
        codes /= f->vector_rows * f->vector_cols;
    return codes + (double)group_bits(f) / (f->group * qbc_group_rows(f)) +
           (f->block ? (double)shared_bits(f, QBC_SPAN_BLOCK) / f->block : 0) +
           (double)shared_bits(f, QBC_SPAN_ROW) / many + (double)shared_bits(f, QBC_SPAN_TENSOR) / (many * many);
}

/* --- composites */

int64_t qbc_format_cut(const struct qbc_format *f, int i, int64_t size)
{
    struct qbc_format part;
    int64_t at = 0;
    for (int p = 0; p < i; ++p) {
        int64_t left = size - at, step = 1;
        if (!f->by_rows && qbc_format_part(f, p, &part) && !qbc_is_composite(&part))
            step = qbc_format_unit(&part);
        int64_t n = p == f->n_parts - 1 ? left : (int64_t)rint((double)f->part[p].share * (double)size / (double)step) * step;
        at += n < left ? n : left;
    }
    return at;
}

/* Looks random, is always the same (the finalizer of splitmix64). */
double qbc_any_rank(int64_t row, int64_t col)
{
    uint64_t x = ((uint64_t)row << 20) + (uint64_t)col + 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (double)((x ^ x >> 31) >> 11) * 0x1p-53;
}

int64_t qbc_format_sparse(const struct qbc_format *f, int64_t cols)
{
    int64_t n = (int64_t)ceil(f->sparse * (double)cols - 1e-9);
    return n < cols ? n : cols;
}

static int64_t own_bytes(const struct qbc_format *f, int64_t rows, int64_t cols)
{
    switch (f->codebook) {
    case QBC_CODE_SPLIT:
        return f->permuted ? WORD * (f->by_rows ? rows : cols) : 0;
    case QBC_CODE_SCALED:
        return 2 * WORD * (rows + cols); /* f16, stored as f32: what an epilogue reads */
    case QBC_CODE_SPARSE:
        return 2 * WORD * rows * qbc_format_sparse(f, cols); /* a value and its column */
    case QBC_CODE_LOWRANK:
        return WORD * f->rank * (rows + cols);
    default:
        return 0;
    }
}

int64_t qbc_format_bytes(const struct qbc_format *f, int64_t rows, int64_t cols)
{
    if (!qbc_is_composite(f))
        return leaf_bytes(f, rows, cols);
    struct qbc_format part;
    int64_t bytes = own_bytes(f, rows, cols), size = f->by_rows ? rows : cols;
    for (int i = 0; qbc_format_part(f, i, &part); ++i) {
        bool split = f->codebook == QBC_CODE_SPLIT;
        int64_t n = split ? qbc_format_cut(f, i + 1, size) - qbc_format_cut(f, i, size) : size;
        bytes += f->by_rows ? qbc_format_bytes(&part, n, cols) : qbc_format_bytes(&part, rows, n);
    }
    return bytes;
}

double qbc_format_bits(const struct qbc_format *f)
{
    enum { MANY = 4096 };
    struct qbc_format part;
    if (!qbc_is_composite(f))
        return leaf_bits(f);
    double bits = 8 * (double)own_bytes(f, MANY, MANY) / ((double)MANY * MANY), rest = 1;
    for (int i = 0; qbc_format_part(f, i, &part); ++i) {
        double share = f->codebook != QBC_CODE_SPLIT ? 1 : i == f->n_parts - 1 ? rest : (double)f->part[i].share;
        bits += share * qbc_format_bits(&part);
        rest -= share;
    }
    return bits;
}
