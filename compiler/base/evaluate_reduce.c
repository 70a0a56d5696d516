/* evaluate_reduce: along axes: sums, greatest, softmax, running sums. Sums are kept in double. */
#include "evaluate_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- Reduce* */

struct reduction {
    const char *name;
    double start;
    double (*add)(double sum, double x);
    double (*finish)(double sum, double n);
};

static double add(double sum, double x) { return sum + x; }
static double add_abs(double sum, double x) { return sum + fabs(x); }
static double add_square(double sum, double x) { return sum + x * x; }
static double add_exp(double sum, double x) { return sum + exp(x); }
static double multiply(double sum, double x) { return sum * x; }
static double greater(double sum, double x) { return x > sum || x != x ? x : sum; }
static double less(double sum, double x) { return x < sum || x != x ? x : sum; }
static double keep(double sum, double n) { return (void)n, sum; }
static double divide(double sum, double n) { return sum / n; }
static double root(double sum, double n) { return (void)n, sqrt(sum); }
static double logarithm(double sum, double n) { return (void)n, log(sum); }

static const struct reduction reductions[] = {
    {"ReduceL1", 0, add_abs, keep},         {"ReduceL2", 0, add_square, root},
    {"ReduceLogSum", 0, add, logarithm},    {"ReduceLogSumExp", 0, add_exp, logarithm},
    {"ReduceMax", -INFINITY, greater, keep}, {"ReduceMean", 0, add, divide},
    {"ReduceMin", INFINITY, less, keep},    {"ReduceProd", 1, multiply, keep},
    {"ReduceSum", 0, add, keep},            {"ReduceSumSquare", 0, add_square, keep},
};

static const struct reduction *reduction_of(const char *name)
{
    size_t i = 0;
    while (strcmp(reductions[i].name, name))
        ++i; /* evaluate.def names no other */
    return &reductions[i];
}

/* Which axes go; no axes: all, or none with noop_with_empty_axes. */
static bool reduced_axes(struct qbc_ev *c, bool *gone)
{
    int64_t axes[QBC_EV_MOST_OPERANDS];
    size_t n, rank = c->in[0]->rank;
    if (!qbc_ev_list(c, 1, "axes", axes, &n))
        return false;
    bool all = (n == SIZE_MAX || n == 0) && !qbc_ev_int(c, "noop_with_empty_axes", 0);
    for (size_t d = 0; d < rank; ++d)
        gone[d] = all;
    for (size_t i = 0; n != SIZE_MAX && i < n; ++i) {
        if (!qbc_ev_axis(&axes[i], rank))
            return qbc_ev_fail(c, "an axis is outside %s", qbc_ev_dims_text(c->e, c->in[0]));
        gone[axes[i]] = true;
    }
    return true;
}

static void reduce_numbers(struct qbc_ev *c, const bool *gone)
{
    const struct reduction *r = reduction_of(c->row->name);
    const struct qbc_array *x = c->in[0];
    struct qbc_ev_walk w;
    double *sums = qbc_ev_alloc(c->e, c->out->n * sizeof *sums + 1);
    for (size_t o = 0; o < c->out->n; ++o)
        sums[o] = r->start;
    qbc_ev_walk_start(&w, x->rank, x->dims);
    int64_t stride = 1;
    for (size_t d = x->rank; d-- > 0;) {
        w.stride[0][d] = gone[d] ? 0 : stride;
        stride *= gone[d] ? 1 : x->dims[d];
    }
    for (size_t i = 0; i < x->n; ++i, qbc_ev_walk_next(&w))
        sums[w.at[0]] = r->add(sums[w.at[0]], qbc_ev_get(x, i));
    for (size_t o = 0; o < c->out->n; ++o)
        qbc_ev_put(c->out, o, r->finish(sums[o], (double)x->n / (double)c->out->n));
}

bool qbc_ev_reduce(struct qbc_ev *c)
{
    bool gone[QBC_MAX_RANK], keepdims = qbc_ev_int(c, "keepdims", 1) != 0;
    int64_t dims[QBC_MAX_RANK];
    size_t rank = 0;
    if (!qbc_ev_wants(c, 1) || !reduced_axes(c, gone))
        return false;
    const struct qbc_array *x = c->in[0];
    for (size_t d = 0; d < x->rank; ++d)
        if (!gone[d] || keepdims)
            dims[rank++] = gone[d] ? 1 : x->dims[d];
    if (!qbc_ev_shape(c, 0, x->element, rank, dims))
        return false;
    bool empty_extreme = !x->n && !x->f && x->element; /* an integer has no infinity */
    if (qbc_ev_known(c, 0) && !empty_extreme && qbc_ev_numbers(c, 0))
        reduce_numbers(c, gone);
    return true;
}

/* --- along one axis: [outer, n, inner] */

struct line {
    size_t outer, n, inner;
};

