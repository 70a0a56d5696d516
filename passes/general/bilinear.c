/* bilinear: images read between their pixels at places that other operands tell: RoiAlign and DeformConv. */
#include "window.h"

#include <math.h>
#include <string.h>

/* A place in an image's plane: row and column, numbers of the image's element. */
struct place {
    struct g_tensor *x; /* [N, C, H, W], solid */
    MlirValue image, channel;
    struct g_num at[2];
};

struct corner {
    const struct place *p;
    MlirValue index[2];
};

static struct g_num pixel_at(struct general *g, void *user)
{
    const struct corner *c = user;
    return g_at_n(g, c->p->x, 4, c->p->image, c->p->channel, c->index[0], c->index[1]);
}

static struct g_num size_of(struct general *g, const struct place *p, size_t axis)
{
    return g_convert(g, g_index(g, g_i64(g, p->x->size[2 + axis])), p->at[axis].element);
}

/* What each of the four pixels around the place adds; those outside count as 0. part[0]: upper left, then along the row. */
static void corners_of(struct general *g, const struct place *p, struct g_num part[4])
{
    enum qbc_element e = p->at[0].element;
    struct g_num one = g_const(g, e, 1), zero = g_const(g, e, 0);
    for (int i = 0; i < 4; ++i) {
        struct g_num weight = one, inside = {k_int_of(&g->k, g->k.i1, -1), QBC_BOOL};
        struct corner c = {.p = p};
        for (int axis = 0; axis < 2; ++axis) {
            bool far = axis ? i & 1 : i & 2;
            struct g_num low = g_call(g, "floor", p->at[axis]), rest = g_do(g, G_SUB, p->at[axis], low);
            struct g_num at = far ? g_do(g, G_ADD, low, one) : low, last = g_do(g, G_SUB, size_of(g, p, (size_t)axis), one);
            weight = g_do(g, G_MUL, weight, far ? rest : g_do(g, G_SUB, one, rest));
            inside = g_do(g, G_AND, inside, g_do(g, G_AND, g_compare(g, G_GE, at, zero), g_compare(g, G_LE, at, last)));
            c.index[axis] = g_convert(g, g_do(g, G_MAX, g_do(g, G_MIN, at, last), zero), QBC_I64).v;
        }
        struct g_num x = g_guarded(g, inside.v, pixel_at, &c, g_int(g, e, 0));
        part[i] = g_do(g, G_MUL, weight, x);
    }
}

/* --- RoiAlign: (x [N, C, H, W], rois [R, 4], which image [R]) -> [R, C, height, width] */

struct roi {
    struct g_op o;
    struct g_tensor *x, *rois, *images;
    bool largest, half_pixel;
    int64_t out[2], samples;
    double scale;
};

struct bin {
    const struct roi *r;
    struct place p;
    struct g_num start[2], step[2], samples[2]; /* a sample's distance is step / samples */
};

/* Begin and size of a region along an axis. A region's corners are x1, y1, x2, y2. */
static void side_of(struct general *g, const struct roi *r, MlirValue roi, int64_t axis, struct g_num *start, struct g_num *length)
{
    enum qbc_element e = g_number_element(r->x->element);
    struct g_num corner[2], scale = g_const(g, e, r->scale), offset = g_const(g, e, r->half_pixel ? 0.5 : 0);
    for (int i = 0; i < 2; ++i) {
        struct g_num at = g_convert(g, g_at_n(g, r->rois, 2, roi, k_i64(&g->k, 1 - axis + 2 * i)), e);
        corner[i] = g_do(g, G_SUB, g_do(g, G_MUL, at, scale), offset);
    }
    *start = corner[0];
    *length = g_do(g, G_SUB, corner[1], corner[0]);
    if (!r->half_pixel)
        *length = g_do(g, G_MAX, *length, g_const(g, e, 1));
}

