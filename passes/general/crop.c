/* crop: CenterCropPad, Col2Im, BitCast. */
#include "general.h"

#include <string.h>

/* --- CenterCropPad: the middle, or the whole in the middle of zeros */

struct centred {
    struct g_tensor *x;
    struct g_size shift[QBC_MAX_RANK]; /* of the index: positive crops, negative pads */
    const MlirValue *own;
};

static struct g_num inside_at(struct general *g, void *user)
{
    const struct centred *c = user;
    return g_at(g, c->x, c->own);
}

static struct g_num centred_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    struct centred c = *(const struct centred *)t->user;
    MlirValue own[QBC_MAX_RANK], inside = k_int_of(&g->k, g->k.i1, -1);
    for (size_t i = 0; i < t->rank; ++i) {
        own[i] = g_i64(g, g_plus(g, g_size_of(index[i]), c.shift[i]));
        inside = k_op2(&g->k, "arith.andi", inside, k_cmp(&g->k, QBC_GE, own[i], k_i64(&g->k, 0)));
        inside = k_op2(&g->k, "arith.andi", inside, k_cmp(&g->k, QBC_LT, own[i], g_i64(g, c.x->size[i])));
    }
    c.own = own;
    return g_guarded(g, inside, inside_at, &c, g_int(g, t->element, 0));
}

void g_lower_center_crop_pad(struct g_op *o)
{
    struct general *g = o->g;
    struct centred *c = qbc_alloc(g->q, sizeof *c);
    struct g_tensor *x = g_solid(g, o->in[0]), *shape = g_solid(g, o->in[1]);
    const int64_t *given = NULL;
    int64_t declared[QBC_MAX_RANK];
    struct g_size size[QBC_MAX_RANK], two = g_size(2);
    size_t n = g_attr_ints(o, "axes", &given), rank;
    bool is_declared = g_declared(o, 0, &rank, declared) && rank == x->rank;
    c->x = x;
    for (size_t i = 0; i < x->rank; ++i) {
        c->shift[i] = g_size(0);
        size[i] = x->size[i];
    }
    for (size_t i = 0; i < (n ? n : x->rank); ++i) {
        int64_t axis = n ? given[i] : (int64_t)i;
        if (!g_axis(o, &axis, x->rank))
            return;
        struct g_size want = g_element(g, shape, (int64_t)i), have = x->size[axis], zero = g_size(0);
        want = !g_is_known(want) && is_declared && declared[axis] != QBC_ANY ? g_size(declared[axis]) : want;
        struct g_size crop = g_over(g, g_max_size(g, g_minus(g, have, want), zero), two);
        struct g_size pad = g_over(g, g_max_size(g, g_minus(g, want, have), zero), two);
        c->shift[axis] = g_minus(g, crop, pad);
        size[axis] = want;
    }
    o->out[0] = g_function(g, x->element, x->rank, size, centred_at, c, 1);
}

/* --- Col2Im: [N, C * block, windows] back to [N, C, image]; where windows overlap, they add up */

struct columns {
    struct g_tensor *x;
    size_t axes;
    struct g_size image[QBC_MAX_RANK], block[QBC_MAX_RANK], windows[QBC_MAX_RANK];
    int64_t stride[QBC_MAX_RANK], dilation[QBC_MAX_RANK], before[QBC_MAX_RANK];
};

struct columns_walk {
    const struct columns *c;
    const MlirValue *index;
    MlirValue row, window;
};

static struct g_num column_at(struct general *g, void *user)
{
    struct columns_walk *w = user;
    return g_at_n(g, w->c->x, 3, w->index[0], w->row, w->window);
}

