/* swept: which formats GPTQ can go through column by column, and in what order.
 *
 * Leaves with parameters for each group of a row; sums of such whose groups are alike; columns that are split over these, in
 * the order of the parts; and around it all entries of f16, of each row those that would do most harm:
 * w^2 / U_jj^2 is what leaving out a weight costs when all behind it make good for it (SpQR, arXiv 2306.03078; PB-LLM,
 * arXiv 2310.00034).
 */
#include "swept.h"
#include "parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool qbc_can_sweep(const struct qbc_format *f)
{
    bool scalar = f->codebook == QBC_CODE_AFFINE || f->codebook == QBC_CODE_TABLE || f->codebook == QBC_CODE_PLANES;
    bool own = f->scale != QBC_SCALE_NONE && (f->outer == QBC_SCALE_NONE || f->outer_span == QBC_SPAN_BLOCK);
    return scalar && own && f->group_rows < 2 && !f->floor;
}

static bool is_sum(const struct qbc_format *f)
{
    struct qbc_format part, first;
    bool good = f->codebook == QBC_CODE_SUM && qbc_format_part(f, 0, &first);
    for (int i = 0; good && i < f->n_parts; ++i)
        good = qbc_format_part(f, i, &part) && qbc_can_sweep(&part) && part.group == first.group && part.block == first.block;
    return good;
}

static bool is_segment(const struct qbc_format *f)
{
    return qbc_can_sweep(f) || is_sum(f);
}

bool qbc_can_sweep_parts(const struct qbc_format *f)
{
    struct qbc_format part;
    if (f->codebook == QBC_CODE_SPARSE)
        return qbc_format_part(f, 0, &part) && part.codebook != QBC_CODE_SPARSE && qbc_can_sweep_parts(&part);
    if (f->codebook != QBC_CODE_SPLIT || f->by_rows)
        return is_segment(f);
    bool good = true;
    for (int i = 0; good && i < f->n_parts; ++i)
        good = qbc_format_part(f, i, &part) && is_segment(&part);
    return good;
}

static void add_segment(struct qbc_swept *swept, struct qbc_blocks *b, int64_t first)
{
    struct qbc_segment *g = &swept->segment[swept->n];
    bool sum = b->format->codebook == QBC_CODE_SUM;
    *g = (struct qbc_segment){.n = sum ? b->format->n_parts : 1, .first = first, .cols = b->cols};
    for (int i = 0; i < g->n; ++i)
        g->leaf[i] = sum ? &b->parts[i] : b;
    swept->n += b->cols > 0;
}

struct qbc_swept qbc_swept_of(struct qbc_blocks *b)
{
    struct qbc_swept swept = {.n = 0};
    if (b->format->codebook == QBC_CODE_SPARSE) {
        swept.sparse = b;
        b = &b->parts[0];
    }
    if (b->format->codebook != QBC_CODE_SPLIT) {
        add_segment(&swept, b, 0);
        return swept;
    }
    int64_t first = 0;
    swept.order = b->left;
    for (int i = 0; i < b->format->n_parts; first += b->parts[i++].cols)
        add_segment(&swept, &b->parts[i], first);
    return swept;
}

void qbc_swept_hessian(const struct qbc_swept *b, int64_t cols, const float *h, float *out)
{
    for (int64_t i = 0; i < cols; ++i)
        for (int64_t j = 0; j < cols; ++j)
            out[i * cols + j] = b->order ? h[b->order[i] * cols + b->order[j]] : h[i * cols + j];
}

bool qbc_swept_order(const struct qbc_swept *b, int64_t n, int64_t cols, float *w)
{
    float *row = b->order ? malloc((size_t)cols * sizeof *row) : NULL;
    for (int64_t i = 0; row && i < n; ++i) {
        memcpy(row, w + i * cols, (size_t)cols * sizeof *row);
        for (int64_t j = 0; j < cols; ++j)
            w[i * cols + j] = row[b->order[j]];
    }
    free(row);
    return !b->order || row;
}

/* --- entries */

struct ranked {
    float value;
    int64_t place;
};

static int falling(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return (x->place > y->place) - (x->place < y->place);
}

int *qbc_swept_entries(const struct qbc_sweep *s, const struct qbc_swept *b, int64_t row, int64_t n, const float *w)
{
    int64_t cols = s->cols, count = b->sparse ? qbc_format_sparse(b->sparse->format, cols) : 0;
    int *entries = b->sparse ? malloc((size_t)(n * cols) * sizeof *entries) : NULL;
    struct ranked *ranked = b->sparse ? malloc((size_t)cols * sizeof *ranked) : NULL;
    for (int64_t i = 0; i < n && entries && ranked; ++i) {
        for (int64_t j = 0; j < cols; ++j) {
            int64_t column = b->order ? b->order[j] : j;
            ranked[j] = (struct ranked){fabsf(w[i * cols + column]) / s->u[j * (cols + 1)], j};
            entries[i * cols + j] = -1;
        }
        qsort(ranked, (size_t)cols, sizeof *ranked, falling);
        for (int64_t e = 0; e < count; ++e) {
            int64_t at = (row + i) * count + e, place = ranked[e].place;
            entries[i * cols + place] = (int)at;
            b->sparse->right[at] = (uint16_t)(b->order ? b->order[place] : place);
        }
    }
    if (!ranked) {
        free(entries);
        entries = NULL;
    }
    free(ranked);
    return entries;
}
