/* gather: elements picked by indices that are numbers of the program. An index outside ends the run (QBRT_RUN_BAD_INDEX). */
#include "general.h"
#include "run.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

void g_fail_if(struct general *g, MlirValue condition, int64_t code)
{
    struct k_loop bad = g_if(g, condition);
    MlirValue operands[] = {g_field(g, QBRT_RUN_FAIL, g->k.ptr), g_field(g, QBRT_RUN_CONTEXT, g->k.ptr), k_i64(&g->k, code)};
    struct qbc_attr attrs[] = {
        {"op_bundle_sizes", mlirDenseI32ArrayGet(g->q->mlir, 0, NULL)},
        {"operandSegmentSizes", mlirDenseI32ArrayGet(g->q->mlir, 2, (int32_t[]){3, 0})},
        {0},
    };
    qbc_make(&g->k.b, "llvm.call", (MlirType){NULL}, attrs, 3, operands);
    g_end_if(g, &bad);
}

MlirValue g_checked_index(struct general *g, struct g_num index, struct g_size n)
{
    struct g_num i = g_convert(g, index, QBC_I64), zero = g_int(g, QBC_I64, 0), size = g_index(g, g_i64(g, n));
    i = g_select(g, g_compare(g, G_LT, i, zero), g_do(g, G_ADD, i, size), i);
    struct g_num bad = g_do(g, G_OR, g_compare(g, G_LT, i, zero), g_compare(g, G_GE, i, size));
    g_fail_if(g, bad.v, QBRT_RUN_BAD_INDEX);
    return i.v;
}

/* --- reading */

struct gathered {
    struct g_tensor *x, *indices;
    size_t axis, batch, tuple; /* GatherND: numbers in an index */
};

static struct g_num gathered_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct gathered *s = t->user;
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, index, s->axis * sizeof *own);
    own[s->axis] = g_checked_index(g, g_at(g, s->indices, index + s->axis), s->x->size[s->axis]);
    for (size_t i = s->axis + 1; i < s->x->rank; ++i)
        own[i] = index[i + s->indices->rank - 1];
    return g_at(g, s->x, own);
}

void g_lower_gather(struct g_op *o)
{
    struct general *g = o->g;
    struct gathered *s = qbc_alloc(g->q, sizeof *s);
    struct g_tensor *x = g_solid(g, o->in[0]), *indices = g_solid(g, o->in[1]);
    int64_t axis = g_attr_int(o, "axis", 0);
    struct g_size size[2 * QBC_MAX_RANK];
    size_t rank = 0;
    if (!g_axis(o, &axis, x->rank))
        return;
    *s = (struct gathered){x, indices, (size_t)axis, 0, 0};
    if (x->rank + indices->rank - 1 > QBC_MAX_RANK) {
        g_refuse(o, "a rank of more than 8 is not supported");
        return;
    }
    for (size_t i = 0; i < x->rank; ++i)
        if (i != (size_t)axis)
            size[rank++] = x->size[i];
        else
            for (size_t k = 0; k < indices->rank; ++k)
                size[rank++] = indices->size[k];
    o->out[0] = g_function(g, x->element, rank, size, gathered_at, s, 1);
}

static struct g_num picked_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct gathered *s = t->user;
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, index, t->rank * sizeof *own);
    own[s->axis] = g_checked_index(g, g_at(g, s->indices, index), s->x->size[s->axis]);
    return g_at(g, s->x, own);
}

void g_lower_gather_elements(struct g_op *o)
{
    struct gathered *s = qbc_alloc(o->g->q, sizeof *s);
    int64_t axis = g_attr_int(o, "axis", 0);
    *s = (struct gathered){g_solid(o->g, o->in[0]), g_solid(o->g, o->in[1]), 0, 0, 0};
    if (!g_axis(o, &axis, s->x->rank))
        return;
    s->axis = (size_t)axis;
    o->out[0] = g_function(o->g, s->x->element, s->indices->rank, s->indices->size, picked_at, s, 1);
}

