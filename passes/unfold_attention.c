/* unfold-attention: ONNX Runtime's attention operations as ONNX's own.
 *
 *   before   com.microsoft.MultiHeadAttention(%q, %k, %v, %bias, %padding, %mask, %past_k, %past_v) {num_heads}
 *   after    onnx.Attention(%q + %bias[0:C], %k + .., %v + .., %mask, %past_k, %past_v) {q_num_heads, kv_num_heads}
 *
 *   before   com.microsoft.Attention(%x, %w, %bias, %padding) {num_heads}
 *   after    %q, %k, %v = Split of onnx.MatMul(%x, %w) + %bias;  onnx.Attention(%q, %k, %v)
 *
 * A padding mask must mask nothing: there is one sequence, without padding.
 *
 * needs    level 0
 * leaves   onnx.Attention, for unpack-attention; biases as onnx.Add
 * keeps    what it does otherwise (keys of another sequence, all three in one operand head by head, a packed cache,
 *          rotary inside), and notes it
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>

enum operand { Q, K, V, BIAS, PADDING, MASK, PAST_K, PAST_V, MHA_MORE };
enum { X = 0, WEIGHTS = 1, FUSED_BIAS = 2, FUSED_PADDING = 3, FUSED_PAST = 4, FUSED_MASK = 5 };

struct fused {
    MlirOperation op;
    bool products;        /* its own */
    int64_t heads, width; /* heads * head_dim */
    MlirValue bias, mask, past[2];
};

/* Lengths, or ones for all tokens: nothing is padded. */
static bool is_unpadded(struct qbc *q, struct qbc_shapes *s, MlirOperation op, MlirValue v)
{
    for (int i = 0; i < 2 && !mlirValueIsNull(v); ++i) {
        const struct qbc_array *a = qbc_evaluate(s->at[i], v);
        int64_t all = s->past[i] + s->tokens[i];
        bool good = a && a->known && a->i && (a->n == 1 || (int64_t)a->n == all);
        for (size_t k = 0; good && k < a->n; ++k)
            good = a->n == 1 ? a->i[k] == all : a->i[k] == 1;
        if (!good) {
            qbc_miss(q, op, "its mask of keys is not that of tokens without padding");
            return false;
        }
    }
    return true;
}

static bool multi_head(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct fused *f)
{
    struct qbc_dims d;
    f->bias = qbc_operand_at(op, BIAS);
    f->mask = qbc_operand_at(op, MASK);
    f->past[0] = qbc_operand_at(op, PAST_K);
    f->past[1] = qbc_operand_at(op, PAST_V);
    f->width = qbc_shapes_width(s, mlirOperationGetResult(op, 0), NULL);
    for (intptr_t i = Q; i <= V; ++i)
        if (!qbc_shapes_dims(s, qbc_operand_at(op, i), &d) || d.rank != 3 || !qbc_is_tokens(s, d.at[1]) || d.at[2] != f->width) {
            qbc_miss(q, op, "its queries, keys and values are not those of the same tokens, [1, T, heads * head_dim] each");
            return false;
        }
    return is_unpadded(q, s, op, qbc_operand_at(op, PADDING));
}

static bool with_products(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct fused *f)
{
    const int64_t *sizes;
    f->products = true;
    f->bias = qbc_operand_at(op, FUSED_BIAS);
    f->mask = qbc_operand_at(op, FUSED_MASK);
    f->width = qbc_shapes_width(s, mlirOperationGetResult(op, 0), NULL);
    const struct qbc_array *w = qbc_evaluate_small(s->at[0], qbc_operand_at(op, WEIGHTS));
    bool uneven = qbc_ints(q, op, "qkv_hidden_sizes", &sizes) && sizes[0] != sizes[2];
    if (!w || w->rank != 2 || w->dims[1] != 3 * f->width || uneven || !mlirValueIsNull(qbc_operand_at(op, FUSED_PAST)) ||
        qbc_int(op, "do_rotary", 0)) {
        qbc_miss(q, op, "a packed cache, rotary embedding inside, or values of another width than keys are not supported");
        return false;
    }
    return is_unpadded(q, s, op, qbc_operand_at(op, FUSED_PADDING));
}