/* Up to a pixel outside the nearest one is taken; further away there is nothing. */
static void take_sample(struct general *g, void *user, const MlirValue *index, struct g_num *carried)
{
    struct bin *b = user;
    enum qbc_element e = carried[0].element;
    struct g_num zero = g_const(g, e, 0), one = g_const(g, e, 1), near = {k_int_of(&g->k, g->k.i1, -1), QBC_BOOL}, part[4];
    for (int axis = 0; axis < 2; ++axis) {
        struct g_num n = g_do(g, G_ADD, g_convert(g, g_index(g, index[axis]), e), g_const(g, e, 0.5));
        struct g_num at = g_do(g, G_ADD, b->start[axis], g_do(g, G_DIV, g_do(g, G_MUL, n, b->step[axis]), b->samples[axis]));
        struct g_num size = size_of(g, &b->p, (size_t)axis);
        near = g_do(g, G_AND, near, g_do(g, G_AND, g_compare(g, G_GE, at, g_const(g, e, -1)), g_compare(g, G_LE, at, size)));
        b->p.at[axis] = g_do(g, G_MAX, g_do(g, G_MIN, at, g_do(g, G_SUB, size, one)), zero);
    }
    corners_of(g, &b->p, part);
    struct g_num value = part[0];
    for (int i = 1; i < 4; ++i) /* ONNX takes the largest of what the pixels add, not of the samples */
        value = g_do(g, b->r->largest ? G_MAX : G_ADD, value, part[i]);
    value = g_select(g, near, value, zero);
    struct g_num first = g_compare(g, G_EQ, carried[1], zero);
    carried[0] = b->r->largest ? g_select(g, first, value, g_do(g, G_MAX, carried[0], value)) : g_do(g, G_ADD, carried[0], value);
    carried[1] = g_do(g, G_ADD, carried[1], one);
}

static struct g_num aligned_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct roi *r = t->user;
    enum qbc_element e = g_number_element(r->x->element);
    struct bin b = {.r = r, .p = {.x = r->x, .channel = index[1]}};
    struct g_size turns[2];
    b.p.image = g_checked_index(g, g_at_flat(g, r->images, index[0]), r->x->size[0]);
    for (int axis = 0; axis < 2; ++axis) {
        struct g_num start, length, bin = g_convert(g, g_index(g, index[2 + axis]), e);
        side_of(g, r, index[0], axis, &start, &length);
        b.p.at[axis] = start;
        b.step[axis] = g_do(g, G_DIV, length, g_const(g, e, (double)r->out[axis]));
        b.start[axis] = g_do(g, G_ADD, start, g_do(g, G_MUL, bin, b.step[axis]));
        b.samples[axis] = r->samples > 0 ? g_const(g, e, (double)r->samples) : g_call(g, "ceil", b.step[axis]);
        turns[axis] = g_size_of(g_convert(g, b.samples[axis], QBC_I64).v);
    }
    struct g_num carried[2] = {g_const(g, e, 0), g_const(g, e, 0)};
    g_fold(g, 2, turns, 2, carried, take_sample, &b);
    struct g_num count = g_do(g, G_MAX, carried[1], g_const(g, e, 1));
    return r->largest ? carried[0] : g_do(g, G_DIV, carried[0], count);
}

void g_lower_roi_align(struct g_op *o)
{
    struct general *g = o->g;
    struct roi *r = qbc_alloc(g->q, sizeof *r);
    const char *places = g_attr_text(o, "coordinate_transformation_mode", g->opset < 16 ? "output_half_pixel" : "half_pixel");
    *r = (struct roi){.o = *o, .x = g_solid(g, o->in[0]), .rois = g_solid(g, o->in[1]), .images = g_solid(g, o->in[2]),
                      .largest = !strcmp(g_attr_text(o, "mode", "avg"), "max"), .half_pixel = !strcmp(places, "half_pixel"),
                      .out = {g_attr_int(o, "output_height", 1), g_attr_int(o, "output_width", 1)},
                      .samples = g_attr_int(o, "sampling_ratio", 0), .scale = g_attr_float(o, "spatial_scale", 1)};
    if (r->x->rank != 4 || r->rois->rank != 2 || r->images->rank != 1 || r->out[0] < 1 || r->out[1] < 1 || !g_is_float(r->x->element)) {
        g_refuse(o, "its image has rank %zu, its regions %zu; want 4 and 2, and floats", r->x->rank, r->rois->rank);
        return;
    }
    struct g_size size[] = {r->rois->size[0], r->x->size[1], g_size(r->out[0]), g_size(r->out[1])};
    o->out[0] = g_solid(g, g_function(g, r->x->element, 4, size, aligned_at, r, 1));
}

/* --- DeformConv: (x, weight, offset [N, groups K 2, out..][, bias[, mask [N, groups K, out..]]]); two axes */

struct deformed {
    struct window w;
    struct g_tensor *x, *weight, *offset, *bias, *mask;
    int64_t group, offset_group;
};

struct deformed_walk {
    const struct deformed *d;
    const MlirValue *index;
};

