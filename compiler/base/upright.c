/* upright: elementwise operations on values that were transposed (pattern.h).
 *
 *   before   %x = Transpose(%rows) [1, C, T];  %y = Mul(%x, Sigmoid(%x))
 *   after    %y = Transpose(Mul(%rows, Sigmoid(%rows)))
 *
 * So what lies between a convolution, which wants [1, C, T], and the next product is arithmetic on rows. Operations that also
 * read something else than transpositions in the same way and single numbers stay.
 */
#include "pattern.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

static bool is_number(MlirValue v)
{
    MlirType type = mlirValueGetType(v);
    if (!qbc_is_constant(v) || !mlirTypeIsAShaped(type) || !mlirShapedTypeHasStaticShape(type))
        return false;
    int64_t n = 1;
    for (intptr_t i = 0; i < mlirShapedTypeGetRank(type); ++i)
        n *= mlirShapedTypeGetDimSize(type, i);
    return n == 1 && mlirShapedTypeGetRank(type) <= 1;
}

/* The permutation of which all operands are transpositions that are no numbers; 0: there is no such one. */
static size_t common(struct qbc *q, MlirOperation op, const int64_t **perm)
{
    size_t rank = 0;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirOperation turned = qbc_def(v, "onnx.Transpose");
        const int64_t *one;
        if (is_number(v) || qbc_is_none(v))
            continue;
        size_t n = mlirOperationIsNull(turned) ? 0 : qbc_ints(q, turned, "perm", &one);
        if (!n || (rank && (n != rank || memcmp(one, *perm, n * sizeof *one))))
            return 0;
        rank = n;
        *perm = one;
    }
    return rank;
}

static bool gives_floats(MlirOperation op)
{
    MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0));
    return mlirTypeIsAShaped(type) && mlirTypeIsAF32(mlirShapedTypeGetElementType(type));
}

static void turn(struct qbc *q, MlirOperation op, size_t rank, const int64_t *perm)
{
    struct qbc_build b = qbc_before(q, op);
    MlirOperation made = mlirOperationClone(op);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(made); ++i) {
        MlirOperation turned = qbc_def(mlirOperationGetOperand(made, i), "onnx.Transpose");
        if (!mlirOperationIsNull(turned))
            mlirOperationSetOperand(made, i, mlirOperationGetOperand(turned, 0));
    }
    mlirValueSetType(mlirOperationGetResult(made, 0), qbc_unranked(q));
    mlirBlockInsertOwnedOperationBefore(mlirOperationGetBlock(op), op, made);
    MlirValue y = qbc_transpose(&b, mlirOperationGetResult(made, 0), rank, perm);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), y);
}

void qbc_upright(struct qbc *q, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    for (size_t i = 0; i < ops.n; ++i) {
        const int64_t *perm = NULL;
        if (mlirOperationGetNumResults(ops.op[i]) != 1 || !qbc_is_elementwise(ops.op[i]) || !gives_floats(ops.op[i]))
            continue;
        size_t rank = common(q, ops.op[i], &perm);
        if (rank)
            turn(q, ops.op[i], rank, perm);
    }
}
