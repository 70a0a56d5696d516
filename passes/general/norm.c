/* norm: less the mean, over the deviation. Mean and variance are tensors of their own; the rest is an expression. */
#include "general.h"

#include <string.h>

struct statistics {
    struct g_tensor *mean, *inverse; /* 1 / sqrt(variance + epsilon) */
};

static struct statistics statistics_of(struct g_op *o, struct g_tensor *x, const bool *axis, const char *epsilon)
{
    struct statistics s = {.mean = g_reduce(o, "ReduceMean", x, axis, true)};
    struct g_tensor *in[] = {x, s.mean}, *square = g_map_tensors(o, "(x - y) * (x - y)", QBC_F32, 2, in);
    struct g_tensor *variance = g_reduce(o, "ReduceMean", square, axis, true);
    s.inverse = g_solid(o->g, g_map_tensors(o, qbc_text(o->g->q, "1 / sqrt(x + %s)", epsilon), QBC_F32, 1, &variance));
    return s;
}

static struct g_tensor *f32(struct g_op *o, struct g_tensor *x)
{
    return g_solid(o->g, x->element == QBC_F32 || x->element == QBC_F64 ? x : g_map_tensors(o, "x", QBC_F32, 1, &x));
}

/* Axes of x from the attribute's on. False: it has no such one, for which there was an error. */
static bool axes_from(struct g_op *o, const struct g_tensor *x, bool *axis)
{
    int64_t first = g_attr_int(o, "axis", -1);
    if (!g_axis(o, &first, x->rank))
        return false;
    for (size_t i = 0; i < x->rank; ++i)
        axis[i] = (int64_t)i >= first;
    return true;
}

static struct g_tensor *scaled(struct g_op *o, struct g_tensor *normal, enum qbc_element element, struct g_tensor *scale,
                               struct g_tensor *bias)
{
    struct g_tensor *in[] = {normal, scale ? f32(o, scale) : NULL, bias ? f32(o, bias) : NULL};
    return g_map_tensors(o, bias ? "x * y + z" : scale ? "x * y" : "x", element, bias ? 3 : scale ? 2 : 1, in);
}

void g_lower_layer_norm(struct g_op *o)
{
    struct g_tensor *x = f32(o, o->in[0]);
    bool axis[QBC_MAX_RANK];
    if (!axes_from(o, x, axis))
        return;
    struct statistics s = statistics_of(o, x, axis, "epsilon{0.00001}");
    struct g_tensor *in[] = {x, s.mean, s.inverse}, *normal = g_map_tensors(o, "(x - y) * z", QBC_F32, 3, in);
    o->out[0] = scaled(o, normal, o->in[0]->element, o->in[1], g_has(o, 2) ? o->in[2] : NULL);
    if (o->n_out > 1)
        o->out[1] = s.mean;
    if (o->n_out > 2)
        o->out[2] = s.inverse;
}

void g_lower_rms_norm(struct g_op *o)
{
    struct g_tensor *x = f32(o, o->in[0]);
    bool axis[QBC_MAX_RANK];
    if (!axes_from(o, x, axis))
        return;
    struct g_tensor *square = g_map_tensors(o, "x * x", x->element, 1, &x), *mean = g_reduce(o, "ReduceMean", square, axis, true);
    struct g_tensor *in[] = {x, mean}, *normal = g_map_tensors(o, "x / sqrt(y + epsilon{0.00001})", x->element, 2, in);
    o->out[0] = scaled(o, normal, o->in[0]->element, o->in[1], NULL);
}

/* [C] as [C, 1, 1 ..], for a tensor [N, C, ..] of this rank */
static struct g_tensor *per_channel(struct g_op *o, struct g_tensor *c, size_t rank)
{
    struct g_size size[QBC_MAX_RANK];
    size[0] = c->size[0];
    for (size_t i = 1; i + 1 < rank; ++i)
        size[i] = g_size(1);
    return g_reshaped(o->g, f32(o, c), rank > 1 ? rank - 1 : 1, size);
}

void g_lower_batch_norm(struct g_op *o)
{
    struct g_tensor *x = f32(o, o->in[0]), *mean = o->in[3], *variance = o->in[4];
    bool axis[QBC_MAX_RANK];
    bool training = g_attr_int(o, "training_mode", 0) != 0;
    if (training) {
        for (size_t i = 0; i < x->rank; ++i)
            axis[i] = i != 1;
        mean = g_reduce(o, "ReduceMean", x, axis, false);
        struct g_tensor *in[] = {x, per_channel(o, mean, x->rank)};
        variance = g_reduce(o, "ReduceMean", g_map_tensors(o, "(x - y) * (x - y)", QBC_F32, 2, in), axis, false);
    }
    struct g_tensor *in[] = {x, per_channel(o, mean, x->rank), per_channel(o, variance, x->rank)};
    struct g_tensor *normal = g_map_tensors(o, "(x - y) / sqrt(z + epsilon{0.00001})", QBC_F32, 3, in);
    o->out[0] = scaled(o, normal, o->in[0]->element, per_channel(o, o->in[1], x->rank), per_channel(o, o->in[2], x->rank));
    for (size_t i = 1; training && i < 3 && i < o->n_out; ++i) {
        struct g_tensor *blend[] = {o->in[2 + i], i == 1 ? mean : variance};
        o->out[i] = g_map_tensors(o, "x * momentum{0.9} + y * (1 - momentum{0.9})", o->in[2 + i]->element, 2, blend);
    }
}

