/* prepare_weights: what all rows of a tensor share (its scale, its tables) is chosen before the rows stream by.
 *
 * A tensor that is small is read as a whole. Of a large one a sample is: rows evenly apart, and those with the
 * largest weights, which decide about scales.
 */
#include "fit_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 4 << 20 /* weights */, AT_ONCE = 1 << 18, LARGEST = 64 /* rows */ };

struct row_size {
    float largest;
    int64_t row;
};

static int larger_first(const void *a, const void *b)
{
    const struct row_size *x = a, *y = b;
    if (x->largest != y->largest)
        return x->largest < y->largest ? 1 : -1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* The largest magnitude of each row. What is no number counts as none: the fit reports it. */
static void measure(const struct qbc_view *view, float *buffer, int64_t at_once, struct row_size *sizes)
{
    for (int64_t row = 0; row < view->rows; row += at_once) {
        int64_t n = view->rows - row < at_once ? view->rows - row : at_once;
        qbc_view_read(view, row, n, buffer);
        for (int64_t i = 0; i < n; ++i) {
            float largest = 0;
            for (int64_t col = 0; col < view->cols; ++col) {
                float size = fabsf(buffer[i * view->cols + col]);
                largest = size > largest && isfinite(size) ? size : largest;
            }
            sizes[row + i] = (struct row_size){largest, row + i};
        }
        qbc_view_release_rows(view, row, n);
    }
}

/* `count` rows of the view, in their order, to w. */
static bool take_sample(const struct qbc_view *view, int64_t count, float *w)
{
    int64_t at_once = AT_ONCE / view->cols > 1 ? AT_ONCE / view->cols : 1, even = count > 2 * LARGEST ? count - LARGEST : count;
    struct row_size *sizes = malloc((size_t)view->rows * sizeof *sizes);
    float *buffer = malloc((size_t)(at_once * view->cols) * sizeof *buffer);
    bool good = sizes && buffer;
    if (good) {
        measure(view, buffer, at_once, sizes);
        qsort(sizes, (size_t)view->rows, sizeof *sizes, larger_first);
        for (int64_t i = 0; i < count; ++i)
            qbc_view_read(view, i < even ? i * view->rows / even : sizes[i - even].row, 1, w + i * view->cols);
    }
    free(sizes);
    free(buffer);
    return good;
}

static void drop_what_is_no_number(float *w, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        w[i] = isfinite(w[i]) ? w[i] : 0;
}

bool qbc_prepare_weight(const struct qbc_view *view, const struct qbc_format *f, struct qbc_blocks *shared)
{
    int64_t most = SAMPLE / view->cols > 2 * LARGEST ? SAMPLE / view->cols : 2 * LARGEST + 1;
    int64_t count = view->rows < most ? view->rows : most, step = qbc_vector_rows(f);
    count = count > step ? count / step * step : count;
    float *w = malloc((size_t)(count * view->cols) * sizeof *w);
    bool good = w && qbc_blocks_create(shared, f, count < step ? count : step, view->cols);
    if (good && count == view->rows)
        qbc_view_read(view, 0, count, w);
    else if (good)
        good = take_sample(view, count, w);
    if (good) {
        drop_what_is_no_number(w, count * view->cols);
        qbc_format_prepare(shared, count, w, NULL);
    }
    free(w);
    return good;
}
