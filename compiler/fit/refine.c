/* refine: codes that were chosen are changed one by one while that lowers the loss of the row.
 *
 *     r = H (q - w);  for each column: the code within two of its own for which 2 D r_j + D^2 H_jj is least, D what its value
 *     changes by;  r += D H_j
 *
 * Each change lowers (q - w) H (q - w)^T, H damped as in the sweep, so the loss never rises. Scales stay as they are.
 */
#include "gptq.h"

#include <math.h>
#include <stdlib.h>

enum { SWEEPS = 3, NEAR = 2 };

struct refined {
    const struct qbc_sweep *s;
    const struct qbc_blocks *b;
    int64_t row;
    double *r; /* [cols] H (q - w) */
    double damping; /* of each element of the diagonal */
};

static double diagonal(const struct refined *f, int64_t j)
{
    double h = (double)f->s->h[j * (f->s->cols + 1)];
    return (h > 0 ? h : 1) + f->damping;
}

/* r += d H_j */
static void add_column(const struct refined *f, int64_t j, double d)
{
    const float *h = f->s->h + j * f->s->cols;
    for (int64_t i = 0; i < f->s->cols; ++i)
        f->r[i] += d * (double)h[i];
    f->r[j] += d * (diagonal(f, j) - (double)h[j]);
}

/* True: the code was changed. */
static bool improve(const struct refined *f, const struct qbc_grid *grid, int64_t j, uint8_t *code)
{
    int best = *code;
    double least = 0, change = 0, own = diagonal(f, j);
    for (int other = *code - NEAR; other <= *code + NEAR; ++other) {
        if (other < grid->low || other > grid->high || other == *code)
            continue;
        double d = (double)grid->value[other] - (double)grid->value[*code], gain = 2 * d * f->r[j] + d * d * own;
        if (gain < least)
            best = other, least = gain, change = d;
    }
    if (best == *code)
        return false;
    *code = (uint8_t)best;
    add_column(f, j, change);
    return true;
}

static void refine_row(const struct refined *f, const float *w, const float *decoded)
{
    const struct qbc_format *format = f->b->format;
    uint8_t *codes = f->b->codes + f->row * f->b->groups * format->group;
    bool changed = true;
    for (int64_t j = 0; j < f->s->cols; ++j)
        f->r[j] = 0;
    for (int64_t j = 0; j < f->s->cols; ++j)
        if (decoded[j] != w[j])
            add_column(f, j, (double)decoded[j] - (double)w[j]);
    for (int sweep = 0; sweep < SWEEPS && changed; ++sweep) {
        struct qbc_grid grid;
        changed = false;
        for (int64_t j = 0; j < f->s->cols; ++j) {
            if (j % format->group == 0)
                qbc_unit_grid(f->b, f->row, j / format->group, &grid);
            changed |= improve(f, &grid, j, &codes[j]);
        }
    }
}

bool qbc_refine(const struct qbc_sweep *s, const struct qbc_blocks *b, int64_t row, int64_t n, const float *w)
{
    double mean = 0, *r = malloc((size_t)s->cols * sizeof *r);
    float *decoded = malloc((size_t)s->cols * sizeof *decoded);
    for (int64_t j = 0; j < s->cols; ++j)
        mean += (double)s->h[j * (s->cols + 1)] / (double)s->cols;
    for (int64_t i = 0; i < n && r && decoded; ++i) {
        struct refined f = {.s = s, .b = b, .row = row + i, .r = r, .damping = s->damping * mean};
        qbc_format_decode_rows(b, row + i, 1, decoded);
        refine_row(&f, w + i * s->cols, decoded);
    }
    free(decoded);
    free(r);
    return r && decoded;
}
