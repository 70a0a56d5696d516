/* ranges: what static activations are rounded between. For each row that products read: the range that calibration saw, or
 * less of it, whichever rounds some rows of it with the least squared error. Products get it as {low, high}.
 */
#include "activation.h"
#include "edges.h"
#include "transform.h"

#include <math.h>

static double squared_error(const struct qbc_edge *e, const struct qbc_activation *act, float share, float *rounded)
{
    double sum = 0;
    for (int64_t r = 0; r < e->n_rows; ++r) {
        const float *x = e->rows + r * e->cols;
        qbc_activation_round(act, e->cols, share * e->low, share * e->high, x, rounded);
        for (int64_t c = 0; c < e->cols; ++c)
            sum += ((double)x[c] - (double)rounded[c]) * ((double)x[c] - (double)rounded[c]);
    }
    return sum;
}

static void set_range(struct qbc *q, const struct qbc_edge *e, const struct qbc_activation *act)
{
    float *rounded = qbc_alloc(q, (size_t)e->cols * sizeof *rounded), best = 1;
    double least = INFINITY;
    for (int i = 20; i >= 4; --i) {
        double error = squared_error(e, act, (float)i / 20, rounded);
        if (error < least) {
            least = error;
            best = (float)i / 20;
        }
    }
    for (size_t i = 0; i < e->n; ++i) {
        qbc_set_float(q, e->linear[i], "low", best * e->low);
        qbc_set_float(q, e->linear[i], "high", best * e->high);
    }
}

bool qbc_static_ranges(struct qbc *q, MlirOperation graph)
{
    struct qbc_activation act;
    if (!qbc_activation_parse(q->options.act, &act) || act.group != QBC_ACT_TENSOR)
        return true;
    struct qbc_edges edges = qbc_edges_find(q, graph, QBC_EDGES_ALL);
    bool good = qbc_edges_learn(q, graph, &edges);
    for (size_t i = 0; i < edges.n && good; ++i)
        set_range(q, &edges.edge[i], &act);
    qbc_edges_destroy(&edges);
    return good;
}
