/* gptq: round a column, then move what is left of it into the columns behind, where it can be made good.
 *
 *     for each column j:   at the start of a unit its parameters are fitted to the weights as they are by then
 *                          e = (w_j - round(w_j)) / U_jj;   w_k -= e U_jk for all k > j
 *
 * Rows do not touch each other. Columns are done in blocks of at least BLOCK: within one the errors move at once, to all
 * behind it in one matrix product. arXiv 2210.17323; parameters with weighted errors and searched ranges are ours.
 */
#include "gptq.h"
#include "linear_algebra.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 };
static const double MOST = 1; /* damping */

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

bool qbc_sweep_create(struct qbc_sweep *s, int64_t cols, const float *h, double damping)
{
    size_t n = (size_t)cols;
    *s = (struct qbc_sweep){.cols = cols, .u = malloc(n * n * sizeof *s->u), .weight = malloc(n * sizeof *s->weight)};
    float *damped = malloc(n * n * sizeof *damped);
    bool memory = s->u && s->weight && damped;
    for (size_t j = 0; j < n && memory; ++j)
        s->weight[j] = h[j * (n + 1)] > 0 ? h[j * (n + 1)] : 0;
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
    free(s->u);
    free(s->weight);
    *s = (struct qbc_sweep){0};
}

bool qbc_can_sweep(const struct qbc_format *f)
{
    bool scalar = f->codebook == QBC_CODE_AFFINE || f->codebook == QBC_CODE_TABLE || f->codebook == QBC_CODE_PLANES;
    bool own = f->scale != QBC_SCALE_NONE && (f->outer == QBC_SCALE_NONE || f->outer_span == QBC_SPAN_BLOCK);
    return scalar && own && f->group_rows < 2 && !f->floor;
}

/* One row on its way. */
struct row {
    const struct qbc_sweep *s;
    struct qbc_blocks *b;
    int64_t row;
    float *w;      /* [cols] */
    float *error;  /* [block] e of the block's columns */
    uint8_t *codes; /* [groups * group] of the row */
    double loss;
    struct qbc_grid grid; /* of the group at hand */
};

static int unit_of(const struct qbc_format *f)
{
    return f->block ? f->block : f->group;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* -1, or the column that cannot be kept. */
static int64_t fit_unit(struct row *r, int64_t column)
{
    int64_t unit = unit_of(r->b->format), n = least(unit, r->b->cols - column);
    int64_t bad = qbc_fit_unit(QBC_FIT_RANGE, r->b, r->row, column / unit, (int)n, r->w + column, r->s->weight + column);
    return bad < 0 ? -1 : column + bad;
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

static void begin_group(struct row *r, int64_t column)
{
    const struct qbc_format *f = r->b->format;
    qbc_unit_grid(r->b, r->row, column / f->group, &r->grid);
    if (column + f->group > r->b->cols) /* the tail's padding decodes to the least there is */
        memset(r->codes + r->b->cols, qbc_grid_round(&r->grid, 0), (size_t)(column + f->group - r->b->cols));
}

/* Columns [from, to): errors stay inside, those left for the columns behind are in r->error. */
static int64_t do_block(struct row *r, int64_t from, int64_t to)
{
    const struct qbc_format *f = r->b->format;
    int64_t unit = unit_of(f), cols = r->s->cols;
    for (int64_t j = from; j < to; ++j) {
        int64_t bad = j % unit ? -1 : fit_unit(r, j);
        if (bad >= 0)
            return bad;
        if (j % f->group == 0)
            begin_group(r, j);
        int code = round_to(f, &r->grid, r->w[j]);
        const float *u = r->s->u + j * cols;
        float e = (r->w[j] - r->grid.value[code]) / u[j];
        r->codes[j] = (uint8_t)code;
        r->error[j - from] = e;
        r->loss += 0.5 * (double)e * (double)e;
        float *restrict w = r->w;
        for (int64_t k = j + 1; k < to; ++k)
            w[k] -= e * u[k];
    }
    return -1;
}

/* Groups that padding alone fills. */
static void pad(struct row *r)
{
    const struct qbc_format *f = r->b->format;
    for (int64_t g = (r->b->cols + f->group - 1) / f->group; g < r->b->groups; ++g)
        begin_group(r, g * f->group);
}

static int64_t first_bad(const float *w, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (!isfinite(w[i]))
            return i;
    return -1;
}

int64_t qbc_gptq(const struct qbc_sweep *s, struct qbc_blocks *b, int64_t row, int64_t n, float *w, double *loss)
{
    int64_t cols = s->cols, unit = unit_of(b->format), block = (BLOCK + unit - 1) / unit * unit, bad = first_bad(w, n * cols);
    float *error = malloc((size_t)(n * block) * sizeof *error);
    double total = 0;
    if (!error)
        bad = 0;
    for (int64_t from = 0; from < cols && bad < 0; from += block) {
        int64_t to = least(from + block, cols), width = to - from;
        for (int64_t i = 0; i < n && bad < 0; ++i) {
            struct row r = {s, b, row + i, w + i * cols, error + i * width,
                            b->codes + (row + i) * b->groups * b->format->group, 0, {0}};
            int64_t at = do_block(&r, from, to);
            bad = at < 0 ? -1 : i * cols + at;
            if (to == cols && bad < 0)
                pad(&r);
            total += r.loss;
        }
        if (to < cols && bad < 0)
            qbc_subtract_product(n, cols - to, width, error, width, s->u + from * cols + to, cols, w + to, cols);
    }
    free(error);
    if (loss)
        *loss = total;
    return bad;
}
