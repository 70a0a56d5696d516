/* if: If becomes scf.if, or one of its branches where the condition is known. */
#include "control.h"

enum { MOST = 16 }; /* results */

static void lower_known_if(struct g_op *o, bool holds)
{
    MlirBlock body = g_body_of(o, holds ? "then_branch" : "else_branch");
    if (mlirBlockIsNull(body))
        return;
    g_write_body(o, body, o->n_out, o->out);
}

/* Data and sizes of a branch's results are what the scf.if gives. */
static void yield_branch(struct general *g, size_t n, struct g_tensor *const *t)
{
    MlirValue values[MOST * (1 + QBC_MAX_RANK)];
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

/* A single number takes any rank; what is more has that of the If's result. NULL: refused. */
static struct g_tensor *with_rank(struct g_op *o, size_t i, struct g_tensor *t, size_t rank)
{
    struct g_size ones[QBC_MAX_RANK];
    if (t->rank == rank)
        return t;
    if (g_known_count(t) != 1) {
        g_refuse(o, "its branches give result %zu different ranks, %zu and %zu", i, t->rank, rank);
        return NULL;
    }
    for (size_t d = 0; d < rank; ++d)
        ones[d] = g_size(1);
    return g_reshaped(o->g, t, rank, ones);
}

static void branch(struct g_op *o, MlirOperation op, size_t region, const char *name, const size_t *rank, struct g_tensor **t)
{
    struct general *g = o->g;
    MlirBlock body = g_body_of(o, name);
    struct qbc_build outer = g->k.b;
    if (mlirBlockIsNull(body))
        return;
    g->k.b = qbc_at_end(g->q, qbc_region_block(op, region), outer.loc);
    bool good = g_write_body(o, body, o->n_out, t);
    for (size_t i = 0; i < o->n_out && good; ++i)
        good = (t[i] = with_rank(o, i, t[i], rank[i])) != NULL;
    if (good)
        yield_branch(g, o->n_out, t);
    g->k.b = outer;
}

/* Ranks of a branch's results, by writing it into a block that is thrown away; the largest so far stay. */
static bool try_branch(struct g_op *o, const char *name, size_t *rank)
{
    struct general *g = o->g;
    struct g_tensor *t[MOST];
    MlirBlock body = g_body_of(o, name);
    if (mlirBlockIsNull(body))
        return false;
    struct g_trial trial = g_begin_trial(g);
    bool good = g_write_body(o, body, o->n_out, t);
    g_end_trial(g, &trial);
    for (size_t i = 0; good && i < o->n_out; ++i)
        rank[i] = t[i]->rank > rank[i] ? t[i]->rank : rank[i];
    return good;
}

/* How many values an If gives has to be known before its branches are: ranks are those that the model declares. */
static bool find_ranks(struct g_op *o, size_t *rank)
{
    int64_t dims[QBC_MAX_RANK];
    bool declared = true;
    size_t found[MOST] = {0};
    for (size_t i = 0; i < o->n_out; ++i)
        declared = declared && g_declared(o, i, &rank[i], dims);
    if (!declared && (!try_branch(o, "then_branch", found) || !try_branch(o, "else_branch", found)))
        return false;
    for (size_t i = 0; i < o->n_out; ++i)
        if (!g_declared(o, i, &rank[i], dims))
            rank[i] = found[i];
    return true;
}

static size_t list_types(struct g_op *o, const size_t *rank, MlirType *types)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n_out; ++i) {
        types[n++] = o->g->k.ptr;
        for (size_t d = 0; d < rank[i]; ++d)
            types[n++] = o->g->k.i64;
    }
    return n;
}

/* One of both branches' results: sizes that they share stay known. */
static struct g_tensor *merged(struct general *g, MlirOperation op, size_t *k, const struct g_tensor *yes, const struct g_tensor *no)
{
    struct g_tensor *y = g_new(g, yes->element, yes->rank, yes->size);
    y->data = mlirOperationGetResult(op, (intptr_t)(*k)++);
    for (size_t d = 0; d < y->rank; ++d, ++*k)
        if (!g_same(yes->size[d], no->size[d]) || !g_is_known(yes->size[d]))
            y->size[d] = g_size_of(mlirOperationGetResult(op, (intptr_t)*k));
    return y;
}

void g_lower_if(struct g_op *o)
{
    struct general *g = o->g;
    int64_t known;
    MlirType types[MOST * (1 + QBC_MAX_RANK)];
    size_t rank[MOST];
    if (g_known_int(o->in[0], 0, &known)) {
        lower_known_if(o, known != 0);
        return;
    }
    if (o->n_out > MOST) {
        g_refuse(o, "it has more than %d results", MOST);
        return;
    }
    if (!find_ranks(o, rank))
        return;
    size_t n = list_types(o, rank, types);
    struct qbc_region none = {0, NULL}, regions[] = {none, none};
    struct g_tensor *yes[MOST], *no[MOST];
    MlirValue condition = g_truth(g, g_at_flat(g, g_solid(g, o->in[0]), k_i64(&g->k, 0)));
    MlirOperation op = qbc_make_regions(&g->k.b, "scf.if", n, types, NULL, 1, &condition, 2, regions);
    branch(o, op, 0, "then_branch", rank, yes);
    if (!g->q->errors)
        branch(o, op, 1, "else_branch", rank, no);
    for (size_t i = 0, k = 0; i < o->n_out && !g->q->errors; ++i) {
        if (yes[i]->element == no[i]->element)
            o->out[i] = merged(g, op, &k, yes[i], no[i]);
        else
            g_refuse(o, "its branches give result %zu different elements", i);
    }
}
