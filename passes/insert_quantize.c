/* insert-quantize: round activations to 8 bits where codes are multiplied.
 *
 *   before   %w = "qb.dequant"(%b) : (tensor<NxKx!qb.block<"i4g32">>) -> tensor<NxKxf32>
 *            %y = "qb.linear"(%x, %w) : (tensor<?xKxf32>, tensor<NxKxf32>) -> tensor<?xNxf32>
 *   after    %a = "qb.quantize"(%x) {act = "i8g32"}
 *                     : (tensor<?xKxf32>) -> tensor<?xKx!qb.block<"i8g32">>
 *            %y = "qb.linear"(%a, %w)
 *
 * needs    formats assigned
 * leaves   every linear of integer codes with quantized activations; linears that share x, or read
 *          equal scalings of it (qb.scale with the same operands), share one qb.quantize
 * keeps    linears of dense weights, and what is quantized already
 */
#include "format.h"
#include "base.h"

#include <mlir-c/BuiltinTypes.h>

#define ACT "i8g32"

/* What was quantized so far, in one block. */
struct quantized {
    MlirValue x, a;
};

struct seen {
    struct quantized *list;
    size_t n;
};

static bool reads_codes(struct qbc *q, MlirOperation linear)
{
    MlirOperation dequant = qbc_def(mlirOperationGetOperand(linear, 1), "qb.dequant");
    if (mlirOperationIsNull(dequant))
        return false;
    const struct qbc_format *format = qbc_block_format(q, mlirOperationGetOperand(dequant, 0));
    return format && format->codebook == QBC_CODE_AFFINE;
}

/* The same value, or the same scaling of the same value. */
static bool equal(MlirValue a, MlirValue b)
{
    MlirOperation one = qbc_def(a, "qb.scale"), other = qbc_def(b, "qb.scale");
    if (mlirValueEqual(a, b))
        return true;
    if (mlirOperationIsNull(one) || mlirOperationIsNull(other))
        return false;
    return mlirValueEqual(mlirOperationGetOperand(one, 0), mlirOperationGetOperand(other, 0)) &&
           mlirValueEqual(mlirOperationGetOperand(one, 1), mlirOperationGetOperand(other, 1));
}

/* Null: not yet. In another block the operation may not dominate this linear. */
static MlirValue find(const struct seen *seen, MlirValue x, MlirBlock block)
{
    for (size_t i = 0; i < seen->n; ++i) {
        MlirBlock made_in = mlirOperationGetBlock(mlirOpResultGetOwner(seen->list[i].a));
        if (equal(seen->list[i].x, x) && mlirBlockEqual(made_in, block))
            return seen->list[i].a;
    }
    return (MlirValue){NULL};
}

static MlirValue quantize(struct qbc *q, MlirOperation linear, MlirValue x)
{
    MlirType type = qbc_tensor2(q, qbc_block_type(q, ACT), qbc_dim(x, 0), qbc_dim(x, 1));
    struct qbc_build b = qbc_before(q, linear);
    struct qbc_attr attrs[] = {{"act", qbc_attr_string(q, ACT)}, {0}};
    return mlirOperationGetResult(qbc_make(&b, "qb.quantize", type, attrs, 1, &x), 0);
}

static bool fits(struct qbc *q, MlirOperation linear)
{
    MlirValue x = mlirOperationGetOperand(linear, 0), w = mlirOperationGetOperand(linear, 1);
    bool matrix =
        qbc_rank(x) == 2 && mlirTypeIsAF32(mlirShapedTypeGetElementType(mlirValueGetType(x)));
    if (matrix && qbc_dim(x, 1) == qbc_dim(w, 1))
        return true;
    if (matrix)
        qbc_error(q, linear, "the input has %ld columns, the weight %ld", (long)qbc_dim(x, 1),
                  (long)qbc_dim(w, 1));
    else
        qbc_error(q, linear, "the input of a quantized linear must be a matrix [T, K] of f32");
    return false;
}

static void visit(struct qbc *q, MlirOperation linear, struct seen *seen)
{
    MlirValue x = mlirOperationGetOperand(linear, 0);
    if (!reads_codes(q, linear) || qbc_block_format(q, x) || !fits(q, linear))
        return;
    MlirValue a = find(seen, x, mlirOperationGetBlock(linear));
    if (mlirValueIsNull(a)) {
        a = quantize(q, linear, x);
        seen->list[seen->n++] = (struct quantized){x, a};
    }
    mlirOperationSetOperand(linear, 0, a);
    MlirOperation scale = qbc_def(x, "qb.scale");
    if (!mlirOperationIsNull(scale))
        qbc_sweep(q, scale); /* where another, equal one was taken */
}

void qbc_pass_insert_quantize(struct qbc *q, MlirOperation module)
{
    struct qbc_ops linears = qbc_collect(q, module, "qb.linear");
    struct seen seen = {.list = qbc_alloc(q, (linears.n + 1) * sizeof *seen.list)};
    for (size_t i = 0; i < linears.n; ++i)
        visit(q, linears.op[i], &seen);
}
