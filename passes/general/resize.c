/* resize: ONNX's Resize and Upsample. Each axis that is resized gets two tables before the loop: which elements of the operand
 * an element of the result reads, and with which weights; the result is the sum over all of them.
 *
 * nearest reads one element, linear two, cubic four; with antialiasing, where it gets smaller, as many as the stretched filter
 * reaches. Scales may be numbers of the program; sizes must be known, or declared by the model.
 */
#include "general.h"

#include <math.h>
#include <string.h>

struct axis {
    int64_t in, out, taps;
    struct g_tensor *index;  /* [out, taps] i64; -1: outside of a region, the extrapolation value */
    struct g_tensor *weight; /* [out, taps] f64 */
};

struct resize {
    struct g_tensor *x;
    size_t n_axes;
    size_t at[QBC_MAX_RANK]; /* axes of x, in order of `axis` */
    struct axis axis[QBC_MAX_RANK];
    double outside;
};

/* How an axis is resized; numbers are f64. */
struct rule {
    struct g_op *o;
    const char *mode, *transformation, *nearest;
    double cubic;
    struct g_num scale, begin, end; /* of the region of interest */
    bool exclude_outside, antialias;
};

/* The operand's coordinate. In the texts x is the element of the result, y the scale, z and w the region. */
static struct g_num source_of(const struct rule *r, const struct axis *a, MlirValue out)
{
    struct general *g = r->o->g;
    long long in = (long long)a->in, n = (long long)a->out;
    const char *t = r->transformation, *text = "(x + 0.5) / y - 0.5";
    if (!strcmp(t, "align_corners"))
        text = qbc_text(g->q, "%lld * y == 1 ? 0 : x * %lld / (%lld * y - 1)", in, in - 1, in);
    else if (!strcmp(t, "asymmetric"))
        text = "x / y";
    else if (!strcmp(t, "tf_crop_and_resize"))
        text = n > 1 ? qbc_text(g->q, "z * %lld + x * (w - z) * %lld / %lld", in - 1, in - 1, n - 1)
                     : qbc_text(g->q, "0.5 * (z + w) * %lld", in - 1);
    else if (!strcmp(t, "pytorch_half_pixel") && n == 1)
        text = "x - 0.5";
    else if (!strcmp(t, "half_pixel_symmetric"))
        text = qbc_text(g->q, "%lld / 2 * (1 - %lld / (%lld * y)) + (x + 0.5) / y - 0.5", in, n, in);
    struct g_num x = g_convert(g, g_index(g, out), QBC_F64), in_order[] = {x, r->scale, r->begin, r->end};
    return g_expression(r->o, text, 4, in_order);
}

static const char *nearest_text(const struct rule *r)
{
    if (!strcmp(r->nearest, "floor"))
        return "floor(x)";
    if (!strcmp(r->nearest, "ceil"))
        return "ceil(x)";
    return !strcmp(r->nearest, "round_prefer_ceil") ? "floor(x + 0.5)" : "ceil(x - 0.5)";
}

static const char *filter_text(const struct rule *r)
{
    double a = r->cubic;
    if (*r->mode == 'l')
        return "abs(x) < 1 ? 1 - abs(x) : 0";
    return qbc_text(r->o->g->q, "abs(x) <= 1 ? (%.17g * abs(x) - %.17g) * x * x + 1 : (abs(x) < 2 ? ((%.17g * abs(x) - %.17g) * abs(x) "
                    "+ %.17g) * abs(x) - %.17g : 0)", a + 2, a + 3, a, 5 * a, 8 * a, 4 * a);
}

/* --- the tables */

struct filling {
    const struct rule *r;
    const struct axis *a;
    MlirValue out;
    struct g_num x; /* the coordinate */
};

