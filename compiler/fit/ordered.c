/* ordered: GPTQ whose columns come by falling H_jj (act-order).
 *
 * What is rounded first has all other columns to make good for it, so those that weigh most go first. A group's columns then
 * come at any time, so its parameters are fitted before, to the weights as they are; codes lie where they always do. The order
 * is nothing that the artifact holds.
 */
#include "column.h"
#include "gptq.h"
#include "linear_algebra.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 };

/* Parameters of all groups of a row, and the codes of what only fills it up. -1, or the column that cannot be kept. */
static int64_t fit_row(const struct qbc_sweep *s, struct qbc_blocks *b, int64_t row, const float *w)
{
    const struct qbc_format *f = b->format;
    int64_t unit = f->block ? f->block : f->group, width = b->groups * f->group;
    struct qbc_grid grid;
    if (qbc_format_is_row(f)) {
        int64_t bad = qbc_fit_row(s->how, b, row, w, s->weight);
        if (bad >= 0)
            return bad;
    }
    for (int64_t at = qbc_format_is_row(f) ? s->cols : 0; at < s->cols; at += unit) {
        int64_t n = s->cols - at < unit ? s->cols - at : unit;
        int64_t bad = qbc_fit_unit(s->how, b, row, at / unit, (int)n, w + at, s->weight + at);
        if (bad >= 0)
            return at + bad;
    }
    for (int64_t column = s->cols; column < width; ++column) {
        qbc_unit_grid(b, row, column / f->group, &grid);
        b->codes[row * width + column] = (uint8_t)qbc_grid_round(&grid, 0);
    }
    return -1;
}

/* Places [from, to) of a row w in the order of the sweep; what they get wrong, for those behind, to error [to - from]. */
static double round_block(const struct qbc_sweep *s, struct qbc_blocks *b, int64_t row, int64_t from, int64_t to, float *w,
                          float *error)
{
    const struct qbc_format *f = b->format;
    double loss = 0;
    struct qbc_grid grid;
    for (int64_t j = from; j < to; ++j) {
        int64_t column = s->order[j];
        const float *u = s->u + j * s->cols;
        qbc_unit_grid(b, row, column / f->group, &grid);
        int code = qbc_round_code(f, &grid, qbc_codes_per(f, &grid), w[j]);
        b->codes[row * b->groups * f->group + column] = (uint8_t)code;
        float e = (w[j] - grid.value[code]) / u[j];
        error[j - from] = e;
        loss += 0.5 * (double)e * (double)e;
        qbc_move_error(to - j - 1, e, u + j + 1, w + j + 1);
    }
    return loss;
}

int64_t qbc_gptq_ordered(const struct qbc_sweep *s, struct qbc_blocks *b, int64_t row, int64_t n, float *w, double *loss)
{
    int64_t cols = s->cols, bad = qbc_first_bad(w, n * cols);
    float *ordered = malloc((size_t)(n * cols) * sizeof *ordered), *error = malloc((size_t)(n * BLOCK) * sizeof *error);
    double total = 0;
    if (!ordered || !error)
        bad = 0;
    for (int64_t i = 0; i < n && bad < 0; ++i) {
        int64_t at = fit_row(s, b, row + i, w + i * cols);
        bad = at < 0 ? -1 : i * cols + at;
        qbc_sweep_put_in_order(s, w + i * cols, ordered + i * cols);
    }
    for (int64_t from = 0; from < cols && bad < 0; from += BLOCK) {
        int64_t to = from + BLOCK < cols ? from + BLOCK : cols, width = to - from;
        for (int64_t i = 0; i < n; ++i)
            total += round_block(s, b, row + i, from, to, ordered + i * cols, error + i * width);
        if (to < cols)
            qbc_subtract_product(n, cols - to, width, error, width, s->u + from * cols + to, cols, ordered + to, cols);
    }
    free(error);
    free(ordered);
    if (loss)
        *loss = total;
    return bad;
}
