/* shape: the same elements in another shape, and tensors that are nothing but a shape. */
#include "general.h"

#include <string.h>

void g_lower_shape(struct g_op *o)
{
    struct g_tensor *x = o->in[0], *y;
    struct general *g = o->g;
    int64_t rank = (int64_t)x->rank, start = g_attr_int(o, "start", 0), end = g_attr_int(o, "end", rank), n = 0;
    struct g_size values[QBC_MAX_RANK];
    start = start < -rank ? 0 : start < 0 ? start + rank : start > rank ? rank : start;
    end = end < -rank ? 0 : end < 0 ? end + rank : end > rank ? rank : end;
    bool size = !strcmp(o->row->name, "Size");
    if (size)
        values[n++] = g_count(g, x);
    for (int64_t i = start; !size && i < end; ++i)
        values[n++] = x->size[i];
    struct g_size length = g_size(n);
    y = g_new(g, QBC_I64, !size, &length);
    g_allocate(g, y);
    for (int64_t i = 0; i < n; ++i)
        g_put_flat(g, y, k_i64(&g->k, i), g_index(g, g_i64(g, values[i])));
    o->out[0] = y;
}

static void as(struct g_op *o, size_t rank, const struct g_size *size)
{
    o->out[0] = g_reshaped(o->g, o->in[0], rank, size);
}

void g_lower_flatten(struct g_op *o)
{
    struct g_tensor *x = o->in[0];
    int64_t axis = g_attr_int(o, "axis", 1);
    axis += axis < 0 ? (int64_t)x->rank : 0;
    struct g_size size[] = {g_size(1), g_size(1)};
    for (int64_t i = 0; i < (int64_t)x->rank; ++i)
        size[i >= axis] = g_times(o->g, size[i >= axis], x->size[i]);
    as(o, 2, size);
}

/* Numbers of a shape operand; declared sizes where the program alone would know. False: refused. */
bool g_shape_operand(struct g_op *o, size_t i, size_t *rank, struct g_size *size)
{
    int64_t n = g_known_count(o->in[i]), declared[QBC_MAX_RANK];
    size_t declared_rank;
    bool is_declared = g_declared(o, 0, &declared_rank, declared);
    if (n < 0 && is_declared)
        n = (int64_t)declared_rank;
    if (n < 0 || n > QBC_MAX_RANK) {
        g_refuse(o, n < 0 ? "the rank of its result is not known before it runs" : "a rank of more than 8 is not supported");
        return false;
    }
    *rank = (size_t)n;
    for (int64_t k = 0; k < n; ++k) {
        int64_t known;
        if (g_known_int(o->in[i], k, &known))
            size[k] = g_size(known);
        else if (is_declared && declared_rank == *rank && declared[k] != QBC_ANY)
            size[k] = g_size(declared[k]);
        else
            size[k] = g_element(o->g, o->in[i], k);
    }
    return true;
}

/* 0 copies a size, -1 is the rest; numbers of the program may be either. */
static void settle_reshape(struct g_op *o, size_t rank, struct g_size *size)
{
    struct general *g = o->g;
    struct g_tensor *x = o->in[0];
    bool zero = g_attr_int(o, "allowzero", 0) != 0;
    struct g_size others = g_size(1), minus = g_size(-1);
    int64_t rest = -1;
    for (size_t i = 0; i < rank; ++i) {
        struct g_size own = i < x->rank ? x->size[i] : g_size(1);
        if (g_is(size[i], 0) && !zero)
            size[i] = own;
        else if (!g_is_known(size[i]) && !zero)
            size[i] = g_size_of(k_select(&g->k, k_cmp(&g->k, QBC_EQ, size[i].v, k_i64(&g->k, 0)), g_i64(g, own), size[i].v));
        if (g_is(size[i], -1))
            rest = (int64_t)i;
        else
            others = g_times(g, others, size[i]);
    }
    struct g_size all = g_count(g, x);
    if (rest >= 0) {
        size[rest] = g_over(g, all, others);
        return;
    }
    for (size_t i = 0; i < rank; ++i) /* at most one of the program's is -1: then the product is negative */
        if (!g_is_known(size[i])) {
            MlirValue is_rest = k_cmp(&g->k, QBC_EQ, size[i].v, g_i64(g, minus));
            struct g_size without = g_times(g, others, minus);
            size[i] = g_size_of(k_select(&g->k, is_rest, g_i64(g, g_over(g, all, without)), size[i].v));
        }
}

void g_lower_reshape(struct g_op *o)
{
    struct g_size size[QBC_MAX_RANK];
    const int64_t *list;
    size_t rank = 0;
    if (!g_has(o, 1)) {
        rank = g_attr_ints(o, "shape", &list);
        rank = rank < QBC_MAX_RANK ? rank : QBC_MAX_RANK;
        for (size_t i = 0; i < rank && i < QBC_MAX_RANK; ++i)
            size[i] = g_size(list[i]);
    } else if (!g_shape_operand(o, 1, &rank, size)) {
        return;
    }
    settle_reshape(o, rank, size);
    struct g_tensor result = {.rank = rank};
    memcpy(result.size, size, rank * sizeof *size);
    int64_t have = g_known_count(o->in[0]), want = g_known_count(&result);
    if (have >= 0 && want >= 0 && have != want)
        g_refuse(o, "%lld elements do not fill a shape of %lld", (long long)have, (long long)want);
    else
        as(o, rank, size);
}