/* Which element a tap is, before it is brought inside, and its weight, before all are brought to a sum of 1. */
static struct g_num tap_of(struct general *g, const struct filling *f, MlirValue tap, struct g_num *weight)
{
    const struct rule *r = f->r;
    const struct axis *a = f->a;
    struct g_num one = g_const(g, QBC_F64, 1);
    if (*r->mode == 'n') {
        *weight = one;
        return g_convert(g, g_expression(r->o, nearest_text(r), 1, &f->x), QBC_I64);
    }
    struct g_num first = g_convert(g, g_call(g, "floor", f->x), QBC_I64);
    struct g_num i = g_do(g, G_ADD, first, g_index(g, k_add_i(&g->k, tap, 1 - a->taps / 2)));
    struct g_num distance = g_do(g, G_SUB, f->x, g_convert(g, i, QBC_F64));
    if (r->antialias)
        distance = g_do(g, G_MUL, distance, g_do(g, G_MIN, r->scale, one));
    *weight = g_expression(r->o, filter_text(r), 1, &distance);
    if (r->exclude_outside) {
        struct g_num in = g_do(g, G_AND, g_compare(g, G_GE, i, g_int(g, QBC_I64, 0)), g_compare(g, G_LT, i, g_int(g, QBC_I64, a->in)));
        *weight = g_select(g, in, *weight, g_const(g, QBC_F64, 0));
    }
    return i;
}

static void add_weight(struct general *g, void *user, const MlirValue *tap, struct g_num *total)
{
    struct g_num weight;
    tap_of(g, user, tap[0], &weight);
    *total = g_do(g, G_ADD, *total, weight);
}

static void fill(const struct rule *r, struct axis *a)
{
    struct general *g = r->o->g;
    struct g_size taps = g_size(a->taps), out = g_size(a->out), both[] = {out, taps};
    struct g_nest outer, inner;
    a->index = g_new(g, QBC_I64, 2, both);
    a->weight = g_new(g, QBC_F64, 2, both);
    g_allocate(g, a->index);
    g_allocate(g, a->weight);
    g_begin(g, &outer, 1, &out);
    struct filling f = {r, a, outer.index[0], source_of(r, a, outer.index[0])};
    struct g_num total = g_const(g, QBC_F64, 0), zero = g_int(g, QBC_I64, 0), last = g_int(g, QBC_I64, a->in - 1), weight;
    g_fold(g, 1, &taps, 1, &total, add_weight, &f);
    g_begin(g, &inner, 1, &taps);
    struct g_num i = tap_of(g, &f, inner.index[0], &weight);
    i = g_do(g, G_MIN, g_do(g, G_MAX, i, zero), last);
    if (!strcmp(r->transformation, "tf_crop_and_resize")) {
        struct g_num low = g_compare(g, G_LT, f.x, g_const(g, QBC_F64, 0));
        struct g_num high = g_compare(g, G_GT, f.x, g_const(g, QBC_F64, (double)(a->in - 1)));
        i = g_select(g, g_do(g, G_OR, low, high), g_int(g, QBC_I64, -1), i);
    }
    MlirValue at[] = {outer.index[0], inner.index[0]};
    g_put(g, a->index, at, i);
    g_put(g, a->weight, at, g_do(g, G_DIV, weight, total));
    g_end(g, &inner);
    g_end(g, &outer);
}

/* A scale that makes `out` of `in` is at least out / in, which bounds how far a filter is stretched. */
static int64_t taps_of(const struct rule *r, const struct axis *a)
{
    int64_t half = *r->mode == 'l' ? 1 : 2;
    if (*r->mode == 'n')
        return 1;
    double stretch = r->antialias && a->out && a->in > a->out ? (double)a->in / (double)a->out : 1;
    return 2 * (int64_t)ceil((double)half * stretch);
}

/* --- the sum */

struct walk {
    const struct resize *r;
    const MlirValue *index;
};

