/* unfold-experts: ONNX Runtime's mixtures of experts, written out.
 *
 *   before   com.microsoft.MoE(%x, %logits, %up, %up_bias, %down, %down_bias, %value, %value_bias) {k, activation_type, ...}
 *            com.microsoft.QMoE: of codes, each with scales and zero points, and maybe the weights of experts in an operand of their own
 *   after    %w, %ids = TopK(Softmax(%logits));  %h = activation(Gather(%up, %ids) %x + Gather(%up_bias, %ids))
 *            Reshape(ReduceSum over the chosen of %w (Gather(%down, %ids) %h + Gather(%down_bias, %ids)))
 *            with GatherBlockQuantized(%codes, %ids, %scales, %zeros) where the matrices are codes
 *
 * What both compute is that of ONNX Runtime's kernels for CPUs: gelu is the one of tanh; weights of QMoE always sum up to 1, unless they have an
 * operand of their own. Scales of whole rows are those of blocks as long as a row. Old files of MoE give the two dims of a matrix in the other order, but not its numbers.
 *
 * needs    level 0, shapes or none
 * leaves   what recognise-experts and unpack-quantized know
 * keeps    codes that are floats of 4 or 8 bits, codes in the order of one processor, and use_sparse_mixer, which it notes
 */
#include "pattern.h"

#include <math.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

/* Where an operation has its operands; QMoE has scales and zero points besides. */
struct places {
    intptr_t matrix, scales, zeros, bias;
};
enum { UP, DOWN, VALUE, LAYERS, NOWHERE = 1 << 20, ROUTER_WEIGHTS = 14 };
static const struct places float_places[LAYERS] = {{2, NOWHERE, NOWHERE, 3}, {4, NOWHERE, NOWHERE, 5}, {6, NOWHERE, NOWHERE, 7}};
static const struct places code_places[LAYERS] = {{2, 3, 11, 4}, {5, 6, 12, 7}, {8, 9, 13, 10}};

struct mixture {
    MlirOperation op;
    bool coded, old; /* matrices have the dims of old files */
    int64_t top, experts, each, width, inner; /* width of a token and of an expert's rows; each: matrices side by side in the first */
    int64_t bits[LAYERS];
    const char *activation;
    int64_t fusion; /* of swiglu: 1: columns take turns, 2: halves, 0: two matrices */
    struct qbc_build b;
    MlirValue choice; /* [T top] */
};

/* --- what is there */

static const struct places *places_of(const struct mixture *m)
{
    return m->coded ? code_places : float_places;
}

static MlirValue matrix_of(const struct mixture *m, int layer)
{
    return qbc_operand_at(m->op, places_of(m)[layer].matrix);
}

/* The dims of its floats, [experts, rows, columns]. */
static bool matrix_dims(const struct mixture *m, struct qbc_evaluation *e, int layer, int64_t *dims)
{
    MlirValue v = matrix_of(m, layer);
    const struct qbc_array *a = mlirValueIsNull(v) ? NULL : qbc_evaluate_small(e, v);
    if (!a || a->rank != 3)
        return false;
    memcpy(dims, a->dims, 3 * sizeof *dims);
    dims[2] *= m->coded ? 8 / m->bits[layer] : 1;
    return dims[0] > 0 && dims[1] > 0 && dims[2] > 0;
}

/* Up is [E, columns of it, width], down [E, width, inner], or both have these the other way round. A third is as the first, without its fusion. */
static bool find_sizes(struct mixture *m, struct qbc_evaluation *e)
{
    int64_t up[3], down[3], value[3], each = strcmp(m->activation, "swiglu") || !m->fusion ? 1 : 2;
    m->each = each;
    if (!matrix_dims(m, e, UP, up) || !matrix_dims(m, e, DOWN, down))
        return false;
    if (!mlirValueIsNull(matrix_of(m, VALUE)) && (each > 1 || !matrix_dims(m, e, VALUE, value) || memcmp(value, up, sizeof up)))
        return false;
    const struct qbc_array *x = qbc_evaluate(e, mlirOperationGetOperand(m->op, 0));
    m->width = x && x->rank ? x->dims[x->rank - 1] : 0;
    bool upright = up[2] == m->width && down[1] == m->width && up[1] == each * down[2];
    m->old = !upright && !m->coded && up[1] == m->width && down[2] == m->width && up[2] == each * down[1];
    m->inner = down[m->old ? 1 : 2];
    m->experts = up[0];
    return up[0] == down[0] && (upright || m->old);
}

