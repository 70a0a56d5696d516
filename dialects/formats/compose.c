/* compose: what formats made of formats mean. All sums are f32, in the order of the parts. */
#include "derive.h"
#include "half.h"

#include <stdlib.h>
#include <string.h>

/* Part i of rows [row, row + n), [n][its columns]; NULL: no memory, or nothing. */
static float *decode_part(const struct qbc_blocks *b, int i, int64_t row, int64_t n)
{
    const struct qbc_blocks *part = &b->parts[i];
    float *values = part->cols && n > 0 ? malloc((size_t)(n * part->cols) * sizeof *values) : NULL;
    if (values)
        qbc_format_decode_rows(part, row, n, values);
    return values;
}

static void add(float *to, const float *from, int64_t n)
{
    for (int64_t i = 0; from && i < n; ++i)
        to[i] += from[i];
}

static void decode_rows_of_parts(const struct qbc_blocks *b, int64_t row, int64_t n, float *out)
{
    int64_t first = 0;
    for (int i = 0; i < b->format->n_parts; first += b->parts[i++].rows) {
        int64_t from = row > first ? row : first, end = first + b->parts[i].rows;
        int64_t until = row + n < end ? row + n : end;
        if (from < until)
            qbc_format_decode_rows(&b->parts[i], from - first, until - from, out + (from - row) * b->cols);
    }
}

static void decode_columns_of_parts(const struct qbc_blocks *b, int64_t row, int64_t n, float *out)
{
    int64_t first = 0;
    for (int i = 0; i < b->format->n_parts; first += b->parts[i++].cols) {
        int64_t cols = b->parts[i].cols;
        float *values = decode_part(b, i, row, n);
        for (int64_t at = 0; values && at < n * cols; ++at) {
            int64_t position = first + at % cols;
            out[at / cols * b->cols + (b->left ? b->left[position] : position)] = values[at];
        }
        free(values);
    }
}

static void scale(const struct qbc_blocks *b, int64_t row, int64_t n, float *out)
{
    for (int64_t r = 0; r < n; ++r)
        for (int64_t col = 0; col < b->cols; ++col)
            out[r * b->cols + col] *= qbc_half_to_float(b->left[row + r]) * qbc_half_to_float(b->right[col]);
}

static void add_sparse(const struct qbc_blocks *b, int64_t row, int64_t n, float *out)
{
    int64_t count = qbc_format_sparse(b->format, b->cols);
    for (int64_t i = 0; i < n * count; ++i)
        out[i / count * b->cols + b->right[row * count + i]] += qbc_half_to_float(b->left[row * count + i]);
}

static void add_product(const struct qbc_blocks *b, int64_t row, int64_t n, float *out)
{
    int64_t rank = b->format->rank;
    for (int64_t i = 0; i < n * b->cols; ++i) {
        float sum = 0;
        for (int64_t k = 0; k < rank; ++k)
            sum += qbc_half_to_float(b->left[(row + i / b->cols) * rank + k]) *
                   qbc_half_to_float(b->right[k * b->cols + i % b->cols]);
        out[i] += sum;
    }
}

void qbc_decode_composite(const struct qbc_blocks *b, int64_t row, int64_t n, float *out)
{
    const struct qbc_format *f = b->format;
    memset(out, 0, (size_t)(n * b->cols) * sizeof *out);
    if (f->codebook == QBC_CODE_SPLIT) {
        if (f->by_rows)
            decode_rows_of_parts(b, row, n, out);
        else
            decode_columns_of_parts(b, row, n, out);
        return;
    }
    for (int i = 0; i < f->n_parts; ++i) {
        float *values = decode_part(b, i, row, n);
        add(out, values, n * b->cols);
        free(values);
    }
    if (f->codebook == QBC_CODE_SCALED)
        scale(b, row, n, out);
    else if (f->codebook == QBC_CODE_SPARSE)
        add_sparse(b, row, n, out);
    else if (f->codebook == QBC_CODE_LOWRANK)
        add_product(b, row, n, out);
}
