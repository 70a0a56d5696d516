/* bias: stored vectors that are added to the rows of products, or that these are multiplied by (pattern.h). */
#include "pattern.h"

struct bias {
    MlirOperation op;
    MlirValue rows;
    struct qbc_strided vector;
    int64_t width;
    struct qbc_dims dims;
};

/* Rows that a vector may be a part of: scales of norms are theirs. */
static bool takes_vector(MlirOperation op, MlirValue rows)
{
    static const char *const products[] = {"qb.linear", "qb.bias", "qb.scale", NULL};
    return qbc_is_level1(rows) && (qbc_is(op, "onnx.Add") || qbc_one_of(qbc_op_name(qbc_def_any(rows)), products));
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
        if (takes_vector(op, rows) && b->width && qbc_dim(rows, 1) == b->width &&
            qbc_strided_of(q, s->at[0], v, &b->vector) && qbc_strided_vector(&b->vector, &b->dims, b->width))
            return true;
    }
    return false;
}

static void apply(struct qbc *q, const struct bias *b)
{
    struct qbc_build at = qbc_before(q, b->op);
    MlirValue w = qbc_weight(&at, &b->vector, 1, (size_t[]){0});
    const char *name = qbc_is(b->op, "onnx.Add") ? "qb.bias" : "qb.scale";
    MlirValue y = qbc_op(&at, name, qbc_rows_type(q, b->width), 2, b->rows, w);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(b->op, 0), qbc_unrows(&at, y, &b->dims));
}

static void recognise(struct qbc *q, MlirOperation func, const char *name)
{
    struct qbc_ops ops = qbc_collect(q, func, name);
    struct bias *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        n += find(q, &shapes, ops.op[i], &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
}

void qbc_biases(struct qbc *q, MlirOperation func)
{
    recognise(q, func, "onnx.Add");
    recognise(q, func, "onnx.Mul");
}
