/* concat: tensors one behind the other, and parts of one: Concat, Split. */
#include "general.h"

#include <string.h>

struct part {
    struct g_tensor *x;
    struct g_size from;
    size_t axis;
};

/* All alike but along the axis. */
static bool join_up(struct g_op *o, size_t axis)
{
    const struct g_tensor *a = o->in[0];
    for (size_t i = 1; i < o->n_in; ++i) {
        const struct g_tensor *b = o->in[i];
        bool alike = a->rank == b->rank && a->element == b->element;
        for (size_t d = 0; alike && d < a->rank; ++d)
            alike = d == axis || !g_is_known(a->size[d]) || !g_is_known(b->size[d]) || g_same(a->size[d], b->size[d]);
        if (!alike) {
            g_refuse(o, "operand %zu has another shape or other elements than the first", i);
            return false;
        }
    }
    return true;
}

void g_lower_concat(struct g_op *o)
{
    struct general *g = o->g;
    int64_t axis = g_attr_int(o, "axis", 1);
    if (!g_axis(o, &axis, o->in[0]->rank) || !join_up(o, (size_t)axis))
        return;
    struct g_tensor *y = g_new(g, o->in[0]->element, o->in[0]->rank, o->in[0]->size);
    for (size_t i = 1; i < o->n_in; ++i)
        y->size[axis] = g_plus(g, y->size[axis], o->in[i]->size[axis]);
    for (size_t i = 0; i < o->n_in; ++i)
        for (size_t d = 0; d < y->rank; ++d)
            if ((int64_t)d != axis && !g_is_known(y->size[d]) && g_is_known(o->in[i]->size[d]))
                y->size[d] = o->in[i]->size[d];
    g_allocate(g, y);
    struct g_size from = g_size(0);
    for (size_t i = 0; i < o->n_in; ++i) {
        struct g_nest nest;
        MlirValue index[QBC_MAX_RANK];
        g_begin(g, &nest, y->rank, o->in[i]->size);
        memcpy(index, nest.index, sizeof index);
        struct g_num x = g_at(g, o->in[i], nest.index);
        index[axis] = g_i64(g, g_plus(g, g_size_of(index[axis]), from));
        g_put(g, y, index, x);
        g_end(g, &nest);
        from = g_plus(g, from, o->in[i]->size[axis]);
    }
    o->out[0] = y;
}

static struct g_num part_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct part *p = t->user;
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, index, t->rank * sizeof *own);
    own[p->axis] = g_i64(g, g_plus(g, g_size_of(index[p->axis]), p->from));
    return g_at(g, p->x, own);
}

struct g_tensor *g_part(struct general *g, struct g_tensor *x, size_t axis, struct g_size from, struct g_size n)
{
    struct part *p = qbc_alloc(g->q, sizeof *p);
    struct g_size size[QBC_MAX_RANK];
    *p = (struct part){x, from, axis};
    memcpy(size, x->size, sizeof size);
    size[axis] = n;
    return g_function(g, x->element, x->rank, size, part_at, p, x->depth + 1);
}

void g_lower_split(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]);
    int64_t axis = g_attr_int(o, "axis", 0), sizes[QBC_MAX_RANK * 8], declared[QBC_MAX_RANK];
    size_t n = g_list(o, 1, "split", sizes, QBC_MAX_RANK * 8), rank;
    if (!g_axis(o, &axis, x->rank))
        return;
    struct g_size from = g_size(0), parts = g_size((int64_t)o->n_out);
    struct g_size even = g_over(g, g_plus(g, x->size[axis], g_size((int64_t)o->n_out - 1)), parts);
    for (size_t i = 0; i < o->n_out; ++i) {
        struct g_size size = g_min_size(g, even, g_minus(g, x->size[axis], from));
        if (n != SIZE_MAX && i < n)
            size = g_size(sizes[i]);
        else if (g_has(o, 1))
            size = g_declared(o, i, &rank, declared) && declared[axis] != QBC_ANY ? g_size(declared[axis])
                                                                                  : g_element(g, o->in[1], (int64_t)i);
        o->out[i] = g_part(g, x, (size_t)axis, from, size);
        from = g_plus(g, from, size);
    }
}
