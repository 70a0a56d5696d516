/* suppression: NonMaxSuppression: the best box, then the best of those that do not overlap it much, ... */
#include "cell.h"

static struct g_num g_bool(struct general *g, bool value)
{
    return (struct g_num){k_int_of(&g->k, g->k.i1, value ? -1 : 0), QBC_BOOL};
}

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

static void add_box(struct general *g, struct boxes *b, struct g_tensor *all, struct g_cell n, struct g_num best, struct g_num limit,
                    struct g_size boxes)
{
    struct g_nest nest;
    MlirValue row = g_get(g, n).v;
    const MlirValue values[] = {b->batch, b->class, best.v};
    for (int k = 0; k < 3; ++k)
        g_put(g, all, (MlirValue[]){row, k_i64(&g->k, k)}, g_index(g, values[k]));
    g_count_up(g, n);
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
    struct g_cell n = g_cell(g, QBC_I64, g_int(g, QBC_I64, 0));
    struct g_nest nest, each;
    b.alive = g_new(g, QBC_BOOL, 1, &boxes);
    g_allocate(g, all);
    g_allocate(g, b.alive);
    g_begin(g, &nest, 2, classes);
    b.batch = nest.index[0], b.class = nest.index[1];
    g_begin(g, &each, 1, &boxes);
    struct g_num score = g_at_n(g, b.score, 3, b.batch, b.class, each.index[0]);
    g_put_flat(g, b.alive, each.index[0], g_has(o, 4) ? g_compare(g, G_GT, score, least) : g_bool(g, true));
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
    all->size[0] = g_size_of(g_get(g, n).v);
    o->out[0] = all;
}