/* Groups of channels (as many as channels: InstanceNormalization): [N, G, ..] is normalized from axis 2 on. */
static void normalize_groups(struct g_op *o, struct g_size groups)
{
    struct general *g = o->g;
    struct g_tensor *x = f32(o, o->in[0]);
    bool axis[QBC_MAX_RANK] = {false, false, true};
    struct g_size all = g_count(g, x), flat[] = {x->size[0], groups, g_over(g, g_over(g, all, x->size[0]), groups)};
    struct g_tensor *grouped = g_reshaped(g, x, 3, flat);
    struct statistics s = statistics_of(o, grouped, axis, "epsilon{0.00001}");
    struct g_tensor *in[] = {grouped, s.mean, s.inverse};
    struct g_tensor *normal = g_reshaped(g, g_map_tensors(o, "(x - y) * z", QBC_F32, 3, in), x->rank, x->size);
    struct g_tensor *scale = o->in[1], *bias = o->in[2];
    if (!g_same(scale->size[0], x->size[1]) && g_is_known(x->size[1])) { /* opset 18: one a group */
        struct g_size by_group[] = {x->size[0], groups, g_over(g, all, g_times(g, x->size[0], groups))}, one[] = {groups, g_size(1)};
        struct g_tensor *rows = g_reshaped(g, normal, 3, by_group);
        struct g_tensor *y = scaled(o, rows, o->in[0]->element, g_reshaped(g, f32(o, scale), 2, one), g_reshaped(g, f32(o, bias), 2, one));
        o->out[0] = g_reshaped(g, y, x->rank, x->size);
        return;
    }
    o->out[0] = scaled(o, normal, o->in[0]->element, per_channel(o, scale, x->rank), per_channel(o, bias, x->rank));
}

void g_lower_group_norm(struct g_op *o)
{
    normalize_groups(o, g_size(g_attr_int(o, "num_groups", 1)));
}

void g_lower_instance_norm(struct g_op *o)
{
    normalize_groups(o, o->in[0]->size[1]);
}

void g_lower_mean_variance_norm(struct g_op *o)
{
    struct g_tensor *x = f32(o, o->in[0]);
    bool axis[QBC_MAX_RANK] = {true, false, true, true};
    const int64_t *axes;
    size_t n = g_attr_ints(o, "axes", &axes);
    if (n)
        memset(axis, 0, sizeof axis);
    for (size_t i = 0; i < n; ++i) {
        int64_t at = axes[i];
        if (!g_axis(o, &at, x->rank))
            return;
        axis[at] = true;
    }
    struct g_tensor *mean = g_reduce(o, "ReduceMean", x, axis, true), *in[] = {x, mean, NULL};
    in[2] = g_reduce(o, "ReduceMean", g_map_tensors(o, "(x - y) * (x - y)", QBC_F32, 2, in), axis, true);
    o->out[0] = g_map_tensors(o, "(x - y) / (sqrt(z) + 0.000000001)", o->in[0]->element, 3, in);
}

/* --- LRN: over the squares of neighbouring channels */

struct response {
    struct g_op o;
    struct g_tensor *x;
    int64_t size;
};

struct response_walk {
    const struct response *r;
    const MlirValue *index;
};

static void add_square(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct response_walk *w = user;
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, w->index, sizeof own);
    MlirValue channel = k_add(&g->k, w->index[1], k_add_i(&g->k, at[0], -((w->r->size - 1) / 2)));
    struct g_num c = g_index(g, channel), zero = g_int(g, QBC_I64, 0), n = g_index(g, g_i64(g, w->r->x->size[1]));
    struct g_num inside = g_do(g, G_AND, g_compare(g, G_GE, c, zero), g_compare(g, G_LT, c, n));
    own[1] = g_select(g, inside, c, zero).v;
    struct g_num x = g_at(g, w->r->x, own), square = g_do(g, G_MUL, x, x);
    *carried = g_do(g, G_ADD, *carried, g_select(g, inside, square, g_const(g, x.element, 0)));
}

static struct g_num response_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct response *r = t->user;
    struct response_walk w = {r, index};
    struct g_op o = r->o;
    struct g_size n = g_size(r->size);
    struct g_num sum = g_const(g, t->element, 0);
    g_fold(g, 1, &n, 1, &sum, add_square, &w);
    const char *text = qbc_text(g->q, "x / pow(bias{1} + alpha{0.0001} / %lld * y, beta{0.75})", (long long)r->size);
    return g_expression(&o, text, 2, (struct g_num[]){g_at(g, r->x, index), sum});
}

void g_lower_lrn(struct g_op *o)
{
    struct response *r = qbc_alloc(o->g->q, sizeof *r);
    *r = (struct response){*o, g_solid(o->g, o->in[0]), g_attr_int(o, "size", 1)};
    o->out[0] = g_function(o->g, r->x->element, r->x->rank, r->x->size, response_at, r, 1);
}
