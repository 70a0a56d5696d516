/* unfold-codes: what is computed on codes is computed on the floats that they stand for, between DequantizeLinear and QuantizeLinear.
 *
 *   before   com.microsoft.QLinearAdd(%a, %as, %az, %b, %bs, %bz, %ys, %yz)
 *   after    QuantizeLinear(Add(DequantizeLinear(%a, %as, %az), DequantizeLinear(%b, %bs, %bz)), %ys, %yz)
 *
 *   before   DequantizeLinear(Gather(%codes, %ids), %s, %z)          one scale; Transpose, Slice, ... alike
 *   after    Gather(DequantizeLinear(%codes, %s, %z), %ids)
 *
 * So stored codes meet their scales where unpack-quantized looks for them, and what a quantizer wrote around activations is left to
 * unfold-quantized.
 *
 * needs    level 0, shapes or none
 * leaves   operations of floats; DequantizeLinear and QuantizeLinear of ONNX's own domain
 * keeps    operations on codes that are in no row of the table
 */
#include "facts.h"
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { ALL = -1, NONE = -2, MOST_OPERANDS = 128 };

/* Where an operation on codes has its operands: first those of no scale, then codes, scale and zero point of each. */
struct row {
    const char *name, *becomes;
    intptr_t plain, first, triples; /* ALL: to the end */
    intptr_t out;                   /* scale, then zero point of the result */
    intptr_t bias;                  /* whole numbers of the first two's scales; NONE */
};

static const struct row rows[] = {
    {"onnx.QLinearMatMul", "onnx.MatMul", 0, 0, 2, 6, NONE},
    {"onnx.QLinearConv", "onnx.Conv", 0, 0, 2, 6, 8},
    {"onnx.com.microsoft.QGemm", "onnx.Gemm", 0, 0, 2, 7, 6},
    {"onnx.com.microsoft.QLinearAdd", "onnx.Add", 0, 0, 2, 6, NONE},
    {"onnx.com.microsoft.QLinearAveragePool", "onnx.AveragePool", 0, 0, 1, 3, NONE},
    {"onnx.com.microsoft.QLinearConcat", "onnx.Concat", 0, 2, ALL, 0, NONE},
    {"onnx.com.microsoft.QLinearGlobalAveragePool", "onnx.GlobalAveragePool", 0, 0, 1, 3, NONE},
    {"onnx.com.microsoft.QLinearLeakyRelu", "onnx.LeakyRelu", 0, 0, 1, 3, NONE},
    {"onnx.com.microsoft.QLinearMul", "onnx.Mul", 0, 0, 2, 6, NONE},
    {"onnx.com.microsoft.QLinearReduceMean", "onnx.ReduceMean", 0, 0, 1, 3, NONE},
    {"onnx.com.microsoft.QLinearSigmoid", "onnx.Sigmoid", 0, 0, 1, 3, NONE},
    {"onnx.com.microsoft.QLinearSoftmax", "onnx.Softmax", 0, 0, 1, 3, NONE},
    {"onnx.com.microsoft.QLinearWhere", "onnx.Where", 1, 1, 2, 7, NONE},
};

/* --- operations on codes */

/* Along which axis weights have a scale each, if they have: those of results. */
static int64_t axis_of(MlirOperation op, intptr_t triple)
{
    if (qbc_is(op, "onnx.QLinearConv"))
        return 0;
    return qbc_is(op, "onnx.com.microsoft.QGemm") && triple == 1 && qbc_int(op, "transB", 0) ? 0 : 1;
}

static float scale_at(const struct qbc_array *a, size_t i)
{
    return a->f[a->n == 1 ? 0 : i];
}

/* The bias [N] in floats, known now, as its scales are; null: not so. */
static MlirValue float_bias(struct qbc_build *b, struct qbc_evaluation *e, MlirValue bias, MlirValue s0, MlirValue s1)
{
    const struct qbc_array *a = qbc_evaluate(e, bias), *x = qbc_evaluate(e, s0), *w = qbc_evaluate(e, s1);
    bool good = a && x && w && a->known && x->known && w->known && a->i && x->f && w->f && x->n == 1 && (w->n == 1 || w->n == a->n);
    float *values = good ? qbc_alloc(b->q, (a->n + 1) * sizeof *values) : NULL;
    if (!good)
        return (MlirValue){NULL};
    for (size_t i = 0; i < a->n; ++i)
        values[i] = (float)a->i[i] * (scale_at(x, 0) * scale_at(w, i));
    struct qbc_array floats = *a;
    floats.element = QBC_F32;
    floats.f = values;
    floats.i = NULL;
    struct qbc_attr attrs[] = {{"value", qbc_array_dense(b->q, &floats)}, {0}};
    MlirType type = qbc_tensor(b->q, mlirF32TypeGet(b->q->mlir), a->rank, a->dims);
    return mlirOperationGetResult(qbc_make(b, "onnx.Constant", type, attrs, 0, NULL), 0);
}

