/* sort: results whose order or number depends on values: TopK, Unique, NonZero, Compress, NonMaxSuppression.
 *
 * Room is taken for as many as there can be; how many there are is a size of the program. Places are found by counting and
 * comparing, without moving anything.
 */
#include "general.h"

#include <string.h>

/* A number in memory that a loop changes. */
struct cell {
    struct g_tensor *t;
};

static struct cell cell_of(struct general *g, enum qbc_element element, struct g_num begin)
{
    struct cell c = {g_new(g, element, 0, NULL)};
    g_allocate(g, c.t);
    g_put_flat(g, c.t, k_i64(&g->k, 0), begin);
    return c;
}

static struct g_num get(struct general *g, struct cell c)
{
    return g_at_flat(g, c.t, k_i64(&g->k, 0));
}

static void set(struct general *g, struct cell c, struct g_num value)
{
    g_put_flat(g, c.t, k_i64(&g->k, 0), value);
}

static void count_up(struct general *g, struct cell c)
{
    set(g, c, g_do(g, G_ADD, get(g, c), g_int(g, QBC_I64, 1)));
}

static struct g_num truth(struct general *g, bool value)
{
    return (struct g_num){k_int_of(&g->k, g->k.i1, value ? -1 : 0), QBC_BOOL};
}

/* --- TopK: each next one is the best of those behind the one before, by value, then by place */

struct top {
    struct g_tensor *x;
    size_t axis;
    bool largest;
    const MlirValue *index;
    struct g_num value, place; /* of the one before */
};

static struct g_num comes_before(struct general *g, bool largest, struct g_num a, struct g_num a_place, struct g_num b, struct g_num b_place)
{
    struct g_num better = g_compare(g, largest ? G_GT : G_LT, a, b), same = g_compare(g, G_EQ, a, b);
    return g_do(g, G_OR, better, g_do(g, G_AND, same, g_compare(g, G_LT, a_place, b_place)));
}

static void top_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct top *t = user;
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, t->index, t->x->rank * sizeof *own);
    own[t->axis] = at[0];
    struct g_num none = g_int(g, QBC_I64, -1), place = g_index(g, at[0]), x = g_at(g, t->x, own);
    struct g_num is_first = g_compare(g, G_EQ, t->place, none), found = g_compare(g, G_NE, carried[1], none);
    struct g_num allowed = g_do(g, G_OR, is_first, comes_before(g, t->largest, t->value, t->place, x, place));
    struct g_num better = comes_before(g, t->largest, x, place, carried[0], carried[1]);
    struct g_num take = g_do(g, G_AND, allowed, g_do(g, G_OR, g_not(g, found), better));
    carried[0] = g_select(g, take, x, carried[0]);
    carried[1] = g_select(g, take, place, carried[1]);
}

void g_lower_top_k(struct g_op *o)
{
    struct general *g = o->g;
    struct top t = {.x = g_solid(g, o->in[0]), .largest = g_attr_int(o, "largest", 1) != 0};
    int64_t axis = g_attr_int(o, "axis", -1), declared[QBC_MAX_RANK];
    struct g_size size[QBC_MAX_RANK], outer[QBC_MAX_RANK];
    size_t rank;
    struct g_nest nest;
    if (!g_axis(o, &axis, t.x->rank))
        return;
    t.axis = (size_t)axis;
    struct g_size k = o->n_in > 1 ? g_element(g, g_solid(g, o->in[1]), 0) : g_size(g_attr_int(o, "k", 1));
    if (!g_is_known(k) && g_declared(o, 0, &rank, declared) && declared[axis] != QBC_ANY)
        k = g_size(declared[axis]);
    memcpy(size, t.x->size, sizeof size);
    memcpy(outer, t.x->size, sizeof outer);
    size[axis] = g_min_size(g, k, t.x->size[axis]);
    outer[axis] = g_size(1);
    struct g_tensor *values = g_new(g, t.x->element, t.x->rank, size), *places = g_new(g, QBC_I64, t.x->rank, size);
    g_allocate(g, values);
    g_allocate(g, places);
    g_begin(g, &nest, t.x->rank, outer);
    struct g_num zero = g_int(g, t.x->element, 0), none = g_int(g, QBC_I64, -1);
    MlirValue begin[] = {zero.v, none.v};
    struct k_loop loop = k_for(&g->k, k_i64(&g->k, 0), g_i64(g, size[axis]), 1, 2, begin);
    t.value = (struct g_num){loop.carried[0], zero.element};
    t.place = (struct g_num){loop.carried[1], QBC_I64};
    t.index = nest.index;
    struct g_num found[] = {zero, none};
    g_fold(g, 1, &t.x->size[axis], 2, found, top_one, &t);
    nest.index[axis] = loop.i;
    g_put(g, values, nest.index, found[0]);
    g_put(g, places, nest.index, found[1]);
    k_end(&g->k, &loop, (MlirValue[]){found[0].v, found[1].v});
    g_end(g, &nest);
    o->out[0] = values;
    if (o->n_out > 1)
        o->out[1] = places;
}

