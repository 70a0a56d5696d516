/* gptq: round a column, then move what is left of it into the columns behind, where it can be made good.
 *
 *     for each column j:   at the start of a unit its parameters are fitted to the weights as they are by then
 *                          e = (w_j - round(w_j)) / U_jj;   w_k -= e U_jk for all k > j
 *
 * Rows do not touch each other. Columns are done in blocks of at least BLOCK: within one the errors move at once, to all
 * behind it in one matrix product. arXiv 2210.17323; parameters with weighted errors and searched ranges are ours.
 *
 * Columns that are split over formats are done part by part, the part of fewest bits first, parts of a sum together, and where a row has an entry of its own beside codes, that takes what they leave.
 */
#include "swept.h"
#include "half.h"
#include "linear_algebra.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 };
static const double MOST = 1; /* damping */

bool qbc_fit_sweeps(const char *fit)
{
    return fit && !strncmp(fit, "gptq", strlen("gptq"));
}

double qbc_damping(const char *role)
{
    return role && !strcmp(role, "embed") ? QBC_DAMPING_LOOKUP : QBC_DAMPING;
}

static bool factorize(struct qbc_sweep *s, const float *h, double least, float *damped)
{
    double mean = 0;
    for (int64_t j = 0; j < s->cols; ++j)
        mean += (double)h[j * s->cols + j] / (double)s->cols;
    for (double share = least; share < 10 * MOST; share *= 10) {
        memcpy(damped, h, (size_t)(s->cols * s->cols) * sizeof *damped);
        for (int64_t j = 0; j < s->cols; ++j) {
            float *d = &damped[j * (s->cols + 1)];
            *d = (*d > 0 ? *d : 1) + (float)(share * mean);
        }
        if (qbc_inverse_factor(s->cols, damped, s->u)) {
            s->damping = share;
            return true;
        }
    }
    return false;
}

float *qbc_sweep_weights(int64_t cols, const float *h)
{
    float *weight = malloc((size_t)cols * sizeof *weight);
    for (int64_t j = 0; j < cols && weight; ++j)
        weight[j] = h[j * (cols + 1)] > 0 ? h[j * (cols + 1)] : 0;
    return weight;
}

bool qbc_sweep_create(struct qbc_sweep *s, int64_t cols, const float *h, double damping)
{
    size_t n = (size_t)cols;
    *s = (struct qbc_sweep){.cols = cols, .u = malloc(n * n * sizeof *s->u), .weight = qbc_sweep_weights(cols, h)};
    float *damped = malloc(n * n * sizeof *damped);
    bool memory = s->u && s->weight && damped;
    bool useful = memory && factorize(s, h, damping, damped);
    free(damped);
    if (!useful) {
        free(s->u);
        s->u = NULL;
    }
    if (!memory)
        qbc_sweep_destroy(s);
    return memory;
}

void qbc_sweep_destroy(struct qbc_sweep *s)
{
    if (!s->borrowed)
        free(s->u);
    free(s->weight);
    *s = (struct qbc_sweep){0};
}

/* One row on its way. */
struct row {
    const struct qbc_sweep *s;
    const struct qbc_swept *b;
    int64_t row;
    float *w;     /* [cols] in the order of the sweep */
    float *error; /* [block] e of the block's columns */
    int *entry;   /* [cols] number of the entry that this column has, or -1; NULL: there are none */
    double loss;
    struct qbc_grid grid[QBC_FORMAT_PARTS]; /* of the groups at hand */
};

static int unit_of(const struct qbc_format *f)
{
    return f->block ? f->block : f->group;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Values of whole numbers rise or fall evenly: the nearest is beside where a line says. The lowest code in a tie. */
static int round_to(const struct qbc_format *f, const struct qbc_grid *grid, float w)
{
    if (f->codebook != QBC_CODE_AFFINE)
        return qbc_grid_round(grid, w);
    float first = grid->value[grid->low], span = grid->value[grid->high] - first;
    float at = span == 0 ? 0 : (w - first) / span * (float)(grid->high - grid->low);
    int middle = at > 0 ? (at < (float)(grid->high - grid->low) ? (int)at : grid->high - grid->low) : 0;
    int from = grid->low + (middle > 0 ? middle - 1 : 0), best = from;
    for (int code = from + 1; code <= grid->high && code <= from + 3; ++code)
        if (fabsf(w - grid->value[code]) < fabsf(w - grid->value[best]))
            best = code;
    return best;
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
        x[i] -= grid.value[round_to(b->format, &grid, x[i])];
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
    int64_t bad = x ? qbc_fit_row(r->s->plain ? QBC_FIT_RTN : QBC_FIT_RANGE, g->leaf[0], r->row, x, h) : 0;
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
        h[i] = entry ? 0 : r->s->weight[at + i];
    }
    for (int leaf = 0; leaf < g->n; ++leaf) {
        int64_t bad = qbc_fit_unit(r->s->plain ? QBC_FIT_RTN : QBC_FIT_RANGE, g->leaf[leaf], r->row, column / unit, (int)n, x, h);
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
        int code = round_to(b->format, &r->grid[leaf], x - value);
        codes_of(r, b)[column] = (uint8_t)code;
        value += r->grid[leaf].value[code];
    }
    return value;
}

