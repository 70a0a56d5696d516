/* edges: see edges.h. */
#include "edges.h"
#include "calibrate.h"
#include "hessians.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 128 };

static MlirOperation weight_of(MlirOperation linear, enum qbc_which_edges which)
{
    MlirOperation weight = qbc_def(mlirOperationGetOperand(linear, 1), "qb.weight");
    if (which == QBC_EDGES_ALL)
        return weight;
    bool own = !mlirOperationIsNull(weight) && qbc_rank(mlirOperationGetResult(weight, 0)) == 2 &&
               qbc_uses(mlirOperationGetResult(weight, 0)) == 1 && !qbc_has(weight, "blocks");
    return own ? weight : (MlirOperation){NULL};
}

/* False: something else reads x as well. */
static bool read_users(struct qbc *q, struct qbc_edge *e, enum qbc_which_edges which)
{
    size_t uses = qbc_uses(e->x);
    e->linear = qbc_alloc(q, (uses + 1) * sizeof *e->linear);
    e->weight = qbc_alloc(q, (uses + 1) * sizeof *e->weight);
    for (MlirOpOperand use = mlirValueGetFirstUse(e->x); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        bool reads = qbc_is(user, "qb.linear") && mlirOpOperandGetOperandNumber(use) == 0;
        MlirOperation weight = reads ? weight_of(user, which) : (MlirOperation){NULL};
        if (mlirOperationIsNull(weight) && which == QBC_EDGES_OWN)
            return false;
        if (mlirOperationIsNull(weight))
            continue;
        e->linear[e->n] = user;
        e->weight[e->n++] = weight;
    }
    return e->n;
}

static bool is_known(const struct qbc_edges *edges, MlirValue x)
{
    for (size_t i = 0; i < edges->n; ++i)
        if (mlirValueEqual(edges->edge[i].x, x))
            return true;
    return false;
}

/* Heads of queries that read the same values, as the way back through attention wants it (fold-scales). */
static void read_heads(struct qbc_edge *e)
{
    MlirOperation attention = qbc_def(e->x, "qb.attention");
    e->shared = 1;
    if (mlirOperationIsNull(attention))
        return;
    int64_t heads = qbc_int(attention, "heads", 1);
    e->shared = heads / qbc_int(attention, "kv_heads", heads);
    e->head = e->cols / heads;
}

struct qbc_edges qbc_edges_find(struct qbc *q, MlirOperation graph, enum qbc_which_edges which)
{
    struct qbc_ops linears = qbc_collect(q, graph, "qb.linear");
    struct qbc_edges edges = {qbc_alloc(q, (linears.n + 1) * sizeof *edges.edge), 0};
    for (size_t i = 0; i < linears.n; ++i) {
        struct qbc_edge e = {.x = mlirOperationGetOperand(linears.op[i], 0)};
        if (is_known(&edges, e.x) || qbc_rank(e.x) != 2 || !read_users(q, &e, which))
            continue;
        e.cols = qbc_dim(e.x, 1);
        e.name = qbc_string(q, e.weight[0], "name", "");
        read_heads(&e);
        edges.edge[edges.n++] = e;
    }
    return edges;
}

/* --- learning */

struct learning {
    struct qbc_edges *edges;
    const struct qbc_calibration *calibration;
};

static struct qbc_edge *edge_of(struct qbc_edges *edges, const struct qbc_tap *tap)
{
    for (size_t i = 0; i < edges->n; ++i)
        for (size_t w = 0; w < tap->n_weights; ++w)
            if (!strcmp(edges->edge[i].name, tap->weights[w]))
                return &edges->edge[i];
    return NULL;
}

/* A few rows of each window, at places that differ from one to the next. */
static void sample(struct qbc_edge *e, size_t windows, const float *x, int64_t rows)
{
    int64_t wanted = (int64_t)((SAMPLE + windows - 1) / windows);
    wanted = wanted < rows ? wanted : rows;
    for (int64_t i = 0; i < wanted && e->n_rows < SAMPLE; ++i) {
        int64_t at = (i * rows / wanted + e->n_rows * 37) % rows;
        memcpy(e->rows + e->n_rows++ * e->cols, x + at * e->cols, (size_t)e->cols * sizeof *x);
    }
}

static void watch(void *user, const struct qbc_tap *tap, const float *x, int64_t rows)
{
    const struct learning *l = user;
    struct qbc_edge *e = edge_of(l->edges, tap);
    if (!e)
        return;
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < e->cols; ++c) {
            float value = x[r * e->cols + c], size = fabsf(value);
            e->low = value < e->low ? value : e->low;
            e->high = value > e->high ? value : e->high;
            e->peak[c] = size > e->peak[c] ? size : e->peak[c];
            e->mean[c] += size;
        }
    sample(e, l->calibration->windows.n, x, rows);
}

static bool room(struct qbc *q, struct qbc_edges *edges)
{
    for (size_t i = 0; i < edges->n; ++i) {
        struct qbc_edge *e = &edges->edge[i];
        e->peak = calloc((size_t)e->cols, sizeof *e->peak);
        e->mean = calloc((size_t)e->cols, sizeof *e->mean);
        e->rows = qbc_paged(q, (size_t)(e->cols * SAMPLE));
        if (!e->peak || !e->mean || !e->rows) {
            if (!q->errors)
                qbc_error_in(q, "-transform", "there is no memory for what calibration sees");
            return false;
        }
    }
    return true;
}

bool qbc_edges_learn(struct qbc *q, MlirOperation graph, struct qbc_edges *edges)
{
    struct qbc_calibration c = {.watch = watch};
    struct learning l = {edges, &c};
    c.user = &l;
    qbc_hessians_destroy(q); /* of what was before */
    bool good = room(q, edges) && qbc_calibrate(q, graph, &c);
    float tokens = good ? (float)(c.windows.n * c.windows.length) : 1;
    for (size_t i = 0; i < edges->n && good; ++i)
        for (int64_t k = 0; k < edges->edge[i].cols; ++k)
            edges->edge[i].mean[k] /= tokens;
    qbc_calibration_destroy(&c);
    return good;
}

void qbc_edges_destroy(struct qbc_edges *edges)
{
    for (size_t i = 0; i < edges->n; ++i) {
        free(edges->edge[i].peak);
        free(edges->edge[i].mean);
    }
    edges->n = 0;
}
