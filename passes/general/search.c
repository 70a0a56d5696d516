/* search: where the largest or the smallest is along an axis: ArgMax, ArgMin, Hardmax. */
#include "general.h"

#include <string.h>

struct search {
    struct g_tensor *x;
    size_t axis;
    bool keep, last, largest;
};

struct search_walk {
    const struct search *s;
    const MlirValue *index;
};

static void search_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct search_walk *w = user;
    const struct search *s = w->s;
    MlirValue full[QBC_MAX_RANK];
    for (size_t i = 0, k = 0; i < s->x->rank; ++i) {
        full[i] = i == s->axis ? at[0] : w->index[k];
        k += i != s->axis || s->keep;
    }
    struct g_num x = g_at(g, s->x, full), here = g_index(g, at[0]);
    enum g_compare how = s->largest ? (s->last ? G_GE : G_GT) : (s->last ? G_LE : G_LT);
    struct g_num first = g_compare(g, G_EQ, here, g_int(g, QBC_I64, 0));
    struct g_num better = g_do(g, G_OR, first, g_compare(g, how, x, carried[0]));
    carried[0] = g_select(g, better, x, carried[0]);
    carried[1] = g_select(g, better, here, carried[1]);
}

static struct g_num found_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct search *s = t->user;
    struct search_walk w = {s, index};
    struct g_num carried[] = {g_int(g, s->x->element, 0), g_int(g, QBC_I64, 0)};
    g_fold(g, 1, &s->x->size[s->axis], 2, carried, search_one, &w);
    return carried[1];
}

static struct g_tensor *find(struct g_op *o, size_t axis, bool keep)
{
    struct search *s = qbc_alloc(o->g->q, sizeof *s);
    struct g_size size[QBC_MAX_RANK];
    size_t rank = 0;
    *s = (struct search){g_solid(o->g, o->in[0]), axis, keep, g_attr_int(o, "select_last_index", 0) != 0,
                         strcmp(o->row->name, "ArgMin") != 0};
    for (size_t i = 0; i < s->x->rank; ++i)
        if (i != axis || keep)
            size[rank++] = i == axis ? g_size(1) : s->x->size[i];
    return g_solid(o->g, g_function(o->g, QBC_I64, rank, size, found_at, s, 1));
}

void g_lower_arg_extreme(struct g_op *o)
{
    int64_t axis = g_attr_int(o, "axis", 0);
    if (g_axis(o, &axis, o->in[0]->rank))
        o->out[0] = find(o, (size_t)axis, g_attr_int(o, "keepdims", 1) != 0);
}

struct hard {
    struct g_tensor *where;
    size_t axis;
};

static struct g_num hard_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct hard *h = t->user;
    MlirValue own[QBC_MAX_RANK];
    g_broadcast_index(g, h->where, t->rank, index, own);
    struct g_num hit = g_compare(g, G_EQ, g_at(g, h->where, own), g_index(g, index[h->axis]));
    return g_select(g, hit, g_int(g, t->element, 1), g_int(g, t->element, 0));
}

void g_lower_hardmax(struct g_op *o)
{
    struct hard *h = qbc_alloc(o->g->q, sizeof *h);
    int64_t axis = g_attr_int(o, "axis", o->g->opset < 13 ? 1 : -1);
    if (!g_axis(o, &axis, o->in[0]->rank))
        return;
    *h = (struct hard){find(o, (size_t)axis, true), (size_t)axis};
    o->out[0] = g_function(o->g, o->in[0]->element, o->in[0]->rank, o->in[0]->size, hard_at, h, 1);
}