static struct g_num offset_at(struct general *g, const struct deformed_walk *w, struct g_tensor *t, MlirValue channel)
{
    return g_at_n(g, t, 4, w->index[0], channel, w->index[2], w->index[3]);
}

/* at: channel in the group, row and column of the kernel. */
static void add_product(struct general *g, void *user, const MlirValue *at, struct g_num *sum)
{
    const struct deformed_walk *w = user;
    const struct deformed *d = w->d;
    int64_t kernel = d->w.kernel[0] * d->w.kernel[1], in_group = d->weight->size[1].n, out_group = d->weight->size[0].n / d->group;
    enum qbc_element e = sum->element;
    struct place p = {.x = d->x, .image = w->index[0]};
    MlirValue group = k_op2(&g->k, "arith.divui", w->index[1], k_i64(&g->k, out_group));
    p.channel = k_add(&g->k, k_mul_i(&g->k, group, in_group), at[0]);
    MlirValue moved = k_op2(&g->k, "arith.divui", p.channel, k_i64(&g->k, d->x->size[1].n / d->offset_group));
    MlirValue tap = k_add(&g->k, k_mul_i(&g->k, moved, kernel), k_add(&g->k, k_mul_i(&g->k, at[1], d->w.kernel[1]), at[2]));
    for (int axis = 0; axis < 2; ++axis) {
        MlirValue first = k_add_i(&g->k, k_mul_i(&g->k, w->index[2 + axis], d->w.stride[axis]), -d->w.before[axis]);
        MlirValue regular = k_add(&g->k, first, k_mul_i(&g->k, at[1 + axis], d->w.dilation[axis]));
        struct g_num by = g_convert(g, offset_at(g, w, d->offset, k_add_i(&g->k, k_mul_i(&g->k, tap, 2), axis)), e);
        p.at[axis] = g_do(g, G_ADD, g_convert(g, g_index(g, regular), e), by);
    }
    struct g_num part[4];
    corners_of(g, &p, part);
    struct g_num x = g_do(g, G_ADD, g_do(g, G_ADD, part[0], part[1]), g_do(g, G_ADD, part[2], part[3]));
    if (d->mask)
        x = g_do(g, G_MUL, x, g_convert(g, offset_at(g, w, d->mask, tap), e));
    struct g_num weight = g_convert(g, g_at_n(g, d->weight, 4, w->index[1], at[0], at[1], at[2]), e);
    *sum = g_do(g, G_ADD, *sum, g_do(g, G_MUL, x, weight));
}

static struct g_num deformed_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct deformed *d = t->user;
    enum qbc_element e = g_number_element(t->element);
    struct deformed_walk w = {d, index};
    struct g_num sum = d->bias ? g_convert(g, g_at(g, d->bias, &index[1]), e) : g_const(g, e, 0);
    g_fold(g, 3, &d->weight->size[1], 1, &sum, add_product, &w);
    return sum;
}

static bool divides(struct g_size n, int64_t groups)
{
    return g_is_known(n) && groups > 0 && n.n % groups == 0;
}

void g_lower_deform_conv(struct g_op *o)
{
    struct general *g = o->g;
    struct deformed *d = qbc_alloc(g->q, sizeof *d);
    *d = (struct deformed){.x = g_solid(g, o->in[0]), .weight = g_solid(g, o->in[1]), .offset = g_solid(g, o->in[2]),
                           .bias = g_has(o, 3) ? g_solid(g, o->in[3]) : NULL, .mask = g_has(o, 4) ? g_solid(g, o->in[4]) : NULL,
                           .group = g_attr_int(o, "group", 1), .offset_group = g_attr_int(o, "offset_group", 1)};
    if (d->x->rank != 4 || d->weight->rank != 4 || d->offset->rank != 4) {
        g_refuse(o, "images of two axes are supported; its operands have ranks %zu, %zu and %zu", d->x->rank, d->weight->rank, d->offset->rank);
        return;
    }
    if (!g_window(o, d->x, d->weight, &d->w))
        return;
    if (!divides(d->weight->size[0], d->group) || !divides(d->x->size[1], d->offset_group) || !g_is_known(d->weight->size[1])) {
        g_refuse(o, "its channels do not divide into %lld groups, %lld for offsets", (long long)d->group, (long long)d->offset_group);
        return;
    }
    struct g_size size[] = {d->x->size[0], d->weight->size[0], g_size(d->w.out[0]), g_size(d->w.out[1])};
    o->out[0] = g_solid(g, g_function(g, d->x->element, 4, size, deformed_at, d, 1));
}
