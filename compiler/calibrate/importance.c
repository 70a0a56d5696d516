/* importance: how much each tensor matters, whatever its format, by the metric that was asked for. More is more important.
 *
 *     cos_inout     - cos(what comes into a block, what goes out), mean over tokens (LIM); what is in no block matters most
 *     zscore        - share of weights more than one standard deviation above the mean (ZD)
 *     act_entropy   entropy of clusters of what the block reads (LUQ); what is in no block matters most
 *     peak_ratio    max |x| / median |x| of what the product reads (Spike-aware)
 *     range         max - min of 32 weights of a row, mean (Fast-2bit, FineQuant)
 */
#include "clusters.h"
#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 32 };
static const double MOST = 1e30; /* important whatever else there is */

struct looking {
    struct qbc *q;
    const struct qbc_calibration *c;
    const struct qbc_items *items;
};

/* --- by the weights */

/* Sums over the tensor, row by row; -1: no memory. */
static double zscore(const struct qbc_item *item, float *row)
{
    int64_t rows = item->view.rows, cols = item->view.cols, above = 0;
    double sum = 0, squares = 0, n = (double)rows * (double)cols;
    for (int64_t r = 0; r < rows; ++r) {
        qbc_view_read(&item->view, r, 1, row);
        for (int64_t j = 0; j < cols; ++j) {
            sum += (double)row[j];
            squares += (double)row[j] * (double)row[j];
        }
    }
    double mean = sum / n, limit = mean + sqrt(fmax(squares / n - mean * mean, 0));
    for (int64_t r = 0; r < rows; ++r) {
        qbc_view_read(&item->view, r, 1, row);
        for (int64_t j = 0; j < cols; ++j)
            above += (double)row[j] > limit;
    }
    return -(double)above / n;
}

static double range(const struct qbc_item *item, float *row)
{
    int64_t cols = item->view.cols, groups = (cols + GROUP - 1) / GROUP;
    double sum = 0;
    for (int64_t r = 0; r < item->view.rows; ++r) {
        qbc_view_read(&item->view, r, 1, row);
        for (int64_t g = 0; g < groups; ++g) {
            int64_t from = g * GROUP, to = from + GROUP < cols ? from + GROUP : cols;
            float least = row[from], most = row[from];
            for (int64_t j = from; j < to; ++j) {
                least = row[j] < least ? row[j] : least;
                most = row[j] > most ? row[j] : most;
            }
            sum += (double)(most - least);
        }
    }
    return sum / ((double)item->view.rows * (double)groups);
}

static bool look_at_weights(const struct looking *l, struct qbc_item *item, double (*metric)(const struct qbc_item *item, float *row))
{
    float *row = malloc((size_t)(item->view.cols + 1) * sizeof *row);
    if (!row) {
        qbc_error(l->q, item->weight, "there is no memory to look at this weight");
        return false;
    }
    item->importance = metric(item, row);
    qbc_view_release(&item->view);
    free(row);
    return true;
}

/* --- by what products and blocks read */

static double peak_ratio(const struct looking *l, const struct qbc_item *item)
{
    for (size_t i = 0; i < l->c->n_peaks; ++i) {
        const struct qbc_peak *p = &l->c->peaks[i];
        for (size_t w = 0; w < p->n_weights; ++w)
            if (!strcmp(p->weights[w], item->name))
                return p->most / (p->median > 0 ? p->median : 1e-30);
    }
    return 0; /* looked up, not multiplied */
}

/* The stage that an item's product is in; stages.n: none. */
static size_t stage_of(const struct looking *l, const struct qbc_item *item)
{
    size_t s = 0;
    for (; s < l->c->stages.n; ++s)
        for (size_t t = 0; t < l->c->stages.stage[s].n_taps; ++t)
            for (size_t w = 0; w < l->c->stages.stage[s].taps[t].n_weights; ++w)
                if (!strcmp(l->c->stages.stage[s].taps[t].weights[w], item->name))
                    return s;
    return s;
}

static double cosine(const float *a, const float *b, int64_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; ++i) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 1;
}

static double cos_inout(const struct looking *l, size_t stage)
{
    int64_t cols = l->c->stages.stage[stage].in_cols, tokens = (int64_t)(l->c->n_measure * l->c->measured);
    const float *in = l->c->before[stage], *out = l->c->before[stage + 1];
    double sum = 0;
    for (int64_t i = 0; i < tokens; ++i)
        sum -= cosine(in + i * cols, out + i * cols, cols);
    return tokens ? sum / (double)tokens : 0;
}

/* Of the block that an item is in, whose tensors all have the same. */
static bool look_at_block(const struct looking *l, struct qbc_item *item)
{
    size_t s = stage_of(l, item);
    const struct qbc_stages *stages = &l->c->stages;
    bool cut = s + 1 < stages->n && stages->stage[s].in_cols && stages->stage[s].in_cols == stages->stage[s + 1].in_cols;
    item->importance = MOST;
    if (item->block < 0 || !cut)
        return true;
    for (const struct qbc_item *other = l->items->item; other < item; ++other)
        if (other->block == item->block && stage_of(l, other) == s) {
            item->importance = other->importance;
            return true;
        }
    int64_t tokens = (int64_t)(l->c->n_measure * l->c->measured);
    bool turn = !strcmp(l->items->metric->name, "cos_inout");
    item->importance = turn ? cos_inout(l, s) : qbc_cluster_entropy(l->c->before[s], tokens, stages->stage[s].in_cols);
    if (!turn && item->importance < 0)
        qbc_error(l->q, item->weight, "there is no memory for clusters of what this block reads");
    return turn || item->importance >= 0;
}

bool qbc_measure_importance(struct qbc *q, const struct qbc_calibration *c, struct qbc_items *items)
{
    const struct looking l = {q, c, items};
    const char *name = items->metric->name;
    bool good = true;
    for (size_t i = 0; i < items->n && good && items->metric->kind == QBC_METRIC_IMPORTANCE; ++i) {
        struct qbc_item *item = &items->item[i];
        if (!strcmp(name, "zscore"))
            good = look_at_weights(&l, item, zscore);
        else if (!strcmp(name, "range"))
            good = look_at_weights(&l, item, range);
        else if (!strcmp(name, "peak_ratio"))
            item->importance = peak_ratio(&l, item);
        else
            good = look_at_block(&l, item);
    }
    return good;
}
