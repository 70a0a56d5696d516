/* loops: nests, folds and conditions. */
#include "general.h"

void g_begin(struct general *g, struct g_nest *nest, size_t rank, const struct g_size *size)
{
    nest->rank = rank;
    for (size_t i = 0; i < rank; ++i) {
        nest->loop[i] = k_for(&g->k, k_i64(&g->k, 0), g_i64(g, size[i]), 1, 0, NULL);
        nest->index[i] = nest->loop[i].i;
    }
}

void g_end(struct general *g, struct g_nest *nest)
{
    for (size_t i = nest->rank; i-- > 0;)
        k_end(&g->k, &nest->loop[i], NULL);
}

void g_fold(struct general *g, size_t rank, const struct g_size *size, size_t n, struct g_num *carried,
            g_fold_body body, void *user)
{
    enum { MOST = 8 };
    struct g_nest nest = {.rank = rank};
    MlirValue values[MOST];
    for (size_t j = 0; j < n; ++j)
        values[j] = carried[j].v;
    for (size_t i = 0; i < rank; ++i) {
        nest.loop[i] = k_for(&g->k, k_i64(&g->k, 0), g_i64(g, size[i]), 1, n, values);
        nest.index[i] = nest.loop[i].i;
        for (size_t j = 0; j < n; ++j)
            values[j] = nest.loop[i].carried[j];
    }
    for (size_t j = 0; j < n; ++j)
        carried[j].v = values[j];
    body(g, user, nest.index, carried);
    for (size_t j = 0; j < n; ++j)
        values[j] = carried[j].v;
    for (size_t i = rank; i-- > 0;) {
        k_end(&g->k, &nest.loop[i], values);
        for (size_t j = 0; j < n; ++j)
            values[j] = nest.loop[i].carried[j];
    }
    for (size_t j = 0; j < n; ++j)
        carried[j].v = values[j];
}

struct k_loop g_if(struct general *g, MlirValue condition)
{
    return k_if(&g->k, condition);
}

void g_end_if(struct general *g, struct k_loop *l)
{
    k_end(&g->k, l, NULL);
}

struct g_num g_guarded(struct general *g, MlirValue condition, struct g_num (*yes)(struct general *g, void *user), void *user,
                       struct g_num otherwise)
{
    MlirType type = mlirValueGetType(otherwise.v);
    struct qbc_region none = {0, NULL};
    struct qbc_region regions[] = {none, none};
    struct qbc_build outer = g->k.b;
    MlirOperation op = qbc_make_regions(&g->k.b, "scf.if", 1, &type, NULL, 1, &condition, 2, regions);
    g->k.b = qbc_at_end(g->q, qbc_region_block(op, 1), outer.loc);
    qbc_make(&g->k.b, "scf.yield", (MlirType){NULL}, NULL, 1, &otherwise.v);
    g->k.b = qbc_at_end(g->q, qbc_region_block(op, 0), outer.loc);
    struct g_num value = yes(g, user);
    qbc_make(&g->k.b, "scf.yield", (MlirType){NULL}, NULL, 1, &value.v);
    g->k.b = outer;
    return (struct g_num){mlirOperationGetResult(op, 0), otherwise.element};
}
