/* coded_blocks: codes of the model file taken over into a format of ours, bit for bit (coded.h).
 *
 * A format can hold them if its groups lie inside the file's (a longer group's scale is repeated), along the rows'
 * columns, and each code - zero is one of its codes. Scales become f16: exactly, or rounded, which is told.
 */
#include "coded.h"

#include <math.h>

enum { NO_CODE = 0x7c00 }; /* f16 infinity */

/* Columns go along the axis of the scales, from the start of a group. */
static bool lies_along(const struct qbc_view *v, const struct qbc_format *f)
{
    const struct qbc_coded *c = v->source->coded;
    int64_t slice = c->length * c->inner, start = v->offset % slice / c->inner, last = v->offset % c->inner;
    bool by_slice = v->row_stride % slice == 0 && v->run_stride % slice == 0;
    bool by_inner = !v->run && last + (v->rows - 1) * v->row_stride < c->inner;
    bool whole = c->group >= start + v->cols; /* one scale for all columns */
    return v->col_stride == c->inner && (by_slice || by_inner || v->rows == 1) && start + v->cols <= c->length &&
           (whole || (start % c->group == 0 && c->group % f->group == 0));
}

/* Columns go along another axis, on which scales do not depend: each row has one. */
static bool lies_across(const struct qbc_view *v)
{
    const struct qbc_coded *c = v->source->coded;
    bool by_slice = v->col_stride % (c->length * c->inner) == 0;
    bool by_inner = v->offset % c->inner + (v->cols - 1) * v->col_stride < c->inner && v->row_stride % c->inner == 0 &&
                    v->run_stride % c->inner == 0;
    return (by_slice && !c->scale_stride[0] && !c->zero_stride[0]) ||
           (by_inner && !c->scale_stride[2] && !c->zero_stride[2]);
}

static bool is_plain(const struct qbc_format *f)
{
    return f->codebook == QBC_CODE_AFFINE && f->scale == QBC_SCALE_F16 && f->outer == QBC_SCALE_NONE && f->group_rows < 2 &&
           (f->offset == QBC_OFFSET_NONE || f->offset == QBC_OFFSET_ZERO);
}

static int64_t element_at(const struct qbc_view *v, int64_t row, int64_t col)
{
    return qbc_view_at(v, row, col);
}

struct group {
    int64_t first, n;  /* columns */
    int zero;          /* of the format */
    int64_t shift;     /* from the file's code to the format's */
    uint16_t scale;
    bool exact;
};

/* Zero and scale of columns first .. of a row; false: they cannot be kept. */
static bool take_group(const struct qbc_view *v, const struct qbc_format *f, int64_t row, int64_t first,
                       struct group *g)
{
    const struct qbc_coded *c = v->source->coded;
    int64_t at = element_at(v, row, first), rest = v->cols - first;
    double zero = qbc_coded_zero(c, at);
    float scale = qbc_coded_scale(c, at);
    *g = (struct group){.first = first, .n = rest < f->group ? rest : f->group, .scale = qbc_float_to_half(scale)};
    g->exact = qbc_half_to_float(g->scale) == scale;
    if (zero != floor(zero) || fabs(zero) > 1 << 20 || !isfinite(scale) || (g->scale & 0x7fff) == NO_CODE)
        return false;
    /* signed codes count from the least one */
    int64_t least = c->is_signed ? -((int64_t)1 << (c->bits - 1)) : 0;
    int64_t own = (int64_t)zero - least + f->low;
    bool inside = own >= f->low && own <= f->high;
    g->zero = f->offset == QBC_OFFSET_NONE ? f->bias : inside ? (int)own : f->low;
    g->shift = g->zero - (int64_t)zero;
    return f->offset == QBC_OFFSET_NONE || inside;
}

static bool codes_fit(const struct qbc_view *v, const struct qbc_format *f, int64_t row, const struct group *g)
{
    const struct qbc_coded *c = v->source->coded;
    for (int64_t i = 0; i < g->n; ++i) {
        int64_t code = qbc_coded_code(c, element_at(v, row, g->first + i)) + g->shift;
        if (code < f->low || code > f->high)
            return false;
    }
    return true;
}

/* Is every code that `bits` can be inside? Then they need not be looked at. */
static bool all_codes_fit(const struct qbc_coded *c, const struct qbc_format *f, const struct group *g)
{
    int64_t least = c->is_signed ? -((int64_t)1 << (c->bits - 1)) : 0, most = least + ((int64_t)1 << c->bits) - 1;
    return least + g->shift >= f->low && most + g->shift <= f->high;
}

enum qbc_kept qbc_coded_keeps(const struct qbc_view *v, const struct qbc_format *f)
{
    enum qbc_kept kept = QBC_KEPT_EXACT;
    if (!v->source->coded || !is_plain(f) || !(lies_along(v, f) || lies_across(v)))
        return QBC_KEPT_NOT;
    for (int64_t row = 0; row < v->rows; ++row)
        for (int64_t col = 0; col < v->cols; col += f->group) {
            struct group g;
            if (!take_group(v, f, row, col, &g))
                return QBC_KEPT_NOT;
            if (!all_codes_fit(v->source->coded, f, &g) && !codes_fit(v, f, row, &g))
                return QBC_KEPT_NOT;
            kept = g.exact ? kept : QBC_KEPT_ROUNDED;
        }
    return kept;
}

const struct qbc_format *qbc_coded_format(struct qbc *q, const struct qbc_view *v, enum qbc_kept *kept)
{
    static const int groups[] = {1024, 512, 256, 128, 64, 32};
    const struct qbc_format *best = NULL;
    *kept = QBC_KEPT_NOT;
    if (!v->source->coded)
        return NULL;
    for (int bits = v->source->coded->bits; bits <= 8; ++bits)
        for (size_t g = 0; g < sizeof groups / sizeof *groups; ++g)
            for (int zero = 0; zero < 2; ++zero) {
                const char *name = qbc_text(q, "i%dg%d%s", bits, groups[g], zero ? "z" : "");
                const struct qbc_format *f = qbc_find_format(q, name);
                enum qbc_kept now = f ? qbc_coded_keeps(v, f) : QBC_KEPT_NOT;
                bool smaller = best && now == *kept && qbc_format_bytes(f, v->rows, v->cols) < qbc_format_bytes(best, v->rows, v->cols);
                if (now == QBC_KEPT_NOT || (now <= *kept && !smaller))
                    continue;
                best = f;
                *kept = now;
            }
    return best;
}

void qbc_coded_take(const struct qbc_view *v, int64_t row, int64_t n, struct qbc_blocks *b)
{
    const struct qbc_format *f = b->format;
    for (int64_t r = 0; r < n; ++r)
        for (int64_t index = 0; index < b->groups; ++index) {
            int64_t at = r * b->groups + index;
            uint8_t *codes = b->codes + at * f->group;
            struct group g;
            take_group(v, f, row + r, index * f->group, &g);
            for (int64_t i = 0; i < f->group; ++i)
                codes[i] = (uint8_t)g.zero;
            for (int64_t i = 0; i < g.n; ++i)
                codes[i] = (uint8_t)(qbc_coded_code(v->source->coded, element_at(v, row + r, g.first + i)) + g.shift);
            b->scales[at] = g.scale;
            if (b->zeros)
                b->zeros[at] = (uint8_t)g.zero;
        }
}
