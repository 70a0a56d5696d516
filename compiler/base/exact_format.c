/* exact_format: float weights that are -s, 0 and s alone, group by group, are ternary or binary weights in disguise (BitNet's, as exporters write
 * them): a format that holds exactly these floats. Whether it does is found out by fitting and decoding (coded.h).
 */
#include "coded.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 64, GLANCE = 32 };

/* Do the first columns have one magnitude, beside 0? Hardly any other matrix does. */
static bool may_be(const float *w, int64_t n)
{
    float magnitude = 0;
    for (int64_t i = 0; i < n; ++i) {
        float a = fabsf(w[i]);
        if (a == 0 || a == magnitude)
            continue;
        if (magnitude != 0 || !isfinite(a))
            return false;
        magnitude = a;
    }
    return true;
}

static bool same(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (a[i] != b[i])
            return false;
    return true;
}

/* Does the format hold all of the view, every number of it? */
static bool holds(const struct qbc_view *v, const struct qbc_format *f, float *w, float *decoded)
{
    for (int64_t row = 0; row < v->rows; row += ROWS) {
        int64_t n = v->rows - row < ROWS ? v->rows - row : ROWS;
        struct qbc_blocks b = {0};
        if (!qbc_blocks_create(&b, f, n, v->cols))
            return false;
        qbc_view_read(v, row, n, w);
        bool good = qbc_format_fit(QBC_FIT_RANGE, &b, 0, n, w) < 0;
        if (good)
            qbc_format_decode(&b, decoded);
        qbc_blocks_destroy(&b);
        if (!good || !same(w, decoded, n * v->cols))
            return false;
    }
    return true;
}

const struct qbc_format *qbc_exact_format(struct qbc *q, const struct qbc_view *v)
{
    static const char *const names[] = {"b1g128", "t2g128", "b1g128.f32", "t2g128.f32", "t2g32", "t2g32.f32", NULL};
    const struct qbc_format *found = NULL;
    size_t n = (size_t)v->cols * ROWS;
    float *w = v->source->coded || !v->cols ? NULL : malloc(2 * n * sizeof *w);
    if (!w)
        return NULL;
    qbc_view_read(v, 0, 1, w);
    if (may_be(w, v->cols < GLANCE ? v->cols : GLANCE))
        for (const char *const *name = names; *name && !found; ++name) {
            const struct qbc_format *f = qbc_find_format(q, *name);
            found = f && holds(v, f, w, w + n) ? f : NULL;
        }
    free(w);
    qbc_view_release(v); /* of a transposed one, that was a column: all of its pages */
    return found;
}