static bool describe(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct fused *f)
{
    *f = (struct fused){.op = op, .heads = qbc_int(op, "num_heads", 0)};
    bool multi = qbc_is(op, "onnx.com.microsoft.MultiHeadAttention");
    if (!(multi ? multi_head(q, s, op, f) : with_products(q, s, op, f)))
        return false;
    if (f->heads < 1 || f->width % f->heads)
        qbc_miss(q, op, "%ld heads do not fit %ld columns", (long)f->heads, (long)f->width);
    return f->heads > 0 && f->width % f->heads == 0;
}

/* --- the rewrite */

static MlirValue columns(struct qbc_build *b, const struct fused *f, MlirValue v, int64_t part, int64_t axis)
{
    int64_t from = part * f->width, to = from + f->width;
    return qbc_op(b, "onnx.Slice", qbc_unranked(b->q), 4, v, qbc_ints_constant(b, &from, 1), qbc_ints_constant(b, &to, 1),
                  qbc_ints_constant(b, &axis, 1));
}

static MlirValue part_of(struct qbc_build *b, const struct fused *f, MlirValue product, int64_t part)
{
    if (f->products)
        return columns(b, f, product, part, 2);
    MlirValue v = qbc_operand_at(f->op, part);
    return mlirValueIsNull(f->bias) ? v : qbc_op(b, "onnx.Add", qbc_unranked(b->q), 2, v, columns(b, f, f->bias, part, 0));
}

static void write_out(struct qbc *q, const struct fused *f)
{
    struct qbc_build b = qbc_before(q, f->op);
    MlirValue product = {NULL}, operands[6];
    if (f->products)
        product = qbc_op(&b, "onnx.MatMul", qbc_unranked(q), 2, qbc_operand_at(f->op, X), qbc_operand_at(f->op, WEIGHTS));
    if (f->products && !mlirValueIsNull(f->bias))
        product = qbc_op(&b, "onnx.Add", qbc_unranked(q), 2, product, f->bias);
    for (int64_t i = Q; i <= V; ++i)
        operands[i] = part_of(&b, f, product, i);
    MlirValue rest[3] = {f->mask, f->past[0], f->past[1]};
    for (int i = 0; i < 3; ++i)
        operands[3 + i] =
            mlirValueIsNull(rest[i]) ? qbc_op(&b, "onnx.None", mlirNoneTypeGet(q->mlir), 0) : rest[i];
    MlirType types[3] = {mlirValueGetType(mlirOperationGetResult(f->op, 0)), qbc_unranked(q), qbc_unranked(q)};
    MlirOperation op = qbc_make_regions(&b, "onnx.Attention", 3, types, NULL, 6, operands, 0, NULL);
    qbc_set_int(q, op, "q_num_heads", f->heads);
    qbc_set_int(q, op, "kv_num_heads", f->heads);
    qbc_set_int(q, op, "is_causal", qbc_int(f->op, "unidirectional", 0));
    if (qbc_float(f->op, "scale", 0) != 0)
        qbc_set_float(q, op, "scale", (float)qbc_float(f->op, "scale", 0));
    for (intptr_t i = 0; i < mlirOperationGetNumResults(f->op) && i < (f->products ? 1 : 3); ++i)
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(f->op, i), mlirOperationGetResult(op, i));
}

void qbc_pass_unfold_attention(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct fused *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes s;
    size_t n = 0;
    qbc_shapes_open(q, func, &s);
    for (size_t i = 0; i < ops.n; ++i)
        if (qbc_is(ops.op[i], "onnx.com.microsoft.MultiHeadAttention") || qbc_is(ops.op[i], "onnx.com.microsoft.Attention"))
            n += describe(q, &s, ops.op[i], &found[n]);
    qbc_shapes_close(&s);
    for (size_t i = 0; i < n; ++i)
        write_out(q, &found[i]);
    qbc_tidy(q, module);
}