static struct g_num tuple_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct gathered *s = t->user;
    MlirValue own[QBC_MAX_RANK], at[QBC_MAX_RANK];
    size_t last = s->indices->rank - 1;
    memcpy(own, index, s->batch * sizeof *own);
    memcpy(at, index, last * sizeof *at);
    for (size_t i = 0; i < s->tuple; ++i) {
        at[last] = k_i64(&g->k, (int64_t)i);
        own[s->batch + i] = g_checked_index(g, g_at(g, s->indices, at), s->x->size[s->batch + i]);
    }
    for (size_t i = s->batch + s->tuple; i < s->x->rank; ++i)
        own[i] = index[last + i - s->batch - s->tuple];
    return g_at(g, s->x, own);
}

void g_lower_gather_nd(struct g_op *o)
{
    struct gathered *s = qbc_alloc(o->g->q, sizeof *s);
    struct g_tensor *x = g_solid(o->g, o->in[0]), *indices = g_solid(o->g, o->in[1]);
    struct g_size size[2 * QBC_MAX_RANK];
    size_t rank = 0, last = indices->rank - 1;
    if (!indices->rank || !g_is_known(indices->size[last])) {
        g_refuse(o, "the length of its indices is not known before it runs");
        return;
    }
    *s = (struct gathered){x, indices, 0, (size_t)g_attr_int(o, "batch_dims", 0), (size_t)indices->size[last].n};
    if (s->batch + s->tuple > x->rank) {
        g_refuse(o, "its indices have more numbers than its operand has axes");
        return;
    }
    for (size_t i = 0; i < last; ++i)
        size[rank++] = indices->size[i];
    for (size_t i = s->batch + s->tuple; i < x->rank; ++i)
        size[rank++] = x->size[i];
    o->out[0] = g_function(o->g, x->element, rank, size, tuple_at, s, 1);
}

/* --- writing: a copy, changed in place, in the order of the indices */

static struct g_tensor *copy(struct general *g, struct g_tensor *x)
{
    struct g_tensor *y = g_new_like(g, x->element, x);
    g_write_to(g, x, y->data);
    return y;
}

static void put_reduced(struct g_op *o, struct g_tensor *y, const MlirValue *index, struct g_num value)
{
    static const struct {
        const char *name, *text;
    } reductions[] = {{"add", "x + y"}, {"mul", "x * y"}, {"min", "min(x, y)"}, {"max", "max(x, y)"}};
    const char *name = g_attr_text(o, "reduction", "none");
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; ++i)
        if (!strcmp(name, reductions[i].name))
            value = g_expression(o, reductions[i].text, 2, (struct g_num[]){g_at(o->g, y, index), value});
    g_put(o->g, y, index, value);
}

void g_lower_scatter_elements(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *y = copy(g, o->in[0]), *indices = g_solid(g, o->in[1]), *updates = g_solid(g, o->in[2]);
    int64_t axis = g_attr_int(o, "axis", 0);
    struct g_nest nest;
    MlirValue index[QBC_MAX_RANK];
    if (!g_axis(o, &axis, y->rank))
        return;
    g_begin(g, &nest, indices->rank, indices->size);
    memcpy(index, nest.index, sizeof index);
    index[axis] = g_checked_index(g, g_at(g, indices, nest.index), y->size[axis]);
    put_reduced(o, y, index, g_at(g, updates, nest.index));
    g_end(g, &nest);
    o->out[0] = y;
}

