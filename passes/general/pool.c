/* pool: a fold over windows. */
#include "window.h"
#include "run.h"

#include <math.h>
#include <string.h>

enum kind { LARGEST, MEAN, POWER };

struct pool {
    struct g_op o;
    struct window w;
    struct g_tensor *x;
    enum kind kind;
    bool counts_padding, column_major;
    double power;
};

struct pool_walk {
    const struct pool *p;
    const MlirValue *index;
    MlirValue own[QBC_MAX_RANK];
};

static struct g_num inside_at(struct general *g, void *user)
{
    struct pool_walk *w = user;
    return g_at(g, w->p->x, w->own);
}

static struct g_num flat_index(struct general *g, const struct pool *p, const MlirValue *own)
{
    MlirValue at = k_add(&g->k, k_mul(&g->k, own[0], g_i64(g, p->x->size[1])), own[1]);
    size_t n = p->w.axes;
    struct g_size spatial = g_size(1);
    for (size_t i = 0; i < n; ++i)
        spatial = g_times(g, spatial, p->x->size[2 + i]);
    at = k_mul(&g->k, at, g_i64(g, spatial));
    struct g_size stride = g_size(1);
    for (size_t k = 0; k < n; ++k) {
        size_t i = p->column_major ? k : n - 1 - k;
        at = k_add(&g->k, at, k_mul(&g->k, own[2 + i], g_i64(g, stride)));
        stride = g_times(g, stride, p->x->size[2 + i]);
    }
    return g_index(g, at);
}

static struct g_num magnitude(struct general *g, const struct pool *p, struct g_num x)
{
    struct g_op o = p->o;
    const char *text = p->power == 1 ? "abs(x)" : p->power == 2 ? "x * x" : qbc_text(g->q, "pow(abs(x), %.9g)", p->power);
    return g_expression(&o, text, 1, &x);
}

/* carried: the value; then where it was, or how many there were. */
static void pool_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct pool_walk *w = user;
    const struct pool *p = w->p;
    MlirValue inside = {NULL};
    memcpy(w->own, w->index, 2 * sizeof *w->own);
    for (size_t i = 0; i < p->w.axes; ++i)
        w->own[2 + i] = g_window_at(g, &p->w, i, w->index[2 + i], at[i], &inside);
    struct g_num in = {inside, QBC_BOOL}, x = g_guarded(g, inside, inside_at, w, g_int(g, p->x->element, 0));
    if (p->kind == LARGEST) {
        struct g_num first = g_compare(g, G_LT, carried[1], g_int(g, QBC_I64, 0));
        struct g_num better = g_do(g, G_AND, in, g_do(g, G_OR, first, g_compare(g, G_GT, x, carried[0])));
        carried[0] = g_select(g, better, x, carried[0]);
        carried[1] = g_select(g, better, flat_index(g, p, w->own), carried[1]);
        return;
    }
    struct g_num one = g_int(g, QBC_I64, 1), none = g_int(g, QBC_I64, 0);
    if (p->counts_padding) { /* what lies beyond the padding, as a last window may, does not count */
        in = (struct g_num){k_int_of(&g->k, g->k.i1, -1), QBC_BOOL};
        for (size_t i = 0; i < p->w.axes; ++i) {
            struct g_num end = g_int(g, QBC_I64, p->w.in[i] + p->w.after[i]);
            in = g_do(g, G_AND, in, g_compare(g, G_LT, g_index(g, w->own[2 + i]), end));
        }
    }
    carried[0] = g_do(g, G_ADD, carried[0], g_convert(g, p->kind == POWER ? magnitude(g, p, x) : x, carried[0].element));
    carried[1] = g_do(g, G_ADD, carried[1], g_select(g, in, one, none));
}

static void pooled(struct general *g, const struct pool *p, const MlirValue *index, struct g_num *carried)
{
    struct pool_walk w = {.p = p, .index = index};
    struct g_size size[QBC_MAX_RANK];
    enum qbc_element e = g_number_element(p->x->element);
    carried[0] = p->kind == LARGEST ? g_int(g, e, 0) : g_int(g, QBC_F64, 0);
    carried[1] = g_int(g, QBC_I64, p->kind == LARGEST ? -1 : 0);
    for (size_t i = 0; i < p->w.axes; ++i)
        size[i] = g_size(p->w.kernel[i]);
    g_fold(g, p->w.axes, size, 2, carried, pool_one, &w);
}

