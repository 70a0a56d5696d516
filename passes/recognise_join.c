/* recognise-join: rows put together of rows, side by side.
 *
 *   before   %y = Concat(%a, %b) {axis = -1}             of level-1 rows [T, m] and [T, n] in any dims whose last one is theirs
 *   after    %y = "qb.heads"(%a, %b) {heads = 1, head_dim = m + n, runs: all of %a, then all of %b}
 *
 * Hybrids give an attention block that layers share the embedding beside the residual stream.
 *
 * needs    recognise-add, recognise-elementwise: operands are level 1 by now
 * leaves   level-1 rows
 * keeps    Concat of anything else
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>

enum { MOST_PARTS = 4, NUMBERS = 5 /* of a run */ };

struct join {
    MlirOperation op;
    struct qbc_dims dims;
    int64_t width;
};

/* Is each row those of the operands, one after the other? */
static bool find(struct qbc_shapes *s, MlirOperation op, struct join *out)
{
    int64_t n = mlirOperationGetNumOperands(op), sum = 0, axis = qbc_int(op, "axis", 0);
    *out = (struct join){.op = op};
    out->width = qbc_shapes_width(s, mlirOperationGetResult(op, 0), &out->dims);
    for (int64_t i = 0; i < n && out->width; ++i) {
        MlirValue v = qbc_strip(mlirOperationGetOperand(op, i));
        struct qbc_dims dims;
        bool last = qbc_is_level1(v) && qbc_shapes_dims(s, mlirOperationGetOperand(op, i), &dims) && dims.rank == out->dims.rank &&
                    dims.at[dims.rank - 1] == qbc_dim(v, 1);
        if (!last)
            return false;
        sum += qbc_dim(v, 1);
    }
    int64_t rank = (int64_t)out->dims.rank;
    return n > 1 && n <= MOST_PARTS && rank && (axis == -1 || axis == rank - 1) && sum == out->width && out->dims.at[rank - 1] == sum;
}

static void apply(struct qbc *q, const struct join *join)
{
    size_t n = (size_t)mlirOperationGetNumOperands(join->op);
    MlirValue parts[MOST_PARTS];
    int64_t runs[MOST_PARTS * NUMBERS];
    for (size_t i = 0; i < n; ++i) {
        parts[i] = qbc_strip(mlirOperationGetOperand(join->op, (intptr_t)i));
        int64_t run[NUMBERS] = {(int64_t)i, 0, 0, 1, qbc_dim(parts[i], 1)};
        for (size_t k = 0; k < NUMBERS; ++k)
            runs[i * NUMBERS + k] = run[k];
    }
    struct qbc_build b = qbc_before(q, join->op);
    MlirOperation op = qbc_make(&b, "qb.heads", qbc_rows_type(q, join->width), NULL, n, parts);
    qbc_set_int(q, op, "heads", 1);
    qbc_set_int(q, op, "head_dim", join->width);
    qbc_set(op, "runs", mlirDenseI64ArrayGet(q->mlir, (intptr_t)(n * NUMBERS), runs));
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(join->op, 0), qbc_unrows(&b, mlirOperationGetResult(op, 0), &join->dims));
}

void qbc_pass_recognise_join(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    struct qbc_ops ops = mlirOperationIsNull(func) ? (struct qbc_ops){0} : qbc_collect(q, func, "onnx.Concat");
    if (!ops.n)
        return;
    struct join *found = qbc_alloc(q, ops.n * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        n += find(&shapes, ops.op[i], &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
}