static void add_column(struct general *g, void *user, const MlirValue *at, struct g_num *sum)
{
    struct columns_walk *w = user;
    const struct columns *c = w->c;
    struct qbc_kernel *k = &g->k;
    MlirValue inside = k_int_of(k, k->i1, -1), zero = k_i64(k, 0);
    w->row = w->index[1];
    w->window = zero;
    for (size_t i = 0; i < c->axes; ++i) {
        MlirValue from = k_sub(k, k_add_i(k, w->index[2 + i], c->before[i]), k_mul_i(k, at[i], c->dilation[i]));
        MlirValue stride = k_i64(k, c->stride[i]), window = k_op2(k, "arith.divsi", from, stride), n = g_i64(g, c->windows[i]);
        inside = k_op2(k, "arith.andi", inside, k_cmp(k, QBC_EQ, k_op2(k, "arith.remsi", from, stride), zero));
        inside = k_op2(k, "arith.andi", inside, k_cmp(k, QBC_GE, from, zero));
        inside = k_op2(k, "arith.andi", inside, k_cmp(k, QBC_LT, window, n));
        w->row = k_add(k, k_mul(k, w->row, g_i64(g, c->block[i])), at[i]);
        w->window = k_add(k, k_mul(k, w->window, n), window);
    }
    *sum = g_do(g, G_ADD, *sum, g_guarded(g, inside, column_at, w, g_int(g, c->x->element, 0)));
}

static struct g_num summed_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct columns *c = t->user;
    struct columns_walk w = {.c = c, .index = index};
    struct g_num sum = g_int(g, t->element, 0);
    g_fold(g, c->axes, c->block, 1, &sum, add_column, &w);
    return sum;
}

void g_lower_col2im(struct g_op *o)
{
    struct general *g = o->g;
    struct columns *c = qbc_alloc(g->q, sizeof *c);
    const int64_t *strides = NULL, *dilations = NULL, *pads = NULL;
    size_t n_strides = g_attr_ints(o, "strides", &strides), n_dilations = g_attr_ints(o, "dilations", &dilations), rank;
    size_t n_pads = g_attr_ints(o, "pads", &pads);
    int64_t n = g_known_count(o->in[1]), declared[QBC_MAX_RANK];
    struct g_size size[QBC_MAX_RANK], all = g_size(1);
    if (n < 1 || n > QBC_MAX_RANK - 2) {
        g_refuse(o, "how many axes its image has is not known before it runs");
        return;
    }
    bool is_declared = g_declared(o, 0, &rank, declared) && rank == (size_t)n + 2;
    *c = (struct columns){.x = g_solid(g, o->in[0]), .axes = (size_t)n};
    for (size_t i = 0; i < c->axes; ++i) {
        int64_t after = n_pads == 2 * c->axes ? pads[c->axes + i] : 0;
        c->stride[i] = i < n_strides ? strides[i] : 1;
        c->dilation[i] = i < n_dilations ? dilations[i] : 1;
        c->before[i] = n_pads == 2 * c->axes ? pads[i] : 0;
        c->block[i] = g_element(g, g_solid(g, o->in[2]), (int64_t)i);
        c->image[i] = is_declared && declared[2 + i] != QBC_ANY ? g_size(declared[2 + i]) : g_element(g, g_solid(g, o->in[1]), (int64_t)i);
        struct g_size reach = g_plus(g, g_times(g, g_minus(g, c->block[i], g_size(1)), g_size(c->dilation[i])), g_size(1));
        struct g_size room = g_minus(g, g_plus(g, c->image[i], g_size(c->before[i] + after)), reach);
        c->windows[i] = g_plus(g, g_over(g, room, g_size(c->stride[i])), g_size(1));
        all = g_times(g, all, c->block[i]);
        size[2 + i] = c->image[i];
    }
    size[0] = c->x->size[0];
    size[1] = is_declared && declared[1] != QBC_ANY ? g_size(declared[1]) : g_over(g, c->x->size[1], all);
    o->out[0] = g_solid(g, g_function(g, c->x->element, c->axes + 2, size, summed_at, c, 1));
}

/* --- BitCast: the same bytes */

void g_lower_bit_cast(struct g_op *o)
{
    struct g_tensor *x = g_solid(o->g, o->in[0]), *y = g_reshaped(o->g, x, x->rank, x->size);
    enum qbc_element to = (enum qbc_element)g_attr_int(o, "to", 0);
    if (qbc_element_bits(to) != qbc_element_bits(x->element) || to == QBC_BOOL || x->element == QBC_BOOL) {
        g_refuse(o, "elements of other sizes are not supported");
        return;
    }
    y->element = to;
    o->out[0] = y;
}