static size_t axes_of(struct g_op *o, size_t rank, bool *axis, size_t *n)
{
    int64_t axes[QBC_MAX_RANK];
    *n = g_list(o, 1, "axes", axes, QBC_MAX_RANK);
    if (*n == SIZE_MAX)
        return SIZE_MAX;
    if (o->row && !strcmp(o->row->name, "Unsqueeze"))
        rank += *n;
    for (size_t i = 0; i < *n; ++i) {
        if (!g_axis(o, &axes[i], rank))
            return SIZE_MAX;
        axis[axes[i]] = true;
    }
    return rank;
}

/* The axes are the program's, but the model says what comes out. False: it does not. */
static void as_declared(struct g_op *o)
{
    int64_t declared[QBC_MAX_RANK];
    struct g_size size[QBC_MAX_RANK];
    size_t rank;
    bool fixed = g_declared(o, 0, &rank, declared);
    for (size_t i = 0; fixed && i < rank; ++i) {
        fixed = declared[i] != QBC_ANY;
        size[i] = g_size(declared[i]);
    }
    if (fixed)
        as(o, rank, size);
    else
        g_refuse(o, "its axes are not known before it runs, nor does the model declare its result's shape");
}

void g_lower_squeeze(struct g_op *o)
{
    struct g_tensor *x = o->in[0];
    bool axis[QBC_MAX_RANK] = {false}, all = !g_has(o, 1) && !g_has_attr(o, "axes");
    struct g_size size[QBC_MAX_RANK];
    size_t rank = 0, n;
    if (!all && axes_of(o, x->rank, axis, &n) == SIZE_MAX) {
        as_declared(o);
        return;
    }
    for (size_t i = 0; i < x->rank; ++i)
        if (all ? !g_is(x->size[i], 1) : !axis[i])
            size[rank++] = x->size[i];
    as(o, rank, size);
}

void g_lower_unsqueeze(struct g_op *o)
{
    struct g_tensor *x = o->in[0];
    bool axis[2 * QBC_MAX_RANK] = {false};
    struct g_size size[QBC_MAX_RANK];
    size_t n, rank = axes_of(o, x->rank, axis, &n), k = 0;
    if (rank == SIZE_MAX || rank > QBC_MAX_RANK) {
        as_declared(o);
        return;
    }
    for (size_t i = 0; i < rank; ++i)
        size[i] = axis[i] ? g_size(1) : x->size[k++];
    as(o, rank, size);
}

/* --- nothing but a shape */

static struct g_num constant_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    (void)index;
    const struct g_tensor *value = t->user;
    return value ? g_at_flat(g, value, k_i64(&g->k, 0)) : g_int(g, t->element, 0);
}

void g_lower_constant_of_shape(struct g_op *o)
{
    struct g_size size[QBC_MAX_RANK];
    size_t rank;
    struct g_tensor *value = g_attr_tensor(o, "value");
    if (g_shape_operand(o, 0, &rank, size))
        o->out[0] = g_function(o->g, value ? value->element : QBC_F32, rank, size, constant_at, value, 0);
}

struct range {
    struct g_num start, step;
};

static struct g_num range_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct range *r = t->user;
    return g_do(g, G_ADD, r->start, g_do(g, G_MUL, g_convert(g, g_index(g, index[0]), t->element), r->step));
}

/* max(ceil((limit - start) / delta), 0) */
void g_lower_range(struct g_op *o)
{
    struct general *g = o->g;
    struct range *r = qbc_alloc(g->q, sizeof *r);
    enum qbc_element e = o->in[0]->element;
    struct g_num x[3];
    for (int i = 0; i < 3; ++i)
        x[i] = g_at_flat(g, g_solid(g, o->in[i]), k_i64(&g->k, 0));
    *r = (struct range){x[0], x[2]};
    size_t rank;
    int64_t declared[QBC_MAX_RANK];
    struct g_num whole[3];
    for (int i = 0; i < 3; ++i)
        whole[i] = g_convert(g, x[i], QBC_F64);
    struct g_num n = g_call(g, "ceil", g_do(g, G_DIV, g_do(g, G_SUB, whole[1], whole[0]), whole[2]));
    n = g_do(g, G_MAX, g_convert(g, n, QBC_I64), g_int(g, QBC_I64, 0));
    struct g_size size = g_size_of(n.v);
    if (g_declared(o, 0, &rank, declared) && rank == 1 && declared[0] != QBC_ANY)
        size = g_size(declared[0]);
    o->out[0] = g_function(g, e, 1, &size, range_at, r, 1);
}

struct eye {
    int64_t k;
};

static struct g_num eye_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct eye *e = t->user;
    struct g_num on = g_compare(g, G_EQ, g_index(g, k_add_i(&g->k, index[0], e->k)), g_index(g, index[1]));
    return g_select(g, on, g_int(g, t->element, 1), g_int(g, t->element, 0));
}

void g_lower_eye_like(struct g_op *o)
{
    struct eye *e = qbc_alloc(o->g->q, sizeof *e);
    *e = (struct eye){g_attr_int(o, "k", 0)};
    enum qbc_element element = (enum qbc_element)g_attr_int(o, "dtype", (int64_t)o->in[0]->element);
    o->out[0] = g_function(o->g, element, 2, o->in[0]->size, eye_at, e, 0);
}
