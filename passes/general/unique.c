/* unique: rows are compared with each other; a row's place is how many different ones come before it. */
#include "cell.h"

#include <string.h>

struct rows {
    struct g_tensor *x; /* [before, rows, behind] */
    struct g_size n;
    MlirValue a, b;
};

/* carried: -1, 0, 1 as row a is less than, equal to, or greater than row b so far */
static void compare_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct rows *r = user;
    struct g_num x = g_at_n(g, r->x, 3, at[0], r->a, at[1]), y = g_at_n(g, r->x, 3, at[0], r->b, at[1]);
    struct g_num zero = g_int(g, QBC_I64, 0), sign = g_select(g, g_compare(g, G_GT, x, y), g_int(g, QBC_I64, 1), zero);
    sign = g_select(g, g_compare(g, G_LT, x, y), g_int(g, QBC_I64, -1), sign);
    *carried = g_select(g, g_compare(g, G_EQ, *carried, zero), sign, *carried);
}

static struct g_num compare_rows(struct general *g, struct rows *r, MlirValue a, MlirValue b)
{
    struct g_size size[] = {r->x->size[0], r->x->size[2]};
    struct g_num order = g_int(g, QBC_I64, 0);
    r->a = a, r->b = b;
    g_fold(g, 2, size, 1, &order, compare_one, r);
    return order;
}

static void first_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct rows *r = user;
    MlirValue me = r->a;
    struct g_num same = g_compare(g, G_EQ, compare_rows(g, r, at[0], me), g_int(g, QBC_I64, 0)), here = g_index(g, at[0]);
    r->a = me;
    *carried = g_select(g, g_do(g, G_AND, same, g_compare(g, G_LT, here, *carried)), here, *carried);
}

struct placing {
    struct rows *r;
    struct g_tensor *first;
    MlirValue me;
    bool sorted;
};

static void place_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct placing *p = user;
    struct g_num other = g_index(g, at[0]), is_first = g_compare(g, G_EQ, g_at_flat(g, p->first, at[0]), other), before;
    if (p->sorted)
        before = g_compare(g, G_LT, compare_rows(g, p->r, at[0], p->me), g_int(g, QBC_I64, 0));
    else
        before = g_compare(g, G_LT, other, g_index(g, p->me));
    struct g_num one = g_int(g, QBC_I64, 1), none = g_int(g, QBC_I64, 0);
    *carried = g_do(g, G_ADD, *carried, g_select(g, g_do(g, G_AND, is_first, before), one, none));
}

static struct g_tensor *numbers(struct general *g, struct g_size n)
{
    struct g_tensor *t = g_new(g, QBC_I64, 1, &n);
    g_allocate(g, t);
    return t;
}

static struct rows rows_of(struct g_op *o, struct g_tensor *x, size_t axis, bool flat)
{
    struct g_size three[] = {g_size(1), g_size(1), g_size(1)};
    for (size_t i = 0; i < x->rank; ++i) {
        size_t to = flat || i == axis ? 1 : i < axis ? 0 : 2;
        three[to] = g_times(o->g, three[to], x->size[i]);
    }
    return (struct rows){.x = g_reshaped(o->g, x, 3, three), .n = three[1]};
}

void g_lower_unique(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]);
    int64_t axis = g_attr_int(o, "axis", 0);
    bool flat = !g_has_attr(o, "axis");
    if (!flat && !g_axis(o, &axis, x->rank))
        return;
    struct rows r = rows_of(o, x, (size_t)axis, flat);
    struct g_tensor *first = numbers(g, r.n), *place = numbers(g, r.n), *index = numbers(g, r.n), *inverse = numbers(g, r.n);
    struct g_tensor *counts = numbers(g, r.n);
    struct g_cell n = g_cell(g, QBC_I64, g_int(g, QBC_I64, 0));
    struct g_nest nest;
    g_begin(g, &nest, 1, &r.n);
    struct g_num me = g_index(g, nest.index[0]);
    r.a = me.v;
    g_fold(g, 1, &r.n, 1, &me, first_one, &r);
    g_put_flat(g, first, nest.index[0], me);
    g_put_flat(g, counts, nest.index[0], g_int(g, QBC_I64, 0));
    g_end(g, &nest);
    g_begin(g, &nest, 1, &r.n);
    struct placing p = {&r, first, nest.index[0], g_attr_int(o, "sorted", 1) != 0};
    struct g_num at = g_int(g, QBC_I64, 0);
    g_fold(g, 1, &r.n, 1, &at, place_one, &p);
    g_put_flat(g, place, nest.index[0], at);
    struct g_num self = g_index(g, nest.index[0]);
    struct k_loop is_first = g_if(g, g_compare(g, G_EQ, g_at_flat(g, first, nest.index[0]), self).v);
    g_put_flat(g, index, at.v, self);
    g_count_up(g, n);
    g_end_if(g, &is_first);
    g_end(g, &nest);
    g_begin(g, &nest, 1, &r.n);
    struct g_num to = g_at_flat(g, place, g_at_flat(g, first, nest.index[0]).v);
    g_put_flat(g, inverse, nest.index[0], to);
    g_put_flat(g, counts, to.v, g_do(g, G_ADD, g_at_flat(g, counts, to.v), g_int(g, QBC_I64, 1)));
    g_end(g, &nest);
    struct g_size found = g_size_of(g_get(g, n).v), three[] = {r.x->size[0], found, r.x->size[2]};
    struct g_tensor *y = g_new(g, x->element, 3, three);
    g_allocate(g, y);
    g_begin(g, &nest, 3, three);
    MlirValue from[] = {nest.index[0], g_at_flat(g, index, nest.index[1]).v, nest.index[2]};
    g_put(g, y, nest.index, g_at(g, r.x, from));
    g_end(g, &nest);
    struct g_size size[QBC_MAX_RANK];
    memcpy(size, x->size, sizeof size);
    size[flat ? 0 : axis] = found;
    o->out[0] = g_reshaped(g, y, flat ? 1 : x->rank, size);
    index->size[0] = counts->size[0] = found;
    struct g_tensor *others[] = {index, inverse, counts};
    for (size_t i = 1; i < o->n_out && i < 4; ++i)
        o->out[i] = others[i - 1];
}
