/* blocks: memory for a quantized tensor, in one piece, and where in it things are. */
#include "derive.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

/* --- where */

int64_t qbc_group_index(const struct qbc_blocks *b, int64_t row, int64_t group)
{
    return row / qbc_group_rows(b->format) * b->groups + group;
}

/* Of something that `span` shares. */
static int64_t index_of(const struct qbc_blocks *b, enum qbc_span span, int64_t row, int64_t group)
{
    switch (span) {
    case QBC_SPAN_GROUP:
        return qbc_group_index(b, row, group);
    case QBC_SPAN_BLOCK:
        return (row * b->groups + group) * b->format->group / b->format->block;
    default:
        return span == QBC_SPAN_ROW ? row : 0;
    }
}

int64_t qbc_outer_index(const struct qbc_blocks *b, int64_t row, int64_t group)
{
    return index_of(b, b->format->outer_span, row, group);
}

int64_t qbc_zero_index(const struct qbc_blocks *b, int64_t row, int64_t group)
{
    bool own = b->format->scale != QBC_SCALE_NONE;
    return own ? qbc_group_index(b, row, group) : qbc_outer_index(b, row, group);
}

int64_t qbc_table_index(const struct qbc_blocks *b, int64_t row, int64_t group)
{
    return index_of(b, b->format->table_span, row, group);
}

int64_t qbc_code_index(const struct qbc_blocks *b, int64_t row, int64_t col)
{
    const struct qbc_format *f = b->format;
    int64_t width = b->groups * f->group;
    if (f->codebook != QBC_CODE_VECTOR)
        return row * width + col;
    return row / f->vector_rows * (width / f->vector_cols) + col / f->vector_cols;
}

int qbc_table_entry(const struct qbc_format *f)
{
    return f->codebook == QBC_CODE_VECTOR ? f->vector_rows * f->vector_cols : 1;
}

/* --- memory: first the sizes are added up, then there is memory and the same walk sets the pointers */

struct walk {
    char *memory; /* NULL: only count */
    size_t bytes;
};

