/* fit_leaf: fits of every leaf that the quick loops of fit.c do not do: scales in chains, tables, planes, vectors, groups of rows,
 * weighted errors. Slow and plain: parameters are searched (search.c, planes.c, cluster.c), stored, and codes are chosen with what
 * the decoder reads back.
 */
#include "cluster.h"
#include "fit_leaf.h"
#include "fit.h"
#include "half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GROUPS = 64 /* of a super-block */ };

static float unit_of(const struct qbc_format *f)
{
    return f->unit ? f->unit : 1;
}

/* Where every weight of the error is 0, none is. */
static struct qbc_samples samples(const float *w, const float *h, int64_t n)
{
    bool any = false;
    for (int64_t i = 0; h && i < n; ++i)
        any = any || h[i] > 0;
    return (struct qbc_samples){w, any ? h : NULL, n, 0};
}

static int64_t largest(const float *w, int64_t n)
{
    int64_t worst = 0;
    for (int64_t i = 0; i < n; ++i)
        worst = fabsf(w[i]) > fabsf(w[worst]) ? i : worst;
    return worst;
}

/* --- storing what was found */

static void put_scale(struct qbc_blocks *b, int64_t row, int64_t group, int plane, float scale)
{
    const struct qbc_format *f = b->format;
    int64_t at = qbc_group_index(b, row, group) * qbc_format_scales(f) + plane;
    qbc_put_number(b->scales, f->scale, at, qbc_scale_encode(f->scale, scale));
}

static float outer_of(const struct qbc_blocks *b, const uint16_t *outer, int64_t row, int64_t group)
{
    enum qbc_scale type = b->format->outer;
    return type == QBC_SCALE_NONE ? 1
                                  : qbc_scale_decode(type, qbc_number(outer, type, qbc_outer_index(b, row, group)));
}

static void put_group(struct qbc_blocks *b, int64_t row, int64_t group, const struct qbc_found *p)
{
    const struct qbc_format *f = b->format;
    int64_t at = qbc_group_index(b, row, group);
    float outer = outer_of(b, b->outer, row, group), scale = p->scale / unit_of(f);
    if (f->scale != QBC_SCALE_NONE)
        put_scale(b, row, group, 0,
                  outer == 0   ? 0
                  : f->floor ? (scale - b->floor) / outer * qbc_scale_most(f->scale)
                             : scale / outer);
    if (f->offset == QBC_OFFSET_MIN && f->scale != QBC_SCALE_NONE) {
        float outer_min = outer_of(b, b->outer_mins, row, group);
        float min = qbc_scale_is_code(f->scale) ? -p->min : p->min;
        qbc_put_number(b->mins, f->scale, at, qbc_scale_encode(f->scale, outer_min == 0 ? 0 : min / outer_min));
    }
    if (f->offset == QBC_OFFSET_ZERO)
        b->zeros[qbc_zero_index(b, row, group)] = (uint8_t)p->zero;
    if (f->selector_bits)
        b->selectors[at] = (uint8_t)p->selector;
}

static void put_outer(struct qbc_blocks *b, uint16_t *outer, int64_t row, int64_t group, float value)
{
    qbc_put_number(outer, b->format->outer, qbc_outer_index(b, row, group), qbc_scale_encode(b->format->outer, value));
}

/* --- codes, with what the decoder reads back; padding gets the code nearest to 0 */

static int code_for(const struct qbc_format *f, const struct qbc_found *p, const struct qbc_grid *grid, float w)
{
    return f->codebook == QBC_CODE_AFFINE ? qbc_nearest_code(f, p, w) : qbc_grid_round(grid, w);
}

static void choose_codes(struct qbc_blocks *b, int64_t row, int64_t group, int n, const float *w)
{
    const struct qbc_format *f = b->format;
    struct qbc_grid grid;
    struct qbc_found p = {.zero = f->offset == QBC_OFFSET_ZERO ? b->zeros[qbc_zero_index(b, row, group)] : f->bias};
    uint8_t *codes = b->codes + qbc_code_index(b, row, group * f->group);
    if (f->codebook == QBC_CODE_AFFINE) {
        p.scale = qbc_group_scale(b, row, group, 0);
        p.min = qbc_group_min(b, row, group);
    } else {
        qbc_unit_grid(b, row, group, &grid);
    }
    for (int i = 0; i < f->group; ++i)
        codes[i] = (uint8_t)code_for(f, &p, &grid, i < n ? w[i] : 0);
}

/* --- the groups of a unit */

