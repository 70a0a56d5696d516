/* psot: one rotation of the residual stream, learned so that what norms give has no peaks; r2 and r4 as for hadamard.
 *
 * Rows are those of the calibration text behind each norm, without its gain, which goes to the products (insert-rotations). The
 * start is the Hadamard matrix behind signs. Wide streams are turned in blocks of up to 1024 columns.
 */
#include "changes.h"
#include "edges.h"
#include "hadamard.h"
#include "hessians.h"
#include "pipeline.h"
#include "spread.h"
#include "transform.h"

#include <stdlib.h>

enum { WIDEST = 1024, STEPS = 60 };

/* x without the gain of the norm that gives it; false: it is given by something else, or is narrower. */
static bool without_gain(struct qbc *q, struct qbc_edge *e, int64_t cols)
{
    MlirOperation norm = qbc_def(e->x, "qb.rms_norm");
    MlirOperation weight = mlirOperationIsNull(norm) ? norm : qbc_def(mlirOperationGetOperand(norm, 1), "qb.weight");
    struct qbc_view view;
    if (mlirOperationIsNull(weight) || e->cols != cols || !qbc_view_of(q, weight, &view) || view.cols != cols)
        return false;
    float *gain = qbc_alloc(q, (size_t)cols * sizeof *gain);
    qbc_view_read(&view, 0, 1, gain);
    for (int64_t i = 0; i < e->n_rows * cols; ++i)
        e->rows[i] = gain[i % cols] != 0 ? e->rows[i] / gain[i % cols] : 0;
    return true;
}

static int64_t order_of(int64_t cols)
{
    int64_t blocks = 1;
    while (cols % blocks || cols / blocks > WIDEST)
        ++blocks;
    return cols / blocks;
}

/* Columns of Q0 are those of signs and Hadamard's: row i of it is what a row of the identity becomes. */
static void start(struct qbc_spread *s)
{
    int64_t n = s->order, order = qbc_hadamard_order(n), m = qbc_hadamard_factor(order);
    int8_t *h = malloc((size_t)(m * m));
    uint64_t state = 0x9e3779b97f4a7c15u;
    if (h)
        qbc_hadamard_fill(m, h);
    for (int64_t i = 0; i < s->cols * n; ++i)
        s->q[i] = 0;
    for (int64_t i = 0; i < s->cols; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        s->q[i * n + i % n] = state >> 63 ? -1 : 1;
    }
    if (h)
        qbc_hadamard_turn(s->q, s->cols * n / order, order, m, h, 1, false);
    free(h);
}

static bool add_rows(struct qbc *q, struct qbc_spread *s, const struct qbc_edge *e)
{
    struct qbc_spread_rows *r = &s->rows[s->n++];
    *r = (struct qbc_spread_rows){.x = e->rows, .n = e->n_rows};
    r->columns = qbc_paged(q, (size_t)(e->n_rows * e->cols + 1));
    for (int64_t t = 0; t < e->n_rows && r->columns; ++t)
        for (int64_t c = 0; c < e->cols; ++c)
            r->columns[c * e->n_rows + t] = e->rows[t * e->cols + c];
    return r->columns;
}

static bool learn(struct qbc *q, MlirOperation graph, struct qbc_spread *s)
{
    struct qbc_edges edges = qbc_edges_find(q, graph, QBC_EDGES_ALL);
    bool good = qbc_edges_learn(q, graph, &edges);
    s->rows = qbc_alloc(q, (edges.n + 1) * sizeof *s->rows);
    for (size_t i = 0; i < edges.n && good; ++i)
        if (without_gain(q, &edges.edge[i], s->cols))
            good = add_rows(q, s, &edges.edge[i]);
    if (good && !s->n)
        qbc_error(q, graph, "no norm gives rows of the residual stream's %ld columns to products: nothing to learn from", (long)s->cols);
    else if (good) {
        start(s);
        good = qbc_spread_learn(s, STEPS);
    }
    qbc_edges_destroy(&edges);
    return good && !q->errors;
}

void qbc_transform_psot(struct qbc *q, MlirOperation graph, const struct qbc_transform *self)
{
    struct qbc_ops embeds = qbc_collect(q, graph, "qb.embed");
    struct qbc_spread s = {.cols = embeds.n ? qbc_dim(mlirOperationGetResult(embeds.op[0], 0), 1) : 0};
    if (!s.cols) {
        qbc_error(q, graph, "there is no embedding, so no residual stream to turn");
        return;
    }
    s.order = order_of(s.cols);
    s.q = qbc_alloc(q, (size_t)(s.cols * s.order) * sizeof *s.q);
    if (!learn(q, graph, &s))
        return;
    qbc_matrix_add(q, graph, "psot.r1", s.q, (size_t)(s.cols * s.order));
    q->learned = qbc_text(q, "psot: peaks %.4f of Hadamard's", s.cost / (double)s.n);
    qbc_set_string(q, graph, "qb.r1_matrix", "psot.r1");
    qbc_set_int(q, graph, "qb.r1_order", s.order);
    qbc_transform_rotate(q, graph, self);
}