/* Columns [from, to) of a segment: errors stay inside, those left for the columns behind are in r->error. */
static int64_t do_block(struct row *r, const struct qbc_segment *g, int64_t from, int64_t to)
{
    int64_t unit = unit_of(g->leaf[0]->format), cols = r->s->cols, end = g->first + to;
    for (int64_t column = from; column < to; ++column) {
        bool whole = qbc_format_is_row(g->leaf[0]->format), starts = whole ? column == 0 : column % unit == 0;
        int64_t j = g->first + column, bad = !starts ? -1 : whole ? fit_whole_row(r, g) : fit_unit(r, g, column);
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
        r->error[column - from] = e;
        r->loss += 0.5 * (double)e * (double)e;
        float *restrict w = r->w;
        for (int64_t k = j + 1; k < end; ++k)
            w[k] -= e * u[k];
    }
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

static int64_t first_bad(const float *w, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (!isfinite(w[i]))
            return i;
    return -1;
}

/* All rows' columns of a block, then what that does to those behind it. `error` has room for n blocks. */
static int64_t sweep_block(const struct row *like, const struct qbc_segment *g, int64_t from, int64_t to, int64_t n, double *total)
{
    int64_t cols = like->s->cols, width = to - from, end = g->first + to;
    for (int64_t i = 0; i < n; ++i) {
        struct row r = *like;
        r.row += i, r.w += i * cols, r.error += i * width;
        r.entry = r.entry ? r.entry + i * cols : NULL;
        int64_t at = do_block(&r, g, from, to);
        if (at >= 0)
            return i * cols + at;
        if (to == g->cols)
            pad(&r, g);
        *total += r.loss;
    }
    if (end < cols)
        qbc_subtract_product(n, cols - end, width, like->error, width, like->s->u + (g->first + from) * cols + end, cols,
                             like->w + end, cols);
    return -1;
}

int64_t qbc_gptq_swept(const struct qbc_sweep *s, const struct qbc_swept *b, int64_t row, int64_t n, float *w, double *loss)
{
    int64_t cols = s->cols, bad = first_bad(w, n * cols), widest = BLOCK;
    for (int i = 0; i < b->n; ++i)
        widest = widest > unit_of(b->segment[i].leaf[0]->format) ? widest : unit_of(b->segment[i].leaf[0]->format);
    float *error = malloc((size_t)(n * 2 * widest) * sizeof *error);
    int *entry = qbc_swept_entries(s, b, row, n, w);
    double total = 0;
    if (!error || (b->sparse && !entry))
        bad = 0;
    struct row like = {.s = s, .b = b, .row = row, .w = w, .error = error, .entry = entry};
    if (bad < 0 && !qbc_swept_order(b, n, cols, w))
        bad = 0;
    for (int i = 0; i < b->n && bad < 0; ++i) {
        const struct qbc_segment *g = &b->segment[i];
        int64_t unit = unit_of(g->leaf[0]->format), block = (BLOCK + unit - 1) / unit * unit;
        for (int64_t from = 0; from < g->cols && bad < 0; from += block)
            bad = sweep_block(&like, g, from, least(from + block, g->cols), n, &total);
        bad = bad < 0 ? bad : bad / cols * cols + qbc_swept_column(b, bad % cols);
    }
    free(error);
    free(entry);
    if (loss)
        *loss = total;
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
    int64_t bad = qbc_gptq_swept(s, &swept, row, n, w, loss);
    if (original && bad < 0 && !qbc_refine(s, b, row, n, original))
        bad = 0;
    free(original);
    return bad;
}
