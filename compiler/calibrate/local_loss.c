/* local_loss: see local_loss.h.
 *
 *     hessian_loss    what GPTQ's sweep says itself: sum (w - q)^2 / (2 U_jj^2)
 *     fisher_mse      1/2 sum H_jj (w - q)^2
 *     out_mse         1/2 (w - q) H (w - q)^T: H is 2/T sum x^T x, so this is a squared error of results, a token
 *
 * A segment's share of a loss is that of its columns in sum H_jj (w - q)^2.
 */
#include "local_loss.h"
#include "hessians.h"
#include "linear_algebra.h"

#include <stdlib.h>
#include <string.h>

struct column {
    double weight;
    int64_t number;
};

static int falling(const void *a, const void *b)
{
    const struct column *x = a, *y = b;
    if (x->weight < y->weight || x->weight > y->weight)
        return x->weight < y->weight ? 1 : -1;
    return x->number < y->number ? -1 : 1;
}

/* As a permuted split orders columns: by falling h_k sum of w_nk^2. */
static uint8_t *segments_of(struct qbc *q, const struct qbc_local *l, int64_t n, const float *w)
{
    struct column *columns = qbc_alloc(q, (size_t)l->cols * sizeof *columns);
    uint8_t *segment = qbc_alloc(q, (size_t)l->cols);
    for (int64_t j = 0; j < l->cols; ++j) {
        columns[j] = (struct column){0, j};
        for (int64_t i = 0; i < n; ++i)
            columns[j].weight += (double)w[i * l->cols + j] * (double)w[i * l->cols + j];
        columns[j].weight *= l->weight ? (double)l->weight[j] : 1;
    }
    qsort(columns, (size_t)l->cols, sizeof *columns, falling);
    for (int64_t j = 0; j < l->cols; ++j)
        segment[columns[j].number] = (uint8_t)(j * QBC_SEGMENTS / l->cols);
    return segment;
}

void qbc_local_create(struct qbc *q, const struct qbc_items *items, const struct qbc_item *item, const struct qbc_sweep *sweep,
                      int64_t n, const float *w, struct qbc_local *out)
{
    *out = (struct qbc_local){.metric = items->metric, .cols = item->view.cols, .weight = sweep->weight};
    bool wanted = !strcmp(items->metric->name, "out_mse");
    for (size_t i = 0; i < item->n; ++i) /* fitted as a whole: without a sweep of the sample */
        wanted = wanted || (item->candidate[i].format->codebook >= QBC_CODE_SUM && strcmp(items->metric->name, "fisher_mse"));
    if (wanted)
        out->h = qbc_hessian_find(q, item->name, item->view.cols);
    if (items->granularity == QBC_GRAIN_SEGMENT)
        out->segment = segments_of(q, out, n, w);
}

void qbc_local_destroy(struct qbc_local *l)
{
    if (l->h)
        qbc_hessian_release(l->h, l->cols);
}

bool qbc_local_looks(const struct qbc_local *l)
{
    return l->metric->kind == QBC_METRIC_LOCAL || l->segment;
}

/* 1/2 e H e^T over n rows; < 0: no memory. */
static double product_loss(const struct qbc_local *l, int64_t n, const float *e)
{
    float *eh = calloc((size_t)(n * l->cols), sizeof *eh);
    double sum = 0;
    if (!eh)
        return -1;
    qbc_subtract_product(n, l->cols, l->cols, e, l->cols, l->h, l->cols, eh, l->cols);
    for (int64_t i = 0; i < n * l->cols; ++i)
        sum -= 0.5 * (double)e[i] * (double)eh[i];
    free(eh);
    return sum > 0 ? sum : 0;
}

bool qbc_local_tell(const struct qbc_local *l, int64_t n, const float *w, const float *decoded, double swept,
                    struct qbc_candidate *candidate)
{
    double sums[QBC_SEGMENTS] = {0}, total = 0;
    candidate->local = swept;
    if (!qbc_local_looks(l) && swept >= 0)
        return true;
    float *e = malloc((size_t)(n * l->cols) * sizeof *e);
    for (int64_t i = 0; i < n * l->cols && e; ++i) {
        e[i] = w[i] - decoded[i];
        double loss = 0.5 * (double)e[i] * (double)e[i] * (l->weight ? (double)l->weight[i % l->cols] : 1);
        sums[l->segment ? l->segment[i % l->cols] : 0] += loss;
        total += loss;
    }
    for (int s = 0; s < QBC_SEGMENTS && l->segment; ++s)
        candidate->share[s] = total > 0 ? sums[s] / total : 1.0 / QBC_SEGMENTS;
    if (l->metric->kind == QBC_METRIC_LOCAL || swept < 0)
        candidate->local = e && l->h ? product_loss(l, n, e) : total;
    bool good = e && candidate->local >= 0;
    free(e);
    return good;
}
