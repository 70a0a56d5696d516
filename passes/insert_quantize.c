/* insert-quantize: round activations to 8 bits where codes are multiplied.
 *
 *   before   %w = "qb.dequant"(%b) : (tensor<NxKx!qb.block<"i4g32">>) -> tensor<NxKxf32>
 *            %y = "qb.linear"(%x, %w) : (tensor<?xKxf32>, tensor<NxKxf32>) -> tensor<?xNxf32>
 *   after    %a = "qb.quantize"(%x) {act = "i8g32"}
 *                     : (tensor<?xKxf32>) -> tensor<?xKx!qb.block<"i8g32">>
 *            %y = "qb.linear"(%a, %w)
 *
 * With -act= another rounding, whose name {act} is (activation.h); a static one has the range {low, high} of the product, others
 * what it says of the share of each row's range, {clip_low, clip_high}.
 *
 * needs    formats assigned
 * leaves   every linear of integer codes with quantized activations; linears that share x, or read
 *          equal scalings of it (qb.scale with the same operands), share one qb.quantize; so do linears that read
 *          different columns of x, where these are whole groups: qb.columns of what was quantized
 * keeps    linears of dense weights, and what is quantized already
 */
#include "activation.h"
#include "format.h"
#include "base.h"

#include <mlir-c/BuiltinTypes.h>

#define ACT "i8g32" /* how codes and scales lie, whatever -act says they are */
enum { ACT_GROUP = 32 };

/* What was quantized so far, in one block. */
struct pair {
    MlirValue x, a;
};

struct seen {
    struct pair *list;
    size_t n;
};