static bool find_bits(struct qbc *q, struct mixture *m)
{
    static const char *const names[LAYERS] = {"fc1_expert_weight_bits", "fc2_expert_weight_bits", "fc3_expert_weight_bits"};
    bool good = true;
    for (int i = 0; i < LAYERS; ++i) {
        m->bits[i] = qbc_int(m->op, names[i], qbc_int(m->op, "expert_weight_bits", 4));
        good = good && (m->bits[i] == 2 || m->bits[i] == 4 || m->bits[i] == 8);
    }
    good = good && !strcmp(qbc_string(q, m->op, "quant_type", "int"), "int");
    for (int i = 0; i < LAYERS && m->coded && good; ++i)
        good = mlirValueIsNull(matrix_of(m, i)) || !mlirValueIsNull(qbc_operand_at(m->op, places_of(m)[i].scales));
    if (m->coded && (!good || qbc_int(m->op, "weights_prepacked", -1) > 0))
        qbc_miss(q, m->op, "its codes are no integers of 2, 4 or 8 bits with scales as the exporter writes them (quant_type int, weights_prepacked 0)");
    return !m->coded || (good && qbc_int(m->op, "weights_prepacked", -1) <= 0);
}

static bool find_activation(struct qbc *q, struct mixture *m)
{
    static const char *const names[] = {"relu", "gelu", "silu", "identity", "swiglu", NULL};
    m->activation = qbc_string(q, m->op, "activation_type", "relu");
    m->fusion = qbc_int(m->op, "swiglu_fusion", 0);
    bool good = qbc_one_of(m->activation, names) && m->fusion >= 0 && m->fusion <= 2;
    if (!good)
        qbc_miss(q, m->op, "its activation '%s' (swiglu_fusion %ld) is none that is known", m->activation, (long)m->fusion);
    return good;
}

static bool describe(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, struct mixture *m)
{
    *m = (struct mixture){.op = op, .coded = qbc_is(op, "onnx.com.microsoft.QMoE"), .top = qbc_int(op, "k", 1)};
    if (!find_bits(q, m) || !find_activation(q, m))
        return false;
    bool gated = !strcmp(m->activation, "swiglu") && !m->fusion;
    bool sizes = find_sizes(m, e), pair = !gated || !mlirValueIsNull(matrix_of(m, VALUE));
    if (!sizes || !pair || m->top < 1)
        qbc_miss(q, op, "its matrices are no [experts, rows, columns] that fit its input and each other, with a third where swiglu_fusion is 0");
    else if (qbc_int(op, "use_sparse_mixer", 0))
        qbc_miss(q, op, "use_sparse_mixer, the choice of experts by thresholds, is not supported");
    else
        return true;
    return false;
}

/* --- writing it out */

static MlirValue node(struct mixture *m, const char *name, size_t n, MlirValue a, MlirValue b)
{
    return qbc_op(&m->b, name, qbc_unranked(m->b.q), n, a, b);
}

static MlirValue ints(struct mixture *m, int64_t v)
{
    return qbc_ints_constant(&m->b, &v, 1);
}

static MlirValue shaped(struct mixture *m, MlirValue v, size_t n, const int64_t *to)
{
    return qbc_reshape(&m->b, v, qbc_unranked(m->b.q), n, to);
}

static MlirValue summed(struct mixture *m, MlirValue v, int64_t axis, bool keep)
{
    MlirValue y = node(m, "onnx.ReduceSum", 2, v, ints(m, axis));
    qbc_set_int(m->b.q, qbc_def_any(y), "keepdims", keep);
    return y;
}

static MlirValue gathered(struct mixture *m, MlirValue v)
{
    MlirValue y = node(m, "onnx.Gather", 2, v, m->choice);
    qbc_set_int(m->b.q, qbc_def_any(y), "axis", 0);
    return y;
}