/* The operands in floats; 0: too many, or a bias that is not known. */
static intptr_t float_operands(struct qbc_build *b, struct qbc_evaluation *e, MlirOperation op, const struct row *row, MlirValue *to)
{
    intptr_t n = 0, all = (mlirOperationGetNumOperands(op) - row->first) / 3, triples = row->triples == ALL ? all : row->triples;
    if (row->plain + triples + 1 > MOST_OPERANDS || triples > all)
        return 0;
    for (; n < row->plain; ++n)
        to[n] = mlirOperationGetOperand(op, n);
    for (intptr_t i = 0; i < triples; ++i) {
        intptr_t at = row->first + 3 * i;
        to[n++] = qbc_dequantized(b, mlirOperationGetOperand(op, at), mlirOperationGetOperand(op, at + 1),
                                  mlirOperationGetOperand(op, at + 2), axis_of(op, i));
    }
    if (row->bias != NONE && !mlirValueIsNull(qbc_operand_at(op, row->bias))) {
        to[n] = float_bias(b, e, qbc_operand_at(op, row->bias), mlirOperationGetOperand(op, 1), mlirOperationGetOperand(op, 4));
        if (mlirValueIsNull(to[n++])) {
            qbc_miss(b->q, op, "its bias or the scales of it are no stored numbers");
            return 0;
        }
    }
    return n;
}

/* Codes have the elements of the zero point, without one they are bytes. */
static MlirType codes_type(struct qbc *q, MlirType floats, MlirValue zero)
{
    MlirType element = mlirValueIsNull(zero) ? qbc_element_type(q, QBC_U8) : mlirShapedTypeGetElementType(mlirValueGetType(zero));
    return qbc_typed_as(q, floats, element);
}

static void unfold(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, const struct row *row)
{
    struct qbc_build b = qbc_before(q, op);
    MlirValue operands[MOST_OPERANDS], old = mlirOperationGetResult(op, 0);
    intptr_t n = float_operands(&b, e, op, row, operands);
    if (!n)
        return;
    MlirType type = qbc_as_floats(q, mlirValueGetType(old));
    MlirOperation made = qbc_make(&b, row->becomes, type, NULL, (size_t)n, operands);
    qbc_copy_attributes(op, made);
    MlirValue y = mlirOperationGetResult(made, 0), scale = qbc_operand_at(op, row->out), zero = qbc_operand_at(op, row->out + 1);
    if (!mlirValueIsNull(scale)) /* QGemm may give floats */
        y = qbc_op(&b, "onnx.QuantizeLinear", codes_type(q, type, zero), mlirValueIsNull(zero) ? 2 : 3, y, scale, zero);
    mlirValueReplaceAllUsesOfWith(old, y);
}

/* --- DequantizeLinear of codes that were moved */

static bool moves(MlirOperation op)
{
    static const char *const names[] = {"onnx.Concat",   "onnx.Expand",  "onnx.Flatten", "onnx.Gather",   "onnx.GatherElements", "onnx.GatherND",
                                        "onnx.Identity", "onnx.Reshape", "onnx.Slice",   "onnx.Split",    "onnx.Squeeze",        "onnx.Tile",
                                        "onnx.Transpose", "onnx.Unsqueeze", NULL};
    return !mlirOperationIsNull(op) && qbc_one_of(qbc_op_name(op), names);
}

static bool has_one_scale(struct qbc_evaluation *e, MlirOperation op)
{
    const struct qbc_array *s = qbc_evaluate_small(e, mlirOperationGetOperand(op, 1));
    return s && s->n == 1;
}