static bool reads_codes(struct qbc *q, MlirOperation linear)
{
    MlirOperation dequant = qbc_def(mlirOperationGetOperand(linear, 1), "qb.dequant");
    if (mlirOperationIsNull(dequant))
        return false;
    const struct qbc_format *format = qbc_block_format(q, mlirOperationGetOperand(dequant, 0));
    return format && format->codebook != QBC_CODE_FLOAT;
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

/* What calibration saw of x, for a static scale; or how much of a row's range is best. */
static void copy_range(struct qbc *q, MlirOperation linear, MlirOperation quantize)
{
    struct qbc_activation act;
    bool is_known = qbc_activation_parse(qbc_string(q, quantize, "act", ""), &act);
    bool is_static = is_known && act.group == QBC_ACT_TENSOR;
    if (is_known && qbc_activation_clips(&act) && qbc_has(linear, "clip_low")) {
        qbc_set_float(q, quantize, "clip_low", (float)qbc_float(linear, "clip_low", 1));
        qbc_set_float(q, quantize, "clip_high", (float)qbc_float(linear, "clip_high", 1));
    }
    if (is_static && !qbc_has(linear, "low"))
        qbc_error(q, linear, "nobody saw what this product reads, so there is no range for static activations");
    else if (is_static)
        for (int i = 0; i < 2; ++i)
            qbc_set_float(q, quantize, i ? "high" : "low", (float)qbc_float(linear, i ? "high" : "low", 0));
}

static MlirValue quantize(struct qbc *q, MlirOperation linear, MlirValue x)
{
    MlirType type = qbc_tensor2(q, qbc_block_type(q, ACT), qbc_dim(x, 0), qbc_dim(x, 1));
    struct qbc_build b = qbc_before(q, linear);
    struct qbc_attr attrs[] = {{"act", qbc_attr_string(q, q->options.act ? q->options.act : ACT)}, {0}};
    MlirOperation op = qbc_make(&b, "qb.quantize", type, attrs, 1, &x);
    copy_range(q, linear, op);
    return mlirOperationGetResult(op, 0);
}

static bool fits(struct qbc *q, MlirOperation linear)
{
    MlirValue x = mlirOperationGetOperand(linear, 0), w = mlirOperationGetOperand(linear, 1);
    bool matrix =
        qbc_rank(x) == 2 && mlirTypeIsAF32(mlirShapedTypeGetElementType(mlirValueGetType(x)));
    if (matrix && qbc_dim(x, 1) == qbc_dim(w, 1))
        return true;
    if (matrix && qbc_is(linear, "qb.expert_linear")) { /* a part for each chosen expert */
        if (qbc_dim(w, 1) % ACT_GROUP)
            qbc_error(q, linear, "experts with %ld columns, no multiple of %d, are stored as f32 or f16 only", (long)qbc_dim(w, 1),
                      ACT_GROUP);
        return qbc_dim(w, 1) % ACT_GROUP == 0;
    }
    if (matrix)
        qbc_error(q, linear, "the input has %ld columns, the weight %ld", (long)qbc_dim(x, 1),
                  (long)qbc_dim(w, 1));
    else
        qbc_error(q, linear, "the input of a quantized linear must be a matrix [T, K] of f32");
    return false;
}

/* qb.columns whose own groups, of the activations and of the weight, are groups of the whole row too; else null. */
static MlirOperation whole_groups(struct qbc *q, MlirOperation linear)
{
    MlirValue x = mlirOperationGetOperand(linear, 0);
    MlirOperation columns = qbc_def(x, "qb.columns"), dequant = qbc_def(mlirOperationGetOperand(linear, 1), "qb.dequant");
    if (mlirOperationIsNull(columns))
        return columns;
    const struct qbc_format *format = qbc_block_format(q, mlirOperationGetOperand(dequant, 0));
    int64_t first = qbc_int(columns, "first", 0), n = qbc_dim(x, 1), all = qbc_dim(mlirOperationGetOperand(columns, 0), 1);
    bool is_last = first + n == all, is_whole = n % ACT_GROUP == 0 && qbc_format_groups(format, n) * format->group == n;
    return first % ACT_GROUP == 0 && (is_last || is_whole) ? columns : (MlirOperation){NULL};
}

static MlirValue quantized(struct qbc *q, MlirOperation linear, MlirValue x, struct seen *seen)
{
    MlirValue a = find(seen, x, mlirOperationGetBlock(linear));
    if (mlirValueIsNull(a)) {
        a = quantize(q, linear, x);
        seen->list[seen->n++] = (struct pair){x, a};
    }
    return a;
}

static void quantize_columns(struct qbc *q, MlirOperation linear, MlirOperation columns, struct seen *seen)
{
    MlirValue a = quantized(q, linear, mlirOperationGetOperand(columns, 0), seen);
    MlirType type = qbc_tensor2(q, qbc_block_type(q, ACT), qbc_dim(a, 0), qbc_dim(mlirOperationGetResult(columns, 0), 1));
    struct qbc_build b = qbc_before(q, linear);
    MlirValue some = qbc_op(&b, "qb.columns", type, 1, a);
    qbc_set_int(q, qbc_def_any(some), "first", qbc_int(columns, "first", 0));
    mlirOperationSetOperand(linear, 0, some);
    qbc_sweep(q, columns);
}

static void visit(struct qbc *q, MlirOperation linear, struct seen *seen)
{
    MlirValue x = mlirOperationGetOperand(linear, 0);
    if (!reads_codes(q, linear) || qbc_block_format(q, x) || !fits(q, linear))
        return;
    MlirOperation columns = whole_groups(q, linear);
    if (!mlirOperationIsNull(columns)) {
        quantize_columns(q, linear, columns, seen);
        return;
    }
    mlirOperationSetOperand(linear, 0, quantized(q, linear, x, seen));
    MlirOperation scale = qbc_def(x, "qb.scale");
    if (!mlirOperationIsNull(scale))
        qbc_sweep(q, scale); /* where another, equal one was taken */
}

void qbc_pass_insert_quantize(struct qbc *q, MlirOperation module)
{
    struct qbc_ops ops = qbc_collect(q, module, NULL);
    struct seen seen = {.list = qbc_alloc(q, (ops.n + 1) * sizeof *seen.list)};
    for (size_t i = 0; i < ops.n; ++i)
        if (qbc_is(ops.op[i], "qb.linear") || qbc_is(ops.op[i], "qb.expert_linear"))
            visit(q, ops.op[i], &seen);
}