/* The weights of the chosen experts, [T top, 1]; sets the choice. */
static MlirValue route(struct mixture *m)
{
    struct qbc *q = m->b.q;
    MlirValue own = m->coded ? qbc_operand_at(m->op, ROUTER_WEIGHTS) : (MlirValue){NULL}, scores = qbc_operand_at(m->op, 1);
    if (mlirValueIsNull(own)) {
        scores = node(m, "onnx.Softmax", 1, scores, own);
        qbc_set_int(q, qbc_def_any(scores), "axis", -1);
    }
    MlirType types[2] = {qbc_unranked(q), mlirUnrankedTensorTypeGet(qbc_element_type(q, QBC_I64))};
    MlirOperation chosen = qbc_make_regions(&m->b, "onnx.TopK", 2, types, NULL, 2, (MlirValue[]){scores, ints(m, m->top)}, 0, NULL);
    qbc_set_int(q, chosen, "axis", -1);
    MlirValue w = mlirOperationGetResult(chosen, 0), ids = mlirOperationGetResult(chosen, 1);
    m->choice = qbc_reshape(&m->b, ids, types[1], 1, (int64_t[]){-1});
    if (!mlirValueIsNull(own)) {
        w = node(m, "onnx.GatherElements", 2, own, ids);
        qbc_set_int(q, qbc_def_any(w), "axis", 1);
    }
    if (qbc_int(m->op, "normalize_routing_weights", 0) || (m->coded && mlirValueIsNull(own)))
        w = node(m, "onnx.Div", 2, w, summed(m, w, -1, true));
    return shaped(m, w, 2, (int64_t[]){-1, 1});
}

/* The chosen experts' matrices of a layer, [T top, rows, columns]. */
static MlirValue chosen_matrices(struct mixture *m, int layer)
{
    const struct places *at = &places_of(m)[layer];
    MlirValue w = matrix_of(m, layer), zeros = qbc_operand_at(m->op, at->zeros), scales = qbc_operand_at(m->op, at->scales);
    int64_t columns = layer == DOWN ? m->inner : m->width, rows = layer == UP ? m->each * m->inner : layer == DOWN ? m->width : m->inner;
    if (!m->coded)
        return gathered(m, m->old ? shaped(m, w, 3, (int64_t[]){m->experts, rows, columns}) : w);
    struct qbc *q = m->b.q;
    int64_t block = qbc_int(m->op, "block_size", 0);
    MlirValue y = qbc_op(&m->b, "onnx.com.microsoft.GatherBlockQuantized", qbc_unranked(q), mlirValueIsNull(zeros) ? 3 : 4, w, m->choice, scales, zeros);
    MlirOperation op = qbc_def_any(y);
    qbc_set_int(q, op, "bits", m->bits[layer]);
    qbc_set_int(q, op, "block_size", block > 0 ? block : columns);
    qbc_set_int(q, op, "gather_axis", 0);
    qbc_set_int(q, op, "quantize_axis", 2);
    return y;
}

/* Rows [T top, K] times the layer's matrices, with its bias. */
static MlirValue product(struct mixture *m, int layer, MlirValue x)
{
    MlirValue w = chosen_matrices(m, layer), bias = qbc_operand_at(m->op, places_of(m)[layer].bias);
    MlirValue y = node(m, "onnx.MatMul", 2, w, node(m, "onnx.Unsqueeze", 2, x, ints(m, 2)));
    y = node(m, "onnx.Squeeze", 2, y, ints(m, 2));
    return mlirValueIsNull(bias) ? y : node(m, "onnx.Add", 2, y, gathered(m, bias));
}

static MlirValue columns(struct mixture *m, MlirValue v, int64_t from, int64_t to, int64_t step)
{
    MlirValue first = ints(m, from), end = ints(m, to), axis = ints(m, 1);
    return qbc_op(&m->b, "onnx.Slice", qbc_unranked(m->b.q), 5, v, first, end, axis, ints(m, step));
}

static MlirValue clipped(struct mixture *m, MlirValue v, double low, double high)
{
    if (!isfinite(high))
        return v;
    if (isfinite(low))
        v = node(m, "onnx.Max", 2, v, qbc_number_constant(&m->b, low));
    return node(m, "onnx.Min", 2, v, qbc_number_constant(&m->b, high));
}

