/* top: TopK: each next one is the best of those behind the one before, by value, then by place. Nothing is moved. */
#include "general.h"

#include <string.h>

struct top {
    struct g_tensor *x;
    size_t axis;
    bool largest;
    const MlirValue *index;
    struct g_num value, place; /* of the one before */
};

static struct g_num comes_before(struct general *g, bool largest, struct g_num a, struct g_num a_place, struct g_num b, struct g_num b_place)
{
    struct g_num better = g_compare(g, largest ? G_GT : G_LT, a, b), same = g_compare(g, G_EQ, a, b);
    return g_do(g, G_OR, better, g_do(g, G_AND, same, g_compare(g, G_LT, a_place, b_place)));
}

static void top_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct top *t = user;
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, t->index, t->x->rank * sizeof *own);
    own[t->axis] = at[0];
    struct g_num none = g_int(g, QBC_I64, -1), place = g_index(g, at[0]), x = g_at(g, t->x, own);
    struct g_num is_first = g_compare(g, G_EQ, t->place, none), found = g_compare(g, G_NE, carried[1], none);
    struct g_num allowed = g_do(g, G_OR, is_first, comes_before(g, t->largest, t->value, t->place, x, place));
    struct g_num better = comes_before(g, t->largest, x, place, carried[0], carried[1]);
    struct g_num take = g_do(g, G_AND, allowed, g_do(g, G_OR, g_not(g, found), better));
    carried[0] = g_select(g, take, x, carried[0]);
    carried[1] = g_select(g, take, place, carried[1]);
}

void g_lower_top_k(struct g_op *o)
{
    struct general *g = o->g;
    struct top t = {.x = g_solid(g, o->in[0]), .largest = g_attr_int(o, "largest", 1) != 0};
    int64_t axis = g_attr_int(o, "axis", -1), declared[QBC_MAX_RANK];
    struct g_size size[QBC_MAX_RANK], outer[QBC_MAX_RANK];
    size_t rank;
    struct g_nest nest;
    if (!g_axis(o, &axis, t.x->rank))
        return;
    t.axis = (size_t)axis;
    struct g_size k = o->n_in > 1 ? g_element(g, g_solid(g, o->in[1]), 0) : g_size(g_attr_int(o, "k", 1));
    if (!g_is_known(k) && g_declared(o, 0, &rank, declared) && declared[axis] != QBC_ANY)
        k = g_size(declared[axis]);
    memcpy(size, t.x->size, sizeof size);
    memcpy(outer, t.x->size, sizeof outer);
    size[axis] = g_min_size(g, k, t.x->size[axis]);
    outer[axis] = g_size(1);
    struct g_tensor *values = g_new(g, t.x->element, t.x->rank, size), *places = g_new(g, QBC_I64, t.x->rank, size);
    g_allocate(g, values);
    g_allocate(g, places);
    g_begin(g, &nest, t.x->rank, outer);
    struct g_num zero = g_int(g, t.x->element, 0), none = g_int(g, QBC_I64, -1);
    MlirValue begin[] = {zero.v, none.v};
    struct k_loop loop = k_for(&g->k, k_i64(&g->k, 0), g_i64(g, size[axis]), 1, 2, begin);
    t.value = (struct g_num){loop.carried[0], zero.element};
    t.place = (struct g_num){loop.carried[1], QBC_I64};
    t.index = nest.index;
    struct g_num found[] = {zero, none};
    g_fold(g, 1, &t.x->size[axis], 2, found, top_one, &t);
    nest.index[axis] = loop.i;
    g_put(g, values, nest.index, found[0]);
    g_put(g, places, nest.index, found[1]);
    k_end(&g->k, &loop, (MlirValue[]){found[0].v, found[1].v});
    g_end(g, &nest);
    o->out[0] = values;
    if (o->n_out > 1)
        o->out[1] = places;
}
