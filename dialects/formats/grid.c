/* grid: the weights that the codes of a group stand for, and the code for a weight. */
#include "derive.h"

#include <math.h>

void qbc_unit_grid(const struct qbc_blocks *b, int64_t row, int64_t group, struct qbc_grid *grid)
{
    grid->low = b->format->low;
    grid->high = b->format->high;
    for (int code = grid->low; code <= grid->high; ++code)
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