static bool line_of(struct qbc_ev *c, int64_t axis, struct line *l)
{
    const struct qbc_array *x = c->in[0];
    *l = (struct line){1, 1, 1};
    if (x->rank == 0)
        return true;
    if (!qbc_ev_axis(&axis, x->rank))
        return qbc_ev_fail(c, "its axis is outside %s", qbc_ev_dims_text(c->e, x));
    for (size_t d = 0; d < x->rank; ++d)
        *((int64_t)d < axis ? &l->outer : (int64_t)d > axis ? &l->inner : &l->n) *=
            (size_t)x->dims[d];
    return true;
}

/* The k-th element of line `which`. */
static size_t on_line(const struct line *l, size_t which, size_t k)
{
    return (which / l->inner * l->n + k) * l->inner + which % l->inner;
}

static void softmax_line(struct qbc_ev *c, const struct line *l, size_t which, bool logarithmic)
{
    double most = -INFINITY, sum = 0;
    for (size_t k = 0; k < l->n; ++k)
        most = fmax(most, qbc_ev_get(c->in[0], on_line(l, which, k)));
    for (size_t k = 0; k < l->n; ++k)
        sum += exp(qbc_ev_get(c->in[0], on_line(l, which, k)) - most);
    for (size_t k = 0; k < l->n; ++k) {
        double x = qbc_ev_get(c->in[0], on_line(l, which, k)) - most;
        qbc_ev_put(c->out, on_line(l, which, k), logarithmic ? x - log(sum) : exp(x) / sum);
    }
}

bool qbc_ev_softmax(struct qbc_ev *c)
{
    struct line l;
    bool flat = c->opset < 13; /* then all dimensions from axis on are one line */
    int64_t axis = qbc_ev_int(c, "axis", flat ? 1 : -1);
    if (!qbc_ev_wants(c, 1) || !qbc_ev_shape_like(c, 0, c->in[0]->element, c->in[0]) ||
        !line_of(c, axis, &l))
        return false;
    if (flat) {
        l.n *= l.inner;
        l.inner = 1;
    }
    bool logarithmic = !strcmp(c->row->name, "LogSoftmax");
    if (qbc_ev_known(c, 0) && qbc_ev_numbers(c, 0))
        for (size_t which = 0; l.n && which < l.outer * l.inner; ++which)
            softmax_line(c, &l, which, logarithmic);
    return true;
}

bool qbc_ev_cumulative_sum(struct qbc_ev *c)
{
    struct line l;
    if (!qbc_ev_wants(c, 2) || !qbc_ev_shape_like(c, 0, c->in[0]->element, c->in[0]))
        return false;
    if (!qbc_ev_all_known(c) || !c->in[1]->n)
        return true;
    if (!line_of(c, (int64_t)qbc_ev_get(c->in[1], 0), &l))
        return false;
    bool exclusive = qbc_ev_int(c, "exclusive", 0) != 0, reverse = qbc_ev_int(c, "reverse", 0) != 0;
    if (!qbc_ev_numbers(c, 0))
        return true;
    for (size_t which = 0; which < l.outer * l.inner; ++which) {
        double sum = 0;
        for (size_t k = 0; k < l.n; ++k) {
            size_t at = on_line(&l, which, reverse ? l.n - 1 - k : k);
            double x = qbc_ev_get(c->in[0], at);
            qbc_ev_put(c->out, at, exclusive ? sum : sum + x);
            sum += x;
        }
    }
    return true;
}

bool qbc_ev_arg_most(struct qbc_ev *c)
{
    struct line l;
    int64_t axis = qbc_ev_int(c, "axis", 0), dims[QBC_MAX_RANK];
    size_t rank = 0;
    if (!qbc_ev_wants(c, 1) || !line_of(c, axis, &l))
        return false;
    const struct qbc_array *x = c->in[0];
    qbc_ev_axis(&axis, x->rank);
    for (size_t d = 0; d < x->rank; ++d)
        if ((int64_t)d != axis || qbc_ev_int(c, "keepdims", 1))
            dims[rank++] = (int64_t)d == axis ? 1 : x->dims[d];
    if (!qbc_ev_shape(c, 0, QBC_I64, rank, dims))
        return false;
    if (!qbc_ev_known(c, 0) || !l.n || !qbc_ev_numbers(c, 0))
        return true;
    double sign = strcmp(c->row->name, "ArgMin") ? 1 : -1;
    bool last = qbc_ev_int(c, "select_last_index", 0) != 0;
    for (size_t which = 0; which < c->out->n; ++which) {
        size_t best = 0;
        for (size_t k = 1; k < l.n; ++k) {
            double gain = sign * (qbc_ev_get(x, on_line(&l, which, k)) -
                                  qbc_ev_get(x, on_line(&l, which, best)));
            best = gain > 0 || (last && gain == 0) ? k : best;
        }
        c->out->i[which] = (int64_t)best;
    }
    return true;
}
