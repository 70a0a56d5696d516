/* fuse-epilogue: elementwise work on a product happens while the product is in registers.
 *
 *   before   %p = "qb.fused_linear"(%a, %w) ({ ^bb0(%0: f32): yield %0 })
 *            %y = arith.addf %x, %p                     or "qb.glu"(%g, %p), "qb.bias"(%p, %x), "qb.scale"(%p, %x),
 *                                                        "qb.act"(%p), "qb.times"(%p)
 *   after    %y = "qb.fused_linear"(%a, %w, %x) ({ ^bb0(%0: f32, %1: f32): yield %1 + %0 })
 *
 * A bias, or the map of a scaling, becomes an input of rows that are all the same: "qb.repeat"(%x).
 *
 * needs    fuse-dequant
 * keeps    a product that something else reads too
 */
#include "kernel.h"
#include "passes.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

/* The only user of a product, and which operand it is; null when there are more or none. */
static MlirOperation only_user(MlirValue v, int *operand)
{
    if (qbc_uses(v) != 1)
        return (MlirOperation){NULL};
    MlirOpOperand use = mlirValueGetFirstUse(v);
    *operand = (int)mlirOpOperandGetOperandNumber(use);
    return mlirOpOperandGetOwner(use);
}

static MlirValue act(struct qbc *q, struct qbc_build *b, MlirOperation user, MlirValue x)
{
    MlirValue y = qbc_op(b, "qb.act", mlirF32TypeGet(q->mlir), 1, x);
    qbc_set_string(q, qbc_def_any(y), "act", qbc_string(q, user, "act", ""));
    return y;
}

static const char *const numbers[] = {"by", "low", "high"};

static bool is_with_numbers(MlirOperation op)
{
    return qbc_is(op, "qb.times") || qbc_is(op, "qb.plus") || qbc_is(op, "qb.clip");
}

/* What the epilogue does with `product` and the other operand of `user`, if that has one. */
static MlirValue apply(struct qbc *q, struct qbc_build *b, MlirOperation user, int operand,
                       MlirValue product, MlirValue other)
{
    MlirType f32 = mlirF32TypeGet(q->mlir);
    if (qbc_is(user, "qb.act"))
        return act(q, b, user, product);
    if (is_with_numbers(user)) {
        MlirValue y = qbc_op(b, qbc_op_name(user), f32, 1, product);
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
            if (qbc_has(user, numbers[i]))
                qbc_set_float(q, qbc_def_any(y), numbers[i], (float)qbc_float(user, numbers[i], 0));
        return y;
    }
    bool multiplies = qbc_is(user, "arith.mulf") || qbc_is(user, "qb.scale");
    if (!qbc_is(user, "qb.glu"))
        return qbc_op(b, multiplies ? "arith.mulf" : "arith.addf", f32, 2, other, product);
    MlirValue gate = operand == 0 ? product : other, up = operand == 0 ? other : product;
    return qbc_op(b, "arith.mulf", f32, 2, act(q, b, user, gate), up);
}

/* Of a matrix and a vector: one row for all tokens. */
static bool takes_vector(MlirOperation user)
{
    return qbc_is(user, "qb.bias") || qbc_is(user, "qb.scale");
}

static bool can_take(struct qbc *q, MlirOperation user, int operand)
{
    if (qbc_is(user, "qb.glu") || qbc_is(user, "qb.act"))
        return qbc_knows_activation(qbc_string(q, user, "act", ""));
    return qbc_is(user, "arith.addf") || is_with_numbers(user) || (takes_vector(user) && operand == 0);
}

/* A fused_linear with what else `user` reads as one more input, its epilogue followed by what `user` does. */
static MlirOperation absorb(struct qbc *q, MlirOperation linear, MlirOperation user, int operand)
{
    struct qbc_build b = qbc_before(q, user);
    intptr_t n = mlirOperationGetNumOperands(linear);
    MlirValue operands[16];
    for (intptr_t i = 0; i < n; ++i)
        operands[i] = mlirOperationGetOperand(linear, i);
    size_t more = (size_t)mlirOperationGetNumOperands(user) - 1;
    MlirType type = mlirValueGetType(mlirOperationGetResult(linear, 0));
    if (more)
        operands[n] = mlirOperationGetOperand(user, 1 - operand);
    if (takes_vector(user))
        operands[n] = qbc_op(&b, "qb.repeat", type, 1, operands[n]);
    MlirOperation fused = qbc_make_regions(&b, "qb.fused_linear", 1, &type, NULL, (size_t)n + more,
                                           operands, 1, &(struct qbc_region){0, NULL});
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(linear); ++i) {
        MlirNamedAttribute a = mlirOperationGetAttribute(linear, i);
        mlirOperationSetAttributeByName(fused, mlirIdentifierStr(a.name), a.attribute);
    }
    MlirBlock body = qbc_move_body(linear, fused); /* and it grows an argument */
    MlirValue other = more ? mlirBlockAddArgument(body, mlirF32TypeGet(q->mlir), b.loc) : (MlirValue){NULL};
    MlirOperation yield = mlirBlockGetTerminator(body);
    struct qbc_build in_body = qbc_before(q, yield);
    mlirOperationSetOperand(yield, 0,
                            apply(q, &in_body, user, operand, mlirOperationGetOperand(yield, 0), other));
    qbc_replace(user, mlirOperationGetResult(fused, 0));
    mlirOperationDestroy(linear);
    return fused;
}

/* Backwards: of two products that meet, the later one takes the other as an input. A product that
 * took its user is looked at again at its new place. */
void qbc_pass_fuse_epilogue(struct qbc *q, MlirOperation module)
{
    enum { MOST_OPERANDS = 6 };
    struct qbc_ops ops = qbc_collect(q, module, "qb.fused_linear");
    for (size_t i = ops.n; i-- > 0;) {
        MlirOperation linear = ops.op[i], user;
        int operand = 0;
        while (user = only_user(mlirOperationGetResult(linear, 0), &operand),
               !mlirOperationIsNull(user) && can_take(q, user, operand) &&
                   mlirOperationGetNumOperands(linear) < MOST_OPERANDS)
            linear = absorb(q, linear, user, operand);
    }
}
