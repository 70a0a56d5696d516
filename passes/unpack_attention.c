/* unpack-attention: fused attention operations as what they are defined to be.
 *
 *   before   onnx.Attention(%q, %k, %v, %mask, %past_k, %past_v)
 *   after    Concat with the past, Transpose, MatMul, Mul by the scale, Where or Add of the mask,
 *            Softmax, MatMul: what other exporters write
 *
 *   before   GroupQueryAttention(%qkv, none, none, ...)      %qkv [1, T, (heads + 2 kv_heads) head_dim]
 *   after    %q, %k, %v = Split(%qkv);  GroupQueryAttention(%q, %k, %v, ...)
 *
 * needs    level 0
 * leaves   for recognise-attention only one form; for cut-linear three uses of a packed product
 * keeps    an Attention with a soft cap, or whose scores are a result, and notes it
 */
#include "pattern.h"

#include <math.h>
#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>

enum operand { Q, K, V, MASK, PAST_K, PAST_V, VALID };

/* --- GroupQueryAttention */

static void split(struct qbc *q, MlirOperation op, int64_t head_dim)
{
    int64_t heads = qbc_int(op, "num_heads", 0), kv_heads = qbc_int(op, "kv_num_heads", 0);
    int64_t widths[3] = {heads * head_dim, kv_heads * head_dim, kv_heads * head_dim};
    struct qbc_build b = qbc_before(q, op);
    struct qbc_attr attrs[] = {{"axis", qbc_attr_int(q, -1)}, {0}};
    MlirValue operands[2] = {qbc_operand_at(op, Q), qbc_ints_constant(&b, widths, 3)};
    MlirType type = qbc_unranked(q);
    MlirOperation parts = qbc_make_regions(&b, "onnx.Split", 3, (MlirType[]){type, type, type},
                                           attrs, 2, operands, 0, NULL);
    for (intptr_t i = Q; i <= V; ++i)
        mlirOperationSetOperand(op, i, mlirOperationGetResult(parts, i));
}

static int64_t packed_head_dim(struct qbc_shapes *s, MlirOperation op)
{
    int64_t all = qbc_int(op, "num_heads", 0) + 2 * qbc_int(op, "kv_num_heads", 0);
    int64_t width = qbc_shapes_width(s, mlirOperationGetOperand(op, Q), NULL);
    bool packed = mlirOperationGetNumOperands(op) > V && mlirValueIsNull(qbc_operand_at(op, K));
    return packed && all > 0 && width % all == 0 ? width / all : 0;
}

/* --- Attention */

struct attention {
    MlirOperation op;
    int64_t heads, kv_heads, head_dim;
    size_t rank; /* 4: [1, heads, T, D], 3: [1, T, heads * D] */
    double scale;
    bool boolean_mask;
};

static bool describe(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct attention *a)
{
    struct qbc_dims qd, kd;
    MlirValue mask = qbc_operand_at(op, MASK);
    *a = (struct attention){.op = op};
    if (qbc_float(op, "softcap", 0) != 0 || !mlirValueIsNull(qbc_operand_at(op, VALID)) ||
        (mlirOperationGetNumResults(op) > 3 && qbc_uses(mlirOperationGetResult(op, 3)))) {
        qbc_miss(q, op, "a soft cap, lengths of valid keys, or scores as a result are not "
                        "supported");
        return false;
    }
    if (!qbc_shapes_dims(s, qbc_operand_at(op, Q), &qd) || !qbc_shapes_dims(s, qbc_operand_at(op, K), &kd) ||
        qd.rank != kd.rank || (qd.rank != 4 && qd.rank != 3)) {
        qbc_miss(q, op, "queries and keys of 3 or 4 dimensions are wanted");
        return false;
    }
    a->rank = qd.rank;
    a->heads = qd.rank == 4 ? qd.at[1] : qbc_int(op, "q_num_heads", 0);
    a->kv_heads = qd.rank == 4 ? kd.at[1] : qbc_int(op, "kv_num_heads", 0);
    if (a->heads <= 0 || a->kv_heads <= 0 || a->heads % a->kv_heads ||
        qd.at[qd.rank - 1] <= 0) {
        qbc_miss(q, op, "%ld query heads and %ld key heads do not fit", a->heads, a->kv_heads);
        return false;
    }
    a->head_dim = qd.rank == 4 ? qd.at[3] : qd.at[2] / a->heads;
    a->scale = qbc_float(op, "scale", 1 / sqrt((double)a->head_dim));
    const struct qbc_array *m = mlirValueIsNull(mask) ? NULL : qbc_evaluate_small(s->at[0], mask);
    a->boolean_mask = m && m->element == QBC_BOOL;
    return true;
}

/* As [1, heads, T, D]. */
static MlirValue by_heads(struct qbc_build *b, const struct attention *a, MlirValue v,
                          int64_t heads)
{
    if (a->rank == 4)
        return v;
    v = qbc_reshape(b, v, qbc_unranked(b->q), 4, (int64_t[]){1, -1, heads, a->head_dim});
    return qbc_transpose(b, v, 4, (int64_t[]){0, 2, 1, 3});
}

static MlirValue with_attr(struct qbc_build *b, const char *name, MlirType type, const char *attr,
                           int64_t value, size_t n, const MlirValue *operands)
{
    struct qbc_attr attrs[] = {{attr, qbc_attr_int(b->q, value)}, {0}};
    return mlirOperationGetResult(qbc_make(b, name, type, attrs, n, operands), 0);
}