static int columns_of(const struct qbc_blocks *b, int64_t group, int64_t n_columns)
{
    int64_t rest = n_columns - group * b->format->group;
    return rest < 0 ? 0 : rest < b->format->group ? (int)rest : b->format->group;
}

static bool fit_planes_group(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t group,
                             const struct qbc_samples *x)
{
    const struct qbc_format *f = b->format;
    float scale[QBC_MOST_PLANES], min = 0;
    qbc_fit_planes(f, how, x, f->scale, scale, &min);
    for (int k = 0; k < f->planes; ++k)
        put_scale(b, row, group, k, scale[k]);
    if (f->offset == QBC_OFFSET_MIN)
        qbc_put_number(b->mins, f->scale, qbc_group_index(b, row, group), qbc_scale_encode(f->scale, min));
    bool good = isfinite(min);
    for (int k = 0; k < f->planes; ++k)
        good = good && isfinite(scale[k]);
    return good;
}

/* Groups first .. of a row, n weights together. Scale codes share the outer scale, which is chosen here unless `fixed`. */
static int64_t fit_groups(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t first, int64_t count, int64_t n,
                          const float *w, const float *h, bool fixed)
{
    const struct qbc_format *f = b->format;
    bool coded = qbc_scale_is_code(f->scale);
    struct qbc_found *found = calloc((size_t)count, sizeof *found);
    float scale = 0, min = 0;
    int64_t bad = found ? -1 : 0;
    for (int64_t g = 0; g < count && bad < 0; ++g) {
        int64_t at = g * f->group;
        struct qbc_samples x = samples(w + at, h ? h + at : NULL, columns_of(b, g, n));
        float outer = f->outer == QBC_SCALE_NONE || coded ? 1 : outer_of(b, b->outer, row, first + g);
        if (f->codebook == QBC_CODE_PLANES) {
            bad = fit_planes_group(how, b, row, first + g, &x) ? -1 : at + largest(x.w, x.n);
            continue;
        }
        found[g] = qbc_search(f, how, &x, coded ? QBC_SCALE_NONE : f->scale, outer);
        bad = found[g].too_large ? at + largest(x.w, x.n) : -1;
        float size = fabsf(found[g].scale) / unit_of(f) - b->floor;
        scale = size > scale ? size : scale;
        min = -found[g].min > min ? -found[g].min : min;
    }
    if (coded && !fixed && bad < 0) {
        float most = qbc_scale_most(f->scale);
        put_outer(b, b->outer, row, first, f->floor ? scale : scale / most);
        if (b->outer_mins)
            put_outer(b, b->outer_mins, row, first, min / most);
        if (!isfinite(outer_of(b, b->outer, row, first)) ||
            (b->outer_mins && !isfinite(outer_of(b, b->outer_mins, row, first))))
            bad = largest(w, n);
    }
    for (int64_t g = 0; g < count && bad < 0 && f->codebook != QBC_CODE_PLANES; ++g)
        put_group(b, row, first + g, &found[g]);
    free(found);
    return bad;
}

/* --- rows */

static int64_t not_finite(const float *w, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (!isfinite(w[i]))
            return i;
    return -1;
}

static void codes_of_row(struct qbc_blocks *b, int64_t row, const float *w)
{
    for (int64_t g = 0; g < b->groups; ++g)
        choose_codes(b, row, g, columns_of(b, g, b->cols), w + g * b->format->group);
}

/* One scale for all of a row: the innermost is the outer one. */
static int64_t fit_whole_row(enum qbc_fit how, struct qbc_blocks *b, int64_t row, const float *w, const float *h)
{
    const struct qbc_format *f = b->format;
    struct qbc_samples x = samples(w, h, b->cols);
    struct qbc_found p = qbc_search(f, how, &x, f->outer, 1);
    if (p.too_large)
        return largest(w, b->cols);
    put_outer(b, b->outer, row, 0, p.scale / unit_of(f));
    if (b->outer_mins)
        put_outer(b, b->outer_mins, row, 0, p.min);
    if (b->zeros)
        b->zeros[qbc_outer_index(b, row, 0)] = (uint8_t)p.zero;
    return -1;
}

static void fit_table(struct qbc_blocks *b, int64_t row, int64_t group, int64_t n, const float *w, const float *h)
{
    struct qbc_samples x = samples(w, h, n);
    qbc_cluster(x.w, x.h, n, 1, 1 << b->format->bits, QBC_CLUSTER_ROUNDS, b->tables + (qbc_table_index(b, row, group) << b->format->bits));
}

