/* gptq: round a column, then move what is left of it into the columns behind, where it can be made good.
 *
 *     for each column j:   at the start of a unit its parameters are fitted to the weights as they are by then
 *                          e = (w_j - round(w_j)) / U_jj;   w_k -= e U_jk for all k > j
 *
 * Rows do not touch each other. Columns are done in blocks of at least BLOCK: within one the errors move at once, to all
 * behind it in one matrix product. arXiv 2210.17323; parameters with weighted errors and searched ranges are ours.
 *
 * Columns that are split over formats are done part by part, the part of fewest bits first, parts of a sum together, and where
 * a row has an entry of its own beside codes, that takes what they leave.
 */
#include "column.h"
#include "half.h"
#include "linear_algebra.h"
#include "swept.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128, TOGETHER = 8 };

/* Rows on their way. */
struct sweep {
    const struct qbc_sweep *s;
    const struct qbc_swept *b;
    int64_t row, n;
    float *w;     /* [n][cols] in the order of the sweep */
    float *error; /* [n][block] */
    int *entry;   /* [n][cols], or NULL */
    double loss;
};

/* One of them. */
struct row {
    const struct qbc_sweep *s;
    const struct qbc_swept *b;
    int64_t row;
    float *w;     /* [cols] in the order of the sweep */
    float *error; /* [block] e of the block's columns */
    int *entry;   /* [cols] number of the entry that this column has, or -1; NULL: there are none */
    double loss;
    struct qbc_grid grid[QBC_FORMAT_PARTS]; /* of the groups at hand */
    float per[QBC_FORMAT_PARTS]; /* codes in a unit of weights, where values of codes rise evenly */
};

