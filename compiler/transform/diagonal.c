/* diagonal: channels between two operations are divided by s, columns of the weights behind them multiplied.
 *
 *   before   %y = "qb.linear"(%x, %w)
 *   after    %s = "qb.scale"(%x, %map) ; map = 1 / s          then fold-scales puts it into what makes x, where that goes
 *            %y = "qb.linear"(%s, %w') ; w' = w with its columns times s
 *
 * What s is:
 *   peaks   peak^a / column^(1 - a), peak = max |x|, column = max |w|: as hard for activations as for weights (SmoothQuant)
 *   means   mean^a over the root of their least times their greatest, a searched for the least error of weights (AWQ)
 *   map     (peak / geometric mean of peaks)^a, a searched for the least error with both sides rounded (QuBLAST)
 *   powers  the same in powers of two, by which floats are multiplied without error (LLM-FP4)
 */
#include "changes.h"
#include "transform.h"
#include "trial.h"

#include <math.h>
#include <string.h>

enum { SLAB = 64 };

/* Heads that read the same values get the greatest of their numbers. */
static void share(const struct qbc_edge *e, float *v)
{
    int64_t dim = e->head;
    for (int64_t first = 0; e->shared > 1 && first < e->cols; first += e->shared * dim)
        for (int64_t d = 0; d < dim; ++d) {
            float most = 0;
            for (int64_t h = 0; h < e->shared; ++h)
                most = fmaxf(most, v[first + h * dim + d]);
            for (int64_t h = 0; h < e->shared; ++h)
                v[first + h * dim + d] = most;
        }
}

/* The largest magnitude in each column of the edge's weights. */
static bool columns(struct qbc *q, const struct qbc_edge *e, float *out)
{
    float *w = qbc_alloc(q, (size_t)(SLAB * e->cols) * sizeof *w);
    memset(out, 0, (size_t)e->cols * sizeof *out);
    for (size_t i = 0; i < e->n; ++i) {
        struct qbc_view view;
        if (!qbc_view_of(q, e->weight[i], &view))
            return false;
        for (int64_t row = 0; row < view.rows; row += SLAB) {
            int64_t n = view.rows - row < SLAB ? view.rows - row : SLAB;
            qbc_view_read(&view, row, n, w);
            for (int64_t k = 0; k < n * e->cols; ++k)
                out[k % e->cols] = fmaxf(out[k % e->cols], fabsf(w[k]));
        }
        qbc_view_release(&view);
    }
    share(e, out);
    return true;
}

/* --- candidates */

static float bounded(float s)
{
    return s >= 1e-5f && s <= 1e5f ? s : s < 1e-5f ? 1e-5f : s > 1e5f ? 1e5f : 1;
}

/* s over the root of its least times its greatest. Channels that are never used stay as they are. */
static void centre(const float *size, int64_t n, float *s)
{
    float least = INFINITY, most = 0;
    for (int64_t i = 0; i < n; ++i) {
        least = size[i] > 0 ? fminf(least, s[i]) : least;
        most = size[i] > 0 ? fmaxf(most, s[i]) : most;
    }
    float middle = most > 0 ? sqrtf(least * most) : 1;
    for (int64_t i = 0; i < n; ++i)
        s[i] = size[i] > 0 ? bounded(s[i] / middle) : 1;
}

static void by_peaks(const struct qbc_edge *e, const float *column, float a, float *s)
{
    for (int64_t i = 0; i < e->cols; ++i)
        s[i] = e->peak[i] > 0 && column[i] > 0 ? bounded(powf(e->peak[i], a) / powf(column[i], 1 - a)) : 1;
}

static void by_means(const struct qbc_edge *e, float a, float *s)
{
    for (int64_t i = 0; i < e->cols; ++i)
        s[i] = powf(fmaxf(e->mean[i], 1e-12f), a);
    centre(e->mean, e->cols, s);
}

