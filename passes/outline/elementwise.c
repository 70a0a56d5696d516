/* elementwise.c: arithmetic on the elements of rows: one kernel, whose body is the region of its launch. */
#include "outline.h"

#include <mlir-c/BuiltinTypes.h>

/* What an elementwise operation does with one element of each operand. */
static MlirValue scalar(struct outline *o, struct qbc_build *b, MlirOperation op, const MlirValue *x)
{
    MlirType f32 = mlirF32TypeGet(o->q->mlir);
    bool gated = qbc_is(op, "qb.glu");
    if (qbc_is(op, "qb.times") || qbc_is(op, "qb.plus") || qbc_is(op, "qb.clip")) {
        MlirValue y = qbc_op(b, qbc_op_name(op), f32, 1, x[0]);
        qbc_copy_attribute(op, qbc_def_any(y), "by");
        qbc_copy_attribute(op, qbc_def_any(y), "low");
        qbc_copy_attribute(op, qbc_def_any(y), "high");
        return y;
    }
    if (qbc_is(op, "qb.where"))
        return qbc_op(b, "qb.where", f32, 3, x[0], x[1], x[2]);
    if (!gated && !qbc_is(op, "qb.act"))
        return qbc_op(b, qbc_is(op, "qb.bias") ? "arith.addf" : qbc_is(op, "qb.scale") ? "arith.mulf" : qbc_op_name(op),
                      f32, 2, x[0], x[1]);
    MlirValue y = qbc_op(b, "qb.act", f32, 1, x[0]);
    qbc_set_string(o->q, qbc_def_any(y), "act", qbc_string(o->q, op, "act", ""));
    return gated ? qbc_op(b, "arith.mulf", f32, 2, y, x[1]) : y;
}

/* A vector of weights, which has no rows, is the same for each. */
void qbc_outline_elementwise(struct outline *o, MlirOperation op)
{
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    MlirValue operands[4], x[3];
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = qbc_place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    const char *rows = qbc_place_rows(o, operands[1]);
    operands[0] = qbc_place_output(o, op, rows);
    MlirOperation l = qbc_launch(o, "elementwise", rows, n + 1, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(qbc_only_result(op), 1));
    MlirType f32 = mlirF32TypeGet(o->q->mlir);
    MlirBlock body = mlirBlockCreate((intptr_t)n, (MlirType[]){f32, f32, f32}, (MlirLocation[]){o->b.loc, o->b.loc, o->b.loc});
    mlirRegionAppendOwnedBlock(mlirOperationGetRegion(l, 0), body);
    for (size_t i = 0; i < n; ++i)
        x[i] = mlirBlockGetArgument(body, (intptr_t)i);
    struct qbc_build in_body = qbc_at_end(o->q, body, o->b.loc);
    qbc_do(&in_body, "llvm.return", 1, scalar(o, &in_body, op, x));
}