/* The codes' way is gone in floats: before it stand DequantizeLinear, which are visited in turn. */
static void sink(struct qbc *q, struct qbc_evaluation *e, MlirOperation op)
{
    MlirValue v = mlirOperationGetOperand(op, 0);
    MlirOperation move = qbc_def_any(v);
    if (!moves(move) || !has_one_scale(e, op))
        return;
    struct qbc_build b = qbc_before(q, op);
    MlirOperation made = mlirOperationClone(move);
    intptr_t n = qbc_is(move, "onnx.Concat") ? mlirOperationGetNumOperands(move) : 1;
    for (intptr_t i = 0; i < n; ++i) {
        MlirValue x = qbc_dequantized(&b, mlirOperationGetOperand(move, i), mlirOperationGetOperand(op, 1), qbc_operand_at(op, 2), 1);
        mlirOperationSetOperand(made, i, x);
    }
    for (intptr_t i = 0; i < mlirOperationGetNumResults(made); ++i) {
        MlirValue y = mlirOperationGetResult(made, i);
        mlirValueSetType(y, qbc_as_floats(q, mlirValueGetType(y)));
    }
    mlirBlockInsertOwnedOperationBefore(b.block, op, made);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), mlirOperationGetResult(made, mlirOpResultGetResultNumber(v)));
    for (intptr_t i = 0; i < n; ++i)
        sink(q, e, qbc_def_any(mlirOperationGetOperand(made, i)));
}

/* --- ONNX Runtime has both operations in its own domain too, for more elements */

static void rename_to(struct qbc *q, MlirOperation main, const char *from, const char *to)
{
    struct qbc_ops ops = qbc_collect(q, main, from);
    for (size_t i = 0; i < ops.n; ++i) {
        MlirOperation op = ops.op[i];
        struct qbc_build b = qbc_before(q, op);
        MlirValue operands[3] = {mlirOperationGetOperand(op, 0), mlirOperationGetOperand(op, 1), qbc_operand_at(op, 2)};
        MlirOperation made = qbc_make(&b, to, mlirValueGetType(mlirOperationGetResult(op, 0)), NULL, mlirValueIsNull(operands[2]) ? 2 : 3, operands);
        qbc_set_int(q, made, "axis", qbc_int(op, "axis", 1));
        if (qbc_has(op, "block_size"))
            qbc_set_int(q, made, "block_size", qbc_int(op, "block_size", 0));
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), mlirOperationGetResult(made, 0));
    }
}

static bool same_operands(MlirOperation a, MlirOperation b)
{
    intptr_t n = mlirOperationGetNumOperands(a);
    bool same = mlirOperationGetNumOperands(b) == n && qbc_int(a, "axis", 1) == qbc_int(b, "axis", 1) &&
                qbc_int(a, "block_size", 0) == qbc_int(b, "block_size", 0);
    for (intptr_t i = 0; i < n && same; ++i)
        same = qbc_same(mlirOperationGetOperand(a, i), mlirOperationGetOperand(b, i));
    return same;
}

/* Codes that several read are floats once. */
static void join(struct qbc *q, MlirOperation main)
{
    struct qbc_ops ops = qbc_collect(q, main, "onnx.DequantizeLinear");
    for (size_t i = 0, kept = 0; i < ops.n; ++i) {
        size_t k = 0;
        while (k < kept && !same_operands(ops.op[i], ops.op[k]))
            ++k;
        if (k < kept)
            mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(ops.op[i], 0), mlirOperationGetResult(ops.op[k], 0));
        else
            ops.op[kept++] = ops.op[i];
    }
}

void qbc_pass_unfold_codes(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    rename_to(q, func, "onnx.com.microsoft.DequantizeLinear", "onnx.DequantizeLinear");
    rename_to(q, func, "onnx.com.microsoft.QuantizeLinear", "onnx.QuantizeLinear");
    struct qbc_evaluation *e = qbc_probe(q, func, 5, 0);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; ++r) {
        struct qbc_ops ops = qbc_collect(q, func, rows[r].name);
        for (size_t i = 0; i < ops.n; ++i)
            unfold(q, e, ops.op[i], &rows[r]);
    }
    struct qbc_ops ops = qbc_collect(q, func, "onnx.DequantizeLinear");
    for (size_t i = 0; i < ops.n; ++i)
        sink(q, e, ops.op[i]);
    qbc_evaluation_destroy(e);
    join(q, func);
    qbc_tidy(q, module);
}
