/* coded_format: which format of ours keeps codes of the model file (coded.h): of those that keep them best, the smallest. */
#include "coded.h"

#include <math.h>
#include <stdlib.h>

enum { PANEL = 64 /* rows */ };

/* What comes behind a group: offsets and types of scales. */
static const char *const of_integers[] = {"", "z", "m.f32", NULL}, *const of_floats[] = {".e8m0", ".e4m3", "", ".f32", NULL};

struct choice {
    const struct qbc_view *view;
    const struct qbc_format *best;
    enum qbc_kept kept;
};

static void consider(struct qbc *q, struct choice *c, const char *name)
{
    const struct qbc_view *v = c->view;
    const struct qbc_format *f = qbc_find_format(q, name);
    bool smaller = f && (!c->best || qbc_format_bytes(f, v->rows, v->cols) < qbc_format_bytes(c->best, v->rows, v->cols));
    if (!f || (!smaller && c->kept == QBC_KEPT_EXACT))
        return;
    enum qbc_kept now = qbc_coded_keeps(v, f);
    if (now == QBC_KEPT_NOT || now < c->kept || (now == c->kept && !smaller))
        return;
    c->best = f;
    c->kept = now;
}

/* Groups of a row; then such of a column's rows, for which there are kernels where they are whole panels. */
static void consider_kind(struct qbc *q, struct choice *c, const char *kind, const char *const *suffixes)
{
    int64_t own = c->view->source->coded->group; /* any number of columns, if it is not all of them */
    const int groups[] = {1024, 512, 256, 128, 64, 32, 16, 8, own < c->view->cols && own <= QBC_MAX_GROUP ? (int)own : 0};
    for (int by_rows = 0; by_rows < 2 && !(by_rows && c->best); ++by_rows)
        for (size_t g = 0; g < sizeof groups / sizeof *groups; ++g)
            for (const char *const *s = suffixes; *s && groups[g] > 1 && !(by_rows && groups[g] % PANEL); ++s)
                consider(q, c, qbc_text(q, "%s%c%d%s", kind, by_rows ? 'c' : 'g', groups[g], *s));
}

const struct qbc_format *qbc_coded_format(struct qbc *q, const struct qbc_view *v, enum qbc_kept *kept)
{
    struct choice c = {.view = v, .kept = QBC_KEPT_NOT};
    const struct qbc_coded *coded = v->source->coded;
    if (coded && coded->levels)
        consider_kind(q, &c, coded->floats == QBC_F4E2M1 ? "e2m1" : "vq1x256", of_floats);
    for (int bits = coded ? coded->bits : 9; bits <= 8 && !coded->levels; ++bits)
        consider_kind(q, &c, qbc_text(q, "i%d", bits), of_integers);
    *kept = c.kept;
    return c.best;
}

bool qbc_coded_is_half(const struct qbc_view *v)
{
    float *row = malloc((size_t)v->cols * sizeof *row);
    bool good = row;
    for (int64_t r = 0; good && r < v->rows; ++r) {
        qbc_view_read(v, r, 1, row);
        for (int64_t i = 0; good && i < v->cols; ++i)
            good = isfinite(row[i]) && qbc_half_to_float(qbc_float_to_half(row[i])) == row[i];
    }
    free(row);
    return good;
}