static struct g_num pooled_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct pool *p = t->user;
    struct g_num carried[2];
    struct g_op o = p->o;
    pooled(g, p, index, carried);
    if (p->kind == MEAN)
        return g_convert(g, g_do(g, G_DIV, carried[0], g_convert(g, carried[1], QBC_F64)), t->element);
    if (p->kind == POWER)
        return g_convert(g, g_expression(&o, p->power == 1 ? "x" : p->power == 2 ? "sqrt(x)" : qbc_text(g->q, "pow(x, %.17g)", 1 / p->power),
                                         1, carried), t->element);
    return carried[0];
}

static struct g_num place_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    struct g_num carried[2];
    pooled(g, t->user, index, carried);
    return carried[1];
}

static void lower(struct g_op *o, enum kind kind, bool global)
{
    struct general *g = o->g;
    struct pool *p = qbc_alloc(g->q, sizeof *p);
    struct g_size size[QBC_MAX_RANK];
    *p = (struct pool){.o = *o, .x = g_solid(g, o->in[0]), .kind = kind, .power = (double)g_attr_int(o, "p", 2),
                       .counts_padding = g_attr_int(o, "count_include_pad", 0) != 0, .column_major = g_attr_int(o, "storage_order", 0) != 0};
    if (!g_window(o, p->x, NULL, &p->w))
        return;
    size[0] = p->x->size[0], size[1] = p->x->size[1];
    for (size_t i = 0; i < p->w.axes; ++i) {
        if (global)
            p->w.kernel[i] = p->w.in[i], p->w.out[i] = 1;
        size[2 + i] = g_size(p->w.out[i]);
    }
    o->out[0] = g_solid(g, g_function(g, p->x->element, p->x->rank, size, pooled_at, p, 1));
    if (o->n_out > 1)
        o->out[1] = g_solid(g, g_function(g, QBC_I64, p->x->rank, size, place_at, p, 1));
}

void g_lower_max_pool(struct g_op *o) { lower(o, LARGEST, false); }
void g_lower_average_pool(struct g_op *o) { lower(o, MEAN, false); }
void g_lower_lp_pool(struct g_op *o) { lower(o, POWER, false); }
void g_lower_global_max(struct g_op *o) { lower(o, LARGEST, true); }
void g_lower_global_mean(struct g_op *o) { lower(o, MEAN, true); }
void g_lower_global_lp(struct g_op *o) { lower(o, POWER, true); }

/* Back to where the largest were; zero elsewhere. */
void g_lower_max_unpool(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]), *where = g_solid(g, o->in[1]);
    struct g_size size[QBC_MAX_RANK], own[QBC_MAX_RANK];
    struct window w;
    size_t rank = x->rank;
    struct g_nest nest;
    if (!g_window(o, x, NULL, &w))
        return;
    memcpy(own, x->size, sizeof own);
    for (size_t i = 0; i < w.axes; ++i)
        own[2 + i] = g_size((w.in[i] - 1) * w.stride[i] + w.kernel[i] - w.before[i] - w.after[i]);
    memcpy(size, own, sizeof size);
    if (g_has(o, 2) && !g_shape_operand(o, 2, &rank, size))
        return;
    struct g_tensor *y = g_new(g, x->element, rank, size);
    g_allocate(g, y);
    g_begin(g, &nest, rank, y->size);
    g_put(g, y, nest.index, g_int(g, y->element, 0));
    g_end(g, &nest);
    g_begin(g, &nest, x->rank, x->size);
    MlirValue at = g_checked_index(g, g_at(g, where, nest.index), g_count(g, y)), index[QBC_MAX_RANK];
    for (size_t i = rank; i-- > 0;) { /* numbered as in a result of the size that follows from the window */
        index[i] = k_op2(&g->k, "arith.remui", at, g_i64(g, own[i]));
        at = k_op2(&g->k, "arith.divui", at, g_i64(g, own[i]));
    }
    g_put(g, y, index, g_at(g, x, nest.index));
    g_end(g, &nest);
    o->out[0] = y;
}
