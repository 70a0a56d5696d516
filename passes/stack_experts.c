/* stack-experts: mixtures whose experts are all computed, one by one, and weighed afterwards: only those that a token chose are.
 *
 *   before   %p = softmax of a router's logits %r, kept where TopK says, else 0
 *            %y = sum over e of %p[.., e] * %z_e,      %z_0 = "qb.linear"(%h_0, %w_0), ...,  the same operations of %x for each e
 *   after    %c = "qb.route"(%r);  %h = the operations of one expert, with "qb.expert_linear"(%x, %w, %c) for "qb.linear"
 *            %y = "qb.combine"("qb.expert_linear"(%h, %w', %c), %c)       %w the experts' matrices, one after the other
 *
 * Which %z is which expert's, and how much each counts: base/mixture.c.
 *
 * needs    recognise-mlp: each expert is level 1
 * keeps    sums of other things, and experts that are not computed alike, and notes why
 */
#include "pattern.h"

#include <string.h>

enum { MOST_ALIKE = 64 /* operations of an expert */ };

/* --- the experts */

/* Operations of the first expert, and what is made instead. */
struct rewrite {
    struct qbc_mixture *m;
    struct qbc_build b;
    MlirValue old[MOST_ALIKE], made[MOST_ALIKE];
    bool wide[MOST_ALIKE]; /* a part for each chosen expert */
    size_t n;
};

static bool same_attributes(MlirOperation a, MlirOperation b)
{
    bool same = mlirOperationGetNumAttributes(a) == mlirOperationGetNumAttributes(b);
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(a) && same; ++i) {
        MlirNamedAttribute at = mlirOperationGetAttribute(a, i);
        same = mlirAttributeEqual(at.attribute, mlirOperationGetAttributeByName(b, mlirIdentifierStr(at.name)));
    }
    return same;
}

/* Weights [n, k] or [n] of all experts as one [experts n, k]; null: they are no views of one shape. */
static MlirValue stacked(struct rewrite *r, const MlirValue *weights)
{
    struct qbc *q = r->b.q;
    int64_t experts = r->m->experts, dims[2];
    size_t rank = qbc_rank(weights[0]);
    struct qbc_view *view = qbc_alloc(q, (size_t)experts * sizeof *view);
    for (int64_t e = 0; e < experts; ++e) {
        MlirOperation weight = qbc_def(weights[e], "qb.weight");
        if (mlirOperationIsNull(weight) || !mlirTypeEqual(mlirValueGetType(weights[e]), mlirValueGetType(weights[0])) ||
            !qbc_view_of(q, weight, &view[e]))
            return (MlirValue){NULL};
    }
    const char *name = qbc_stack_add(q, view, (size_t)experts);
    struct qbc_strided all = {.name = name, .source = name, .rank = rank, .strides = {1, 1}};
    for (size_t d = 0; d < rank; ++d)
        dims[d] = all.dims[d] = qbc_dim(weights[0], d) * (d == 0 ? experts : 1);
    if (rank == 2)
        all.strides[0] = dims[1];
    return qbc_weight(&r->b, &all, rank, (size_t[]){0, 1});
}

static MlirValue remember(struct rewrite *r, MlirValue old, MlirValue made, bool wide)
{
    r->old[r->n] = old;
    r->made[r->n] = made;
    r->wide[r->n++] = wide;
    return made;
}

/* Operand i of the same operation of each expert. */
static MlirValue *operands_of(struct rewrite *r, const MlirValue *same, intptr_t i)
{
    MlirValue *all = qbc_alloc(r->b.q, (size_t)r->m->experts * sizeof *all);
    for (int64_t e = 0; e < r->m->experts; ++e)
        all[e] = mlirOperationGetOperand(qbc_def_any(same[e]), i);
    return all;
}

static MlirValue expert_linear(struct rewrite *r, MlirValue x, const MlirValue *weights, MlirValue old)
{
    struct qbc *q = r->b.q;
    MlirValue w = stacked(r, weights), operands[3] = {x, w, qbc_router_route(&r->b, r->m->router)};
    if (mlirValueIsNull(w))
        return w;
    int64_t top = r->m->router->law.top;
    MlirOperation op = qbc_make(&r->b, "qb.expert_linear", qbc_rows_type(q, top * qbc_dim(old, 1)), NULL, 3, operands);
    qbc_set_int(q, op, "experts", r->m->experts);
    qbc_set_int(q, op, "top", top);
    return mlirOperationGetResult(op, 0);
}

/* A vector that is added to a product: an operand of that. */
static MlirValue with_bias(struct rewrite *r, MlirValue product, const MlirValue *vectors)
{
    MlirOperation op = qbc_def(product, "qb.expert_linear");
    MlirValue b = mlirOperationIsNull(op) || mlirOperationGetNumOperands(op) != 3 ? (MlirValue){NULL} : stacked(r, vectors);
    if (mlirValueIsNull(b))
        return b;
    MlirValue operands[4] = {mlirOperationGetOperand(op, 0), mlirOperationGetOperand(op, 1), mlirOperationGetOperand(op, 2), b};
    MlirOperation made = qbc_make(&r->b, "qb.expert_linear", mlirValueGetType(product), NULL, 4, operands);
    qbc_copy_attributes(op, made);
    return mlirOperationGetResult(made, 0);
}

