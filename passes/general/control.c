/* control: If, Loop and Scan become scf.if and scf.while.
 *
 * A value that a loop carries, or that an If gives, lies in memory of its own before the loop or the If begins: what a turn
 * computes is copied there, by way of a second copy, since one value may be another's of the turn before. So a turn's
 * memory is used again by the next. Sizes of such values must be known, and the same in all turns; an axis that grows by a
 * value each turn is collected into room for as many turns as there may be.
 */
#include "control.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

/* --- running a region's operations here */

MlirBlock g_body(struct g_op *o, const char *name)
{
    MlirAttribute names = mlirOperationGetAttributeByName(o->op, qbc_str("graphs"));
    for (intptr_t i = 0; !mlirAttributeIsNull(names) && i < mlirArrayAttrGetNumElements(names); ++i)
        if (mlirStringRefEqual(mlirStringAttrGetValue(mlirArrayAttrGetElement(names, i)), qbc_str(name)))
            return mlirRegionGetFirstBlock(mlirOperationGetRegion(o->op, i));
    return (MlirBlock){NULL};
}

MlirBlock g_body_of(struct g_op *o, const char *name)
{
    MlirBlock body = g_body(o, name);
    if (mlirBlockIsNull(body))
        g_refuse(o, "it has no subgraph '%s'", name);
    return body;
}

struct g_tensor *g_body_result(struct general *g, MlirBlock body, size_t i)
{
    struct g_tensor *t = g_value(g, mlirOperationGetOperand(qbc_last_of(body), (intptr_t)i));
    return t ? g_solid(g, t) : NULL;
}

size_t g_results_of(MlirBlock body)
{
    return (size_t)mlirOperationGetNumOperands(qbc_last_of(body));
}

struct g_trial g_begin_trial(struct general *g)
{
    struct g_trial t = {g->k.b, {NULL}, g->arena_bytes};
    MlirOperation before = qbc_make_regions(&g->k.b, "scf.execute_region", 0, NULL, NULL, 0, NULL, 1, &(struct qbc_region){.no_block = true});
    t.block = mlirBlockCreate(0, NULL, NULL);
    mlirRegionAppendOwnedBlock(mlirOperationGetRegion(before, 0), t.block);
    g->k.b = qbc_at_end(g->q, t.block, t.outer.loc);
    return t;
}

void g_end_trial(struct general *g, struct g_trial *t)
{
    MlirOperation op = mlirBlockGetParentOperation(t->block);
    g->k.b = t->outer;
    mlirOperationDestroy(op);
    g->arena_bytes = t->arena_bytes;
}

bool g_write_body(struct g_op *o, MlirBlock body, size_t n, struct g_tensor **results)
{
    if (n > g_results_of(body)) {
        g_refuse(o, "its subgraph gives %zu values, fewer than it has results", g_results_of(body));
        return false;
    }
    g_lower_block(o->g, body);
    for (size_t i = 0; i < n && !o->g->q->errors; ++i)
        results[i] = g_body_result(o->g, body, i);
    return !o->g->q->errors;
}

/* --- what a loop carries */

bool g_same_sizes(const struct g_tensor *a, const struct g_tensor *b)
{
    bool same = a->rank == b->rank && a->element == b->element;
    for (size_t i = 0; same && i < a->rank; ++i)
        same = g_same(a->size[i], b->size[i]);
    return same;
}

/* A value that changes from turn to turn, in memory of its own. */
struct g_tensor *g_own_copy(struct general *g, struct g_tensor *from)
{
    struct g_tensor *t = g_new_like(g, from->element, from);
    g_write_to(g, from, t->data);
    return t;
}

/* The new values, all computed before any is overwritten. */
bool g_update(struct g_op *o, size_t n, struct g_tensor *const *old, struct g_tensor *const *next)
{
    struct general *g = o->g;
    struct g_tensor *kept[64];
    for (size_t i = 0; i < n && i < 64; ++i) {
        if (!g_same_sizes(old[i], next[i])) {
            g_refuse(o, "the sizes of the value number %zu that it carries change from turn to turn", i);
            return false;
        }
        kept[i] = g_own_copy(g, next[i]);
    }
    for (size_t i = 0; i < n && i < 64; ++i)
        g_write_to(g, kept[i], old[i]->data);
    return true;
}

struct g_tensor *g_scalar(struct general *g, enum qbc_element element, struct g_num value)
{
    struct g_tensor *t = g_new(g, element, 0, NULL);
    g_allocate(g, t);
    g_put_flat(g, t, k_i64(&g->k, 0), value);
    return t;
}

/* Room for a value of each turn; its first axis is the turn. */
struct g_tensor *g_collected(struct general *g, const struct g_tensor *one, struct g_size turns)
{
    struct g_size size[QBC_MAX_RANK];
    size[0] = turns;
    memcpy(size + 1, one->size, one->rank * sizeof *size);
    struct g_tensor *t = g_new(g, one->element, one->rank + 1, size);
    return t;
}

void g_put_turn(struct general *g, struct g_tensor *all, struct g_tensor *one, MlirValue turn)
{
    struct g_size bytes = g_times(g, g_count(g, one), g_size((int64_t)qbc_element_bytes(one->element)));
    g_write_to(g, one, k_at(&g->k, all->data, k_mul(&g->k, turn, g_i64(g, bytes))));
}

/* while (turn < most && condition), with `condition` in memory */
struct g_turns g_begin_turns(struct general *g, MlirValue most, struct g_tensor *condition)
{
    MlirValue zero = k_i64(&g->k, 0);
    struct qbc_region one = {1, &g->k.i64}, regions[] = {one, one};
    struct g_turns t = {.outer = g->k.b};
    t.op = qbc_make_regions(&g->k.b, "scf.while", 1, &g->k.i64, NULL, 1, &zero, 2, regions);
    MlirBlock test = qbc_region_block(t.op, 0), body = qbc_region_block(t.op, 1);
    g->k.b = qbc_at_end(g->q, test, t.outer.loc);
    MlirValue turn = mlirBlockGetArgument(test, 0), go = k_cmp(&g->k, QBC_LT, turn, most);
    if (condition)
        go = k_op2(&g->k, "arith.andi", go, g_truth(g, g_at_flat(g, condition, zero)));
    qbc_make(&g->k.b, "scf.condition", (MlirType){NULL}, NULL, 2, (MlirValue[]){go, turn});
    g->k.b = qbc_at_end(g->q, body, t.outer.loc);
    t.turn = mlirBlockGetArgument(body, 0);
    return t;
}

MlirValue g_end_turns(struct general *g, struct g_turns *t)
{
    MlirValue next = k_add_i(&g->k, t->turn, 1);
    qbc_make(&g->k.b, "scf.yield", (MlirType){NULL}, NULL, 1, &next);
    g->k.b = t->outer;
    return mlirOperationGetResult(t->op, 0);
}
