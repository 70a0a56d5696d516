/* if: If becomes scf.if, or one of its branches where the condition is known. */
#include "control.h"

static void lower_known_if(struct g_op *o, bool holds)
{
    MlirBlock body = g_body_of(o, holds ? "then_branch" : "else_branch");
    if (mlirBlockIsNull(body))
        return;
    g_lower_block(o->g, body);
    for (size_t i = 0; i < o->n_out && !o->g->q->errors; ++i)
        o->out[i] = g_body_result(o->g, body, i);
}

/* Data and sizes of a branch's results are what the scf.if gives. */
static void yield_branch(struct general *g, size_t n, struct g_tensor *const *t)
{
    MlirValue values[16 * (1 + QBC_MAX_RANK)];
    size_t k = 0;
    for (size_t i = 0; i < n; ++i) {
        MlirValue data = t[i]->data;
        if (t[i]->known)
            data = g_constant_data(g, t[i]->known, (size_t)g_known_count(t[i]) * qbc_element_bytes(t[i]->element));
        values[k++] = data;
        for (size_t d = 0; d < t[i]->rank; ++d)
            values[k++] = g_i64(g, t[i]->size[d]);
    }
    qbc_make(&g->k.b, "scf.yield", (MlirType){NULL}, NULL, k, values);
}

static void branch(struct g_op *o, MlirOperation op, size_t region, const char *name, struct g_tensor **t)
{
    struct general *g = o->g;
    MlirBlock body = g_body_of(o, name);
    struct qbc_build outer = g->k.b;
    if (mlirBlockIsNull(body))
        return;
    g->k.b = qbc_at_end(g->q, qbc_region_block(op, region), outer.loc);
    g_lower_block(g, body);
    for (size_t i = 0; i < o->n_out && !g->q->errors; ++i)
        t[i] = g_body_result(g, body, i);
    if (!g->q->errors)
        yield_branch(g, o->n_out, t);
    g->k.b = outer;
}

/* By writing a branch that is thrown away. */
static bool rank_of_branch(struct g_op *o, size_t i, size_t *rank)
{
    struct general *g = o->g;
    MlirBlock body = g_body_of(o, "then_branch");
    if (mlirBlockIsNull(body))
        return false;
    struct g_trial trial = g_begin_trial(g);
    g_lower_block(g, body);
    struct g_tensor *t = g->q->errors ? NULL : g_body_result(g, body, i);
    g_end_trial(g, &trial);
    *rank = t ? t->rank : 0;
    return t;
}

/* How many values an If gives has to be known before its branches are; so ranks are taken from the declared types. */
void g_lower_if(struct g_op *o)
{
    struct general *g = o->g;
    int64_t known, dims[QBC_MAX_RANK];
    if (g_known_int(o->in[0], 0, &known)) {
        lower_known_if(o, known != 0);
        return;
    }
    enum { MOST = 16 };
    MlirType types[MOST * (1 + QBC_MAX_RANK)];
    size_t n = 0, rank[MOST];
    if (o->n_out > MOST) {
        g_refuse(o, "it has more than %d results", MOST);
        return;
    }
    for (size_t i = 0; i < o->n_out; ++i) {
        if (!g_declared(o, i, &rank[i], dims) && !rank_of_branch(o, i, &rank[i]))
            return;
        types[n++] = g->k.ptr;
        for (size_t d = 0; d < rank[i]; ++d)
            types[n++] = g->k.i64;
    }
    struct qbc_region none = {0, NULL}, regions[] = {none, none};
    struct g_tensor *yes[MOST], *no[MOST];
    MlirValue condition = g_truth(g, g_at_flat(g, g_solid(g, o->in[0]), k_i64(&g->k, 0)));
    MlirOperation op = qbc_make_regions(&g->k.b, "scf.if", n, types, NULL, 1, &condition, 2, regions);
    branch(o, op, 0, "then_branch", yes);
    if (!g->q->errors)
        branch(o, op, 1, "else_branch", no);
    if (g->q->errors)
        return;
    for (size_t i = 0, k = 0; i < o->n_out; ++i) {
        if (yes[i]->rank != rank[i] || no[i]->rank != rank[i] || yes[i]->element != no[i]->element) {
            g_refuse(o, "its branches give result %zu different ranks or elements", i);
            return;
        }
        struct g_tensor *y = g_new(g, yes[i]->element, rank[i], yes[i]->size);
        y->data = mlirOperationGetResult(op, (intptr_t)k++);
        for (size_t d = 0; d < rank[i]; ++d, ++k)
            y->size[d] = g_same(yes[i]->size[d], no[i]->size[d]) && g_is_known(yes[i]->size[d])
                             ? yes[i]->size[d]
                             : g_size_of(mlirOperationGetResult(op, (intptr_t)k));
        o->out[i] = y;
    }
}