static void add_tap(struct general *g, void *user, const MlirValue *tap, struct g_num *carried)
{
    const struct walk *w = user;
    const struct resize *r = w->r;
    MlirValue own[QBC_MAX_RANK], zero = k_i64(&g->k, 0);
    struct g_num weight = g_const(g, QBC_F64, 1), gone = {k_int_of(&g->k, g->k.i1, 0), QBC_BOOL};
    for (size_t i = 0; i < r->x->rank; ++i)
        own[i] = w->index[i];
    for (size_t i = 0; i < r->n_axes; ++i) {
        MlirValue out = w->index[r->at[i]];
        struct g_num from = g_at_n(g, r->axis[i].index, 2, out, tap[i]);
        struct g_num lost = g_compare(g, G_LT, from, g_int(g, QBC_I64, 0));
        gone = g_do(g, G_OR, gone, lost);
        own[r->at[i]] = k_select(&g->k, lost.v, zero, from.v);
        weight = g_do(g, G_MUL, weight, g_at_n(g, r->axis[i].weight, 2, out, tap[i]));
    }
    struct g_num x = g_convert(g, g_at(g, r->x, own), QBC_F64);
    carried[0] = g_do(g, G_ADD, carried[0], g_do(g, G_MUL, x, weight));
    carried[1] = g_do(g, G_OR, carried[1], gone);
}

static struct g_num resized_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct resize *r = t->user;
    struct walk w = {r, index};
    struct g_size taps[QBC_MAX_RANK];
    struct g_num carried[] = {g_const(g, QBC_F64, 0), {k_int_of(&g->k, g->k.i1, 0), QBC_BOOL}};
    for (size_t i = 0; i < r->n_axes; ++i)
        taps[i] = g_size(r->axis[i].taps);
    g_fold(g, r->n_axes, taps, 2, carried, add_tap, &w);
    struct g_num y = g_select(g, carried[1], g_const(g, QBC_F64, r->outside), carried[0]);
    return g_convert(g, g_is_float(t->element) ? y : g_call(g, "round", y), t->element);
}

/* --- sizes and scales */

struct sizes {
    size_t n;
    int64_t axes[QBC_MAX_RANK], out[QBC_MAX_RANK];
    struct g_num scale[QBC_MAX_RANK];
};

static size_t scales_operand(const struct g_op *o)
{
    return o->n_in < 3 || o->g->opset < 11 ? 1 : 2;
}

static struct g_num number_of(struct general *g, struct g_tensor *t, size_t i)
{
    double known;
    if (g_known_number(t, (int64_t)i, &known))
        return g_const(g, QBC_F64, known);
    return g_convert(g, g_at_flat(g, g_solid(g, t), k_i64(&g->k, (int64_t)i)), QBC_F64);
}

/* What the numbers say, or what the model declares; 0: neither. */
static int64_t size_of(struct g_op *o, const struct g_tensor *list, bool is_scale, size_t i, int64_t axis)
{
    double known;
    int64_t declared[QBC_MAX_RANK], in = o->in[0]->size[axis].n;
    size_t rank;
    const char *policy = g_attr_text(o, "keep_aspect_ratio_policy", "stretch");
    if (g_known_number(list, (int64_t)i, &known) && (is_scale || !strcmp(policy, "stretch")))
        return is_scale ? (int64_t)floor((double)in * known) : (int64_t)known;
    return g_declared(o, 0, &rank, declared) && rank == o->in[0]->rank && declared[axis] != QBC_ANY ? declared[axis] : 0;
}

/* "not_larger" and "not_smaller" have one scale for all axes. */
static void keep_proportions(struct g_op *o, struct sizes *s)
{
    const char *policy = g_attr_text(o, "keep_aspect_ratio_policy", "stretch");
    struct g_num common = s->scale[0];
    for (size_t i = 1; i < s->n; ++i)
        common = g_do(o->g, !strcmp(policy, "not_larger") ? G_MIN : G_MAX, common, s->scale[i]);
    for (size_t i = 0; strcmp(policy, "stretch") && i < s->n; ++i)
        s->scale[i] = common;
}

