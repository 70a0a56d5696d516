/* dft: DFT and STFT, as sums over a table of the unit circle; sums are kept in f64.
 *
 *     out[j] = scale * sum over t of x[t] * exp(sign * 2 pi i * j * t / length)
 *
 * Of a signal as long as the sizes say that is as many steps as it has numbers for each result: no fast transform.
 */
#include "general.h"

#include "run.h"

#include <string.h>

struct transform {
    struct g_tensor *x, *circle; /* circle: [length, 2], cosines and sines */
    size_t axis;                 /* of x; its last axis is real and imaginary parts, or real ones alone */
    struct g_size length, terms; /* terms: how many of x count */
    bool inverse, halved; /* halved: x is one side of a symmetric spectrum, the result is real */
};

/* exp(i * 2 pi * k / length) for each k */
static struct g_tensor *circle_of(struct general *g, struct g_size length)
{
    struct g_size size[] = {length, g_size(2)};
    struct g_tensor *circle = g_new(g, QBC_F64, 2, size);
    struct g_nest nest;
    g_allocate(g, circle);
    g_begin(g, &nest, 1, size);
    struct g_num at = g_convert(g, g_index(g, nest.index[0]), QBC_F64), all = g_convert(g, g_index(g, g_i64(g, length)), QBC_F64);
    struct g_num angle = g_do(g, G_DIV, g_do(g, G_MUL, at, g_const(g, QBC_F64, 6.283185307179586)), all);
    g_put(g, circle, (MlirValue[]){nest.index[0], k_i64(&g->k, 0)}, g_call(g, "cos", angle));
    g_put(g, circle, (MlirValue[]){nest.index[0], k_i64(&g->k, 1)}, g_call(g, "sin", angle));
    g_end(g, &nest);
    return circle;
}

struct term {
    const struct transform *t;
    const MlirValue *index; /* of the result */
};

/* How often a term of one side counts: those that have a mirror image twice. */
static struct g_num weight(struct general *g, const struct transform *t, MlirValue at)
{
    struct g_num here = g_index(g, at), twice = g_do(g, G_ADD, here, here), zero = g_int(g, QBC_I64, 0);
    struct g_num alone = g_do(g, G_OR, g_compare(g, G_EQ, here, zero),
                              g_compare(g, G_EQ, twice, g_index(g, g_i64(g, t->length))));
    return g_select(g, alone, g_const(g, QBC_F64, 1), g_const(g, QBC_F64, 2));
}

/* sum: its real and its imaginary part */
static void add_term(struct general *g, void *user, const MlirValue *at, struct g_num *sum)
{
    const struct term *w = user;
    const struct transform *t = w->t;
    size_t last = t->x->rank - 1;
    MlirValue own[QBC_MAX_RANK], turn = k_op2(&g->k, "arith.remui", k_mul(&g->k, w->index[t->axis], at[0]), g_i64(g, t->length));
    memcpy(own, w->index, last * sizeof *own);
    own[t->axis] = at[0];
    own[last] = k_i64(&g->k, 0);
    struct g_num c = g_at_n(g, t->circle, 2, turn, k_i64(&g->k, 0)), s = g_at_n(g, t->circle, 2, turn, k_i64(&g->k, 1));
    struct g_num real = g_convert(g, g_at(g, t->x, own), QBC_F64), imaginary = g_const(g, QBC_F64, 0);
    own[last] = k_i64(&g->k, 1);
    if (g_is(t->x->size[last], 2))
        imaginary = g_convert(g, g_at(g, t->x, own), QBC_F64);
    s = t->inverse ? s : g_neg(g, s);
    struct g_num x = g_do(g, G_SUB, g_do(g, G_MUL, real, c), g_do(g, G_MUL, imaginary, s));
    struct g_num y = g_do(g, G_ADD, g_do(g, G_MUL, real, s), g_do(g, G_MUL, imaginary, c));
    if (t->halved)
        x = g_do(g, G_MUL, x, weight(g, t, at[0]));
    sum[0] = g_do(g, G_ADD, sum[0], x);
    sum[1] = g_do(g, G_ADD, sum[1], y);
}

/* [..., n, 1 or 2] -> [..., results, 2], or [..., results, 1] of a halved spectrum */
static struct g_tensor *transformed(struct general *g, struct transform *t, struct g_size results)
{
    struct g_size size[QBC_MAX_RANK], one = g_size(1);
    size_t rank = t->x->rank;
    struct g_nest nest;
    memcpy(size, t->x->size, sizeof size);
    size[t->axis] = results;
    size[rank - 1] = g_size(t->halved ? 1 : 2);
    struct g_tensor *y = g_new(g, t->x->element, rank, size);
    g_allocate(g, y);
    t->circle = circle_of(g, g_max_size(g, t->length, one));
    g_begin(g, &nest, rank - 1, size);
    struct term w = {t, nest.index};
    struct g_num sum[] = {g_const(g, QBC_F64, 0), g_const(g, QBC_F64, 0)};
    g_fold(g, 1, &t->terms, 2, sum, add_term, &w);
    struct g_num all = g_convert(g, g_index(g, g_i64(g, t->length)), QBC_F64);
    for (int64_t i = 0; i < (t->halved ? 1 : 2); ++i) {
        nest.index[rank - 1] = k_i64(&g->k, i);
        struct g_num part = t->inverse ? g_do(g, G_DIV, sum[i], all) : sum[i];
        g_put(g, y, nest.index, g_convert(g, part, y->element));
    }
    g_end(g, &nest);
    return y;
}

