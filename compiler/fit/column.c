/* column: see column.h. */
#include "column.h"
#include "clones.h"

#include <math.h>

float qbc_codes_per(const struct qbc_format *f, const struct qbc_grid *grid)
{
    float span = grid->value[grid->high] - grid->value[grid->low];
    return f->codebook == QBC_CODE_AFFINE && span != 0 ? (float)(grid->high - grid->low) / span : 0;
}

int qbc_round_code(const struct qbc_format *f, const struct qbc_grid *grid, float per, float w)
{
    if (f->codebook != QBC_CODE_AFFINE)
        return qbc_grid_round(grid, w);
    float at = (w - grid->value[grid->low]) * per + 0.5f;
    int code = grid->low + (at > 0 ? (at < (float)(grid->high - grid->low) ? (int)at : grid->high - grid->low) : 0);
    int above = code < grid->high ? code + 1 : code, below = code > grid->low ? code - 1 : code;
    float distance = fabsf(w - grid->value[code]);
    int is_above = fabsf(w - grid->value[above]) < distance, is_below = fabsf(w - grid->value[below]) <= distance;
    return code + is_above - (is_below & (below < code)); /* no branches: nobody could foresee them */
}

QBC_CLONES
void qbc_move_error(int64_t n, float error, const float *restrict u, float *restrict w)
{
    for (int64_t k = 0; k < n; ++k)
        w[k] -= error * u[k];
}

int64_t qbc_first_bad(const float *w, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (!isfinite(w[i]))
            return i;
    return -1;
}
