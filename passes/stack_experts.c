/* stack-experts: mixtures whose experts are all computed, one by one, and weighed afterwards: only those that a token chose are.
 *
 *   before   %p = softmax of a router's logits %r, kept where TopK says, else 0
 *            %y = sum over e of %p[.., e] * %z_e,      %z_0 = "qb.linear"(%h_0, %w_0), ...,  the same operations of %x for each e
 *   after    %c = "qb.route"(%r);  %h = the operations of one expert, with "qb.expert_linear"(%x, %w, %c) for "qb.linear"
 *            %y = "qb.combine"("qb.expert_linear"(%h, %w', %c), %c)       %w the experts' matrices, one after the other
 *
 * Which %z is which expert's, and how much each counts, is found with numbers: for %z that are columns of a unit matrix the sum is the table
 * of weights. Choices put in TopK's place tell the order, random logits the law.
 *
 * needs    recognise-mlp: each expert is level 1
 * keeps    sums of other things, and experts that are not computed alike, and notes why
 */
#include "pattern.h"

#include <string.h>

enum { MOST_ALIKE = 64 /* operations of an expert */, FEW = 32 /* experts */ };

struct mixture {
    struct qbc_router_finder *f;
    MlirValue sum, logits, ids;
    MlirValue *z; /* [experts], in their order */
    int64_t experts, width;
    struct qbc_router *router;
    struct qbc_dims dims;
};

/* --- the sum */

/* The experts' results, if v is made of a router's logits and of as many rows of its own width as there are experts; the logits are tried from
 * *from on, where *from then stands. */
static bool find_leaves(struct mixture *m, MlirValue v, size_t *from)
{
    struct qbc_values leaves = qbc_leaves(m->f->q, v, 0, NULL);
    size_t rows = 0;
    for (size_t i = 0; i < leaves.n; ++i)
        if (qbc_is_level1(leaves.v[i]))
            leaves.v[rows++] = leaves.v[i];
    for (; rows > 2 && *from < rows; ++*from) {
        MlirValue logits = leaves.v[*from], first = leaves.v[0];
        if (qbc_dim(logits, 1) != (int64_t)rows - 1)
            continue;
        leaves.v[0] = logits;
        leaves.v[*from] = first;
        *m = (struct mixture){.f = m->f, .sum = v, .logits = logits, .z = leaves.v + 1, .experts = (int64_t)rows - 1, .width = qbc_dim(leaves.v[1], 1)};
        bool good = true;
        for (int64_t e = 0; e < m->experts && good; ++e)
            good = qbc_dim(m->z[e], 1) == m->width;
        if (good)
            return true;
        leaves.v[*from] = logits;
        leaves.v[0] = first;
    }
    return false;
}

/* As many tokens as it takes that no two experts are chosen by the same ones. */
static int64_t tokens_for(const struct mixture *m)
{
    return m->experts <= FEW ? m->experts : 2 * (m->experts / m->router->law.top) + 8;
}

/* The j-th expert that a token is given: of few, as many in a row from its own on; of many, those in a row, or far apart. */
static int64_t given(const struct mixture *m, int64_t t, int64_t j)
{
    int64_t n = m->experts, top = m->router->law.top, rows = n / top;
    if (n <= FEW)
        return (t + j) % n;
    return t < rows ? t * top + j : (t + j * rows) % n;
}

/* Puts in the choice's place what tokens are given. */
static bool bind_choices(struct mixture *m, struct qbc_evaluation *e, int64_t tokens)
{
    const struct qbc_array *was = qbc_evaluate(e, m->ids);
    int64_t top = m->router->law.top;
    if (!was || !was->known || !was->i || (int64_t)was->n != tokens * top)
        return false;
    struct qbc_array chosen = *was;
    chosen.i = qbc_alloc(m->f->q, chosen.n * sizeof *chosen.i);
    for (int64_t i = 0; i < tokens * top; ++i)
        chosen.i[i] = given(m, i / top, i % top);
    qbc_evaluation_bind(e, m->ids, chosen);
    return true;
}

/* Random logits; and with `ids` the choices that tokens are given, whatever the logits say. */
static bool bind_router(struct mixture *m, struct qbc_evaluation *e, int64_t tokens, bool ids, float *logits)
{
    struct qbc_array *l = qbc_bind_zero(m->f->q, e, m->logits);
    if (!l)
        return false;
    qbc_fill_random(l, 71);
    for (size_t i = 0; i < l->n; ++i)
        l->f[i] *= 3;
    memcpy(logits, l->f, l->n * sizeof *logits);
    return !ids || bind_choices(m, e, tokens);
}

