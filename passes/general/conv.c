/* conv: convolutions. The operand is padded in memory first, if it has to be; then a row of the result is summed up in
 * memory, channel by channel and element of the kernel by element, with the loop along the row innermost.
 */
#include "window.h"

#include <string.h>

struct conv {
    struct window w;
    struct g_tensor *x, *weight, *bias; /* x padded */
    int64_t group;
    enum qbc_element sum;
};

static struct g_tensor *padded(struct general *g, struct g_tensor *x, const struct window *w)
{
    struct g_size size[QBC_MAX_RANK];
    struct g_nest nest;
    bool needed = false;
    memcpy(size, x->size, sizeof size);
    for (size_t i = 0; i < w->axes; ++i) {
        size[2 + i] = g_size(w->in[i] + w->before[i] + w->after[i]);
        needed = needed || size[2 + i].n != w->in[i];
    }
    if (!needed)
        return x;
    struct g_tensor *y = g_new(g, x->element, x->rank, size);
    g_allocate(g, y);
    g_begin(g, &nest, y->rank, y->size);
    g_put(g, y, nest.index, g_int(g, y->element, 0));
    g_end(g, &nest);
    g_begin(g, &nest, x->rank, x->size);
    MlirValue index[QBC_MAX_RANK];
    memcpy(index, nest.index, sizeof index);
    for (size_t i = 0; i < w->axes; ++i)
        index[2 + i] = k_add_i(&g->k, index[2 + i], w->before[i]);
    g_put(g, y, index, g_at(g, x, nest.index));
    g_end(g, &nest);
    return y;
}

/* The channels of a result's group. */
static MlirValue first_channel(struct general *g, const struct conv *c, MlirValue m)
{
    int64_t per_group = c->weight->size[0].n / c->group;
    MlirValue group = k_op2(&g->k, "arith.divui", m, k_i64(&g->k, per_group));
    return k_mul_i(&g->k, group, c->weight->size[1].n);
}

static void convolve(struct general *g, const struct conv *c, struct g_tensor *y)
{
    const struct window *w = &c->w;
    size_t last = y->rank - 1;
    struct g_nest rows, along, inner;
    struct g_size inside[QBC_MAX_RANK];
    MlirValue to[QBC_MAX_RANK], from[QBC_MAX_RANK], of[QBC_MAX_RANK];
    g_begin(g, &rows, last, y->size);
    memcpy(to, rows.index, sizeof to);
    struct g_num begin = c->bias ? g_convert(g, g_at(g, c->bias, &rows.index[1]), c->sum) : g_int(g, c->sum, 0);
    g_begin(g, &along, 1, &y->size[last]);
    to[last] = along.index[0];
    g_put(g, y, to, begin);
    g_end(g, &along);
    MlirValue channel = first_channel(g, c, rows.index[1]);
    for (size_t i = 0; i <= w->axes; ++i)
        inside[i] = c->weight->size[1 + i];
    g_begin(g, &inner, w->axes + 1, inside);
    of[0] = rows.index[1];
    memcpy(of + 1, inner.index, (w->axes + 1) * sizeof *of);
    struct g_num weight = g_convert(g, g_at(g, c->weight, of), c->sum);
    from[0] = rows.index[0];
    from[1] = k_add(&g->k, channel, inner.index[0]);
    g_begin(g, &along, 1, &y->size[last]);
    to[last] = along.index[0];
    for (size_t i = 0; i < w->axes; ++i)
        from[2 + i] = k_add(&g->k, k_mul_i(&g->k, to[2 + i], w->stride[i]), k_mul_i(&g->k, inner.index[1 + i], w->dilation[i]));
    struct g_num x = g_convert(g, g_at(g, c->x, from), c->sum), so_far = g_at(g, y, to);
    g_put(g, y, to, g_do(g, G_ADD, so_far, g_do(g, G_MUL, x, weight)));
    g_end(g, &along);
    g_end(g, &inner);
    g_end(g, &rows);
}

static struct g_tensor *conv(struct g_op *o, struct g_tensor *x, struct g_tensor *weight, struct g_tensor *bias, enum qbc_element sum)
{
    struct general *g = o->g;
    struct conv c = {.weight = g_solid(g, weight), .bias = bias ? g_solid(g, bias) : NULL, .group = g_attr_int(o, "group", 1), .sum = sum};
    struct g_size size[QBC_MAX_RANK];
    g_solid(g, x);
    if (!g_window(o, x, weight, &c.w))
        return NULL;
    if (!g_is_known(weight->size[0]) || !g_is_known(weight->size[1]) || c.group < 1 || weight->size[0].n % c.group) {
        g_refuse(o, "its channels do not divide into %lld groups", (long long)c.group);
        return NULL;
    }
    c.x = padded(g, x, &c.w);
    size[0] = x->size[0];
    size[1] = weight->size[0];
    for (size_t i = 0; i < c.w.axes; ++i)
        size[2 + i] = g_size(c.w.out[i]);
    struct g_tensor *y = g_new(g, sum, x->rank, size);
    g_allocate(g, y);
    convolve(g, &c, y);
    return y;
}

