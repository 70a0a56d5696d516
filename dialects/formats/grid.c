/* grid: the weights that the codes of a group stand for, and the code for a weight. */
#include "derive.h"

#include <math.h>

void qbc_unit_grid(const struct qbc_blocks *b, int64_t row, int64_t group, struct qbc_grid *grid)
{
    grid->low = b->format->low;
    grid->high = b->format->high;
    bool whole = b->format->codebook == QBC_CODE_AFFINE;
    struct qbc_line line = {0};
    if (whole)
        line = qbc_line_of(b, row, group);
    for (int code = grid->low; whole && code <= grid->high; ++code)
        grid->value[code] = qbc_on_line(&line, code);
    for (int code = grid->low; !whole && code <= grid->high; ++code)
        grid->value[code] = qbc_group_value(b, row, group, code);
}

int qbc_grid_round(const struct qbc_grid *grid, float w)
{
    int best = grid->low;
    float least = fabsf(w - grid->value[best]);
    for (int code = grid->low + 1; code <= grid->high; ++code) {
        float distance = fabsf(w - grid->value[code]);
        if (distance < least) {
            least = distance;
            best = code;
        }
    }
    return best;
}
