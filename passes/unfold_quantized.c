/* unfold-quantized: what tools compute with rounded activations is a product of floats; how activations are rounded is ours to say.
 *
 *   before   %a, %s, %z = DynamicQuantizeLinear(%x);  %i = MatMulInteger(%a, %codes, %z, %zeros)
 *            %y = Mul(Cast(%i), Mul(%s, %scales))
 *   after    %y = MatMul(%x, DequantizeLinear(%codes, %scales, %zeros))
 *
 *   before   com.microsoft.DynamicQuantizeMatMul(%x, %codes, %scales, %zeros, %bias), MatMulIntegerToFloat of %a
 *   after    the same, and an Add of the bias
 *
 *   before   DequantizeLinear(QuantizeLinear(%x, %s, %z), %s, %z)
 *   after    Clip(%x) to what the codes can say, where a product reads it or where it is a Relu; elsewhere %x
 *
 * Weights stay codes (unpack-quantized). The rounding of activations by fixed scales is left out, with a warning.
 *
 * needs    unfold-codes
 * leaves   products of floats, and Clip where activations end
 * keeps    other operations on codes, which check-graph complains about
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>

/* op's only result becomes what `product` computes of x and the codes, plus a bias that may be none. */
static void replace(struct qbc *q, MlirOperation op, MlirOperation product, MlirValue x, MlirValue codes, MlirValue scales, MlirValue zeros,
                    MlirValue bias)
{
    struct qbc_build b = qbc_before(q, op);
    bool conv = qbc_is(product, "onnx.ConvInteger");
    MlirValue old = mlirOperationGetResult(op, 0), w = qbc_dequantized(&b, codes, scales, zeros, conv ? 0 : 1);
    MlirType type = mlirValueGetType(old);
    MlirValue y = qbc_op(&b, conv ? "onnx.Conv" : "onnx.MatMul", type, 2, x, w);
    if (conv)
        qbc_copy_attributes(product, qbc_def_any(y));
    if (!qbc_is_none(bias))
        y = qbc_op(&b, "onnx.Add", type, 2, y, bias);
    mlirValueReplaceAllUsesOfWith(old, y);
}

/* The quantizer whose result number `which` v is; null: none. */
static MlirOperation quantizer(MlirValue v, intptr_t which)
{
    MlirOperation op = qbc_is_none(v) ? (MlirOperation){NULL} : qbc_def(v, "onnx.DynamicQuantizeLinear");
    return !mlirOperationIsNull(op) && mlirOpResultGetResultNumber(v) == which ? op : (MlirOperation){NULL};
}

/* --- operations of ONNX Runtime */

static void dynamic_matmul(struct qbc *q, MlirOperation op)
{
    replace(q, op, op, mlirOperationGetOperand(op, 0), mlirOperationGetOperand(op, 1), mlirOperationGetOperand(op, 2), qbc_operand_at(op, 3),
            qbc_operand_at(op, 4));
}

static void integer_to_float(struct qbc *q, MlirOperation op)
{
    MlirOperation from = quantizer(mlirOperationGetOperand(op, 0), 0);
    if (mlirOperationIsNull(from) || !mlirOperationEqual(from, quantizer(qbc_operand_at(op, 2), 1))) {
        qbc_miss(q, op, "its activations do not come from a DynamicQuantizeLinear with their scale");
        return;
    }
    replace(q, op, op, mlirOperationGetOperand(from, 0), mlirOperationGetOperand(op, 1), mlirOperationGetOperand(op, 3), qbc_operand_at(op, 5),
            qbc_operand_at(op, 6));
}

/* --- MatMulInteger, Cast, and Mul with both scales */

/* The other operand of a product; null: op is none. */
static MlirValue times(MlirOperation op, MlirValue v)
{
    if (mlirOperationIsNull(op) || !qbc_is(op, "onnx.Mul"))
        return (MlirValue){NULL};
    return mlirOperationGetOperand(op, qbc_same(mlirOperationGetOperand(op, 0), v) ? 1 : 0);
}

/* The stored scales of the weights, in a product of these and the activations' own; null: it is none. */
static MlirValue weight_scales(MlirValue product, MlirOperation from)
{
    MlirOperation op = qbc_def(product, "onnx.Mul");
    for (intptr_t i = 0; i < 2 && !mlirOperationIsNull(op); ++i) {
        MlirOperation own = quantizer(mlirOperationGetOperand(op, i), 1);
        if (!mlirOperationIsNull(own) && mlirOperationEqual(own, from))
            return mlirOperationGetOperand(op, 1 - i);
    }
    return (MlirValue){NULL};
}

static void integer_matmul(struct qbc *q, MlirOperation op)
{
    MlirOperation from = quantizer(mlirOperationGetOperand(op, 0), 0), cast = qbc_only_user(mlirOperationGetResult(op, 0));
    bool good = !mlirOperationIsNull(from) && !mlirOperationIsNull(cast) && qbc_is(cast, "onnx.Cast");
    MlirOperation last = good ? qbc_only_user(mlirOperationGetResult(cast, 0)) : (MlirOperation){NULL};
    MlirValue both = good ? times(last, mlirOperationGetResult(cast, 0)) : (MlirValue){NULL};
    MlirValue scales = mlirValueIsNull(both) ? both : weight_scales(both, from);
    if (mlirValueIsNull(scales)) {
        qbc_miss(q, op, "it is not followed by a product with the scales of its activations (DynamicQuantizeLinear) and weights");
        return;
    }
    replace(q, last, op, mlirOperationGetOperand(from, 0), mlirOperationGetOperand(op, 1), scales, qbc_operand_at(op, 3), (MlirValue){NULL});
}

/* --- QuantizeLinear, and back */

