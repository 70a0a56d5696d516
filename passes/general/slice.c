/* slice: Slice, whose numbers may be the program's: which axes, from where to where. */
#include "slice.h"

struct sliced {
    struct g_tensor *x;
    struct g_size start[QBC_MAX_RANK], step[QBC_MAX_RANK];
};

static struct g_num sliced_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct sliced *s = t->user;
    MlirValue own[QBC_MAX_RANK];
    for (size_t i = 0; i < t->rank; ++i)
        own[i] = g_i64(g, g_plus(g, g_times(g, g_size_of(index[i]), s->step[i]), s->start[i]));
    return g_at(g, s->x, own);
}

static struct g_size choose(struct general *g, enum qbc_compare how, struct g_size a, struct g_size b, struct g_size yes,
                            struct g_size no)
{
    if (g_is_known(a) && g_is_known(b)) {
        bool holds = how == QBC_LT ? a.n < b.n : how == QBC_GT ? a.n > b.n : a.n == b.n;
        return holds ? yes : no;
    }
    return g_size_of(k_select(&g->k, k_cmp(&g->k, how, g_i64(g, a), g_i64(g, b)), g_i64(g, yes), g_i64(g, no)));
}

/* One axis: NumPy's rule for ends outside, and for steps backwards. */
static void slice_axis(struct general *g, struct sliced *s, size_t axis, struct g_size start, struct g_size end, struct g_size step,
                       struct g_size *size)
{
    struct g_size n = s->x->size[axis], zero = g_size(0), one = g_size(1), last = g_minus(g, n, one), minus = g_size(-1);
    start = choose(g, QBC_LT, start, zero, g_plus(g, start, n), start);
    end = choose(g, QBC_LT, end, zero, g_plus(g, end, n), end);
    struct g_size up_start = g_min_size(g, g_max_size(g, start, zero), n), up_end = g_min_size(g, g_max_size(g, end, zero), n);
    struct g_size down_start = g_min_size(g, g_max_size(g, start, zero), last);
    struct g_size down_end = g_min_size(g, g_max_size(g, end, minus), last);
    start = choose(g, QBC_GT, step, zero, up_start, down_start);
    end = choose(g, QBC_GT, step, zero, up_end, down_end);
    struct g_size towards = choose(g, QBC_GT, step, zero, minus, one); /* round the quotient up */
    struct g_size count = g_over(g, g_plus(g, g_minus(g, end, start), g_plus(g, step, towards)), step);
    if (g_is_known(step) && step.n < 0 && g_is_known(start) && g_is_known(end))
        count = g_size((start.n - end.n - step.n - 1) / -step.n);
    *size = g_max_size(g, count, zero);
    s->start[axis] = start;
    s->step[axis] = step;
}

/* The number of operand `i` that belongs to an axis, where the program says which axes there are. */
struct g_size g_for_axis(struct g_op *o, size_t i, size_t axes, int64_t from, int64_t n, size_t axis, struct g_size otherwise)
{
    struct general *g = o->g;
    for (int64_t k = 0; k < n && g_has(o, i); ++k) {
        struct g_num a = g_index(g, g_i64(g, g_element(g, o->in[axes], k)));
        struct g_num front = g_compare(g, G_EQ, a, g_int(g, QBC_I64, (int64_t)axis));
        struct g_num back = g_compare(g, G_EQ, a, g_int(g, QBC_I64, (int64_t)axis - (int64_t)o->in[0]->rank));
        MlirValue hit = g_do(g, G_OR, front, back).v, value = g_i64(g, g_element(g, o->in[i], from + k));
        otherwise = g_size_of(k_select(&g->k, hit, value, g_i64(g, otherwise)));
    }
    return otherwise;
}

static void slice_chosen(struct g_op *o, struct sliced *s, size_t axis, int64_t n, int64_t declared, struct g_size *size)
{
    struct general *g = o->g;
    struct g_size start = g_for_axis(o, 1, 3, 0, n, axis, g_size(0)), end = g_for_axis(o, 2, 3, 0, n, axis, s->x->size[axis]);
    slice_axis(g, s, axis, start, end, g_for_axis(o, 4, 3, 0, n, axis, g_size(1)), size);
    if (declared != QBC_ANY)
        *size = g_size(declared);
}

struct g_size g_list_element(struct g_op *o, size_t operand, const int64_t *list, size_t i)
{
    return list ? g_size(list[i]) : g_element(o->g, o->in[operand], (int64_t)i);
}

void g_lower_slice(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = o->in[0];
    struct sliced *s = qbc_alloc(g->q, sizeof *s);
    const int64_t *starts = NULL, *ends = NULL, *given = NULL;
    int64_t axes[QBC_MAX_RANK], declared[QBC_MAX_RANK];
    struct g_size size[QBC_MAX_RANK];
    size_t rank, n = g_has(o, 1) ? (size_t)g_known_count(o->in[1]) : g_attr_ints(o, "starts", &starts);
    bool is_declared = g_declared(o, 0, &rank, declared) && rank == x->rank;
    if (!g_has(o, 1) && g_attr_ints(o, "ends", &ends) != n)
        n = SIZE_MAX;
    if (n > QBC_MAX_RANK || g_has(o, 1) != g_has(o, 2)) {
        g_refuse(o, "how many axes it has is not known before it runs");
        return;
    }
    bool chosen = g_has(o, 3) && g_list(o, 3, NULL, axes, QBC_MAX_RANK) != n;
    size_t n_given = g_has(o, 1) ? 0 : g_attr_ints(o, "axes", &given);
    n_given = n_given == n ? n : 0;
    *s = (struct sliced){.x = x};
    for (size_t i = 0; i < x->rank; ++i) {
        size[i] = x->size[i];
        s->start[i] = g_size(0);
        s->step[i] = g_size(1);
    }
    for (size_t i = 0; chosen && i < x->rank; ++i)
        slice_chosen(o, s, i, (int64_t)n, is_declared ? declared[i] : QBC_ANY, &size[i]);
    for (size_t i = 0; !chosen && i < n; ++i) {
        int64_t axis = g_has(o, 3) ? axes[i] : n_given ? given[i] : (int64_t)i;
        if (!g_axis(o, &axis, x->rank))
            return;
        struct g_size step = g_has(o, 4) ? g_element(g, o->in[4], (int64_t)i) : g_size(1);
        slice_axis(g, s, (size_t)axis, g_list_element(o, 1, starts, i), g_list_element(o, 2, ends, i), step, &size[axis]);
        if (!g_is_known(size[axis]) && is_declared && declared[axis] != QBC_ANY)
            size[axis] = g_size(declared[axis]);
    }
    o->out[0] = g_function(g, x->element, x->rank, size, sliced_at, s, x->depth + 1);
}