static void by_map(const struct qbc_edge *e, float a, bool powers, float *s)
{
    double sum = 0;
    int64_t used = 0;
    for (int64_t i = 0; i < e->cols; ++i)
        if (e->peak[i] > 0) {
            sum += log2((double)e->peak[i]);
            ++used;
        }
    double target = used ? sum / (double)used : 0;
    for (int64_t i = 0; i < e->cols; ++i) {
        double exponent = e->peak[i] > 0 ? (double)a * (log2((double)e->peak[i]) - target) : 0;
        s[i] = (float)exp2(fmin(fmax(powers ? rint(exponent) : exponent, -16), 16));
    }
}

enum qbc_diagonal { PEAKS, MEANS, MAP, POWERS };

static void candidate(const struct qbc_transform *t, const struct qbc_edge *e, const float *column, float a, float *s)
{
    if (t->by == PEAKS)
        by_peaks(e, column, a, s);
    else if (t->by == MEANS)
        by_means(e, a, s);
    else
        by_map(e, a, t->by == POWERS, s);
}

/* s [cols]; false after an error. */
static bool choose(struct qbc *q, const struct qbc_transform *t, struct qbc_edge *e, float *s)
{
    float *column = qbc_alloc(q, (size_t)e->cols * sizeof *column), *now = qbc_alloc(q, (size_t)e->cols * sizeof *now);
    struct qbc_trial trial;
    double best = INFINITY;
    share(e, e->peak);
    share(e, e->mean);
    for (int64_t i = 0; i < e->cols; ++i)
        s[i] = 1;
    if (t->by == PEAKS) {
        if (!columns(q, e, column))
            return false;
        candidate(t, e, column, t->least, s);
        return true;
    }
    bool good = qbc_trial_create(q, e, &trial);
    for (float a = t->least; a <= t->most && good; a += t->step) {
        candidate(t, e, column, a, now);
        double loss = t->by == MEANS ? qbc_trial_weights(&trial, now) : qbc_trial_both(&trial, now);
        if (loss < best) {
            best = loss;
            memcpy(s, now, (size_t)e->cols * sizeof *s);
        }
    }
    qbc_trial_destroy(&trial);
    return good;
}

/* --- into the graph */

static void insert(struct qbc *q, const struct qbc_edge *e, const float *s)
{
    float *map = qbc_alloc(q, (size_t)e->cols * sizeof *map);
    for (int64_t i = 0; i < e->cols; ++i)
        map[i] = 1 / s[i];
    struct qbc_build b = qbc_before(q, e->linear[0]);
    MlirValue values = qbc_values(&b, qbc_text(q, "%s.map", e->name), map, e->cols);
    MlirValue scaled = qbc_op(&b, "qb.scale", mlirValueGetType(e->x), 2, e->x, values);
    int64_t block = qbc_int(e->linear[0], "block", -1);
    if (block >= 0) { /* calibration cuts between blocks */
        qbc_set_int(q, qbc_def_any(scaled), "block", block);
        qbc_set_int(q, qbc_def_any(values), "block", block);
    }
    for (size_t i = 0; i < e->n; ++i) {
        mlirOperationSetOperand(e->linear[i], 0, scaled);
        qbc_change_scale(q, e->weight[i], QBC_ALONG_COLS, s, e->cols);
    }
}

void qbc_transform_diagonal(struct qbc *q, MlirOperation graph, const struct qbc_transform *self)
{
    struct qbc_edges edges = qbc_edges_find(q, graph, QBC_EDGES_OWN);
    bool good = qbc_edges_learn(q, graph, &edges);
    for (size_t i = 0; i < edges.n && good; ++i) {
        struct qbc_edge *e = &edges.edge[i];
        float *s = qbc_alloc(q, (size_t)e->cols * sizeof *s);
        qbc_progress(q, "scaling channels", i, edges.n);
        good = choose(q, self, e, s) && !qbc_stop(q);
        if (good)
            insert(q, e, s);
    }
    qbc_progress(q, "scaling channels", edges.n, edges.n);
    qbc_edges_destroy(&edges);
}