void g_lower_scatter_nd(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *y = copy(g, o->in[0]), *indices = g_solid(g, o->in[1]), *updates = g_solid(g, o->in[2]);
    struct g_nest nest;
    MlirValue index[QBC_MAX_RANK], at[QBC_MAX_RANK];
    size_t last = indices->rank - 1;
    if (!indices->rank || !g_is_known(indices->size[last]) || (size_t)indices->size[last].n > y->rank) {
        g_refuse(o, "the length of its indices is not known before it runs, or too long");
        return;
    }
    size_t tuple = (size_t)indices->size[last].n;
    g_begin(g, &nest, updates->rank, updates->size);
    memcpy(at, nest.index, last * sizeof *at);
    for (size_t i = 0; i < tuple; ++i) {
        at[last] = k_i64(&g->k, (int64_t)i);
        index[i] = g_checked_index(g, g_at(g, indices, at), y->size[i]);
    }
    for (size_t i = tuple; i < y->rank; ++i)
        index[i] = nest.index[last + i - tuple];
    put_reduced(o, y, index, g_at(g, updates, nest.index));
    g_end(g, &nest);
    o->out[0] = y;
}

/* A part of a cache is written: rows from write_indices[batch] on. */
void g_lower_tensor_scatter(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *y = copy(g, o->in[0]), *update = g_solid(g, o->in[1]), *where = g_has(o, 2) ? g_solid(g, o->in[2]) : NULL;
    int64_t axis = g_attr_int(o, "axis", -2);
    bool circular = !strcmp(g_attr_text(o, "mode", "linear"), "circular");
    struct g_nest nest;
    MlirValue index[QBC_MAX_RANK];
    if (!g_axis(o, &axis, y->rank))
        return;
    g_begin(g, &nest, update->rank, update->size);
    memcpy(index, nest.index, sizeof index);
    struct g_num at = g_index(g, index[axis]);
    if (where)
        at = g_do(g, G_ADD, at, g_convert(g, g_at(g, where, nest.index), QBC_I64));
    if (circular)
        at = g_do(g, G_REM, at, g_index(g, g_i64(g, y->size[axis])));
    index[axis] = g_checked_index(g, at, y->size[axis]);
    g_put(g, y, index, g_at(g, update, nest.index));
    g_end(g, &nest);
    o->out[0] = y;
}

/* --- OneHot */

struct hot {
    struct g_tensor *indices, *values;
    size_t axis;
    struct g_size depth;
};

static struct g_num hot_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct hot *h = t->user;
    MlirValue own[QBC_MAX_RANK];
    for (size_t i = 0, k = 0; i < t->rank; ++i)
        if (i != h->axis)
            own[k++] = index[i];
    struct g_num at = g_convert(g, g_at(g, h->indices, own), QBC_I64), n = g_index(g, g_i64(g, h->depth));
    at = g_select(g, g_compare(g, G_LT, at, g_int(g, QBC_I64, 0)), g_do(g, G_ADD, at, n), at);
    struct g_num on = g_at_flat(g, h->values, k_i64(&g->k, 1)), off = g_at_flat(g, h->values, k_i64(&g->k, 0));
    return g_select(g, g_compare(g, G_EQ, at, g_index(g, index[h->axis])), on, off);
}

void g_lower_one_hot(struct g_op *o)
{
    struct general *g = o->g;
    struct hot *h = qbc_alloc(g->q, sizeof *h);
    struct g_tensor *indices = g_solid(g, o->in[0]);
    int64_t axis = g_attr_int(o, "axis", -1), declared[QBC_MAX_RANK];
    struct g_size size[QBC_MAX_RANK + 1];
    size_t rank;
    if (!g_axis(o, &axis, indices->rank + 1))
        return;
    struct g_size depth = g_element(g, g_solid(g, o->in[1]), 0);
    if (!g_is_known(depth) && g_declared(o, 0, &rank, declared) && declared[axis] != QBC_ANY)
        depth = g_size(declared[axis]);
    *h = (struct hot){indices, g_solid(g, o->in[2]), (size_t)axis, depth};
    for (size_t i = 0, k = 0; i <= indices->rank; ++i)
        size[i] = i == (size_t)axis ? depth : indices->size[k++];
    o->out[0] = g_function(g, h->values->element, indices->rank + 1, size, hot_at, h, 1);
}