static bool measure(struct g_op *o, struct sizes *s)
{
    struct general *g = o->g;
    size_t scales = scales_operand(o);
    bool by_scale = g_has(o, scales) && g_known_count(o->in[scales]) != 0;
    struct g_tensor *list = by_scale ? o->in[scales] : g_has(o, 3) ? o->in[3] : NULL;
    if (!list) {
        g_refuse(o, "it has neither scales nor sizes");
        return false;
    }
    for (size_t i = 0; i < s->n; ++i) {
        struct g_num number = number_of(g, list, i), in = g_const(g, QBC_F64, (double)o->in[0]->size[s->axes[i]].n);
        s->out[i] = size_of(o, list, by_scale, i, s->axes[i]);
        s->scale[i] = by_scale ? number : g_do(g, G_DIV, number, in);
        if (!s->out[i]) {
            g_refuse(o, "its sizes are not known before it runs, nor does the model declare its result's shape");
            return false;
        }
    }
    if (!by_scale)
        keep_proportions(o, s);
    return true;
}

static bool find_axes(struct g_op *o, struct sizes *s)
{
    const int64_t *given = NULL;
    size_t n = g_attr_ints(o, "axes", &given);
    s->n = n ? n : o->in[0]->rank;
    for (size_t i = 0; i < s->n; ++i) {
        s->axes[i] = n ? given[i] : (int64_t)i;
        if (!g_axis(o, &s->axes[i], o->in[0]->rank))
            return false;
    }
    if (!g_known_sizes(o->in[0]))
        g_refuse(o, "sizes of its operand are not known before it runs");
    return g_known_sizes(o->in[0]);
}

static struct rule rule_of(struct g_op *o, const struct sizes *s, size_t i)
{
    struct general *g = o->g;
    bool old = g->opset < 11, has_region = g_has(o, 1) && scales_operand(o) == 2 && g_known_count(o->in[1]) >= (int64_t)(2 * s->n);
    return (struct rule){
        .o = o,
        .mode = g_attr_text(o, "mode", "nearest"),
        .transformation = g_attr_text(o, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel"),
        .nearest = g_attr_text(o, "nearest_mode", old ? "floor" : "round_prefer_floor"),
        .cubic = g_attr_float(o, "cubic_coeff_a", -0.75),
        .scale = s->scale[i],
        .begin = has_region ? number_of(g, o->in[1], i) : g_const(g, QBC_F64, 0),
        .end = has_region ? number_of(g, o->in[1], s->n + i) : g_const(g, QBC_F64, 1),
        .exclude_outside = g_attr_int(o, "exclude_outside", 0) != 0,
        .antialias = g_attr_int(o, "antialias", 0) != 0,
    };
}

/* An axis that keeps its size is left alone: batch and channels, mostly. */
static bool stays(const struct rule *r, int64_t in, int64_t out)
{
    return in == out && strcmp(r->transformation, "tf_crop_and_resize") && in == 1;
}

void g_lower_resize(struct g_op *o)
{
    struct general *g = o->g;
    struct resize *r = qbc_alloc(g->q, sizeof *r);
    struct g_tensor *x = g_solid(g, o->in[0]);
    struct g_size size[QBC_MAX_RANK];
    struct sizes s = {.n = 0};
    *r = (struct resize){.x = x, .outside = g_attr_float(o, "extrapolation_value", 0)};
    memcpy(size, x->size, sizeof size);
    if (!find_axes(o, &s) || !measure(o, &s))
        return;
    for (size_t i = 0; i < s.n; ++i) {
        struct rule rule = rule_of(o, &s, i);
        struct axis axis = {.in = x->size[s.axes[i]].n, .out = s.out[i]};
        axis.taps = taps_of(&rule, &axis);
        if (stays(&rule, axis.in, axis.out))
            continue;
        fill(&rule, &axis);
        r->at[r->n_axes] = (size_t)s.axes[i];
        r->axis[r->n_axes++] = axis;
        size[s.axes[i]] = g_size(s.out[i]);
    }
    o->out[0] = g_solid(g, g_function(g, x->element, x->rank, size, resized_at, r, 1));
}