/* Keys or values, after their past, which is the operation's result `present`. */
static MlirValue after_past(struct qbc_build *b, const struct attention *a, enum operand what)
{
    MlirValue v = by_heads(b, a, qbc_operand_at(a->op, what), a->kv_heads);
    MlirValue past = qbc_operand_at(a->op, what == K ? PAST_K : PAST_V);
    if (!mlirValueIsNull(past))
        v = with_attr(b, "onnx.Concat", qbc_unranked(b->q), "axis", 2, 2, (MlirValue[]){past, v});
    if (mlirOperationGetNumResults(a->op) > (intptr_t)what)
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(a->op, what), v);
    return v;
}

/* Each head as often as queries use it. */
static MlirValue repeated(struct qbc_build *b, const struct attention *a, MlirValue v)
{
    if (a->heads == a->kv_heads)
        return v;
    int64_t *heads = qbc_alloc(b->q, (size_t)a->heads * sizeof *heads);
    for (int64_t h = 0; h < a->heads; ++h)
        heads[h] = h / (a->heads / a->kv_heads);
    MlirValue indices = qbc_ints_constant(b, heads, (size_t)a->heads);
    return with_attr(b, "onnx.Gather", qbc_unranked(b->q), "axis", 1, 2, (MlirValue[]){v, indices});
}

static MlirValue number(struct qbc_build *b, float value)
{
    MlirType type = qbc_tensor(b->q, mlirF32TypeGet(b->q->mlir), 0, NULL);
    struct qbc_attr attrs[] = {{"value", mlirDenseElementsAttrFloatSplatGet(type, value)}, {0}};
    return mlirOperationGetResult(qbc_make(b, "onnx.Constant", type, attrs, 0, NULL), 0);
}

/* is_causal: row t sees columns up to t, and as many more as the past operand has rows. */
static MlirValue lower_triangle(struct qbc_build *b, const struct attention *a, MlirValue scores)
{
    MlirType integers = mlirUnrankedTensorTypeGet(mlirIntegerTypeGet(b->q->mlir, 64));
    MlirType booleans = mlirUnrankedTensorTypeGet(mlirIntegerTypeGet(b->q->mlir, 1));
    MlirValue shape = qbc_op(b, "onnx.Shape", integers, 1, scores), past = qbc_operand_at(a->op, PAST_K);
    MlirValue ones = qbc_op(b, "onnx.Expand", qbc_unranked(b->q), 2, number(b, 1), shape);
    MlirValue operands[2] = {ones};
    if (!mlirValueIsNull(past)) {
        MlirValue of_past = qbc_op(b, "onnx.Shape", integers, 1, past);
        MlirValue at = qbc_op(b, "onnx.Gather", integers, 2, of_past,
                              qbc_ints_constant(b, (int64_t[]){2}, 1));
        operands[1] = qbc_op(b, "onnx.Squeeze", integers, 1, at);
    }
    MlirValue lower = with_attr(b, "onnx.Trilu", qbc_unranked(b->q), "upper", 0,
                                1 + !mlirValueIsNull(past), operands);
    return qbc_op(b, "onnx.Greater", booleans, 2, lower, number(b, 0));
}

static MlirValue masked(struct qbc_build *b, const struct attention *a, MlirValue scores)
{
    MlirValue mask = qbc_operand_at(a->op, MASK);
    MlirType type = qbc_unranked(b->q);
    if (qbc_int(a->op, "is_causal", 0))
        scores = qbc_op(b, "onnx.Where", type, 3, lower_triangle(b, a, scores), scores,
                        number(b, -INFINITY));
    if (mlirValueIsNull(mask))
        return scores;
    if (a->boolean_mask)
        return qbc_op(b, "onnx.Where", type, 3, mask, scores, number(b, -INFINITY));
    return qbc_op(b, "onnx.Add", type, 2, scores, mask);
}

static void write_out(struct qbc *q, const struct attention *a)
{
    struct qbc_build b = qbc_before(q, a->op);
    MlirType type = qbc_unranked(q);
    MlirValue queries = by_heads(&b, a, qbc_operand_at(a->op, Q), a->heads);
    MlirValue keys = repeated(&b, a, after_past(&b, a, K));
    MlirValue values = repeated(&b, a, after_past(&b, a, V));
    keys = qbc_transpose(&b, keys, 4, (int64_t[]){0, 1, 3, 2});
    MlirValue scores = qbc_op(&b, "onnx.MatMul", type, 2, queries, keys);
    scores = qbc_op(&b, "onnx.Mul", type, 2, scores, number(&b, (float)a->scale));
    MlirValue p = masked(&b, a, scores);
    p = with_attr(&b, "onnx.Softmax", type, "axis", -1, 1, &p);
    MlirValue y = qbc_op(&b, "onnx.MatMul", type, 2, p, values);
    if (a->rank == 3) {
        y = qbc_transpose(&b, y, 4, (int64_t[]){0, 2, 1, 3});
        y = qbc_reshape(&b, y, type, 3, (int64_t[]){1, -1, a->heads * a->head_dim});
    }
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(a->op, 0), y);
}

void qbc_pass_unpack_attention(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops fused = qbc_collect(q, func, "onnx.com.microsoft.GroupQueryAttention");
    struct qbc_ops ops = qbc_collect(q, func, "onnx.Attention");
    int64_t *head_dim = qbc_alloc(q, (fused.n + 1) * sizeof *head_dim);
    struct attention *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes s;
    size_t n = 0;
    qbc_shapes_open(q, func, &s);
    for (size_t i = 0; i < fused.n; ++i)
        head_dim[i] = packed_head_dim(&s, fused.op[i]);
    for (size_t i = 0; i < ops.n; ++i)
        n += describe(q, &s, ops.op[i], &found[n]);
    qbc_shapes_close(&s);
    for (size_t i = 0; i < fused.n; ++i)
        if (head_dim[i])
            split(q, fused.op[i], head_dim[i]);
    for (size_t i = 0; i < n; ++i)
        write_out(q, &found[i]);
    qbc_tidy(q, module);
}
