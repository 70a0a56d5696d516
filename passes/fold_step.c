/* fold-step: in a graph for one token a call, many operations move nothing.
 *
 *   before   Transpose [1, C, 1] to [1, 1, C]; Gather or Slice of the only entry of a dimension
 *   after    onnx.Reshape, through which the recognising passes look
 *
 * needs    level 0
 * leaves   the same numbers in the same order
 * keeps    graphs for any number of tokens; moves that change the order
 */
#include "pattern.h"

#include <mlir-c/BuiltinTypes.h>

/* Do the dimensions that are not 1 keep their order? */
static bool keeps_order(struct qbc *q, MlirOperation op, const struct qbc_array *from)
{
    const int64_t *perm;
    size_t n = qbc_ints(q, op, "perm", &perm);
    int64_t last = -1;
    for (size_t d = 0; d < n; ++d) {
        if (perm[d] < 0 || perm[d] >= (int64_t)from->rank)
            return false;
        if (from->dims[perm[d]] == 1)
            continue;
        if (perm[d] < last)
            return false;
        last = perm[d];
    }
    return n == from->rank;
}

/* Does it only say the same numbers in other dims? As many of them that are not turned around are the same ones. */
static bool is_reshape(struct qbc *q, struct qbc_shapes *s, MlirOperation op, const struct qbc_array **to)
{
    static const char *const picks[] = {"onnx.Gather", "onnx.Slice", "onnx.Expand", NULL};
    bool turns = qbc_is(op, "onnx.Transpose");
    if ((!turns && !qbc_one_of(qbc_op_name(op), picks)) || mlirOperationGetNumResults(op) != 1)
        return false;
    const struct qbc_array *from = qbc_evaluate_small(s->at[0], mlirOperationGetOperand(op, 0));
    *to = qbc_evaluate_small(s->at[0], mlirOperationGetResult(op, 0));
    if (!from || !*to || !from->n || from->n != (*to)->n || from->known || !qbc_is_float(from->element))
        return false;
    if (qbc_is(op, "onnx.Gather")) { /* one of one */
        const struct qbc_array *ids = qbc_evaluate_small(s->at[0], mlirOperationGetOperand(op, 1));
        return ids && ids->n == 1;
    }
    return !turns || keeps_order(q, op, from);
}

void qbc_pass_fold_step(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func) || !qbc_is_step(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    const struct qbc_array **to = qbc_alloc(q, (ops.n + 1) * sizeof *to);
    struct qbc_shapes s;
    qbc_shapes_open(q, func, &s);
    for (size_t i = 0; i < ops.n; ++i)
        if (mlirOperationGetNumResults(ops.op[i]) && !is_reshape(q, &s, ops.op[i], &to[i]))
            to[i] = NULL;
    for (size_t i = 0; i < ops.n; ++i) {
        if (!to[i])
            continue;
        struct qbc_build b = qbc_before(q, ops.op[i]);
        MlirType type = qbc_tensor(q, mlirF32TypeGet(q->mlir), to[i]->rank, to[i]->dims);
        MlirValue y = qbc_reshape(&b, mlirOperationGetOperand(ops.op[i], 0), type, to[i]->rank, to[i]->dims);
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(ops.op[i], 0), y);
    }
    qbc_shapes_close(&s);
    qbc_tidy(q, module);
}