/* Two operands that are the same numbers: one value, or constants with one of them. */
static bool same_number(struct qbc_evaluation *e, MlirValue a, MlirValue b)
{
    if (qbc_is_none(a) || qbc_is_none(b) || qbc_same(a, b))
        return qbc_is_none(a) == qbc_is_none(b);
    const struct qbc_array *x = qbc_evaluate(e, a), *y = qbc_evaluate(e, b);
    if (!x || !y || !x->known || !y->known || x->n != 1 || y->n != 1 || x->element != y->element)
        return false;
    return x->f ? x->f[0] == y->f[0] : x->i[0] == y->i[0];
}

/* What codes of this type with one scale and zero point can say; false: another type, or several scales. */
static bool bounds(struct qbc_evaluation *e, MlirOperation op, double *low, double *high)
{
    enum qbc_element element;
    const struct qbc_array *scale = qbc_evaluate(e, mlirOperationGetOperand(op, 1));
    MlirValue v = qbc_operand_at(op, 2);
    const struct qbc_array *zero = mlirValueIsNull(v) ? NULL : qbc_evaluate(e, v);
    MlirType type = mlirValueGetType(mlirOperationGetOperand(op, 0));
    bool good = scale && scale->known && scale->f && scale->n == 1 && (mlirValueIsNull(v) || (zero && zero->known && zero->i && zero->n == 1));
    if (!good || !mlirTypeIsAShaped(type) || !qbc_element_of(mlirShapedTypeGetElementType(type), &element))
        return false;
    bool is_signed = element == QBC_I8 || element == QBC_I16;
    if (!is_signed && element != QBC_U8 && element != QBC_U16)
        return false;
    int bits = qbc_element_bits(element);
    double first = is_signed ? -(double)(1 << (bits - 1)) : 0, count = (double)(1 << bits), z = zero ? (double)zero->i[0] : 0;
    *low = (first - z) * (double)scale->f[0];
    *high = (first + count - 1 - z) * (double)scale->f[0];
    return true;
}

/* A product of v with stored codes. */
static bool is_product(MlirOperation op)
{
    static const char *const products[] = {"onnx.Conv", "onnx.Gemm", "onnx.MatMul", NULL};
    if (mlirOperationIsNull(op) || !qbc_one_of(qbc_op_name(op), products))
        return false;
    MlirOperation w = qbc_def_any(mlirOperationGetOperand(op, 1));
    w = !mlirOperationIsNull(w) && qbc_is(w, "onnx.Transpose") ? qbc_def_any(mlirOperationGetOperand(w, 0)) : w;
    return !mlirOperationIsNull(w) && qbc_is(w, "onnx.DequantizeLinear") && qbc_is_constant(mlirOperationGetOperand(w, 0));
}

static bool goes_to_products(struct qbc *q, MlirValue v)
{
    struct qbc_ops users = qbc_users(q, v);
    bool all = users.n;
    for (size_t i = 0; i < users.n && all; ++i)
        all = is_product(users.op[i]) && qbc_same(mlirOperationGetOperand(users.op[i], 0), v);
    return all;
}

/* Products, and what is added to them. */
static bool is_sum(MlirOperation op)
{
    return is_product(op) || (!mlirOperationIsNull(op) && qbc_is(op, "onnx.Add") && is_product(qbc_def_any(mlirOperationGetOperand(op, 0))));
}

/* Bounds are kept where they mean something: rows that products read, and a Relu that the quantizer took for granted. Elsewhere, in the
 * midst of a norm or of attention, they are those of numbers that were seen once. */
static bool matters(struct qbc *q, MlirOperation op, MlirValue x, double low)
{
    return goes_to_products(q, mlirOperationGetResult(op, 0)) || (low == 0 && is_sum(qbc_def_any(x)));
}

/* Activations that are rounded and go on as floats: only where they end is kept. True if it was such a one. */
static bool unround(struct qbc *q, struct qbc_evaluation *e, MlirOperation op)
{
    MlirOperation from = qbc_def(qbc_strip(mlirOperationGetOperand(op, 0)), "onnx.QuantizeLinear");
    double low, high;
    if (mlirOperationIsNull(from) || !same_number(e, mlirOperationGetOperand(op, 1), mlirOperationGetOperand(from, 1)) ||
        !same_number(e, qbc_operand_at(op, 2), qbc_operand_at(from, 2)) || !bounds(e, op, &low, &high))
        return false;
    struct qbc_build b = qbc_before(q, op);
    MlirValue old = mlirOperationGetResult(op, 0), x = mlirOperationGetOperand(from, 0), y = x;
    if (matters(q, op, x, low))
        y = qbc_op(&b, "onnx.Clip", mlirValueGetType(old), 3, x, qbc_number_constant(&b, low), qbc_number_constant(&b, high));
    mlirValueReplaceAllUsesOfWith(old, y);
    return true;
}

void qbc_pass_unfold_quantized(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    qbc_each(q, func, "onnx.com.microsoft.DynamicQuantizeMatMul", dynamic_matmul);
    qbc_each(q, func, "onnx.com.microsoft.MatMulIntegerToFloat", integer_to_float);
    qbc_each(q, func, "onnx.MatMulInteger", integer_matmul);
    qbc_each(q, func, "onnx.ConvInteger", integer_matmul);
    struct qbc_ops ops = qbc_collect(q, func, "onnx.DequantizeLinear");
    struct qbc_evaluation *e = qbc_probe(q, func, 5, 0);
    size_t n = 0;
    for (size_t i = 0; i < ops.n; ++i)
        n += unround(q, e, ops.op[i]);
    qbc_evaluation_destroy(e);
    if (n)
        qbc_warn(q, func, "activations that the model rounds by fixed scales, in %zu places, are not rounded there; products round them as "
                 "the formats of their weights want", n);
    qbc_tidy(q, module);
}