/* --- NonZero, Compress */

void g_lower_non_zero(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]);
    struct g_size all = g_count(g, x), size[] = {g_size((int64_t)x->rank), all};
    struct g_tensor *places = g_new(g, QBC_I64, 2, size); /* [rank, most], then moved together */
    struct cell n = cell_of(g, QBC_I64, g_int(g, QBC_I64, 0));
    struct g_nest nest;
    g_allocate(g, places);
    g_begin(g, &nest, x->rank, x->size);
    struct k_loop found = g_if(g, g_truth(g, g_at(g, x, nest.index)));
    MlirValue at = get(g, n).v;
    for (size_t i = 0; i < x->rank; ++i)
        g_put(g, places, (MlirValue[]){k_i64(&g->k, (int64_t)i), at}, g_index(g, nest.index[i]));
    count_up(g, n);
    g_end_if(g, &found);
    g_end(g, &nest);
    size[1] = g_size_of(get(g, n).v);
    struct g_tensor *y = g_new(g, QBC_I64, 2, size);
    g_allocate(g, y);
    g_begin(g, &nest, 2, size);
    g_put(g, y, nest.index, g_at(g, places, nest.index));
    g_end(g, &nest);
    o->out[0] = y;
}

void g_lower_compress(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]), *keep = g_solid(g, o->in[1]);
    int64_t axis = g_attr_int(o, "axis", 0);
    struct g_size flat = g_count(g, x);
    struct g_nest nest;
    if (!g_has_attr(o, "axis"))
        x = g_reshaped(g, x, 1, &flat);
    if (!g_axis(o, &axis, x->rank))
        return;
    struct g_size most = g_min_size(g, x->size[axis], keep->size[0]);
    struct g_tensor *places = g_new(g, QBC_I64, 1, &most);
    struct cell n = cell_of(g, QBC_I64, g_int(g, QBC_I64, 0));
    g_allocate(g, places);
    g_begin(g, &nest, 1, &most);
    struct k_loop found = g_if(g, g_truth(g, g_at(g, keep, nest.index)));
    g_put_flat(g, places, get(g, n).v, g_index(g, nest.index[0]));
    count_up(g, n);
    g_end_if(g, &found);
    g_end(g, &nest);
    struct g_tensor *y = g_new(g, x->element, x->rank, x->size);
    y->size[axis] = g_size_of(get(g, n).v);
    g_allocate(g, y);
    g_begin(g, &nest, y->rank, y->size);
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, nest.index, y->rank * sizeof *own);
    own[axis] = g_at_flat(g, places, nest.index[axis]).v;
    g_put(g, y, nest.index, g_at(g, x, own));
    g_end(g, &nest);
    o->out[0] = y;
}

/* --- Unique: rows are compared with each other; a row's place is how many different ones come before it */

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
    struct cell n = cell_of(g, QBC_I64, g_int(g, QBC_I64, 0));
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
    count_up(g, n);
    g_end_if(g, &is_first);
    g_end(g, &nest);
    g_begin(g, &nest, 1, &r.n);
    struct g_num to = g_at_flat(g, place, g_at_flat(g, first, nest.index[0]).v);
    g_put_flat(g, inverse, nest.index[0], to);
    g_put_flat(g, counts, to.v, g_do(g, G_ADD, g_at_flat(g, counts, to.v), g_int(g, QBC_I64, 1)));
    g_end(g, &nest);
    struct g_size found = g_size_of(get(g, n).v), three[] = {r.x->size[0], found, r.x->size[2]};
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

/* --- NonMaxSuppression: the best box, then the best of those that do not overlap it much, ... */

struct boxes {
    struct g_op o;
    struct g_tensor *box, *score, *alive;
    MlirValue batch, class;
    bool centre;
};

struct corners {
    struct g_num low[2], high[2];
};

static struct corners corners_of(struct general *g, const struct boxes *b, MlirValue i)
{
    struct corners c;
    struct g_num n[4], half = g_const(g, QBC_F32, 0.5);
    for (int k = 0; k < 4; ++k)
        n[k] = g_at_n(g, b->box, 3, b->batch, i, k_i64(&g->k, k));
    for (int k = 0; k < 2; ++k) {
        struct g_num reach = g_do(g, G_MUL, n[2 + k], half);
        c.low[k] = b->centre ? g_do(g, G_SUB, n[k], reach) : g_do(g, G_MIN, n[k], n[2 + k]);
        c.high[k] = b->centre ? g_do(g, G_ADD, n[k], reach) : g_do(g, G_MAX, n[k], n[2 + k]);
    }
    return c;
}

static struct g_num area(struct general *g, const struct corners *c)
{
    return g_do(g, G_MUL, g_do(g, G_SUB, c->high[0], c->low[0]), g_do(g, G_SUB, c->high[1], c->low[1]));
}