void g_lower_conv(struct g_op *o)
{
    enum qbc_element e = o->in[0]->element;
    struct g_tensor *y = conv(o, o->in[0], o->in[1], g_has(o, 2) ? o->in[2] : NULL, g_number_element(e));
    if (y)
        o->out[0] = g_map_tensors(o, "x", e, 1, &y);
}

/* Codes less their zero point, which is one for all, or one for each of the weight's rows. */
static struct g_tensor *centred(struct g_op *o, size_t i, size_t zero)
{
    struct general *g = o->g;
    struct g_tensor *x = o->in[i], *wide = g_new(g, QBC_I32, x->rank, x->size), *z;
    struct g_nest nest;
    if (!g_has(o, zero)) {
        z = NULL;
    } else {
        z = g_solid(g, o->in[zero]);
    }
    g_allocate(g, wide);
    g_begin(g, &nest, x->rank, x->size);
    struct g_num v = g_convert(g, g_at(g, x, nest.index), QBC_I32);
    if (z)
        v = g_do(g, G_SUB, v, g_convert(g, g_at_flat(g, z, g_known_count(z) == 1 ? k_i64(&g->k, 0) : nest.index[0]), QBC_I32));
    g_put(g, wide, nest.index, v);
    g_end(g, &nest);
    return wide;
}

void g_lower_conv_integer(struct g_op *o)
{
    o->out[0] = conv(o, centred(o, 0, 2), centred(o, 1, 3), NULL, QBC_I32);
}

/* round(sum * x_scale * w_scale / y_scale) + y_zero; w_scale one for all or one for each channel. */
void g_lower_qlinear_conv(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *sum = conv(o, centred(o, 0, 2), centred(o, 3, 5), g_has(o, 8) ? o->in[8] : NULL, QBC_I32);
    struct g_size channels[QBC_MAX_RANK];
    if (!sum)
        return;
    struct g_tensor *scale = g_solid(g, o->in[4]);
    for (size_t i = 0; i < sum->rank; ++i)
        channels[i] = g_size(1);
    channels[1] = g_count(g, scale);
    struct g_tensor *in[] = {sum, g_reshaped(g, scale, sum->rank, channels), o->in[1], o->in[6]};
    struct g_tensor *scales[] = {in[1], in[2], in[3]}, *factor = g_map_tensors(o, "x * y / z", QBC_F32, 3, scales);
    struct g_tensor *wide = g_solid(g, g_map_tensors(o, "f32(x)", QBC_F32, 1, &sum)), *zero = o->in[7];
    struct g_tensor *zero_wide = g_map_tensors(o, "f32(x)", QBC_F32, 1, &zero), *all[] = {wide, factor, zero_wide};
    bool is_unsigned = g_is_unsigned(zero->element);
    o->out[0] = g_map_tensors(o, is_unsigned ? "max(0, min(255, round(x * y) + z))" : "max(-128, min(127, round(x * y) + z))",
                              zero->element, 3, all);
}

/* --- ConvTranspose: from the result's side, for a stride only every so many elements of the kernel meet one of the operand */

struct transposed {
    struct window w;
    struct g_tensor *x, *weight, *bias;
    int64_t group;
    enum qbc_element sum;
};

struct transposed_walk {
    const struct transposed *t;
    const MlirValue *index;
    MlirValue channel, m, x[QBC_MAX_RANK];
    MlirValue weight[QBC_MAX_RANK];
};

static struct g_num product_at(struct general *g, void *user)
{
    struct transposed_walk *w = user;
    struct g_num x = g_convert(g, g_at(g, w->t->x, w->x), w->t->sum);
    return g_do(g, G_MUL, x, g_convert(g, g_at(g, w->t->weight, w->weight), w->t->sum));
}

