/* max_roi_pool: the largest number in each part of a region of an image. Regions are [image, left, top, right, bottom], ends
 * included; parts overlap where they do not divide the region; parts outside of the image are 0.
 */
#include "general.h"

#include <math.h>

struct regions {
    struct g_op o;
    struct g_tensor *x, *region;
    struct g_num scale;
    int64_t parts[2];
};

struct span {
    struct g_num from, to;
};

/* What part `at` of a region covers along an axis: 0 rows, 1 columns. */
static struct span part_of(struct general *g, const struct regions *r, MlirValue region, int axis, MlirValue at)
{
    struct g_op o = r->o;
    struct g_num end[2], one = g_int(g, QBC_I64, 1);
    for (int i = 0; i < 2; ++i) {
        struct g_num n[] = {g_at_n(g, r->region, 2, region, k_i64(&g->k, 2 * i + (axis ? 1 : 2))), r->scale};
        end[i] = g_convert(g, g_expression(&o, "x * y < 0 ? ceil(x * y - 0.5) : floor(x * y + 0.5)", 2, n), QBC_I64);
    }
    struct g_num size = g_do(g, G_MAX, g_do(g, G_ADD, g_do(g, G_SUB, end[1], end[0]), one), one);
    struct g_num n[] = {g_convert(g, g_index(g, at), QBC_F32), g_convert(g, size, QBC_F32), g_const(g, QBC_F32, (double)r->parts[axis])};
    struct g_num from = g_convert(g, g_expression(&o, "floor(x * (y / z))", 3, n), QBC_I64);
    struct g_num to = g_convert(g, g_expression(&o, "ceil((x + 1) * (y / z))", 3, n), QBC_I64);
    struct g_num zero = g_int(g, QBC_I64, 0), most = g_index(g, g_i64(g, r->x->size[2 + axis]));
    from = g_do(g, G_MIN, g_do(g, G_MAX, g_do(g, G_ADD, from, end[0]), zero), most);
    to = g_do(g, G_MIN, g_do(g, G_MAX, g_do(g, G_ADD, to, end[0]), zero), most);
    return (struct span){from, to};
}

struct look {
    const struct regions *r;
    MlirValue image, channel, from[2];
};

static void take_largest(struct general *g, void *user, const MlirValue *at, struct g_num *largest)
{
    const struct look *l = user;
    MlirValue row = k_add(&g->k, l->from[0], at[0]), column = k_add(&g->k, l->from[1], at[1]);
    *largest = g_do(g, G_MAX, *largest, g_at_n(g, l->r->x, 4, l->image, l->channel, row, column));
}

static struct g_num pooled_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct regions *r = t->user;
    struct g_num image = g_convert(g, g_at_n(g, r->region, 2, index[0], k_i64(&g->k, 0)), QBC_I64), empty = {k_int_of(&g->k, g->k.i1, 0), QBC_BOOL};
    struct look l = {.r = r, .image = g_checked_index(g, image, r->x->size[0]), .channel = index[1]};
    struct g_size size[2];
    for (int i = 0; i < 2; ++i) {
        struct span s = part_of(g, r, index[0], i, index[2 + i]);
        l.from[i] = s.from.v;
        size[i] = g_size_of(k_sub(&g->k, s.to.v, s.from.v));
        empty = g_do(g, G_OR, empty, g_compare(g, G_LE, s.to, s.from));
    }
    enum qbc_element number = g_number_element(t->element);
    struct g_num largest = g_const(g, number, -INFINITY);
    g_fold(g, 2, size, 1, &largest, take_largest, &l);
    return g_select(g, empty, g_const(g, number, 0), largest);
}

void g_lower_max_roi_pool(struct g_op *o)
{
    struct general *g = o->g;
    struct regions *r = qbc_alloc(g->q, sizeof *r);
    struct g_tensor *x = g_solid(g, o->in[0]);
    const int64_t *parts;
    *r = (struct regions){*o, x, g_solid(g, g_map_tensors(o, "f32(x)", QBC_F32, 1, &o->in[1])), .scale = g_const(g, QBC_F32, g_attr_float(o, "spatial_scale", 1))};
    if (g_attr_ints(o, "pooled_shape", &parts) != 2 || parts[0] < 1 || parts[1] < 1 || !g_is(o->in[1]->size[1], 5)) {
        g_refuse(o, "its regions are no five numbers each, or its pooled_shape is not two that are positive");
        return;
    }
    r->parts[0] = parts[0], r->parts[1] = parts[1];
    struct g_size size[] = {o->in[1]->size[0], x->size[1], g_size(parts[0]), g_size(parts[1])};
    o->out[0] = g_solid(g, g_function(g, x->element, 4, size, pooled_at, r, 1));
}
