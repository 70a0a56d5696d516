/* det: determinants, by elimination with the largest pivot of each column. */
#include "general.h"

#include <string.h>

struct column {
    struct g_tensor *a;
    MlirValue k;
};

/* carried: the largest magnitude so far, and its row. */
static void look_for_pivot(struct general *g, void *user, const MlirValue *row, struct g_num *carried)
{
    const struct column *c = user;
    struct g_num x = g_at_n(g, c->a, 2, row[0], c->k);
    x = g_select(g, g_compare(g, G_LT, x, g_const(g, QBC_F64, 0)), g_neg(g, x), x);
    struct g_num below = g_compare(g, G_GE, g_index(g, row[0]), g_index(g, c->k));
    struct g_num better = g_do(g, G_AND, below, g_compare(g, G_GT, x, carried[0]));
    carried[0] = g_select(g, better, x, carried[0]);
    carried[1] = g_select(g, better, g_index(g, row[0]), carried[1]);
}

static void put(struct general *g, struct g_tensor *a, MlirValue row, MlirValue column, struct g_num x)
{
    MlirValue index[] = {row, column};
    g_put(g, a, index, x);
}

static void swap_rows(struct general *g, struct g_tensor *a, MlirValue i, MlirValue j)
{
    struct g_nest nest;
    g_begin(g, &nest, 1, a->size);
    MlirValue at = nest.index[0];
    struct g_num x = g_at_n(g, a, 2, i, at), y = g_at_n(g, a, 2, j, at);
    put(g, a, i, at, y);
    put(g, a, j, at, x);
    g_end(g, &nest);
}

/* Rows below k less a multiple of row k, so that column k is 0 there. */
static void eliminate(struct general *g, struct g_tensor *a, MlirValue k, struct g_num pivot)
{
    struct g_nest rows, along;
    struct g_num zero = g_const(g, QBC_F64, 0);
    g_begin(g, &rows, 1, a->size);
    MlirValue i = rows.index[0];
    struct g_num below = g_do(g, G_AND, g_compare(g, G_GT, g_index(g, i), g_index(g, k)), g_compare(g, G_NE, pivot, zero));
    struct g_num factor = g_select(g, below, g_do(g, G_DIV, g_at_n(g, a, 2, i, k), pivot), zero);
    g_begin(g, &along, 1, a->size);
    MlirValue j = along.index[0];
    put(g, a, i, j, g_do(g, G_SUB, g_at_n(g, a, 2, i, j), g_do(g, G_MUL, factor, g_at_n(g, a, 2, k, j))));
    g_end(g, &along);
    g_end(g, &rows);
}

static void reduce(struct general *g, struct g_tensor *a, struct g_tensor *det)
{
    MlirValue zero = k_i64(&g->k, 0);
    struct g_nest columns;
    g_begin(g, &columns, 1, a->size);
    struct column c = {a, columns.index[0]};
    struct g_num best[] = {g_const(g, QBC_F64, -1), g_index(g, c.k)};
    g_fold(g, 1, a->size, 2, best, look_for_pivot, &c);
    struct g_num swapped = g_compare(g, G_NE, best[1], g_index(g, c.k));
    swap_rows(g, a, c.k, best[1].v);
    struct g_num pivot = g_at_n(g, a, 2, c.k, c.k), sign = g_select(g, swapped, g_const(g, QBC_F64, -1), g_const(g, QBC_F64, 1));
    g_put_flat(g, det, zero, g_do(g, G_MUL, g_at_flat(g, det, zero), g_do(g, G_MUL, pivot, sign)));
    eliminate(g, a, c.k, pivot);
    g_end(g, &columns);
}

void g_lower_det(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]);
    if (x->rank < 2 || !g_is_float(x->element)) {
        g_refuse(o, "its operand is no matrix of floats, but has rank %zu", x->rank);
        return;
    }
    size_t batch = x->rank - 2;
    struct g_tensor *y = g_new(g, x->element, batch, x->size), *a = g_new(g, QBC_F64, 2, x->size + batch), *det = g_new(g, QBC_F64, 0, NULL);
    struct g_nest nest, copy;
    MlirValue from[QBC_MAX_RANK], zero = k_i64(&g->k, 0);
    g_allocate(g, y);
    g_allocate(g, a);
    g_allocate(g, det);
    g_begin(g, &nest, batch, x->size);
    memcpy(from, nest.index, batch * sizeof *from);
    g_begin(g, &copy, 2, a->size);
    memcpy(from + batch, copy.index, 2 * sizeof *from);
    g_put(g, a, copy.index, g_at(g, x, from));
    g_end(g, &copy);
    g_put_flat(g, det, zero, g_const(g, QBC_F64, 1));
    reduce(g, a, det);
    g_put(g, y, nest.index, g_at_flat(g, det, zero));
    g_end(g, &nest);
    o->out[0] = y;
}
