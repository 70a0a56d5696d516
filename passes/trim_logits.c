/* trim-logits: only the rows whose logits are asked for go through the end of the model.
 *
 *   before   %n = "qb.rms_norm"(%x, %g);  %y = "qb.linear"(%n, %w) {role = "output"};  return %y
 *   after    %t = "qb.tail"(%x);  %n = "qb.rms_norm"(%t, %g);  ...
 *
 * needs    derive-cache
 * leaves   a qb.tail before the operations on single rows that end the model
 * keeps    a graph that has one, or whose result is computed otherwise
 */
#include "pattern.h"

/* A row of the result depends on the same row of operand 0 only. */
static bool is_by_row(MlirOperation op)
{
    static const char *const kinds[] = {"qb.linear", "qb.rms_norm", "qb.layer_norm", "qb.bias", "qb.act", "qb.times",
                                        "qb.plus", "qb.clip"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i)
        if (qbc_is(op, kinds[i]))
            return true;
    return false;
}

void qbc_pass_trim_logits(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module), first = {NULL};
    if (mlirOperationIsNull(func))
        return;
    MlirValue v = mlirOperationGetOperand(qbc_return_of(func), 0);
    for (;;) {
        MlirOperation op = qbc_def_any(v);
        if (mlirOperationIsNull(op) || !is_by_row(op) || qbc_uses(v) != 1)
            break;
        first = op;
        v = mlirOperationGetOperand(op, 0);
    }
    if (mlirOperationIsNull(first) || !mlirOperationIsNull(qbc_def(v, "qb.tail")))
        return;
    struct qbc_build b = qbc_before(q, first);
    mlirOperationSetOperand(first, 0, qbc_op(&b, "qb.tail", mlirValueGetType(v), 1, v));
}