static void *take(struct walk *w, int64_t count, size_t size)
{
    void *at = w->memory && count ? w->memory + w->bytes : NULL;
    w->bytes += ((size_t)count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

/* How many there are of something that `span` shares. */
static int64_t count_of(const struct qbc_blocks *b, enum qbc_span span)
{
    return index_of(b, span, b->rows - 1, b->groups - 1) + 1;
}

static void lay_out_leaf(struct qbc_blocks *b, struct walk *w)
{
    const struct qbc_format *f = b->format;
    if (f->codebook == QBC_CODE_FLOAT) {
        b->values = take(w, b->rows * b->cols, (size_t)f->bits / 8);
        return;
    }
    bool own = f->scale != QBC_SCALE_NONE, has_min = f->offset == QBC_OFFSET_MIN, outer = f->outer != QBC_SCALE_NONE;
    int64_t groups = count_of(b, QBC_SPAN_GROUP), outers = outer ? count_of(b, f->outer_span) : 0;
    bool tables = f->codebook == QBC_CODE_LEARNED || f->codebook == QBC_CODE_VECTOR;
    b->codes = take(w, qbc_code_index(b, b->rows - 1, b->groups * f->group - 1) + 1, 1);
    b->scales = take(w, groups * qbc_format_scales(f) * qbc_words(f->scale), 2);
    b->zeros = take(w, f->offset != QBC_OFFSET_ZERO ? 0 : own ? groups : outers, 1);
    b->mins = take(w, has_min && own ? groups * qbc_words(f->scale) : 0, 2);
    b->selectors = take(w, f->selector_bits ? groups : 0, 1);
    b->outer = take(w, outers * qbc_words(f->outer), 2);
    b->outer_mins = take(w, has_min ? outers * qbc_words(f->outer) : 0, 2);
    b->tables = take(w, tables ? (count_of(b, f->table_span) * qbc_table_entry(f)) << f->bits : 0, 2);
}

static void lay_out_composite(struct qbc_blocks *b, struct walk *w)
{
    const struct qbc_format *f = b->format;
    int64_t left = 0, right = 0, sparse = 0;
    switch (f->codebook) {
    case QBC_CODE_SPLIT:
        left = f->permuted ? (f->by_rows ? b->rows : b->cols) : 0;
        break;
    case QBC_CODE_SCALED:
        left = b->rows, right = b->cols;
        break;
    case QBC_CODE_SPARSE:
        sparse = b->rows * qbc_format_sparse(f, b->cols);
        left = right = sparse;
        break;
    case QBC_CODE_LOWRANK:
        left = b->rows * f->rank, right = b->cols * f->rank;
        break;
    default:
        break;
    }
    b->left = take(w, left, 2);
    b->right = take(w, right, 2);
    b->parts = take(w, f->n_parts, sizeof *b->parts);
    b->formats = take(w, f->n_parts, sizeof *b->formats);
}

static bool create_part(struct qbc_blocks *b, int i)
{
    const struct qbc_format *f = b->format;
    int64_t size = f->by_rows ? b->rows : b->cols;
    int64_t n = qbc_format_cut(f, i + 1, size) - qbc_format_cut(f, i, size);
    bool split = f->codebook == QBC_CODE_SPLIT;
    return qbc_format_part(f, i, &b->formats[i]) &&
           qbc_blocks_create(&b->parts[i], &b->formats[i], split && f->by_rows ? n : b->rows,
                             split && !f->by_rows ? n : b->cols);
}

bool qbc_blocks_create(struct qbc_blocks *b, const struct qbc_format *f, int64_t rows, int64_t cols)
{
    void (*lay_out)(struct qbc_blocks *b, struct walk *w) = qbc_is_composite(f) ? lay_out_composite : lay_out_leaf;
    struct walk w = {NULL, 0};
    *b = (struct qbc_blocks){.format = f, .rows = rows, .cols = cols};
    b->groups = qbc_is_composite(f) ? 0 : qbc_format_groups(f, cols);
    if (rows < 1 || cols < 1)
        return true; /* a part that got nothing */
    lay_out(b, &w);
    b->memory = w.memory = calloc(1, w.bytes + 1);
    if (!w.memory)
        return false;
    w.bytes = 0;
    lay_out(b, &w);
    bool good = true;
    for (int i = 0; i < f->n_parts && good; ++i)
        good = create_part(b, i);
    if (!good)
        qbc_blocks_destroy(b);
    return good;
}

bool qbc_format_is_shared(const struct qbc_format *f)
{
    bool tables = f->codebook == QBC_CODE_VECTOR || (f->codebook == QBC_CODE_LEARNED && f->table_span == QBC_SPAN_TENSOR);
    return tables || f->floor || (f->outer != QBC_SCALE_NONE && f->outer_span == QBC_SPAN_TENSOR);
}

void qbc_blocks_share(struct qbc_blocks *b, const struct qbc_blocks *from)
{
    const struct qbc_format *f = b->format;
    size_t outer = 2 * (size_t)qbc_words(f->outer);
    b->floor = from->floor;
    if (f->outer != QBC_SCALE_NONE && f->outer_span == QBC_SPAN_TENSOR) {
        memcpy(b->outer, from->outer, outer);
        if (b->outer_mins)
            memcpy(b->outer_mins, from->outer_mins, outer);
        if (b->zeros && f->scale == QBC_SCALE_NONE)
            b->zeros[0] = from->zeros[0];
    }
    if (b->tables && f->table_span == QBC_SPAN_TENSOR)
        memcpy(b->tables, from->tables, ((size_t)qbc_table_entry(f) << f->bits) * sizeof *b->tables);
}

void qbc_blocks_destroy(struct qbc_blocks *b)
{
    for (int i = 0; b->parts && i < b->format->n_parts; ++i)
        qbc_blocks_destroy(&b->parts[i]);
    free(b->memory);
    *b = (struct qbc_blocks){0};
}