/* Tables of groups, of the row. */
static void fit_tables(struct qbc_blocks *b, int64_t row, const float *w, const float *h)
{
    const struct qbc_format *f = b->format;
    bool each = f->table_span == QBC_SPAN_GROUP;
    for (int64_t g = 0; g < (each ? b->groups : 1); ++g) {
        int64_t at = each ? g * f->group : 0, n = each ? columns_of(b, g, b->cols) : b->cols;
        fit_table(b, row, g, n, w + at, h ? h + at : NULL);
    }
}

static int64_t fit_params(enum qbc_fit how, struct qbc_blocks *b, int64_t row, const float *w, const float *h)
{
    const struct qbc_format *f = b->format;
    if (f->codebook == QBC_CODE_LEARNED) {
        if (f->table_span != QBC_SPAN_TENSOR)
            fit_tables(b, row, w, h);
        return -1;
    }
    if (f->scale == QBC_SCALE_NONE)
        return f->outer_span == QBC_SPAN_ROW ? fit_whole_row(how, b, row, w, h) : -1;
    bool by_row = f->outer != QBC_SCALE_NONE && f->outer_span == QBC_SPAN_ROW;
    int64_t step = by_row ? b->groups : qbc_format_unit(f) / f->group;
    for (int64_t g = 0; g < b->groups; g += step) {
        int64_t at = g * f->group, rest = b->cols - at, n = rest < step * f->group ? rest : step * f->group;
        int64_t bad = n < 1 ? -1 : fit_groups(how, b, row, g, step, n, w + at, h ? h + at : NULL,
                                              f->outer_span == QBC_SPAN_TENSOR);
        if (bad >= 0)
            return at + bad;
    }
    return -1;
}

static int64_t fit_row(enum qbc_fit how, struct qbc_blocks *b, int64_t row, const float *w, const float *h)
{
    int64_t bad = qbc_fit_row(how, b, row, w, h);
    if (bad < 0)
        codes_of_row(b, row, w);
    return bad;
}

/* --- groups of rows: one column of n rows at a time */

static int64_t fit_column(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, int64_t col, const float *w)
{
    const struct qbc_format *f = b->format;
    float column[QBC_MAX_GROUP] = {0};
    for (int64_t r = 0; r < n && col < b->cols; ++r)
        column[r] = w[r * b->cols + col];
    struct qbc_samples x = {column, NULL, n, 0};
    if (not_finite(column, n) >= 0)
        return not_finite(column, n) * b->cols + col;
    if (f->codebook == QBC_CODE_PLANES) {
        if (!fit_planes_group(how, b, row, col, &x))
            return largest(column, n) * b->cols + col;
    } else {
        struct qbc_found p = qbc_search(f, how, &x, f->scale, 1);
        if (p.too_large)
            return largest(column, n) * b->cols + col;
        put_group(b, row, col, &p);
    }
    for (int64_t r = 0; r < n; ++r)
        choose_codes(b, row + r, col, 1, &column[r]);
    return -1;
}

static int64_t fit_rows_together(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w)
{
    for (int64_t first = 0; first < n; first += b->format->group_rows) {
        int64_t rest = n - first, count = rest < b->format->group_rows ? rest : b->format->group_rows;
        for (int64_t col = 0; col < b->groups; ++col) {
            int64_t bad = fit_column(how, b, row + first, count, col, w + first * b->cols);
            if (bad >= 0)
                return first * b->cols + bad;
        }
    }
    return -1;
}

int64_t qbc_fit_leaf(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w, const float *h)
{
    if (b->format->group_rows > 1)
        return fit_rows_together(how, b, row, n, w);
    if (b->format->codebook == QBC_CODE_VECTOR)
        return qbc_fit_vectors(b, row, n, w);
    for (int64_t r = 0; r < n; ++r) {
        int64_t bad = fit_row(how, b, row + r, w + r * b->cols, h);
        if (bad >= 0)
            return r * b->cols + bad;
    }
    return -1;
}

int64_t qbc_fit_unit(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t unit, int n, const float *w,
                     const float *h)
{
    const struct qbc_format *f = b->format;
    int64_t count = qbc_format_unit(f) / f->group, bad;
    if (qbc_fit_quick_unit(how, b, row, unit, n, w, h, &bad))
        return bad;
    bad = not_finite(w, n);
    if (bad < 0 && f->codebook == QBC_CODE_LEARNED && f->table_span == QBC_SPAN_GROUP)
        fit_table(b, row, unit, n, w, h);
    if (bad >= 0 || f->scale == QBC_SCALE_NONE)
        return bad;
    return fit_groups(how, b, row, unit * count, count, n, w, h, f->outer_span == QBC_SPAN_TENSOR);
}

