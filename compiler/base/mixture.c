/* mixture: a sum of what all experts give, each times the weight that a router gives it, most of which are 0 (pattern.h).
 *
 *     %p = softmax of a router's logits %r, kept where TopK says, else 0
 *     %y = sum over e of %p[.., e] * %z_e
 *
 * Which %z is which expert's, and how much each counts, is found with numbers: for %z that are columns of a unit matrix the sum is the table
 * of weights. Choices put in TopK's place tell the order, random logits the law.
 */
#include "pattern.h"

#include <string.h>

enum { FEW = 32 /* experts */ };

/* The experts' results, if v is made of a router's logits and of as many rows of its own width as there are experts; the logits are tried from
 * *from on, where *from then stands. */
static bool find_leaves(struct qbc_mixture *m, MlirValue v, size_t *from)
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
        *m = (struct qbc_mixture){.f = m->f, .sum = v, .logits = logits, .z = leaves.v + 1, .experts = (int64_t)rows - 1, .width = qbc_dim(leaves.v[1], 1)};
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
static int64_t tokens_for(const struct qbc_mixture *m)
{
    return m->experts <= FEW ? m->experts : 2 * (m->experts / m->router->law.top) + 8;
}

/* The j-th expert that a token is given: of few, as many in a row from its own on; of many, those in a row, or far apart. */
static int64_t given(const struct qbc_mixture *m, int64_t t, int64_t j)
{
    int64_t n = m->experts, top = m->router->law.top, rows = n / top;
    if (n <= FEW)
        return (t + j) % n;
    return t < rows ? t * top + j : (t + j * rows) % n;
}

/* Puts in the choice's place what tokens are given. */
static bool bind_choices(struct qbc_mixture *m, struct qbc_evaluation *e, int64_t tokens)
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
static bool bind_router(struct qbc_mixture *m, struct qbc_evaluation *e, int64_t tokens, bool ids, float *logits)
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
static bool weigh_some(struct qbc_mixture *m, int64_t tokens, bool ids, int64_t first, float *logits, double *weights)
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
static const double *weigh(struct qbc_mixture *m, int64_t tokens, bool ids, float *logits)
{
    double *weights = qbc_alloc(m->f->q, (size_t)(tokens * m->experts) * sizeof *weights);
    for (int64_t first = 0; first < m->experts; first += m->width)
        if (!weigh_some(m, tokens, ids, first, logits, weights))
            return NULL;
    return weights;
}

/* Does z number k count where tokens were given expert e, and nowhere else? */
static bool is_expert(const struct qbc_mixture *m, int64_t tokens, const double *weights, int64_t k, int64_t e)
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

static bool put_in_order(struct qbc_mixture *m, int64_t tokens, const double *weights)
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
static bool find_weights(struct qbc_mixture *m)
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
static bool find_router(struct qbc_mixture *m)
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

bool qbc_mixture_find(struct qbc_router_finder *f, MlirOperation op, struct qbc_mixture *m)
{
    *m = (struct qbc_mixture){.f = f};
    bool good = false;
    for (size_t i = 0; !good && find_leaves(m, mlirOperationGetResult(op, 0), &i); ++i) {
        qbc_shapes_open(f->q, f->func, &f->shapes);
        good = find_router(m) && qbc_shapes_dims(&f->shapes, m->sum, &m->dims) && find_weights(m);
        qbc_shapes_close(&f->shapes);
    }
    return good;
}