/* Is it one operation, of each expert, or one value that all of them read? */
static bool alike(struct rewrite *r, const MlirValue *same)
{
    MlirOperation first = qbc_def_any(same[0]);
    for (int64_t e = 1; e < r->m->experts; ++e) {
        MlirOperation op = qbc_def_any(same[e]);
        if (mlirOperationIsNull(op) || mlirOperationIsNull(first) || strcmp(qbc_op_name(op), qbc_op_name(first)) ||
            !same_attributes(op, first) || !mlirTypeEqual(mlirValueGetType(same[e]), mlirValueGetType(same[0])) ||
            mlirOperationGetNumOperands(op) != mlirOperationGetNumOperands(first))
            return false;
    }
    return !mlirOperationIsNull(first);
}

static bool is_simple(MlirOperation op)
{
    static const char *const simple[] = {"qb.glu", "qb.act", "qb.times", "qb.plus", "qb.clip", "arith.addf", "arith.mulf", "arith.subf", NULL};
    return qbc_one_of(qbc_op_name(op), simple);
}

static MlirValue rewrite(struct rewrite *r, const MlirValue *same, bool *wide);

/* The operands of one elementwise operation, all of them wide. */
static MlirValue elementwise(struct rewrite *r, const MlirValue *same)
{
    MlirOperation first = qbc_def_any(same[0]);
    MlirValue operands[2];
    intptr_t n = mlirOperationGetNumOperands(first);
    for (intptr_t i = 0; i < n; ++i) {
        bool wide = false;
        operands[i] = n <= 2 ? rewrite(r, operands_of(r, same, i), &wide) : (MlirValue){NULL};
        if (mlirValueIsNull(operands[i]) || !wide)
            return (MlirValue){NULL};
    }
    MlirOperation made = qbc_make(&r->b, qbc_op_name(first), qbc_rows_type(r->b.q, r->m->router->law.top * qbc_dim(same[0], 1)), NULL, (size_t)n,
                                  operands);
    qbc_copy_attributes(first, made);
    return mlirOperationGetResult(made, 0);
}

/* What the chosen experts have where each expert has `same`; null: it cannot be said. */
static MlirValue rewrite(struct rewrite *r, const MlirValue *same, bool *wide)
{
    MlirOperation first = qbc_def_any(same[0]);
    MlirValue made = {NULL};
    *wide = false;
    if (qbc_same(same[0], same[1]))
        return same[0];
    for (size_t i = 0; i < r->n; ++i)
        if (qbc_same(r->old[i], same[0]))
            return *wide = r->wide[i], r->made[i];
    if (r->n == MOST_ALIKE || !alike(r, same))
        return made;
    if (is_simple(first)) {
        made = elementwise(r, same);
    } else if (qbc_is(first, "qb.linear") || qbc_is(first, "qb.bias")) {
        bool inner;
        MlirValue x = rewrite(r, operands_of(r, same, 0), &inner), *vectors = operands_of(r, same, 1);
        if (!mlirValueIsNull(x))
            made = qbc_is(first, "qb.linear") ? expert_linear(r, x, vectors, same[0]) : with_bias(r, x, vectors);
    }
    *wide = true;
    return mlirValueIsNull(made) ? made : remember(r, same[0], made, true);
}

static void apply(struct qbc_mixture *m)
{
    struct qbc *q = m->f->q;
    MlirOperation at = qbc_def_any(m->sum);
    struct rewrite r = {.m = m, .b = qbc_before(q, at)};
    bool wide;
    MlirValue z = rewrite(&r, m->z, &wide);
    if (mlirValueIsNull(z) || !wide) {
        qbc_miss(q, at, "the %ld experts that it sums up are not computed alike", (long)m->experts);
        return;
    }
    m->router->settled = true;
    qbc_router_settle(q, m->router);
    MlirValue y = qbc_op(&r.b, "qb.combine", qbc_rows_type(q, m->width), 2, z, m->router->route);
    qbc_set_int(q, qbc_def_any(y), "top", m->router->law.top);
    mlirValueReplaceAllUsesOfWith(m->sum, qbc_unrows(&r.b, y, &m->dims));
}

/* --- all of them */

static bool may_sum(MlirOperation op)
{
    static const char *const sums[] = {"onnx.Add", "onnx.Sum", "onnx.ReduceSum", "onnx.ScatterElements", "onnx.ScatterND", "onnx.MatMul", "onnx.Einsum", "onnx.Where", NULL};
    return qbc_one_of(qbc_op_name(op), sums);
}

static void visit(struct qbc_router_finder *f, MlirOperation op)
{
    struct qbc_mixture m;
    if (qbc_mixture_find(f, op, &m))
        apply(&m);
}

void qbc_pass_stack_experts(struct qbc *q, MlirOperation module)
{
    static const char *const choices[] = {"onnx.TopK", "onnx.ArgMax"};
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    size_t n = 0;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; ++i)
        n += qbc_collect(q, func, choices[i]).n;
    struct qbc_router_finder f = {.q = q, .func = func, .router = qbc_alloc(q, (n + 1) * sizeof *f.router)};
    struct qbc_ops ops = n ? qbc_collect(q, func, NULL) : (struct qbc_ops){0};
    for (size_t i = 0; i < ops.n; ++i)
        if (may_sum(ops.op[i]))
            visit(&f, ops.op[i]);
    qbc_tidy(q, module);
}
