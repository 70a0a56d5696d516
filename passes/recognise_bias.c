/* recognise-bias: a stored vector that is added to the rows of a product, or that these are multiplied by.
 *
 *   before   %y = "onnx.Add"(%p, %b)      %p = "qb.linear"(%x, %w) [T, N] in any dims, %b a stored vector [N]
 *   after    %y = "qb.bias"(%p, %b)
 *
 *   before   %y = "onnx.Mul"(%p, %b)      the same
 *   after    %y = "qb.scale"(%p, %b)
 *
 * before   com.microsoft.BiasGelu(%p, %b), com.microsoft.FastGelu(%p, %b)
 * after    onnx.Gelu, or FastGelu without a bias, of "qb.bias"(%p, %b)
 *
 * needs    recognise-linear
 * leaves   qb.bias and qb.scale, which cut-linear cuts with their product and fuse-epilogue takes into it
 * keeps    other sums and products: of rows (recognise-add), with numbers or positions
 */
#include "pattern.h"

/* The bias that a gelu adds first becomes an Add of its own. */
static void unfold(struct qbc *q, MlirOperation op)
{
    bool fast = qbc_is(op, "onnx.com.microsoft.FastGelu");
    if (mlirOperationGetNumOperands(op) != 2 || qbc_is_none(mlirOperationGetOperand(op, 1)))
        return;
    struct qbc_build b = qbc_before(q, op);
    MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0));
    MlirValue x = qbc_op(&b, "onnx.Add", type, 2, mlirOperationGetOperand(op, 0), mlirOperationGetOperand(op, 1));
    qbc_replace(op, qbc_op(&b, fast ? "onnx.com.microsoft.FastGelu" : "onnx.Gelu", type, 1, x));
}

void qbc_pass_recognise_bias(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    qbc_each(q, func, "onnx.com.microsoft.BiasGelu", unfold);
    qbc_each(q, func, "onnx.com.microsoft.FastGelu", unfold);
    qbc_biases(q, func);
    qbc_tidy(q, module);
}
