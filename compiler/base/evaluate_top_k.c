/* evaluate_top_k: TopK, the largest or smallest numbers along an axis and where they are. */
#include "evaluate_ops.h"

#include <string.h>

/* A line of x along the axis: `n` numbers, `inner` apart. */
struct line {
    size_t n, inner;
    bool largest;
    const struct qbc_array *x;
};

static double number(const struct line *l, size_t first, size_t i)
{
    return qbc_ev_get(l->x, first + i * l->inner);
}

/* The next one after `before`, in order of size and then of place; n: the first of all. */
static size_t next(const struct line *l, size_t first, size_t before)
{
    size_t best = l->n;
    for (size_t i = 0; i < l->n; ++i) {
        double x = l->largest ? number(l, first, i) : -number(l, first, i);
        double limit = before < l->n ? (l->largest ? 1 : -1) * number(l, first, before) : 0;
        bool after = before >= l->n || x < limit || (x == limit && i > before);
        if (after && (best == l->n || x > (l->largest ? 1 : -1) * number(l, first, best)))
            best = i;
    }
    return best < l->n ? best : l->n - 1; /* NaN: something */
}

static void put(struct qbc_array *a, size_t at, double x)
{
    if (a->f)
        a->f[at] = (float)x;
    else
        a->i[at] = (int64_t)x;
}

static void fill(struct qbc_ev *c, const struct line *l, size_t k)
{
    for (size_t outer = 0; outer < l->x->n / (l->n * l->inner); ++outer)
        for (size_t inner = 0; inner < l->inner; ++inner)
            for (size_t j = 0, at = l->n; j < k; ++j) {
                size_t first = outer * l->n * l->inner + inner, to = (outer * k + j) * l->inner + inner;
                at = next(l, first, at);
                put(&c->out[0], to, number(l, first, at));
                if (c->n_out > 1)
                    c->out[1].i[to] = (int64_t)at;
            }
}

/* values, indices [.., k, ..] */
bool qbc_ev_top_k(struct qbc_ev *c)
{
    int64_t axis = qbc_ev_int(c, "axis", -1), dims[QBC_MAX_RANK];
    if (!qbc_ev_wants(c, 2))
        return false;
    struct line l = {.x = c->in[0], .inner = 1, .largest = qbc_ev_int(c, "largest", 1) != 0};
    if (!qbc_ev_axis(&axis, l.x->rank))
        return qbc_ev_fail(c, "its axis is outside %s", qbc_ev_dims_text(c->e, l.x));
    if (!qbc_ev_known(c, 1) || !c->in[1]->n)
        return qbc_ev_fail(c, "its k is not known");
    memcpy(dims, l.x->dims, l.x->rank * sizeof *dims);
    int64_t k = (int64_t)qbc_ev_get(c->in[1], 0);
    if (k < 0 || k > dims[axis])
        return qbc_ev_fail(c, "its k is %ld, of %ld", (long)k, (long)dims[axis]);
    l.n = (size_t)dims[axis];
    dims[axis] = k;
    for (size_t d = (size_t)axis + 1; d < l.x->rank; ++d)
        l.inner *= (size_t)dims[d];
    if (!qbc_ev_shape(c, 0, l.x->element, l.x->rank, dims) || !qbc_ev_shape(c, 1, QBC_I64, l.x->rank, dims))
        return false;
    if (!c->out[0].n || !qbc_ev_known(c, 0) || !qbc_ev_work(c, c->in[0]->n * (size_t)k) || !qbc_ev_numbers(c, 0) ||
        (c->n_out > 1 && !qbc_ev_numbers(c, 1)))
        return true;
    fill(c, &l, (size_t)k);
    return true;
}
