/* swept: which formats GPTQ can go through column by column, and in what order.
 *
 * Leaves with parameters for each group of a row, or for the row; sums of such whose groups are alike; columns that are split over
 * these, the part of fewest bits first; and around it all entries of f16, of each row those that would do most harm:
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
    bool table = f->codebook == QBC_CODE_LEARNED && f->table_span == QBC_SPAN_GROUP;
    return (((scalar && own) || table) && f->group_rows < 2 && !f->floor) || qbc_format_is_row(f);
}

static bool is_sum(const struct qbc_format *f)
{
    struct qbc_format part, first;
    bool good = f->codebook == QBC_CODE_SUM && qbc_format_part(f, 0, &first);
    for (int i = 0; good && i < f->n_parts; ++i)
        good = qbc_format_part(f, i, &part) && qbc_can_sweep(&part) && !qbc_format_is_row(&part) && part.group == first.group &&
               part.block == first.block;
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
    *g = (struct qbc_segment){.n = sum ? b->format->n_parts : 1, .stored = first, .cols = b->cols};
    for (int i = 0; i < g->n; ++i)
        g->leaf[i] = sum ? &b->parts[i] : b;
    swept->n += b->cols > 0;
}

static double bits_of(const struct qbc_segment *g)
{
    double bits = 0;
    for (int i = 0; i < g->n; ++i)
        bits += qbc_format_bits(g->leaf[i]->format);
    return bits;
}

/* What a column's rounding costs is its step squared times what its input varies beyond what the columns behind it tell. The
 * product of the latter is the same in any order, so columns with long steps come first, where most are behind them. */
static void coarse_first(struct qbc_swept *swept)
{
    for (int i = 1; i < swept->n; ++i)
        for (int j = i; j > 0 && bits_of(&swept->segment[j]) < bits_of(&swept->segment[j - 1]); --j) {
            struct qbc_segment g = swept->segment[j];
            swept->segment[j] = swept->segment[j - 1];
            swept->segment[j - 1] = g;
        }
    int64_t first = 0;
    for (int i = 0; i < swept->n; first += swept->segment[i++].cols)
        swept->segment[i].first = first;
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
    coarse_first(&swept);
    return swept;
}

int64_t qbc_swept_column(const struct qbc_swept *b, int64_t place)
{
    const struct qbc_segment *g = b->segment;
    while (place >= g->first + g->cols)
        ++g;
    int64_t stored = place - g->first + g->stored;
    return b->order ? b->order[stored] : stored;
}

/* One row in the order of the sweep. */
static void put_in_order(const struct qbc_swept *b, const float *restrict from, float *restrict to)
{
    for (int i = 0; i < b->n; ++i) {
        const struct qbc_segment *g = &b->segment[i];
        for (int64_t j = 0; j < g->cols; ++j)
            to[g->first + j] = from[b->order ? b->order[g->stored + j] : g->stored + j];
    }
}

void qbc_swept_hessian(const struct qbc_swept *b, int64_t cols, const float *h, float *out)
{
    for (int64_t i = 0; i < cols; ++i)
        put_in_order(b, h + qbc_swept_column(b, i) * cols, out + i * cols);
}

bool qbc_swept_order(const struct qbc_swept *b, int64_t n, int64_t cols, float *w)
{
    bool moved = b->order || b->n > 1;
    float *row = moved ? malloc((size_t)cols * sizeof *row) : NULL;
    for (int64_t i = 0; row && i < n; ++i) {
        memcpy(row, w + i * cols, (size_t)cols * sizeof *row);
        put_in_order(b, row, w + i * cols);
    }
    free(row);
    return !moved || row;
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
            int64_t column = qbc_swept_column(b, j);
            float harm = fabsf(w[i * cols + column]) / s->u[j * (cols + 1)];
            ranked[j] = (struct ranked){b->sparse->format->any ? (float)qbc_any_rank(row + i, column) : harm, j};
            entries[i * cols + j] = -1;
        }
        qsort(ranked, (size_t)cols, sizeof *ranked, falling);
        for (int64_t e = 0; e < count; ++e) {
            int64_t at = (row + i) * count + e, place = ranked[e].place;
            entries[i * cols + place] = (int)at;
            b->sparse->right[at] = (uint16_t)qbc_swept_column(b, place);
        }
    }
    if (!ranked) {
        free(entries);
        entries = NULL;
    }
    free(ranked);
    return entries;
}
