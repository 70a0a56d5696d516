/* recognise-bias: a stored vector that is added to the rows of a product.
 *
 *   before   %y = "onnx.Add"(%p, %b)      %p = "qb.linear"(%x, %w) [T, N] in any dims, %b a stored vector [N]
 *   after    %y = "qb.bias"(%p, %b)
 *
 * before   com.microsoft.BiasGelu(%p, %b), com.microsoft.FastGelu(%p, %b)
 * after    onnx.Gelu, or FastGelu without a bias, of "qb.bias"(%p, %b)
 *
 * needs    recognise-linear
 * leaves   qb.bias, which cut-linear cuts with its product and fuse-epilogue takes into it
 * keeps    other sums: of rows (recognise-add), with numbers or positions
 */
#include "pattern.h"

struct bias {
    MlirOperation op;
    MlirValue rows;
    struct qbc_strided vector;
    size_t axis; /* of the vector's dims: the others are 1 */
    int64_t width;
    struct qbc_dims dims;
};

/* The only dimension of the view that is as long as a row. */
static bool is_vector(const struct qbc_strided *v, int64_t width, size_t *axis)
{
    if (!v->rank)
        return false;
    *axis = v->rank - 1;
    for (size_t d = 0; d < v->rank; ++d)
        if (v->dims[d] != (d == *axis ? width : 1))
            return false;
    return true;
}

static bool find(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct bias *b)
{
    *b = (struct bias){.op = op};
    if (mlirOperationGetNumOperands(op) != 2)
        return false;
    for (intptr_t i = 0; i < 2; ++i) {
        MlirValue rows = qbc_strip(mlirOperationGetOperand(op, i)), v = mlirOperationGetOperand(op, 1 - i);
        b->width = qbc_shapes_width(s, mlirOperationGetResult(op, 0), &b->dims);
        b->rows = rows;
        if (qbc_is_level1(rows) && b->width && qbc_dim(rows, 1) == b->width &&
            b->dims.at[b->dims.rank - 1] == b->width && qbc_strided_of(q, s->at[0], v, &b->vector) &&
            is_vector(&b->vector, b->width, &b->axis))
            return true;
    }
    return false;
}

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

static void apply(struct qbc *q, const struct bias *b)
{
    struct qbc_build at = qbc_before(q, b->op);
    MlirValue w = qbc_weight(&at, &b->vector, 1, &b->axis);
    MlirValue y = qbc_op(&at, "qb.bias", qbc_rows_type(q, b->width), 2, b->rows, w);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(b->op, 0), qbc_unrows(&at, y, &b->dims));
}

void qbc_pass_recognise_bias(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    qbc_each(q, func, "onnx.com.microsoft.BiasGelu", unfold);
    qbc_each(q, func, "onnx.com.microsoft.FastGelu", unfold);
    struct qbc_ops ops = qbc_collect(q, func, "onnx.Add");
    struct bias *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        n += find(q, &shapes, ops.op[i], &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
}
