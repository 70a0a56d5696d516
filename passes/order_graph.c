/* order-graph: one order of operations and operands for all exports of a model.
 *
 *   before   operations as the exporter happened to write them
 *   after    by how many operations lead to one, and among equals as a walk from the result meets
 *            them: q, k, v, then rope q, rope k, append v, then append k, attention, ...
 *            weights and states stand before their first use; a sum takes the shallower operand (the
 *            residual stream) first
 *
 * needs    level 1
 * leaves   the same graph
 */
#include "pattern.h"

#include <stdlib.h>

struct node {
    MlirOperation op;
    size_t depth; /* longest way from the start */
    size_t met;   /* when the walk from the result met it, from 1; 0: not yet */
};

struct order {
    struct node *node; /* in program order */
    size_t n, met;
};

static bool is_leaf(MlirOperation op)
{
    return qbc_is(op, "qb.weight") || qbc_is(op, "qb.state");
}

static struct node *find(struct order *o, MlirValue v)
{
    MlirOperation op = qbc_def_any(v);
    for (size_t i = 0; i < o->n && !mlirOperationIsNull(op); ++i)
        if (mlirOperationEqual(o->node[i].op, op))
            return &o->node[i];
    return NULL;
}

static size_t depth_of(struct order *o, MlirValue v)
{
    const struct node *node = find(o, v);
    return node ? node->depth : 0;
}

static void set_depth(struct order *o, struct node *node)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(node->op); ++i) {
        size_t before = depth_of(o, mlirOperationGetOperand(node->op, i));
        node->depth = before > node->depth ? before : node->depth;
    }
    node->depth += !is_leaf(node->op);
}

static void order_operands(struct order *o, MlirOperation op)
{
    if (!qbc_is(op, "arith.addf") && !qbc_is(op, "arith.mulf"))
        return;
    MlirValue a = mlirOperationGetOperand(op, 0), b = mlirOperationGetOperand(op, 1);
    if (depth_of(o, a) <= depth_of(o, b))
        return;
    mlirOperationSetOperand(op, 0, b);
    mlirOperationSetOperand(op, 1, a);
}

static void meet(struct order *o, MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        struct node *node = find(o, mlirOperationGetOperand(op, i));
        if (!node || node->met)
            continue;
        meet(o, node->op);
        node->met = ++o->met;
    }
}

static int compare(const void *a, const void *b)
{
    const struct node *x = a, *y = b;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return x->met < y->met ? -1 : x->met > y->met;
}

/* A weight or state that is still behind its first user goes before it. */
static void place_leaves(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        MlirOperation def = qbc_def_any(mlirOperationGetOperand(op, i));
        if (!mlirOperationIsNull(def) && is_leaf(def) && !mlirOperationIsBeforeInBlock(def, op))
            mlirOperationMoveBefore(def, op);
    }
}

void qbc_pass_order_graph(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    MlirBlock body = qbc_func_body(func);
    MlirOperation end = mlirBlockGetTerminator(body);
    struct order o = {.n = 0};
    for (MlirOperation op = mlirBlockGetFirstOperation(body); !mlirOperationIsNull(op);
         op = mlirOperationGetNextInBlock(op))
        ++o.n;
    o.node = qbc_alloc(q, o.n * sizeof *o.node);
    size_t i = 0;
    for (MlirOperation op = mlirBlockGetFirstOperation(body); !mlirOperationEqual(op, end);
         op = mlirOperationGetNextInBlock(op))
        o.node[i++].op = op;
    o.n = i;
    for (i = 0; i < o.n; ++i)
        set_depth(&o, &o.node[i]);
    for (i = 0; i < o.n; ++i)
        order_operands(&o, o.node[i].op);
    meet(&o, end);
    qsort(o.node, o.n, sizeof *o.node, compare);
    for (int leaves = 0; leaves < 2; ++leaves)
        for (i = 0; i < o.n; ++i)
            if (is_leaf(o.node[i].op) == leaves)
                mlirOperationMoveBefore(o.node[i].op, end);
    for (i = 0; i < o.n; ++i)
        if (!is_leaf(o.node[i].op))
            place_leaves(o.node[i].op);
}
