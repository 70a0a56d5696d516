/* epilogue: the launch's region, written for one element, built on vectors. */
#include "kernel.h"

#include <math.h>
#include <mlir-c/BuiltinTypes.h>

enum { MOST_VALUES = 64 };

struct mapping {
    MlirValue from[MOST_VALUES], to[MOST_VALUES];
    size_t n;
};

static MlirValue look_up(const struct mapping *m, MlirValue v)
{
    for (size_t i = 0; i < m->n; ++i)
        if (mlirValueEqual(m->from[i], v))
            return m->to[i];
    return (MlirValue){NULL};
}

static MlirValue clipped(struct qbc_kernel *k, MlirValue x, double low, double high)
{
    if (low > -INFINITY)
        x = k_fmax(k, k_float_of(k, mlirValueGetType(x), low), x);
    return high < INFINITY ? k_fmin(k, k_float_of(k, mlirValueGetType(x), high), x) : x;
}

static MlirValue build(struct qbc_kernel *k, MlirOperation op, const struct mapping *m)
{
    MlirValue a = look_up(m, mlirOperationGetOperand(op, 0));
    if (qbc_is(op, "qb.act"))
        return k_activation(k, qbc_string(k->q, op, "act", ""), a);
    if (qbc_is(op, "qb.times"))
        return k_fmul(k, a, k_float_of(k, mlirValueGetType(a), qbc_float(op, "by", 1)));
    if (qbc_is(op, "qb.plus"))
        return k_fadd(k, a, k_float_of(k, mlirValueGetType(a), qbc_float(op, "by", 0)));
    if (qbc_is(op, "qb.clip"))
        return clipped(k, a, qbc_float(op, "low", -INFINITY), qbc_float(op, "high", INFINITY));
    if (qbc_is(op, "qb.where"))
        return k_select(k, k_fcmp(k, QBC_FGT, a, k_float_of(k, mlirValueGetType(a), 0)), look_up(m, mlirOperationGetOperand(op, 1)),
                        look_up(m, mlirOperationGetOperand(op, 2)));
    if (mlirOperationGetNumOperands(op) == 2)
        return k_op2(k, qbc_op_name(op), a, look_up(m, mlirOperationGetOperand(op, 1)));
    return k_op1(k, qbc_op_name(op), a);
}

MlirValue k_epilogue(struct qbc_kernel *k, MlirValue product, size_t n_extra, const MlirValue *extra)
{
    MlirBlock block = qbc_region_block(k->launch, 0);
    struct mapping m = {.n = 0};
    if (mlirBlockIsNull(block) || mlirOperationIsNull(mlirBlockGetFirstOperation(block)))
        return product;
    for (size_t i = 0; i <= n_extra; ++i, ++m.n) {
        m.from[m.n] = mlirBlockGetArgument(block, (intptr_t)i);
        m.to[m.n] = i ? extra[i - 1] : product;
    }
    for (MlirOperation op = mlirBlockGetFirstOperation(block); !mlirOperationIsNull(op);
         op = mlirOperationGetNextInBlock(op)) {
        if (qbc_is(op, "llvm.return"))
            return look_up(&m, mlirOperationGetOperand(op, 0));
        if (m.n == MOST_VALUES) {
            qbc_error(k->q, op, "an epilogue of more than %d operations", MOST_VALUES);
            return product;
        }
        m.from[m.n] = mlirOperationGetResult(op, 0);
        m.to[m.n++] = build(k, op, &m);
    }
    return product;
}