static struct g_num overlap(struct general *g, const struct boxes *b, MlirValue i, MlirValue j)
{
    struct corners x = corners_of(g, b, i), y = corners_of(g, b, j), both;
    struct g_num zero = g_const(g, QBC_F32, 0), sides[2];
    for (int k = 0; k < 2; ++k) {
        both.low[k] = g_do(g, G_MAX, x.low[k], y.low[k]);
        both.high[k] = g_do(g, G_MIN, x.high[k], y.high[k]);
        sides[k] = g_do(g, G_MAX, g_do(g, G_SUB, both.high[k], both.low[k]), zero);
    }
    struct g_num common = g_do(g, G_MUL, sides[0], sides[1]);
    struct g_num all = g_do(g, G_SUB, g_do(g, G_ADD, area(g, &x), area(g, &y)), common);
    return g_select(g, g_compare(g, G_GT, all, zero), g_do(g, G_DIV, common, all), zero);
}

static void best_box(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    const struct boxes *b = user;
    struct g_num x = g_at_n(g, b->score, 3, b->batch, b->class, at[0]), none = g_int(g, QBC_I64, -1);
    struct g_num better = g_do(g, G_OR, g_compare(g, G_EQ, carried[1], none), g_compare(g, G_GT, x, carried[0]));
    struct g_num take = g_do(g, G_AND, g_at_flat(g, b->alive, at[0]), better);
    carried[0] = g_select(g, take, x, carried[0]);
    carried[1] = g_select(g, take, g_index(g, at[0]), carried[1]);
}

static struct g_num option(struct g_op *o, size_t i, enum qbc_element element, double fallback)
{
    struct general *g = o->g;
    if (!g_has(o, i))
        return g_const(g, element, fallback);
    return g_convert(g, g_at_flat(g, g_solid(g, o->in[i]), k_i64(&g->k, 0)), element);
}

static void add_box(struct general *g, struct boxes *b, struct g_tensor *all, struct cell n, struct g_num best, struct g_num limit,
                    struct g_size boxes)
{
    struct g_nest nest;
    MlirValue row = get(g, n).v;
    const MlirValue values[] = {b->batch, b->class, best.v};
    for (int k = 0; k < 3; ++k)
        g_put(g, all, (MlirValue[]){row, k_i64(&g->k, k)}, g_index(g, values[k]));
    count_up(g, n);
    g_begin(g, &nest, 1, &boxes);
    struct g_num much = g_compare(g, G_GT, overlap(g, b, best.v, nest.index[0]), limit);
    struct g_num gone = g_do(g, G_OR, much, g_compare(g, G_EQ, best, g_index(g, nest.index[0])));
    g_put_flat(g, b->alive, nest.index[0], g_do(g, G_AND, g_at_flat(g, b->alive, nest.index[0]), g_not(g, gone)));
    g_end(g, &nest);
}

void g_lower_non_max_suppression(struct g_op *o)
{
    struct general *g = o->g;
    struct boxes b = {.o = *o, .box = g_solid(g, o->in[0]), .score = g_solid(g, o->in[1]), .centre = g_attr_int(o, "center_point_box", 0) != 0};
    struct g_size boxes = b.score->size[2], classes[] = {b.score->size[0], b.score->size[1]};
    struct g_num most = option(o, 2, QBC_I64, 0), limit = option(o, 3, QBC_F32, 0), least = option(o, 4, QBC_F32, 0);
    struct g_size rows[] = {g_times(g, g_times(g, classes[0], classes[1]), boxes), g_size(3)};
    struct g_tensor *all = g_new(g, QBC_I64, 2, rows);
    struct cell n = cell_of(g, QBC_I64, g_int(g, QBC_I64, 0));
    struct g_nest nest, each;
    b.alive = g_new(g, QBC_BOOL, 1, &boxes);
    g_allocate(g, all);
    g_allocate(g, b.alive);
    g_begin(g, &nest, 2, classes);
    b.batch = nest.index[0], b.class = nest.index[1];
    g_begin(g, &each, 1, &boxes);
    struct g_num score = g_at_n(g, b.score, 3, b.batch, b.class, each.index[0]);
    g_put_flat(g, b.alive, each.index[0], g_has(o, 4) ? g_compare(g, G_GT, score, least) : truth(g, true));
    g_end(g, &each);
    g_begin(g, &each, 1, &boxes);
    struct g_num found[] = {g_const(g, QBC_F32, 0), g_int(g, QBC_I64, -1)};
    g_fold(g, 1, &boxes, 2, found, best_box, &b);
    struct g_num good = g_do(g, G_AND, g_compare(g, G_GE, found[1], g_int(g, QBC_I64, 0)), g_compare(g, G_LT, g_index(g, each.index[0]), most));
    struct k_loop any = g_if(g, good.v);
    add_box(g, &b, all, n, found[1], limit, boxes);
    g_end_if(g, &any);
    g_end(g, &each);
    g_end(g, &nest);
    all->size[0] = g_size_of(get(g, n).v);
    o->out[0] = all;
}
