/* recognise-linear: products with stored matrices, and rows of stored matrices by token.
 *
 *   before   %y = "onnx.MatMul"(%x, %w)        or Gemm, FusedMatMul; %w a weight, maybe transposed
 *            %y = "onnx.MatMul"(%w, %x^T)      for one token a call, where a column is a row
 *            %e = "onnx.Gather"(%w, %tokens)
 *            %p = "onnx.Gather"(%w, %positions)
 *            %t = "onnx.Gather"(%w, the same row for every token)          segments
 *   after    %y = "qb.linear"(%x, %v)          %v a view [N, K] of the stored tensor, by strides
 *            %e = "qb.embed"(%tokens, %v)      %v [V, C]
 *            %p = "qb.embed_positions"(%v) {first}   if for several T and P the indices are first + P, first + P + 1, ...
 *
 *            %t = "qb.repeat"(row)
 *
 * needs    level 0
 * leaves   each such product of rows as one qb.linear; a Gemm's bias as an onnx.Add after it (recognise-bias)
 * keeps    products of two activations (attention), of positions (rotary angles), and others, which
 *          it notes
 */
#include "pattern.h"

#include <string.h>

struct product {
    MlirOperation op;
    struct qbc_strided weight;
    size_t rows, cols; /* which dims of `weight` are N and K */
    struct qbc_dims dims; /* of the result */
    int64_t width;
    bool embedding, by_position, one_row;
    bool turned; /* W x^T: the weight is the first operand */
    int64_t first; /* row for position 0; the one row */
};

static bool is_product(MlirOperation op)
{
    return qbc_is(op, "onnx.MatMul") || qbc_is(op, "onnx.Gemm") ||
           qbc_is(op, "onnx.com.microsoft.FusedMatMul");
}

/* Matrices may come with leading dimensions of 1. */
static bool is_matrix(const struct qbc_strided *w)
{
    for (size_t d = 0; d + 2 < w->rank; ++d)
        if (w->dims[d] != 1)
            return false;
    return w->rank >= 2;
}

static bool only_constants(struct qbc *q, MlirValue v)
{
    struct qbc_values leaves = qbc_leaves(q, v, 0, NULL);
    for (size_t i = 0; i < leaves.n; ++i)
        if (!qbc_is_constant(leaves.v[i]))
            return false;
    return leaves.n > 0;
}

static bool plain(struct qbc *q, MlirOperation op)
{
    if (qbc_int(op, "transA", 0) || qbc_int(op, "transBatchA", 0) ||
        qbc_int(op, "transBatchB", 0)) {
        qbc_miss(q, op, "a product with its first operand transposed");
        return false;
    }
    if (qbc_float(op, "alpha", 1) != 1 || qbc_float(op, "beta", 1) != 1) {
        qbc_miss(q, op, "a product times a number (alpha or beta is not 1)");
        return false;
    }
    return true;
}

static bool linear(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct product *p)
{
    bool turned = s->step && qbc_is(op, "onnx.MatMul") && only_constants(q, mlirOperationGetOperand(op, 0));
    MlirValue x = mlirOperationGetOperand(op, turned), w = mlirOperationGetOperand(op, !turned);
    const struct qbc_array *numbers = qbc_evaluate_small(s->at[0], x);
    *p = (struct product){.op = op, .turned = turned};
    if (!only_constants(q, w) || (numbers && numbers->known))
        return false; /* attention, or arithmetic on positions */
    if (!qbc_strided_of(q, s->at[0], w, &p->weight) || !is_matrix(&p->weight)) {
        qbc_miss(q, op, "a product with weights that are no view of one stored matrix");
        return false;
    }
    bool transposed = turned || qbc_int(op, "transB", 0);
    p->rows = p->weight.rank - (transposed ? 2 : 1);
    p->cols = p->weight.rank - (transposed ? 1 : 2);
    p->width = qbc_shapes_width(s, mlirOperationGetResult(op, 0), &p->dims);
    if (qbc_shapes_width(s, x, NULL) != p->weight.dims[p->cols] ||
        p->width != p->weight.dims[p->rows]) {
        qbc_miss(q, op, "a product with a stored matrix whose other operand has no row for each "
                        "token");
        return false;
    }
    return plain(q, op);
}

/* Indices for tokens of our own; some exports count those that are no padding, which have low numbers. NULL: unknown. The
 * caller destroys the evaluation. */
static const struct qbc_array *indices_of(struct qbc *q, MlirOperation func, MlirValue ids, int64_t tokens, int64_t past,
                                          uint32_t seed, struct qbc_evaluation **e)
{
    enum { ORDINARY = 16, SPREAD = 200 };
    MlirBlock body = qbc_func_body(func);
    *e = qbc_probe(q, func, tokens, past);
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(body); ++i) {
        const char *input = qbc_input(q, func, mlirBlockGetArgument(body, i));
        if (!input || strcmp(input, "tokens"))
            continue;
        struct qbc_array a = qbc_array_create(*e, QBC_I64, 2, (int64_t[]){1, tokens});
        for (int64_t t = 0; t < tokens && a.i; ++t)
            a.i[t] = ORDINARY + (t * 37 + seed * 101) % SPREAD;
        qbc_evaluation_bind(*e, mlirBlockGetArgument(body, i), a);
    }
    const struct qbc_array *a = qbc_evaluate(*e, ids);
    return a && a->known && a->i && (int64_t)a->n == tokens ? a : NULL;
}