static int unit_of(const struct qbc_format *f)
{
    return f->block ? f->block : f->group;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static uint8_t *codes_of(const struct row *r, const struct qbc_blocks *b)
{
    return b->codes + r->row * b->groups * b->format->group;
}

/* What the leaf's own groups, which were just fitted, leave of x. */
static void take_off(const struct row *r, const struct qbc_blocks *b, int64_t column, int64_t n, float *x)
{
    struct qbc_grid grid;
    for (int64_t i = 0; i < n; ++i) {
        if (i % b->format->group == 0)
            qbc_unit_grid(b, r->row, (column + i) / b->format->group, &grid);
        x[i] -= grid.value[qbc_round_code(b->format, &grid, qbc_codes_per(b->format, &grid), x[i])];
    }
}

/* The parameters of a leaf that has them for its whole row. -1, or the column that cannot be kept. */
static int64_t fit_whole_row(struct row *r, const struct qbc_segment *g)
{
    float *x = malloc((size_t)(2 * g->cols) * sizeof *x), *h = x + g->cols;
    for (int64_t i = 0; x && i < g->cols; ++i) {
        bool entry = r->entry && r->entry[g->first + i] >= 0;
        x[i] = entry ? 0 : r->w[g->first + i];
        h[i] = entry ? 0 : r->s->weight[g->first + i];
    }
    int64_t bad = x ? qbc_fit_row(r->s->how, g->leaf[0], r->row, x, h) : 0;
    free(x);
    return bad < 0 ? bad : g->first + bad;
}

/* The parameters of all leaves, for the columns of a unit from `column` of the segment on. -1, or the column that cannot be kept. */
static int64_t fit_unit(struct row *r, const struct qbc_segment *g, int64_t column)
{
    int64_t unit = unit_of(g->leaf[0]->format), n = least(unit, g->cols - column), at = g->first + column;
    float x[QBC_MAX_GROUP], h[QBC_MAX_GROUP];
    for (int64_t i = 0; i < n; ++i) {
        bool entry = r->entry && r->entry[at + i] >= 0;
        x[i] = entry ? 0 : r->w[at + i];
        h[i] = r->s->how == QBC_FIT_POWER ? 1 : entry ? 0 : r->s->weight[at + i]; /* SliM-LLM's salient ones weigh 1 as well */
    }
    for (int leaf = 0; leaf < g->n; ++leaf) {
        int64_t bad = qbc_fit_unit(r->s->how, g->leaf[leaf], r->row, column / unit, (int)n, x, h);
        if (bad >= 0)
            return at + bad;
        if (leaf + 1 < g->n)
            take_off(r, g->leaf[leaf], column, n, x);
    }
    return -1;
}

/* Of the leaf's tail, the padding decodes to the least there is. */
static void begin_group(struct row *r, const struct qbc_segment *g, int leaf, int64_t column)
{
    const struct qbc_blocks *b = g->leaf[leaf];
    int64_t group = b->format->group, beyond = column + group - g->cols;
    qbc_unit_grid(b, r->row, column / group, &r->grid[leaf]);
    r->per[leaf] = qbc_codes_per(b->format, &r->grid[leaf]);
    if (beyond > 0)
        memset(codes_of(r, b) + column + group - least(beyond, group), qbc_grid_round(&r->grid[leaf], 0),
               (size_t)least(beyond, group));
}

/* The codes for x at this column; what they stand for. */
static float round_column(struct row *r, const struct qbc_segment *g, int64_t column, float x)
{
    float value = 0;
    for (int leaf = 0; leaf < g->n; ++leaf) {
        const struct qbc_blocks *b = g->leaf[leaf];
        if (column % b->format->group == 0)
            begin_group(r, g, leaf, column);
        int code = qbc_round_code(b->format, &r->grid[leaf], r->per[leaf], x - value);
        codes_of(r, b)[column] = (uint8_t)code;
        value += r->grid[leaf].value[code];
    }
    return value;
}

/* A column of a segment, whose block ends before column `end` of the row: its error stays inside, and for those behind the
 * block it is left in *error. */
static int64_t do_column(struct row *r, const struct qbc_segment *g, int64_t column, int64_t end, float *error)
{
    const struct qbc_format *f = g->leaf[0]->format;
    bool whole = qbc_format_is_row(f), starts = whole ? column == 0 : column % unit_of(f) == 0;
    int64_t cols = r->s->cols, j = g->first + column, bad = !starts ? -1 : whole ? fit_whole_row(r, g) : fit_unit(r, g, column);
    if (bad >= 0)
        return bad;
    int entry = r->entry ? r->entry[j] : -1;
    float value = round_column(r, g, column, entry < 0 ? r->w[j] : 0);
    if (entry >= 0) {
        uint16_t half = qbc_float_to_half(r->w[j] - value);
        r->b->sparse->left[entry] = half;
        value += qbc_half_to_float(half);
        if (!isfinite(value))
            return j;
    }
    const float *u = r->s->u + j * cols;
    float e = (r->w[j] - value) / u[j];
    *error = e;
    r->loss += 0.5 * (double)e * (double)e;
    qbc_move_error(end - j - 1, e, u + j + 1, r->w + j + 1);
    return -1;
}

/* Groups that padding alone fills. */
static void pad(struct row *r, const struct qbc_segment *g)
{
    for (int leaf = 0; leaf < g->n; ++leaf) {
        int64_t group = g->leaf[leaf]->format->group;
        for (int64_t i = (g->cols + group - 1) / group; i < g->leaf[leaf]->groups; ++i)
            begin_group(r, g, leaf, i * group);
    }
}

/* Columns [from, to) of some rows, which wait for nothing but themselves: side by side they keep a CPU busy. */
static int64_t do_rows(struct row *rows, int n, const struct qbc_segment *g, int64_t from, int64_t to)
{
    for (int64_t column = from; column < to; ++column)
        for (int i = 0; i < n; ++i) {
            int64_t at = do_column(&rows[i], g, column, g->first + to, &rows[i].error[column - from]);
            if (at >= 0)
                return i * rows->s->cols + at;
        }
    for (int i = 0; i < n && to == g->cols; ++i)
        pad(&rows[i], g);
    return -1;
}

static struct row row_at(const struct sweep *s, int64_t i, int64_t width)
{
    int64_t cols = s->s->cols;
    return (struct row){.s = s->s, .b = s->b, .row = s->row + i, .w = s->w + i * cols, .error = s->error + i * width,
                        .entry = s->entry ? s->entry + i * cols : NULL};
}

/* All rows' columns of a block, then what that does to those behind it. */
static int64_t sweep_block(struct sweep *s, const struct qbc_segment *g, int64_t from, int64_t to)
{
    int64_t cols = s->s->cols, width = to - from, end = g->first + to;
    struct row rows[TOGETHER];
    for (int64_t i = 0; i < s->n; i += TOGETHER) {
        int n = (int)least(TOGETHER, s->n - i);
        for (int k = 0; k < n; ++k)
            rows[k] = row_at(s, i + k, width);
        int64_t at = do_rows(rows, n, g, from, to);
        if (at >= 0)
            return i * cols + at;
        for (int k = 0; k < n; ++k)
            s->loss += rows[k].loss;
    }
    if (end < cols)
        qbc_subtract_product(s->n, cols - end, width, s->error, width, s->s->u + (g->first + from) * cols + end, cols,
                             s->w + end, cols);
    return -1;
}

int64_t qbc_gptq_swept(const struct qbc_sweep *s, const struct qbc_swept *b, int64_t row, int64_t n, float *w, double *loss)
{
    int64_t cols = s->cols, bad = qbc_first_bad(w, n * cols), widest = BLOCK;
    for (int i = 0; i < b->n; ++i)
        widest = widest > unit_of(b->segment[i].leaf[0]->format) ? widest : unit_of(b->segment[i].leaf[0]->format);
    float *error = malloc((size_t)(n * 2 * widest) * sizeof *error);
    int *entry = qbc_swept_entries(s, b, row, n, w);
    if (!error || (b->sparse && !entry))
        bad = 0;
    struct sweep sweep = {.s = s, .b = b, .row = row, .n = n, .w = w, .error = error, .entry = entry};
    if (bad < 0 && !qbc_swept_order(b, n, cols, w))
        bad = 0;
    for (int i = 0; i < b->n && bad < 0; ++i) {
        const struct qbc_segment *g = &b->segment[i];
        int64_t unit = unit_of(g->leaf[0]->format), block = (BLOCK + unit - 1) / unit * unit;
        for (int64_t from = 0; from < g->cols && bad < 0; from += block)
            bad = sweep_block(&sweep, g, from, least(from + block, g->cols));
        bad = bad < 0 ? bad : bad / cols * cols + qbc_swept_column(b, bad % cols);
    }
    free(error);
    free(entry);
    if (loss)
        *loss = sweep.loss;
    return bad;
}

int64_t qbc_gptq(const struct qbc_sweep *s, struct qbc_blocks *b, int64_t row, int64_t n, float *w, double *loss)
{
    struct qbc_swept swept = qbc_swept_of(b);
    size_t bytes = (size_t)(n * s->cols) * sizeof *w;
    float *original = s->h ? malloc(bytes) : NULL;
    if (s->h && !original)
        return 0;
    if (original)
        memcpy(original, w, bytes);
    int64_t bad = s->order ? qbc_gptq_ordered(s, b, row, n, w, loss) : qbc_gptq_swept(s, &swept, row, n, w, loss);
    if (original && bad < 0 && !qbc_refine(s, b, row, n, original))
        bad = 0;
    free(original);
    return bad;
}