bool qbc_format_is_row(const struct qbc_format *f)
{
    enum qbc_span span = f->codebook == QBC_CODE_LEARNED ? f->table_span : f->outer_span;
    bool scalar = f->codebook == QBC_CODE_AFFINE || f->codebook == QBC_CODE_TABLE || f->codebook == QBC_CODE_LEARNED;
    return scalar && f->scale == QBC_SCALE_NONE && span == QBC_SPAN_ROW && qbc_group_rows(f) == 1;
}

int64_t qbc_fit_row(enum qbc_fit how, struct qbc_blocks *b, int64_t row, const float *w, const float *h)
{
    int64_t bad = not_finite(w, b->cols);
    return bad < 0 ? fit_params(how, b, row, w, h) : bad;
}

/* --- what the tensor shares */

static float largest_level(const struct qbc_format *f)
{
    float most = 0;
    for (int code = f->low; code <= f->high; ++code) {
        float level = f->codebook == QBC_CODE_TABLE ? (float)f->level[code] : (float)(code - f->bias);
        most = fabsf(level) > most ? fabsf(level) : most;
    }
    return most * unit_of(f);
}

/* Of all groups, the largest scale and the deepest minimum: codes reach just so far. And the least scale. */
static void prepare_codes(struct qbc_blocks *b, int64_t rows, const float *w, const float *h)
{
    const struct qbc_format *f = b->format;
    float scale = 0, min = 0, least = INFINITY;
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t g = 0; g * f->group < b->cols; ++g) {
            int64_t at = g * f->group;
            struct qbc_samples x = samples(w + row * b->cols + at, h ? h + at : NULL, columns_of(b, g, b->cols));
            struct qbc_found p = qbc_search(f, QBC_FIT_RTN, &x, QBC_SCALE_NONE, 1);
            float size = fabsf(p.scale) / unit_of(f);
            scale = size > scale ? size : scale;
            least = size < least ? size : least;
            min = -p.min > min ? -p.min : min;
        }
    float most = qbc_scale_most(f->scale);
    b->floor = f->floor ? least : 0;
    if (f->outer_span != QBC_SPAN_TENSOR)
        return;
    put_outer(b, b->outer, 0, 0, f->floor ? scale - least : scale / most);
    if (b->outer_mins)
        put_outer(b, b->outer_mins, 0, 0, min / most);
}

bool qbc_format_prepare(struct qbc_blocks *b, int64_t n, const float *w, const float *h)
{
    const struct qbc_format *f = b->format;
    bool shared = f->outer != QBC_SCALE_NONE && f->outer_span == QBC_SPAN_TENSOR;
    struct qbc_samples all = {w, h, n * b->cols, b->cols};
    if (qbc_is_composite(f))
        return qbc_prepare_composite(b, n, w, h);
    if (f->codebook == QBC_CODE_VECTOR) {
        qbc_prepare_vectors(b, n, w, h);
    } else if (f->codebook == QBC_CODE_LEARNED && f->table_span == QBC_SPAN_TENSOR) {
        qbc_cluster(w, NULL, n * b->cols, 1, 1 << f->bits, QBC_CLUSTER_ROUNDS, b->tables);
    } else if (shared && f->scale == QBC_SCALE_NONE) {
        struct qbc_found p = qbc_search(f, QBC_FIT_RTN, &all, f->outer, 1);
        put_outer(b, b->outer, 0, 0, p.scale / unit_of(f));
        if (b->outer_mins)
            put_outer(b, b->outer_mins, 0, 0, p.min);
        if (b->zeros)
            b->zeros[0] = (uint8_t)p.zero;
    } else if (shared && f->scale == QBC_SCALE_E4M3) {
        float amax = fabsf(w[largest(w, all.n)]);
        put_outer(b, b->outer, 0, 0, amax / (largest_level(f) * qbc_scale_most(f->scale)));
    } else if (shared || f->floor) {
        prepare_codes(b, n, w, h);
    } else {
        return false;
    }
    return true;
}

bool qbc_format_can_fit(const struct qbc_format *f)
{
    struct qbc_format part;
    if (!qbc_is_composite(f))
        return f->codebook != QBC_CODE_COMPUTED;
    for (int i = 0; qbc_format_part(f, i, &part); ++i)
        if (!qbc_format_can_fit(&part))
            return false;
    return true;
}
