/* coded_blocks: codes of the model file taken over into a format of ours, bit for bit (coded.h).
 *
 * A format can hold them if its groups lie inside the file's (a longer group's scale is repeated), along the rows'
 * columns or, where a group is rows of a column, along the rows, and each code - zero is one of its codes. Small floats are
 * levels of a table. Scales become what the format stores: exactly, or rounded, which is told. A zero point that is no whole
 * number becomes a minimum, - zero * scale, where the sums come out the same.
 */
#include "coded.h"
#include "scale.h"

#include <math.h>

/* --- where groups lie */

static int64_t slice_of(const struct qbc_coded *c)
{
    return c->length * c->inner;
}

/* Columns go along the axis of the scales, from the start of a group. */
static bool lies_along(const struct qbc_view *v, const struct qbc_format *f)
{
    const struct qbc_coded *c = v->source->coded;
    int64_t slice = slice_of(c), start = v->offset % slice / c->inner, last = v->offset % c->inner;
    bool by_slice = v->row_stride % slice == 0 && v->run_stride % slice == 0;
    bool by_inner = !v->run && last + (v->rows - 1) * v->row_stride < c->inner;
    bool whole = c->group >= start + v->cols; /* one scale for all columns */
    bool rows_share = f->group_rows < 2 || (by_slice && !c->scale_stride[0] && !c->zero_stride[0]) ||
                      (by_inner && !c->scale_stride[2] && !c->zero_stride[2]);
    return v->col_stride == c->inner && (by_slice || by_inner || v->rows == 1) && start + v->cols <= c->length && rows_share &&
           (whole || (start % c->group == 0 && c->group % f->group == 0));
}

/* Columns go along another axis, on which scales do not depend: each row has one. */
static bool lies_across(const struct qbc_view *v)
{
    const struct qbc_coded *c = v->source->coded;
    bool by_slice = v->col_stride % slice_of(c) == 0;
    bool by_inner = v->offset % c->inner + (v->cols - 1) * v->col_stride < c->inner && v->row_stride % c->inner == 0 &&
                    v->run_stride % c->inner == 0;
    return (by_slice && !c->scale_stride[0] && !c->zero_stride[0]) ||
           (by_inner && !c->scale_stride[2] && !c->zero_stride[2]);
}

/* Rows go along the axis of the scales: groups of rows lie inside the file's. */
static bool lies_down(const struct qbc_view *v, const struct qbc_format *f)
{
    const struct qbc_coded *c = v->source->coded;
    int64_t start = v->offset % slice_of(c) / c->inner;
    bool by_slice = v->col_stride % slice_of(c) == 0;
    bool by_inner = v->offset % c->inner + (v->cols - 1) * v->col_stride < c->inner;
    bool whole = c->group >= start + v->rows;
    return f->group_rows > 1 && !v->run && v->row_stride == c->inner && start + v->rows <= c->length && (by_slice || by_inner) &&
           (whole || (start % c->group == 0 && c->group % f->group_rows == 0));
}

static bool lies(const struct qbc_view *v, const struct qbc_format *f)
{
    return lies_along(v, f) || (f->group_rows < 2 && lies_across(v)) || lies_down(v, f);
}

/* --- what codes stand for */

static bool is_same_table(const struct qbc_coded *c, const struct qbc_format *f)
{
    bool same = f->bits == c->bits && !f->selector_bits && f->offset == QBC_OFFSET_NONE;
    for (int code = 0; same && code < 1 << c->bits; ++code)
        same = c->levels[code] == (float)f->level[code] * (f->unit ? f->unit : 1);
    return same;
}

/* Levels of 8 bits are a table of halves, which all of them are. */
static bool speaks(const struct qbc_coded *c, const struct qbc_format *f)
{
    bool one = f->vector_rows == 1 && f->vector_cols == 1 && f->bits == c->bits && f->offset == QBC_OFFSET_NONE;
    bool plain = f->outer == QBC_SCALE_NONE || (f->scale == QBC_SCALE_E4M3 && f->outer_span == QBC_SPAN_TENSOR);
    bool needless = f->offset == QBC_OFFSET_MIN && (!c->zeros || c->zero_bits); /* zeros are whole numbers */
    if (f->scale == QBC_SCALE_NONE || f->scale > QBC_SCALE_E4M3 || !plain || needless)
        return false;
    return !c->levels                           ? f->codebook == QBC_CODE_AFFINE
           : f->codebook == QBC_CODE_TABLE      ? is_same_table(c, f)
                                                : f->codebook == QBC_CODE_VECTOR && one;
}

