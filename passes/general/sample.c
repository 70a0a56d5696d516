/* sample: values of an image between its elements: GridSample, and AffineGrid, which makes the places. */
#include "general.h"

#include <string.h>

struct sampling {
    struct g_op o;
    struct g_tensor *x, *grid;
    size_t axes;
    char mode, padding; /* 'n'earest, 'l'inear, 'c'ubic; 'z'eros, 'b'order, 'r'eflection */
    bool corners;
};

struct walk {
    const struct sampling *s;
    const MlirValue *index;
    struct g_num place[QBC_MAX_RANK]; /* f64, for each axis */
    MlirValue own[QBC_MAX_RANK];
};

/* Back and forth between low and high. In the text x is the place, y low and z high. */
static struct g_num reflected(struct general *g, const struct sampling *s, struct g_num x, struct g_num n)
{
    struct g_op o = s->o;
    struct g_num half = g_const(g, QBC_F64, 0.5), one = g_const(g, QBC_F64, 1);
    struct g_num low = s->corners ? g_const(g, QBC_F64, 0) : g_neg(g, half), high = g_do(g, G_SUB, n, s->corners ? one : half);
    struct g_num range = g_do(g, G_SUB, high, low), all[] = {x, low, high, range};
    struct g_num distance = g_expression(&o, "x < y ? y - x : (x > z ? x - z : 0)", 3, all);
    struct g_num safe[] = {distance, range}, times = g_expression(&o, "y > 0 ? trunc(x / y) : 0", 2, safe);
    struct g_num rest = g_do(g, G_SUB, distance, g_do(g, G_MUL, times, range));
    struct g_num is_odd[] = {times}, odd = g_expression(&o, "floor(x / 2) * 2 != x", 1, is_odd);
    struct g_num below[] = {low, high, rest}, up = g_expression(&o, "x + z", 3, below), down = g_expression(&o, "y - z", 3, below);
    struct g_num from_low = g_select(g, odd, down, up), from_high = g_select(g, odd, up, down);
    struct g_num y = g_select(g, g_compare(g, G_LT, x, low), from_low, x);
    return g_select(g, g_compare(g, G_GT, x, high), from_high, y);
}

static struct g_num size_of(struct general *g, const struct sampling *s, size_t axis)
{
    return g_convert(g, g_index(g, g_i64(g, s->x->size[2 + axis])), QBC_F64);
}

/* The grid's last axis counts from the innermost axis of the image. */
static struct g_num place_of(struct general *g, const struct sampling *s, const MlirValue *index, size_t axis)
{
    struct g_op o = s->o;
    MlirValue own[QBC_MAX_RANK];
    own[0] = index[0];
    memcpy(own + 1, index + 2, s->axes * sizeof *own);
    own[1 + s->axes] = k_i64(&g->k, (int64_t)(s->axes - 1 - axis));
    struct g_num n = size_of(g, s, axis), in[] = {g_convert(g, g_at(g, s->grid, own), QBC_F64), n};
    struct g_num x = g_expression(&o, s->corners ? "(x + 1) / 2 * (y - 1)" : "((x + 1) * y - 1) / 2", 2, in);
    struct g_num low = g_const(g, QBC_F64, 0), last = g_do(g, G_SUB, n, g_const(g, QBC_F64, 1));
    if (s->mode == 'n')
        x = g_call(g, "round", x);
    if (s->padding == 'b')
        return g_do(g, G_MAX, g_do(g, G_MIN, x, last), low);
    return s->padding == 'r' ? reflected(g, s, x, n) : x;
}

static struct g_num pixel_at(struct general *g, void *user)
{
    struct walk *w = user;
    return g_convert(g, g_at(g, w->s->x, w->own), QBC_F64);
}

static struct g_num weight_of(struct general *g, const struct sampling *s, struct g_num distance)
{
    struct g_op o = s->o;
    if (s->mode == 'n')
        return g_const(g, QBC_F64, 1);
    return g_expression(&o, s->mode == 'l' ? "abs(x) < 1 ? 1 - abs(x) : 0"
                                           : "abs(x) <= 1 ? (1.25 * abs(x) - 2.25) * x * x + 1 : (abs(x) < 2 ? ((-0.75 * abs(x) + 3.75) * "
                                             "abs(x) - 6) * abs(x) + 3 : 0)", 1, &distance);
}

static void add_tap(struct general *g, void *user, const MlirValue *tap, struct g_num *sum)
{
    struct walk *w = user;
    const struct sampling *s = w->s;
    struct g_num weight = g_const(g, QBC_F64, 1), inside = {k_int_of(&g->k, g->k.i1, -1), QBC_BOOL};
    memcpy(w->own, w->index, 2 * sizeof *w->own);
    for (size_t i = 0; i < s->axes; ++i) {
        struct g_num n = size_of(g, s, i), zero = g_const(g, QBC_F64, 0), last = g_do(g, G_SUB, n, g_const(g, QBC_F64, 1));
        struct g_num first = g_call(g, "floor", w->place[i]), step = g_convert(g, g_index(g, tap[i]), QBC_F64);
        struct g_num at = g_do(g, G_ADD, first, s->mode == 'c' ? g_do(g, G_SUB, step, g_const(g, QBC_F64, 1)) : step);
        weight = g_do(g, G_MUL, weight, weight_of(g, s, g_do(g, G_SUB, w->place[i], at)));
        if (s->padding == 'r')
            at = reflected(g, s, at, n);
        struct g_num in = g_do(g, G_AND, g_compare(g, G_GE, at, zero), g_compare(g, G_LE, at, last));
        if (s->padding == 'z')
            inside = g_do(g, G_AND, inside, in);
        at = g_do(g, G_MAX, g_do(g, G_MIN, at, last), zero);
        w->own[2 + i] = g_convert(g, at, QBC_I64).v;
    }
    struct g_num x = g_guarded(g, inside.v, pixel_at, w, g_const(g, QBC_F64, 0));
    *sum = g_do(g, G_ADD, *sum, g_do(g, G_MUL, x, weight));
}