/* What tokens give the numbers of z first .. first + width - 1, as columns of a unit matrix; false: cannot be computed. */
static bool weigh_some(struct mixture *m, int64_t tokens, bool ids, int64_t first, float *logits, double *weights)
{
    struct qbc *q = m->f->q;
    struct qbc_evaluation *e = qbc_probe(q, m->f->func, tokens, 0);
    bool good = bind_router(m, e, tokens, ids, logits);
    for (int64_t k = 0; k < m->experts && good; ++k) {
        struct qbc_array *z = qbc_bind_zero(q, e, m->z[k]);
        good = z;
        for (int64_t t = 0; t < tokens && z && k >= first && k < first + m->width; ++t)
            z->f[t * m->width + k - first] = 1;
    }
    const struct qbc_array *y = good ? qbc_floats_of(e, m->sum) : NULL;
    good = y && (int64_t)y->n == tokens * m->width;
    for (int64_t t = 0; t < tokens && good; ++t)
        for (int64_t k = first; k < m->experts && k < first + m->width; ++k)
            weights[t * m->experts + k] = (double)y->f[t * m->width + k - first];
    qbc_evaluation_destroy(e);
    return good;
}

/* [tokens][experts], as z stand; NULL: cannot be computed. */
static const double *weigh(struct mixture *m, int64_t tokens, bool ids, float *logits)
{
    double *weights = qbc_alloc(m->f->q, (size_t)(tokens * m->experts) * sizeof *weights);
    for (int64_t first = 0; first < m->experts; first += m->width)
        if (!weigh_some(m, tokens, ids, first, logits, weights))
            return NULL;
    return weights;
}

/* Does z number k count where tokens were given expert e, and nowhere else? */
static bool is_expert(const struct mixture *m, int64_t tokens, const double *weights, int64_t k, int64_t e)
{
    bool same = true;
    for (int64_t t = 0; t < tokens && same; ++t) {
        bool chosen = false;
        for (int64_t j = 0; j < m->router->law.top; ++j)
            chosen |= given(m, t, j) == e;
        same = chosen == (weights[t * m->experts + k] != 0);
    }
    return same;
}

static bool put_in_order(struct mixture *m, int64_t tokens, const double *weights)
{
    MlirValue *z = qbc_alloc(m->f->q, (size_t)m->experts * sizeof *z);
    for (int64_t e = 0; e < m->experts; ++e) {
        int64_t k = 0;
        while (k < m->experts && !is_expert(m, tokens, weights, k, e))
            ++k;
        if (k == m->experts)
            return false;
        z[e] = m->z[k];
    }
    m->z = z;
    return true;
}

/* Experts in the router's order, and the law of their weights. */
static bool find_weights(struct mixture *m)
{
    struct qbc *q = m->f->q;
    int64_t tokens = tokens_for(m);
    float *logits = qbc_alloc(q, (size_t)(tokens * m->experts) * sizeof *logits);
    if (m->f->shapes.step) {
        qbc_miss(q, qbc_def_any(m->sum), "experts that are all computed, in a graph for one token a call");
        return false;
    }
    const double *weights = weigh(m, tokens, true, logits);
    if (!weights || !put_in_order(m, tokens, weights))
        return false;
    weights = weigh(m, tokens, false, logits);
    return weights && qbc_router_weighs(m->router, (size_t)tokens, logits, weights);
}

/* The router, by the last choice that the sum is made of. */
static bool find_router(struct mixture *m)
{
    static const char *const choices[] = {"onnx.TopK", "onnx.ArgMax", NULL};
    MlirValue cut[1] = {m->logits};
    struct qbc_ops cone = qbc_cone(m->f->q, m->sum, 1, cut);
    for (size_t i = 0; i < cone.n && !m->router; ++i)
        if (qbc_one_of(qbc_op_name(cone.op[i]), choices)) {
            m->ids = mlirOperationGetResult(cone.op[i], qbc_is(cone.op[i], "onnx.TopK"));
            m->router = qbc_router_find(m->f, cone.op[i], m->ids);
        }
    return m->router && qbc_same(m->router->logits, m->logits) && m->router->law.experts == m->experts;
}

/* --- the experts */

/* Operations of the first expert, and what is made instead. */
struct rewrite {
    struct mixture *m;
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

static void apply(struct mixture *m)
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
    static const char *const sums[] = {"onnx.Add", "onnx.Sum", "onnx.ReduceSum", "onnx.ScatterElements", "onnx.ScatterND", "onnx.MatMul", "onnx.Einsum", NULL};
    return qbc_one_of(qbc_op_name(op), sums);
}

static void visit(struct qbc_router_finder *f, MlirOperation op)
{
    struct mixture m = {.f = f};
    bool good = false;
    for (size_t i = 0; !good && find_leaves(&m, mlirOperationGetResult(op, 0), &i); ++i) {
        qbc_shapes_open(f->q, f->func, &f->shapes);
        good = find_router(&m) && qbc_shapes_dims(&f->shapes, m.sum, &m.dims) && find_weights(&m);
        qbc_shapes_close(&f->shapes);
    }
    if (good)
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