/* --- scales */

struct group {
    int64_t first, n;    /* columns */
    int zero;            /* of the format */
    int64_t shift;       /* from the file's code to the format's */
    uint32_t scale, min; /* as they are stored */
    bool exact;
};

/* The scale of the tensor under scales that are e4m3; NaN: they are none. */
static float outer_scale(const struct qbc_coded *c)
{
    const struct qbc_coded *own = c->scales->coded;
    if (!own)
        return c->scales->element == QBC_F8E4M3FN ? 1 : NAN;
    bool one = !own->scale_stride[0] && !own->scale_stride[1] && !own->scale_stride[2];
    return one && own->floats == QBC_F8E4M3FN ? qbc_coded_scale(own, 0) : NAN;
}

/* The scale of the element at `at`, as the format stores it; false: it cannot. */
static bool take_scale(const struct qbc_coded *c, const struct qbc_format *f, int64_t at, struct group *g)
{
    float scale = qbc_coded_scale(c, at), kept;
    if (f->scale == QBC_SCALE_E4M3) {
        int64_t i = qbc_coded_scale_index(c, at);
        float outer = outer_scale(c);
        if (isnan(outer))
            return false;
        g->scale = c->scales->coded ? (uint32_t)qbc_coded_code(c->scales->coded, i) : ((const uint8_t *)c->scales->data)[i];
        kept = outer * qbc_scale_decode(f->scale, g->scale);
    } else {
        g->scale = qbc_scale_encode(f->scale, scale);
        kept = qbc_scale_decode(f->scale, g->scale);
    }
    g->exact = kept == scale;
    return isfinite(scale) && isfinite(kept) && (g->exact || f->scale == QBC_SCALE_F16);
}

static int64_t least_code(const struct qbc_coded *c)
{
    return c->is_signed ? -((int64_t)1 << (c->bits - 1)) : 0;
}

/* A minimum instead of a zero point: is every code that `bits` can be the same number, to the last bit? */
static bool take_min(const struct qbc_coded *c, const struct qbc_format *f, float zero, struct group *g)
{
    int64_t least = least_code(c);
    float scale = qbc_scale_decode(f->scale, g->scale);
    g->shift = -least;
    g->min = qbc_scale_encode(f->scale, scale * ((float)least - zero));
    float min = qbc_scale_decode(f->scale, g->min);
    for (int64_t code = least; code < least + ((int64_t)1 << c->bits); ++code) {
        float product = scale * (float)(code - least), want = ((float)code - zero) * scale;
        g->exact = g->exact && product + min == want;
    }
    return isfinite(min) && (g->exact || f->scale == QBC_SCALE_F32);
}

/* Zero and scale of columns first .. of a row; false: they cannot be kept. */
static bool take_group(const struct qbc_view *v, const struct qbc_format *f, int64_t row, int64_t first, struct group *g)
{
    const struct qbc_coded *c = v->source->coded;
    int64_t at = qbc_view_at(v, row, first), rest = v->cols - first;
    *g = (struct group){.first = first, .n = rest < f->group ? rest : f->group};
    if (!take_scale(c, f, at, g))
        return false;
    if (c->levels)
        return true;
    double zero = qbc_coded_zero(c, at);
    if (f->offset == QBC_OFFSET_MIN)
        return take_min(c, f, (float)zero, g);
    if (zero != floor(zero) || fabs(zero) > 1 << 20)
        return false;
    /* signed codes count from the least one */
    int64_t least = least_code(c);
    int64_t own = (int64_t)zero - least + f->low;
    bool inside = own >= f->low && own <= f->high;
    g->zero = f->offset == QBC_OFFSET_NONE ? f->bias : inside ? (int)own : f->low;
    g->shift = g->zero - (int64_t)zero;
    return f->offset == QBC_OFFSET_NONE || inside;
}

