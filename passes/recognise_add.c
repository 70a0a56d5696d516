/* recognise-add: sums of rows, the residual stream; rows times a number.
 *
 *   before   %y = "onnx.Add"(%a, %b)      [1, T, C] all three
 *   after    %y = arith.addf %a, %b       [T, C]
 *
 *   before   %y = "onnx.Mul"(%a, 0.22), "onnx.Div"(%a, 8.0)      multipliers of embeddings, residuals, logits
 *   after    %y = "qb.times"(%a) {by = 0.22}
 *
 * needs    the other recognising passes: operands are level 1 by now
 * leaves   one arith.addf or qb.times for each
 * keeps    other additions: of positions and masks, of a stored vector (noted); products of rows
 */
#include "pattern.h"

struct sum {
    MlirOperation op;
    int64_t width;
    struct qbc_dims dims;
    bool times;    /* not a sum: operand `rows` by a number */
    intptr_t rows;
    float by;
};

static bool find(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct sum *sum)
{
    MlirValue y = mlirOperationGetResult(op, 0);
    const struct qbc_array *numbers = qbc_evaluate_small(s->at[0], y);
    if (mlirOperationGetNumOperands(op) != 2 || !numbers || numbers->known ||
        !qbc_is_float(numbers->element))
        return false;
    *sum = (struct sum){.op = op};
    sum->width = qbc_shapes_width(s, y, &sum->dims);
    for (intptr_t i = 0; i < 2; ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        const struct qbc_array *a = qbc_is_constant(qbc_strip(v)) ? qbc_evaluate_small(s->at[0], v) : NULL;
        if (a && a->n > 1)
            qbc_miss(q, op, "a stored vector is added to rows that no linear layer gave");
        if (a)
            return false;
        if (!sum->width || qbc_shapes_width(s, v, NULL) != sum->width)
            return false;
    }
    return true;
}

/* One number, the same for all tokens. */
static bool is_number(struct qbc_shapes *s, MlirValue v, float *out)
{
    const struct qbc_array *a = qbc_evaluate_small(s->at[0], v), *b = qbc_evaluate_small(s->at[1], v);
    bool good = a && b && a->known && b->known && a->f && b->f && a->n == 1 && b->n == 1 && a->f[0] == b->f[0];
    *out = good ? a->f[0] : 0;
    return good;
}

static bool find_times(struct qbc_shapes *s, MlirOperation op, struct sum *sum)
{
    MlirValue y = mlirOperationGetResult(op, 0);
    bool divides = qbc_is(op, "onnx.Div");
    const struct qbc_array *numbers = qbc_evaluate_small(s->at[0], y);
    *sum = (struct sum){.op = op};
    if (!numbers || numbers->known || !qbc_is_float(numbers->element))
        return false;
    sum->width = qbc_shapes_width(s, y, &sum->dims);
    for (intptr_t i = divides; sum->width && i < 2; ++i)
        if (is_number(s, mlirOperationGetOperand(op, i), &sum->by)) {
            sum->times = true;
            sum->rows = 1 - i;
            sum->by = divides ? 1 / sum->by : sum->by;
            return qbc_shapes_width(s, mlirOperationGetOperand(op, 1 - i), NULL) == sum->width;
        }
    return false;
}

static void apply_times(struct qbc *q, const struct sum *sum)
{
    MlirValue x = qbc_strip(mlirOperationGetOperand(sum->op, sum->rows));
    if (!qbc_is_level1(x))
        return;
    struct qbc_build at = qbc_before(q, sum->op);
    MlirValue y = qbc_op(&at, "qb.times", qbc_rows_type(q, sum->width), 1, x);
    qbc_set_float(q, qbc_def_any(y), "by", sum->by);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(sum->op, 0), qbc_unrows(&at, y, &sum->dims));
}

/* Its operands are level 1, or sums that are level 1 by now. */
static void apply(struct qbc *q, struct sum *sum)
{
    if (sum->times) {
        apply_times(q, sum);
        return;
    }
    MlirValue a = qbc_strip(mlirOperationGetOperand(sum->op, 0));
    MlirValue b = qbc_strip(mlirOperationGetOperand(sum->op, 1));
    if (!qbc_is_level1(a) || !qbc_is_level1(b))
        return; /* what makes them has a reason of its own */
    struct qbc_build at = qbc_before(q, sum->op);
    MlirValue y = qbc_op(&at, "arith.addf", qbc_rows_type(q, sum->width), 2, a, b);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(sum->op, 0),
                                  qbc_unrows(&at, y, &sum->dims));
}

void qbc_pass_recognise_add(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct sum *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        if (qbc_is(ops.op[i], "onnx.Add") || qbc_is(ops.op[i], "onnx.Sum"))
            n += find(q, &shapes, ops.op[i], &found[n]);
        else if (qbc_is(ops.op[i], "onnx.Mul") || qbc_is(ops.op[i], "onnx.Div"))
            n += find_times(&shapes, ops.op[i], &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
    qbc_part_columns(q, module, (const char *const[]){"arith.addf", NULL}); /* a product and its adapter's, gate and up side by side */
}
