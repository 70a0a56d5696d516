/* loss: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: x[n, target[n, ..], ..] with weights by class, and a mean. */
#include "general.h"
#include "run.h"

#include <string.h>

struct loss {
    struct g_tensor *x, *target, *weight;
    bool ignores, weights_only;
    int64_t ignored;
};

/* The loss of one target, or its weight; 0 where it is to be ignored. */
static struct g_num loss_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct loss *l = t->user;
    MlirValue own[QBC_MAX_RANK + 1];
    struct g_num target = g_convert(g, g_at(g, l->target, index), QBC_I64), zero = g_int(g, QBC_I64, 0);
    struct g_num ignored = g_compare(g, G_EQ, target, g_int(g, QBC_I64, l->ignored));
    if (l->ignores)
        target = g_select(g, ignored, zero, target);
    MlirValue class = g_checked_index(g, target, l->x->size[1]);
    struct g_num weight = l->weight ? g_convert(g, g_at(g, l->weight, &class), QBC_F32) : g_const(g, QBC_F32, 1);
    struct g_num value = weight;
    if (!l->weights_only) {
        own[0] = index[0], own[1] = class;
        memcpy(own + 2, index + 1, (t->rank - 1) * sizeof *own);
        value = g_neg(g, g_do(g, G_MUL, weight, g_convert(g, g_at(g, l->x, own), QBC_F32)));
    }
    return l->ignores ? g_select(g, ignored, g_const(g, QBC_F32, 0), value) : value;
}

static struct g_tensor *losses(struct g_op *o, struct loss l)
{
    struct loss *kept = qbc_alloc(o->g->q, sizeof *kept);
    *kept = l;
    return g_solid(o->g, g_function(o->g, QBC_F32, l.target->rank, l.target->size, loss_at, kept, 1));
}

static void lower(struct g_op *o, struct g_tensor *x)
{
    struct general *g = o->g;
    struct loss l = {.x = g_solid(g, x), .target = g_solid(g, o->in[1]), .weight = g_has(o, 2) ? g_solid(g, o->in[2]) : NULL,
                     .ignores = g_has_attr(o, "ignore_index"), .ignored = g_attr_int(o, "ignore_index", 0)};
    const char *reduction = g_attr_text(o, "reduction", "mean");
    struct g_tensor *each = losses(o, l);
    bool all[QBC_MAX_RANK];
    memset(all, true, sizeof all);
    if (!strcmp(reduction, "none")) {
        o->out[0] = g_map_tensors(o, "x", o->in[0]->element, 1, &each);
        return;
    }
    struct g_tensor *in[] = {g_reduce(o, "ReduceSum", each, all, false), NULL};
    if (!strcmp(reduction, "mean")) {
        l.weights_only = true;
        in[1] = g_reduce(o, "ReduceSum", losses(o, l), all, false);
    }
    o->out[0] = g_map_tensors(o, in[1] ? "x / y" : "x", o->in[0]->element, in[1] ? 2 : 1, in);
}

void g_lower_likelihood_loss(struct g_op *o)
{
    lower(o, o->in[0]);
}

void g_lower_entropy_loss(struct g_op *o)
{
    bool axis[QBC_MAX_RANK] = {false, true};
    struct g_tensor *logarithms = g_solid(o->g, g_softmax(o, g_solid(o->g, o->in[0]), axis, true));
    lower(o, logarithms);
    if (o->n_out > 1)
        o->out[1] = logarithms;
}