/* gate sigmoid(alpha gate) (value + beta), both kept within bounds. */
static MlirValue gated(struct mixture *m, MlirValue gate, MlirValue value)
{
    double alpha = qbc_float(m->op, "activation_alpha", 1), beta = qbc_float(m->op, "activation_beta", 0);
    double limit = qbc_float(m->op, "swiglu_limit", INFINITY);
    MlirValue none = {NULL}, g = clipped(m, gate, -INFINITY, limit), l = clipped(m, value, -limit, limit);
    MlirValue scaled = alpha == 1 ? g : node(m, "onnx.Mul", 2, g, qbc_number_constant(&m->b, alpha));
    MlirValue y = node(m, "onnx.Mul", 2, g, node(m, "onnx.Sigmoid", 1, scaled, none));
    return node(m, "onnx.Mul", 2, y, beta == 0 ? l : node(m, "onnx.Add", 2, l, qbc_number_constant(&m->b, beta)));
}

static MlirValue plain(struct mixture *m, MlirValue u)
{
    MlirValue none = {NULL};
    if (!strcmp(m->activation, "relu"))
        return node(m, "onnx.Relu", 1, u, none);
    if (!strcmp(m->activation, "silu"))
        return node(m, "onnx.Mul", 2, u, node(m, "onnx.Sigmoid", 1, u, none));
    if (strcmp(m->activation, "gelu"))
        return u;
    MlirValue y = node(m, "onnx.Gelu", 1, u, none);
    qbc_set_string(m->b.q, qbc_def_any(y), "approximate", "tanh");
    return y;
}

/* What the second product reads. */
static MlirValue activation(struct mixture *m, MlirValue x)
{
    bool swiglu = !strcmp(m->activation, "swiglu"), third = !mlirValueIsNull(matrix_of(m, VALUE));
    MlirValue u = product(m, UP, x);
    if (swiglu && m->fusion) {
        bool turns = m->fusion == 1;
        MlirValue gate = columns(m, u, 0, turns ? 2 * m->inner : m->inner, turns ? 2 : 1);
        return gated(m, gate, columns(m, u, turns ? 1 : m->inner, 2 * m->inner, turns ? 2 : 1));
    }
    if (swiglu)
        return gated(m, u, product(m, VALUE, x));
    MlirValue h = plain(m, u);
    return third ? node(m, "onnx.Mul", 2, h, product(m, VALUE, x)) : h;
}

static void write_out(struct qbc *q, struct mixture *m)
{
    m->b = qbc_before(q, m->op);
    MlirValue input = mlirOperationGetOperand(m->op, 0), weights = route(m);
    MlirValue x = shaped(m, input, 3, (int64_t[]){-1, 1, m->width});
    x = node(m, "onnx.Tile", 2, x, qbc_ints_constant(&m->b, (int64_t[]){1, m->top, 1}, 3));
    MlirValue h = activation(m, shaped(m, x, 2, (int64_t[]){-1, m->width}));
    MlirValue y = node(m, "onnx.Mul", 2, product(m, DOWN, h), weights);
    y = summed(m, shaped(m, y, 3, (int64_t[]){-1, m->top, m->width}), 1, false);
    MlirValue shape = qbc_op(&m->b, "onnx.Shape", mlirUnrankedTensorTypeGet(qbc_element_type(q, QBC_I64)), 1, input);
    MlirValue old = mlirOperationGetResult(m->op, 0);
    mlirValueReplaceAllUsesOfWith(old, qbc_op(&m->b, "onnx.Reshape", mlirValueGetType(old), 2, y, shape));
}

void qbc_pass_unfold_experts(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct qbc_evaluation *e = qbc_probe(q, func, 5, 0);
    for (size_t i = 0; i < ops.n; ++i) {
        struct mixture m;
        bool named = qbc_is(ops.op[i], "onnx.com.microsoft.MoE") || qbc_is(ops.op[i], "onnx.com.microsoft.QMoE");
        if (named && describe(q, e, ops.op[i], &m))
            write_out(q, &m); /* at once: the next layer's input is what this one gives, in operations that can be evaluated */
    }
    qbc_evaluation_destroy(e);
    qbc_tidy(q, module);
}
