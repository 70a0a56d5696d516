/* softmax and its kind: along one axis (before opset 13: all axes from one on). */
#include "general.h"

#include <string.h>

static bool softmax_axes(struct g_op *o, bool *axis)
{
    struct g_tensor *x = o->in[0];
    bool flat = o->g->opset < 13;
    int64_t at = g_attr_int(o, "axis", flat ? 1 : -1);
    if (flat && at == (int64_t)x->rank)
        return true;
    if (!g_axis(o, &at, x->rank))
        return false;
    for (size_t i = (size_t)at; i < x->rank; ++i)
        axis[i] = flat || i == (size_t)at;
    return true;
}

struct g_tensor *g_softmax(struct g_op *o, struct g_tensor *x, const bool *axis, bool logarithm)
{
    struct g_tensor *largest = g_reduce(o, "ReduceMax", x, axis, true);
    struct g_tensor *in[] = {x, largest, NULL};
    enum qbc_element wide = x->element == QBC_F64 ? QBC_F64 : QBC_F32;
    struct g_tensor *sum = g_reduce(o, "ReduceSum", g_map_tensors(o, "exp(x - y)", wide, 2, in), axis, true);
    in[2] = sum;
    return g_map_tensors(o, logarithm ? "x - y - log(z)" : "exp(x - y) / z", x->element, 3, in);
}

void g_lower_softmax(struct g_op *o)
{
    bool axis[QBC_MAX_RANK] = {false};
    g_solid(o->g, o->in[0]);
    if (softmax_axes(o, axis))
        o->out[0] = g_softmax(o, o->in[0], axis, !strcmp(o->row->name, "LogSoftmax"));
}

void g_lower_lp_normalization(struct g_op *o)
{
    bool axis[QBC_MAX_RANK] = {false};
    int64_t at = g_attr_int(o, "axis", -1);
    if (!g_axis(o, &at, o->in[0]->rank))
        return;
    axis[at] = true;
    g_solid(o->g, o->in[0]);
    const char *norm = g_attr_int(o, "p", 2) == 1 ? "ReduceL1" : "ReduceL2";
    struct g_tensor *in[] = {o->in[0], g_reduce(o, norm, o->in[0], axis, true)};
    o->out[0] = g_map_tensors(o, "y == 0 ? 0 : x / y", in[0]->element, 2, in);
}