static struct g_size one_side(struct general *g, struct g_size length)
{
    struct g_size two = g_size(2), one = g_size(1);
    return g_plus(g, g_over(g, length, two), one);
}

/* The last axis is 1 or 2 numbers of a float; else refused. */
static bool is_signal(struct g_op *o, const struct g_tensor *x)
{
    bool good = x->rank >= 2 && g_is_float(x->element) && (g_is(x->size[x->rank - 1], 1) || g_is(x->size[x->rank - 1], 2));
    if (!good)
        g_refuse(o, "its signal is no tensor of floats whose last axis is the 1 or 2 parts of a number");
    return good;
}

static struct g_tensor *along(struct g_op *o, struct g_tensor *x, size_t axis)
{
    struct general *g = o->g;
    struct transform t = {.x = x, .axis = axis, .inverse = g_attr_int(o, "inverse", 0) != 0};
    bool onesided = g_attr_int(o, "onesided", 0) != 0;
    t.halved = t.inverse && onesided;
    struct g_size n = x->size[axis], two = g_size(2), one = g_size(1);
    t.length = t.halved ? g_times(g, two, g_minus(g, n, one)) : n;
    if (g_has(o, 1))
        t.length = g_element(g, g_solid(g, o->in[1]), 0);
    t.terms = g_min_size(g, n, t.halved ? one_side(g, t.length) : t.length);
    return transformed(g, &t, onesided && !t.inverse ? one_side(g, t.length) : t.length);
}

/* The axis is the program's: seen as [before, axis, behind, parts] it is the second. */
static struct g_tensor *along_chosen(struct g_op *o, struct g_tensor *x)
{
    struct general *g = o->g;
    struct g_size four[4], size[QBC_MAX_RANK];
    size_t last = x->rank - 1;
    struct g_num at = g_around_axis(g, x, g_solid(g, o->in[2]), last, four);
    four[3] = x->size[last];
    struct g_tensor *y = along(o, g_reshaped(g, x, 4, four), 1);
    for (size_t i = 0; i < last; ++i) {
        MlirValue here = g_compare(g, G_EQ, g_int(g, QBC_I64, (int64_t)i), at).v;
        size[i] = g_size_of(k_select(&g->k, here, g_i64(g, y->size[1]), g_i64(g, x->size[i])));
    }
    size[last] = y->size[3];
    return g_reshaped(g, y, x->rank, size);
}

void g_lower_dft(struct g_op *o)
{
    struct g_tensor *x = g_solid(o->g, o->in[0]);
    int64_t axis = g_attr_int(o, "axis", o->g->opset < 20 ? 1 : -2);
    if (!is_signal(o, x))
        return;
    if (g_has(o, 2) && !g_known_int(o->in[2], 0, &axis))
        o->out[0] = along_chosen(o, x);
    else if (g_axis(o, &axis, x->rank) && (size_t)axis + 1 == x->rank)
        g_refuse(o, "axis %lld holds the parts of a number", (long long)axis);
    else if (!o->g->q->errors)
        o->out[0] = along(o, x, (size_t)axis);
}

/* --- STFT: the transform of each frame of a signal, weighted by a window */

struct frames {
    struct g_tensor *x, *window;
    struct g_size step;
};

/* [batch, frame, place in it, part] */
static struct g_num frame_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct frames *f = t->user;
    MlirValue at = k_add(&g->k, k_mul(&g->k, index[1], g_i64(g, f->step)), index[2]);
    struct g_num x = g_at_n(g, f->x, 3, index[0], at, index[3]);
    return f->window ? g_do(g, G_MUL, x, g_at_flat(g, f->window, index[2])) : x;
}

void g_lower_stft(struct g_op *o)
{
    struct general *g = o->g;
    struct frames *f = qbc_alloc(g->q, sizeof *f);
    struct g_tensor *x = g_solid(g, o->in[0]);
    *f = (struct frames){x, g_has(o, 2) ? g_solid(g, o->in[2]) : NULL, g_element(g, g_solid(g, o->in[1]), 0)};
    if (!is_signal(o, x))
        return;
    if (!g_has(o, 2) && !g_has(o, 3)) {
        g_refuse(o, "neither a window nor a length of frames is given");
        return;
    }
    struct g_size length = g_has(o, 3) ? g_element(g, g_solid(g, o->in[3]), 0) : f->window->size[0];
    if (f->window)
        length = g_min_size(g, length, f->window->size[0]);
    if (g_is_known(f->step) && f->step.n < 1) {
        g_refuse(o, "frames are %lld numbers apart", (long long)f->step.n);
        return;
    }
    if (!g_is_known(f->step))
        g_fail_if(g, k_cmp(&g->k, QBC_LT, f->step.v, k_i64(&g->k, 1)), QBRT_RUN_BAD_SHAPE);
    struct g_size frames = g_over(g, g_plus(g, g_minus(g, x->size[1], length), f->step), f->step);
    struct g_size size[] = {x->size[0], g_max_size(g, frames, g_size(0)), length, x->size[2]};
    struct g_tensor *all = g_function(g, x->element, 4, size, frame_at, f, 1);
    struct transform t = {.x = all, .axis = 2, .length = length, .terms = length};
    o->out[0] = transformed(g, &t, g_attr_int(o, "onesided", 1) ? one_side(g, length) : length);
}