static void transposed_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct transposed_walk *w = user;
    const struct window *s = &w->t->w;
    struct qbc_kernel *k = &g->k;
    MlirValue inside = k_int_of(k, k->i1, -1), zero = k_i64(k, 0);
    w->x[0] = w->index[0];
    w->weight[0] = w->x[1] = k_add(k, w->channel, at[0]);
    w->weight[1] = w->m;
    for (size_t i = 0; i < s->axes; ++i) {
        MlirValue from = k_sub(k, k_add_i(k, w->index[2 + i], s->before[i]), k_mul_i(k, at[1 + i], s->dilation[i]));
        MlirValue stride = k_i64(k, s->stride[i]), rest = k_op2(k, "arith.remsi", from, stride);
        w->x[2 + i] = k_op2(k, "arith.divsi", from, stride);
        w->weight[2 + i] = at[1 + i];
        inside = k_op2(k, "arith.andi", inside, k_cmp(k, QBC_EQ, rest, zero));
        inside = k_op2(k, "arith.andi", inside, k_cmp(k, QBC_GE, from, zero));
        inside = k_op2(k, "arith.andi", inside, k_cmp(k, QBC_LT, w->x[2 + i], k_i64(k, s->in[i])));
    }
    *carried = g_do(g, G_ADD, *carried, g_guarded(g, inside, product_at, w, g_int(g, w->t->sum, 0)));
}

static struct g_num transposed_at(struct general *g, const struct g_tensor *y, const MlirValue *index)
{
    const struct transposed *t = y->user;
    struct transposed_walk w = {.t = t, .index = index};
    struct g_size size[QBC_MAX_RANK];
    MlirValue per_group = g_i64(g, t->weight->size[1]), group = k_op2(&g->k, "arith.divui", index[1], per_group);
    int64_t channels = t->weight->size[0].n / t->group;
    w.m = k_op2(&g->k, "arith.remui", index[1], per_group);
    w.channel = k_mul_i(&g->k, group, channels);
    size[0] = g_size(channels);
    for (size_t i = 0; i < t->w.axes; ++i)
        size[1 + i] = g_size(t->w.kernel[i]);
    struct g_num sum = t->bias ? g_convert(g, g_at(g, t->bias, &index[1]), t->sum) : g_int(g, t->sum, 0);
    g_fold(g, t->w.axes + 1, size, 1, &sum, transposed_one, &w);
    return sum;
}

/* out = stride * (in - 1) + output_padding + (kernel - 1) * dilation + 1 - pads; or the pads follow from output_shape */
static void transposed_sizes(struct g_op *o, struct window *w)
{
    const int64_t *shape = NULL, *extra = NULL;
    size_t n_shape = g_attr_ints(o, "output_shape", &shape), n_extra = g_attr_ints(o, "output_padding", &extra);
    const char *automatic = g_attr_text(o, "auto_pad", "NOTSET");
    bool same = !strncmp(automatic, "SAME", 4), lower = !strcmp(automatic, "SAME_LOWER");
    for (size_t i = 0; i < w->axes; ++i) {
        int64_t more = i < n_extra ? extra[i] : 0;
        int64_t full = w->stride[i] * (w->in[i] - 1) + more + (w->kernel[i] - 1) * w->dilation[i] + 1;
        if (!same && !n_shape) {
            w->out[i] = full - w->before[i] - w->after[i];
            continue;
        }
        w->out[i] = n_shape ? shape[n_shape - w->axes + i] : w->in[i] * w->stride[i];
        int64_t all = full - w->out[i];
        all = all < 0 ? 0 : all;
        w->before[i] = lower ? all - all / 2 : all / 2;
    }
}

void g_lower_conv_transpose(struct g_op *o)
{
    struct general *g = o->g;
    struct transposed *t = qbc_alloc(g->q, sizeof *t);
    struct g_size size[QBC_MAX_RANK];
    *t = (struct transposed){.x = g_solid(g, o->in[0]), .weight = g_solid(g, o->in[1]), .bias = g_has(o, 2) ? g_solid(g, o->in[2]) : NULL,
                             .group = g_attr_int(o, "group", 1), .sum = g_number_element(o->in[0]->element)};
    if (!g_window(o, t->x, t->weight, &t->w))
        return;
    if (!g_is_known(t->weight->size[0]) || !g_is_known(t->weight->size[1]) || t->group < 1 || t->weight->size[0].n % t->group) {
        g_refuse(o, "its channels do not divide into %lld groups", (long long)t->group);
        return;
    }
    transposed_sizes(o, &t->w);
    size[0] = t->x->size[0];
    size[1] = g_size(t->weight->size[1].n * t->group);
    for (size_t i = 0; i < t->w.axes; ++i)
        size[2 + i] = g_size(t->w.out[i]);
    o->out[0] = g_solid(g, g_function(g, o->in[0]->element, t->x->rank, size, transposed_at, t, 1));
}