/* Are the indices those of positions P .. P + T - 1, from row `first` on? The table is as long as the context then. */
static bool by_position(struct qbc *q, MlirOperation func, struct qbc_shapes *s, MlirOperation op, MlirValue ids,
                        struct product *p)
{
    bool good = true;
    for (int i = 0; i < 2 && good; ++i) {
        struct qbc_evaluation *e;
        const struct qbc_array *a = indices_of(q, func, ids, s->tokens[i], s->past[i], (uint32_t)i, &e);
        p->first = !a ? -1 : i ? p->first : a->i[0] - s->past[0];
        for (size_t t = 0; a && t < a->n; ++t)
            good &= a->i[t] == p->first + s->past[i] + (int64_t)t;
        good &= a != NULL;
        qbc_evaluation_destroy(e);
    }
    p->by_position = good && p->first >= 0 && p->first < p->weight.dims[0];
    if (p->by_position)
        qbc_limit_context(q, op, p->weight.dims[0] - p->first);
    return p->by_position;
}

/* The same row for each of several tokens. */
static bool is_one_row(struct qbc *q, MlirOperation func, struct qbc_shapes *s, MlirValue ids, struct product *p)
{
    bool good = true;
    for (int i = 0; i < 2 && good; ++i) {
        struct qbc_evaluation *e;
        const struct qbc_array *a = indices_of(q, func, ids, s->tokens[i], s->past[i], (uint32_t)i, &e);
        p->first = !a ? -1 : i ? p->first : a->i[0];
        for (size_t t = 0; a && t < a->n; ++t)
            good &= a->i[t] == p->first;
        good &= a && p->first >= 0 && p->first < p->weight.dims[0];
        qbc_evaluation_destroy(e);
    }
    return p->one_row = good;
}

static bool embedding(struct qbc *q, MlirOperation func, struct qbc_shapes *s, MlirOperation op,
                      struct product *p)
{
    MlirValue ids = qbc_strip(mlirOperationGetOperand(op, 1));
    *p = (struct product){.op = op, .rows = 0, .cols = 1, .embedding = true};
    if (!qbc_strided_of(q, s->at[0], mlirOperationGetOperand(op, 0), &p->weight) ||
        p->weight.rank != 2 || qbc_int(op, "axis", 0) != 0)
        return false;
    const char *input = qbc_input(q, func, ids);
    if ((!input || strcmp(input, "tokens")) && !by_position(q, func, s, op, ids, p) &&
        !is_one_row(q, func, s, ids, p)) {
        const struct qbc_array *numbers = qbc_evaluate_small(s->at[0], ids);
        if (numbers && !numbers->known)
            qbc_miss(q, op, "rows of a table by something else than the tokens");
        else
            qbc_miss(q, op, "rows of a table by other positions than those of the tokens");
        return false;
    }
    p->width = qbc_shapes_width(s, mlirOperationGetResult(op, 0), &p->dims);
    return p->width == p->weight.dims[1];
}

static MlirValue emit_positions(struct qbc_build *b, const struct product *p, MlirValue w)
{
    MlirValue y = qbc_op(b, "qb.embed_positions", qbc_rows_type(b->q, p->width), 1, w);
    qbc_set_int(b->q, qbc_def_any(y), "first", p->first);
    return y;
}

static MlirValue emit_row(struct qbc_build *b, const struct product *p)
{
    struct qbc_strided row = p->weight;
    row.offset += p->first * row.strides[0];
    row.dims[0] = 1;
    return qbc_op(b, "qb.repeat", qbc_rows_type(b->q, p->width), 1, qbc_weight(b, &row, 1, &p->cols));
}

static void apply(struct qbc *q, struct product *p)
{
    struct qbc_build b = qbc_before(q, p->op);
    if (p->one_row) {
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(p->op, 0), qbc_unrows(&b, emit_row(&b, p), &p->dims));
        return;
    }
    MlirValue x = mlirOperationGetOperand(p->op, p->embedding || p->turned), y;
    MlirValue w = qbc_weight(&b, &p->weight, 2, (size_t[]){p->rows, p->cols});
    MlirType type = qbc_rows_type(q, p->width);
    if (p->by_position)
        y = emit_positions(&b, p, w);
    else if (p->embedding)
        y = qbc_op(&b, "qb.embed", type, 2, qbc_strip(x), w);
    else
        y = qbc_op(&b, "qb.linear", type, 2, qbc_rows(&b, x, p->weight.dims[p->cols]), w);
    y = qbc_unrows(&b, y, &p->dims);
    if (qbc_is(p->op, "onnx.Gemm") && mlirOperationGetNumOperands(p->op) > 2 &&
        !qbc_is_none(mlirOperationGetOperand(p->op, 2)))
        y = qbc_op(&b, "onnx.Add", mlirValueGetType(y), 2, y, mlirOperationGetOperand(p->op, 2));
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(p->op, 0), y);
}

void qbc_pass_recognise_linear(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct product *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        if (is_product(ops.op[i]))
            n += linear(q, &shapes, ops.op[i], &found[n]);
        else if (qbc_is(ops.op[i], "onnx.Gather"))
            n += embedding(q, func, &shapes, ops.op[i], &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
}