/* --- codes */

static bool codes_fit(const struct qbc_view *v, const struct qbc_format *f, int64_t row, const struct group *g)
{
    const struct qbc_coded *c = v->source->coded;
    for (int64_t i = 0; i < g->n; ++i) {
        int64_t code = qbc_coded_code(c, qbc_view_at(v, row, g->first + i)) + g->shift;
        if (code < f->low || code > f->high)
            return false;
    }
    return true;
}

/* Is every code that `bits` can be inside? Then they need not be looked at. */
static bool all_codes_fit(const struct qbc_coded *c, const struct qbc_format *f, const struct group *g)
{
    int64_t least = least_code(c), most = least + ((int64_t)1 << c->bits) - 1;
    return c->levels || (least + g->shift >= f->low && most + g->shift <= f->high);
}

enum qbc_kept qbc_coded_keeps(const struct qbc_view *view, const struct qbc_format *f)
{
    struct qbc_view v = *view;
    struct qbc_source source = *v.source;
    struct qbc_coded c;
    enum qbc_kept kept = QBC_KEPT_EXACT;
    if (!source.coded || !speaks(source.coded, f))
        return QBC_KEPT_NOT;
    c = *source.coded;
    source.coded = &c;
    v.source = &source;
    if (c.groups && !c.sorted && !(qbc_coded_sortable(&c) && v.cols == c.length && v.offset % c.length == 0))
        return QBC_KEPT_NOT;
    c.sorted = c.groups;
    if (!lies(&v, f))
        return QBC_KEPT_NOT;
    for (int64_t row = 0; row < v.rows; ++row)
        for (int64_t col = 0; col < v.cols; col += f->group) {
            struct group g;
            if (!take_group(&v, f, row, col, &g))
                return QBC_KEPT_NOT;
            if (!all_codes_fit(&c, f, &g) && !codes_fit(&v, f, row, &g))
                return QBC_KEPT_NOT;
            kept = g.exact ? kept : QBC_KEPT_ROUNDED;
        }
    return kept;
}

/* --- blocks */

static void take_codes(const struct qbc_view *v, int64_t row, const struct group *g, int64_t size, uint8_t *codes)
{
    for (int64_t i = 0; i < size; ++i)
        codes[i] = (uint8_t)g->zero;
    for (int64_t i = 0; i < g->n; ++i)
        codes[i] = (uint8_t)(qbc_coded_code(v->source->coded, qbc_view_at(v, row, g->first + i)) + g->shift);
}

void qbc_coded_take(const struct qbc_view *v, int64_t row, int64_t n, struct qbc_blocks *b)
{
    const struct qbc_format *f = b->format;
    for (int64_t r = 0; r < n; ++r)
        for (int64_t index = 0; index < b->groups; ++index) {
            int64_t at = r / qbc_group_rows(f) * b->groups + index;
            struct group g = {.zero = f->offset == QBC_OFFSET_ZERO ? f->low : f->bias};
            if (index * f->group < v->cols) /* what is beyond is 0 */
                take_group(v, f, row + r, index * f->group, &g);
            take_codes(v, row + r, &g, f->group, b->codes + (r * b->groups + index) * f->group);
            qbc_put_number(b->scales, f->scale, at, g.scale);
            if (b->zeros)
                b->zeros[at] = (uint8_t)g.zero;
            if (b->mins)
                qbc_put_number(b->mins, f->scale, at, g.min);
        }
}

bool qbc_coded_share(const struct qbc_view *v, const struct qbc_format *f, struct qbc_blocks *shared)
{
    const struct qbc_coded *c = v->source->coded;
    if (!qbc_blocks_create(shared, f, 1, v->cols))
        return false;
    if (f->outer != QBC_SCALE_NONE)
        qbc_put_number(shared->outer, f->outer, 0, qbc_scale_encode(f->outer, outer_scale(c)));
    for (int code = 0; f->codebook == QBC_CODE_VECTOR && code < 1 << f->bits; ++code)
        shared->tables[code] = qbc_float_to_half(c->levels[code]);
    return true;
}