static struct g_num sampled_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct sampling *s = t->user;
    struct walk w = {.s = s, .index = index};
    struct g_size taps[QBC_MAX_RANK];
    struct g_num sum = g_const(g, QBC_F64, 0);
    for (size_t i = 0; i < s->axes; ++i) {
        taps[i] = g_size(s->mode == 'n' ? 1 : s->mode == 'l' ? 2 : 4);
        w.place[i] = place_of(g, s, index, i);
    }
    g_fold(g, s->axes, taps, 1, &sum, add_tap, &w);
    return g_convert(g, sum, t->element);
}

void g_lower_grid_sample(struct g_op *o)
{
    struct general *g = o->g;
    struct sampling *s = qbc_alloc(g->q, sizeof *s);
    struct g_size size[QBC_MAX_RANK];
    const char *mode = g_attr_text(o, "mode", "linear");
    *s = (struct sampling){.o = *o, .x = g_solid(g, o->in[0]), .grid = g_solid(g, o->in[1]), .axes = o->in[0]->rank - 2,
                           .mode = mode[!strncmp(mode, "bi", 2) ? 2 : 0], .padding = *g_attr_text(o, "padding_mode", "zeros"),
                           .corners = g_attr_int(o, "align_corners", 0) != 0};
    if (s->x->rank < 3 || s->grid->rank != s->x->rank) {
        g_refuse(o, "its operands have ranks %zu and %zu, which do not fit", s->x->rank, s->grid->rank);
        return;
    }
    size[0] = s->x->size[0], size[1] = s->x->size[1];
    memcpy(size + 2, s->grid->size + 1, s->axes * sizeof *size);
    o->out[0] = g_solid(g, g_function(g, s->x->element, s->x->rank, size, sampled_at, s, 1));
}

/* --- AffineGrid: theta [N, axes, axes + 1] times (x, y[, z], 1) */

struct affine {
    struct g_op o;
    struct g_tensor *theta;
    size_t axes;
    struct g_size size[QBC_MAX_RANK]; /* of the image's axes */
    bool corners;
};

static struct g_num affine_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct affine *a = t->user;
    struct g_op o = a->o;
    MlirValue row = index[t->rank - 1];
    struct g_num sum = g_convert(g, g_at_n(g, a->theta, 3, index[0], row, k_i64(&g->k, (int64_t)a->axes)), QBC_F64);
    for (size_t i = 0; i < a->axes; ++i) {
        size_t axis = a->axes - 1 - i;
        struct g_num at = g_convert(g, g_index(g, index[1 + axis]), QBC_F64);
        struct g_num in[] = {at, g_convert(g, g_index(g, g_i64(g, a->size[axis])), QBC_F64)};
        struct g_num x = g_expression(&o, a->corners ? "y == 1 ? 0 : x * 2 / (y - 1) - 1" : "(2 * x + 1) / y - 1", 2, in);
        struct g_num factor = g_convert(g, g_at_n(g, a->theta, 3, index[0], row, k_i64(&g->k, (int64_t)i)), QBC_F64);
        sum = g_do(g, G_ADD, sum, g_do(g, G_MUL, x, factor));
    }
    return g_convert(g, sum, t->element);
}

void g_lower_affine_grid(struct g_op *o)
{
    struct general *g = o->g;
    struct affine *a = qbc_alloc(g->q, sizeof *a);
    struct g_size size[QBC_MAX_RANK];
    int64_t n = g_known_count(o->in[1]), declared[QBC_MAX_RANK];
    size_t rank;
    bool is_declared = g_declared(o, 0, &rank, declared);
    *a = (struct affine){.o = *o, .theta = g_solid(g, o->in[0]), .axes = n > 2 ? (size_t)n - 2 : 0, .corners = g_attr_int(o, "align_corners", 0) != 0};
    if (n < 4 || n > 5) {
        g_refuse(o, "its size has %lld numbers, not 4 or 5", (long long)n);
        return;
    }
    size[0] = a->theta->size[0];
    for (size_t i = 0; i < a->axes; ++i) {
        a->size[i] = g_element(g, g_solid(g, o->in[1]), (int64_t)i + 2);
        if (!g_is_known(a->size[i]) && is_declared && declared[1 + i] != QBC_ANY)
            a->size[i] = g_size(declared[1 + i]);
        size[1 + i] = a->size[i];
    }
    size[1 + a->axes] = g_size((int64_t)a->axes);
    o->out[0] = g_function(g, a->theta->element, a->axes + 2, size, affine_at, a, 1);
}
