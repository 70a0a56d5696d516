/* fold-branches: an If whose condition is the same for all tokens and caches is the branch that it takes.
 *
 *   before   %y = If(%c) ({%a = ...; onnx.yield %a}, {%b = ...; onnx.yield %b}) {graphs = ["then_branch", "else_branch"]}
 *   after    %a = ...                                  where %c is true for several numbers of tokens, with a cache if there is one
 *
 * Exporters write an If where the shape of something decides (Squeeze of a dimension that may be 1), or what the model was configured for. One
 * that asks for a single token, or for an empty cache, is the general case's branch: it computes the same.
 *
 * needs    level 0
 * leaves   no regions where the condition is known
 * keeps    other conditions, and notes it
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>

/* Is region i of the operation its attribute `name`? */
static bool is_graph(MlirOperation op, intptr_t i, const char *name)
{
    MlirAttribute names = mlirOperationGetAttributeByName(op, qbc_str("graphs"));
    return !mlirAttributeIsNull(names) && i < mlirArrayAttrGetNumElements(names) &&
           mlirStringRefEqual(mlirStringAttrGetValue(mlirArrayAttrGetElement(names, i)), qbc_str(name));
}

/* 1, 0, or -1 where it is not known or not always the same. */
static int condition_of(struct qbc *q, MlirOperation func, MlirOperation op)
{
    struct qbc_shapes s;
    int known[2] = {-1, -1};
    qbc_shapes_open(q, func, &s);
    for (int i = 0; i < 2; ++i) {
        const struct qbc_array *a = qbc_evaluate(s.at[i], mlirOperationGetOperand(op, 0));
        if (a && a->known && a->i && a->n == 1)
            known[i] = a->i[0] != 0;
    }
    qbc_shapes_close(&s);
    return known[0] == known[1] ? known[0] : -1;
}

/* The operations of the branch, in place of the If. False: it yields another number of values. */
static bool take_branch(MlirOperation op, MlirBlock body)
{
    MlirOperation last = qbc_last_of(body);
    if (mlirOperationGetNumOperands(last) != mlirOperationGetNumResults(op))
        return false;
    qbc_splice(body, op);
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, i), mlirOperationGetOperand(last, i));
    mlirOperationDestroy(op);
    return true;
}

static bool fold(struct qbc *q, MlirOperation func, MlirOperation op)
{
    int condition = condition_of(q, func, op);
    for (intptr_t i = 0; condition >= 0 && i < mlirOperationGetNumRegions(op); ++i)
        if (is_graph(op, i, condition ? "then_branch" : "else_branch") && take_branch(op, mlirRegionGetFirstBlock(mlirOperationGetRegion(op, i))))
            return true;
    qbc_miss(q, op, "its condition is not known before the model runs, or differs with the number of tokens");
    return false;
}

/* The first If of the function's own body; null: none without a note. */
static MlirOperation first_if(MlirOperation func)
{
    MlirOperation op = mlirBlockGetFirstOperation(qbc_func_body(func));
    while (!mlirOperationIsNull(op) && (!qbc_is(op, "onnx.If") || qbc_has(op, "qb.miss")))
        op = mlirOperationGetNextInBlock(op);
    return op;
}

void qbc_pass_fold_branches(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module), op;
    bool any = false;
    if (mlirOperationIsNull(func))
        return;
    while (!mlirOperationIsNull(op = first_if(func)))
        any |= fold(q, func, op);
    if (any)
        qbc_tidy(q, module);
}
