/* unfold-fused: small operations of ONNX Runtime that stand for a few of ONNX's own.
 *
 *   before   %decay, %beta = com.microsoft.LinearAttentionGate(%a, %bias, %rate, %b)
 *   after    %decay = Mul(Softplus(Add(%a, %bias)), %rate);  %beta = Sigmoid(%b)
 *
 *   before   com.microsoft.GatedRMSNorm(%x, %gain, %gate) {activation, epsilon}        a norm of each %gain's length of columns
 *   after    Mul(SimplifiedLayerNormalization(%x in heads, %gain), Mul(%gate, Sigmoid(%gate)))
 *
 *   before   com.microsoft.MRotaryEmbedding(%x, %positions, %cos, %sin) {mrope_section, ...}     [3, 1, T]: time, height, width
 *   after    com.microsoft.RotaryEmbedding(%x, Gather(%positions, 0), %cos, %sin)
 *
 * Text has one position in place of three, so sections do not matter.
 *
 * needs    level 0
 * leaves   what other exporters write
 * keeps    a norm whose gain is no vector of known length, another activation, and notes why
 */
#include "pattern.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

static MlirValue made(struct qbc_build *b, const char *name, size_t n, MlirValue x, MlirValue y)
{
    return n == 1 ? qbc_op(b, name, qbc_unranked(b->q), 1, x) : qbc_op(b, name, qbc_unranked(b->q), 2, x, y);
}

static void replace(MlirOperation op, intptr_t i, MlirValue with)
{
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, i), with);
}

static void unfold_gate(struct qbc *q, MlirOperation op)
{
    enum { A, BIAS, RATE, B };
    struct qbc_build b = qbc_before(q, op);
    MlirValue sum = made(&b, "onnx.Add", 2, qbc_operand_at(op, A), qbc_operand_at(op, BIAS));
    replace(op, 0, made(&b, "onnx.Mul", 2, made(&b, "onnx.Softplus", 1, sum, sum), qbc_operand_at(op, RATE)));
    MlirValue beta = qbc_operand_at(op, B);
    if (mlirOperationGetNumResults(op) > 1 && !mlirValueIsNull(beta))
        replace(op, 1, made(&b, "onnx.Sigmoid", 1, beta, beta));
}

/* The length of a vector that the file declares or stores; 0: not told. */
static int64_t length_of(MlirValue v)
{
    MlirType type = mlirValueGetType(v);
    bool told = mlirTypeIsARankedTensor(type) && mlirShapedTypeGetRank(type) == 1 && !mlirShapedTypeIsDynamicDim(type, 0);
    return told ? mlirShapedTypeGetDimSize(type, 0) : 0;
}

static void unfold_norm(struct qbc *q, MlirOperation op)
{
    enum { X, GAIN, GATE };
    MlirValue x = qbc_operand_at(op, X), gain = qbc_operand_at(op, GAIN), gate = qbc_operand_at(op, GATE);
    const char *activation = qbc_string(q, op, "activation", "silu");
    int64_t heads[] = {0, 0, -1, length_of(gain)};
    bool squashed = !strcmp(activation, "sigmoid");
    if (!heads[3] || (!squashed && strcmp(activation, "silu") && strcmp(activation, "swish"))) {
        qbc_miss(q, op, heads[3] ? "its activation '%s' is not known" : "its gain has no known length", activation);
        return;
    }
    struct qbc_build b = qbc_before(q, op);
    MlirValue parts = made(&b, "onnx.Reshape", 2, x, qbc_ints_constant(&b, heads, 4));
    MlirValue norm = made(&b, "onnx.SimplifiedLayerNormalization", 2, parts, gain);
    qbc_set_int(q, qbc_def_any(norm), "axis", -1);
    qbc_set_float(q, qbc_def_any(norm), "epsilon", (float)qbc_float(op, "epsilon", 1e-5));
    MlirType sizes = mlirUnrankedTensorTypeGet(mlirIntegerTypeGet(q->mlir, 64));
    norm = made(&b, "onnx.Reshape", 2, norm, qbc_op(&b, "onnx.Shape", sizes, 1, x));
    MlirValue open = made(&b, "onnx.Sigmoid", 1, gate, gate);
    replace(op, 0, made(&b, "onnx.Mul", 2, norm, squashed ? open : made(&b, "onnx.Mul", 2, gate, open)));
}

static void unfold_rotary(struct qbc *q, MlirOperation op)
{
    enum { X, POSITIONS, COS, SIN };
    struct qbc_build b = qbc_before(q, op);
    MlirValue positions = qbc_operand_at(op, POSITIONS), first = qbc_ints_constant(&b, (int64_t[]){0}, 1);
    MlirType whole = mlirUnrankedTensorTypeGet(mlirShapedTypeGetElementType(mlirValueGetType(positions)));
    MlirValue time = qbc_op(&b, "onnx.Gather", whole, 2, positions, first);
    qbc_set_int(q, qbc_def_any(time), "axis", 0);
    int64_t flat[] = {1, -1};
    time = qbc_op(&b, "onnx.Reshape", whole, 2, time, qbc_ints_constant(&b, flat, 2));
    MlirValue y = qbc_op(&b, "onnx.com.microsoft.RotaryEmbedding", qbc_unranked(q), 4, qbc_operand_at(op, X), time,
                         qbc_operand_at(op, COS), qbc_operand_at(op, SIN));
    qbc_copy_attributes(op, qbc_def_any(y));
    replace(op, 0, y);
}

static const struct {
    const char *name;
    void (*unfold)(struct qbc *q, MlirOperation op);
} fused[] = {{"onnx.com.microsoft.LinearAttentionGate", unfold_gate},
             {"onnx.com.microsoft.GatedRMSNorm", unfold_norm},
             {"onnx.com.microsoft.MRotaryEmbedding", unfold_rotary}};

void qbc_pass_unfold_fused(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    size_t n = 0;
    for (size_t i = 0; i < sizeof fused / sizeof *fused; ++i) {
        struct qbc_ops ops = qbc_collect(q, func, fused[i].name);
        for (size_t k = 0; k < ops.n; ++k, ++n)
            fused[i].unfold(q, ops.op[k]);
    }
    if (n)
        qbc_tidy(q, module);
}
