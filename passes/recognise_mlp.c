/* recognise-mlp: the activations between the products of a feed-forward part, gated or not.
 *
 *   before   Sigmoid, Mul, Mul; Swish, Mul; x / (1 + exp(-x)) ...   of two linears' results
 *   after    %y = "qb.glu"(%gate, %up) {act = "silu"}
 *
 *   before   Erf, Add, Mul ...; Pow, Tanh, ...; Gelu; FastGelu; Relu   of one linear's result
 *   after    %y = "qb.act"(%x) {act = "gelu_tanh"}
 *
 * It is one of these if all that it is made of are one or two level-1 values and numbers, and for random values it gives
 * act(a), or act(a) * b; which of the two is the gate is found out in the same way. The last operation that can
 * be one is it: what it is made of is not looked at again.
 *
 * A gate's multiple, act(0.9 a) * b, is qb.times.
 *
 * needs    recognise-linear; recognise-bias, so that a bias is part of the value
 * leaves   one operation for each
 * keeps    other elementwise operations, and notes at an activation why it is none of these
 */
#include "pattern.h"

#include <math.h>

enum { TOKENS = 4 };

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double gelu(double x)
{
    return x * erfc(-x / sqrt(2)) / 2;
}

static double gelu_tanh(double x)
{
    return x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x))) / 2;
}

static double gelu_quick(double x)
{
    return x / (1 + exp(-1.702 * x));
}

static double relu(double x)
{
    return x > 0 ? x : 0;
}

static double relu2(double x)
{
    return relu(x) * relu(x);
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* By the names of passes/kernels/activation.c. */
static const struct {
    const char *name;
    double (*of)(double x);
} activations[] = {{"silu", silu}, {"gelu", gelu},   {"gelu_tanh", gelu_tanh}, {"gelu_quick", gelu_quick},
                   {"relu", relu}, {"relu2", relu2}, {"sigmoid", sigmoid},     {"tanh", tanh},
                   {"softplus", softplus}};

struct activated {
    MlirOperation op;   /* the last one */
    MlirValue gate, up; /* up null: not gated */
    const char *act;
    struct qbc_dims dims;
    int64_t width;
};

static bool is_activation(MlirOperation op)
{
    return qbc_is(op, "onnx.Sigmoid") || qbc_is(op, "onnx.Swish") || qbc_is(op, "onnx.Tanh") ||
           qbc_is(op, "onnx.Erf") || qbc_is(op, "onnx.Gelu") || qbc_is(op, "onnx.Relu") ||
           qbc_is(op, "onnx.com.microsoft.QuickGelu") || qbc_is(op, "onnx.com.microsoft.Gelu") ||
           qbc_is(op, "onnx.com.microsoft.FastGelu") || qbc_is(op, "onnx.Exp") || qbc_is(op, "onnx.Softplus") || qbc_is(op, "onnx.Max") ||
           qbc_is(op, "onnx.Clip");
}

/* Elementwise, or the same numbers in other dims. */
static bool is_local(MlirOperation op)
{
    MlirValue v = mlirOperationGetResult(op, 0);
    return qbc_is_elementwise(op) || !qbc_same(qbc_strip(v), v);
}

/* The one or two level-1 values that all of v's cone is made of; it must hold an activation. */
static bool made_of_rows(const struct qbc_values *leaves, const struct qbc_ops *cone, MlirValue *a, MlirValue *b)
{
    MlirValue rows[2] = {{NULL}, {NULL}};
    size_t n = 0;
    bool active = false, local = true;
    for (size_t i = 0; i < cone->n; ++i) {
        MlirValue made = mlirOperationGetResult(cone->op[i], 0);
        active |= is_activation(cone->op[i]);
        local &= qbc_is_constant(made) || is_local(cone->op[i]);
    }
    for (size_t i = 0; i < leaves->n; ++i)
        if (!qbc_is_level1(leaves->v[i]))
            local &= qbc_is_constant(leaves->v[i]);
        else if (n++ < 2)
            rows[n - 1] = leaves->v[i];
    *a = rows[0];
    *b = rows[1];
    return active && local && (n == 1 || n == 2);
}

static bool gives(const struct qbc_array *y, const struct qbc_array *gate, const struct qbc_array *up,
                  double (*act)(double))
{
    for (size_t i = 0; i < y->n; ++i)
        if (!qbc_near(act((double)gate->f[i]) * (up ? (double)up->f[i] : 1), (double)y->f[i], 1e-4, 1e-5))
            return false;
    return true;
}

/* Random numbers from -6 to 6, where activations differ, and a few up to 40, which some keep within bounds. */
static const struct qbc_array *bind_wide(struct qbc *q, struct qbc_evaluation *e, MlirValue v,
                                         uint32_t seed)
{
    struct qbc_array *a = qbc_bind_zero(q, e, v);
    if (a)
        qbc_fill_random(a, seed);
    for (size_t i = 0; a && i < a->n; ++i)
        a->f[i] *= i % 8 == 7 ? 40 : 6;
    return a;
}

static bool which(struct qbc *q, MlirOperation func, MlirValue v, MlirValue a, MlirValue b,
                  struct activated *g)
{
    struct qbc_evaluation *e = qbc_probe(q, func, TOKENS, 0);
    bool gated = !mlirValueIsNull(b), found = false;
    const struct qbc_array *x[2] = {bind_wide(q, e, a, 1), gated ? bind_wide(q, e, b, 2) : NULL};
    const struct qbc_array *y = x[0] && (x[1] || !gated) ? qbc_floats_of(e, v) : NULL;
    if (y && y->n == x[0]->n && (!gated || y->n == x[1]->n))
        for (size_t k = 0; k < sizeof activations / sizeof *activations && !found; ++k)
            for (int swap = 0; swap < 1 + gated && !found; ++swap) {
                found = gives(y, x[swap], x[!swap], activations[k].of);
                g->act = activations[k].name;
                g->gate = swap ? b : a;
                g->up = swap ? a : b;
            }
    qbc_evaluation_destroy(e);
    return found;
}

static void note(struct qbc *q, const struct qbc_ops *cone)
{
    for (size_t i = 0; i < cone->n; ++i)
        if (is_activation(cone->op[i]))
            qbc_miss(q, cone->op[i], "no activation that is known, nor one of a gate: what follows is neither act(a) nor "
                                     "act(a) * b (silu, gelu, relu, ...)");
}

static bool find(struct qbc *q, MlirOperation func, struct qbc_shapes *s, MlirOperation op,
                 struct activated *g, struct qbc_ops *cone)
{
    MlirValue a, b, y = mlirOperationGetResult(op, 0);
    *g = (struct activated){.op = op};
    if (!is_local(op) || !qbc_same(qbc_strip(y), y)) /* what only moves it has the value that it moves */
        return false;
    struct qbc_values leaves = qbc_leaves(q, y, 0, NULL);
    *cone = qbc_cone(q, y, 0, NULL);
    if (!made_of_rows(&leaves, cone, &a, &b))
        return false;
    g->width = qbc_shapes_width(s, y, &g->dims);
    if (g->width == qbc_dim(a, 1) && (mlirValueIsNull(b) || g->width == qbc_dim(b, 1)) && which(q, func, y, a, b, g))
        return true;
    note(q, cone);
    return false;
}

static void apply(struct qbc *q, const struct activated *g)
{
    struct qbc_build b = qbc_before(q, g->op);
    bool gated = !mlirValueIsNull(g->up);
    MlirValue y = qbc_op(&b, gated ? "qb.glu" : "qb.act", qbc_rows_type(q, g->width), 1 + gated, g->gate, g->up);
    qbc_set_string(q, qbc_def_any(y), "act", g->act);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(g->op, 0), qbc_unrows(&b, y, &g->dims));
}

static bool is_among(const struct qbc_ops *ops, MlirOperation op)
{
    for (size_t i = 0; i < ops->n; ++i)
        if (mlirOperationEqual(ops->op[i], op))
            return true;
    return false;
}

/* What a found one is made of, that nothing else reads, is no candidate any more: later operations come first. */
static void recognise(struct qbc *q, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, NULL), taken = {qbc_alloc(q, (ops.n + 1) * sizeof *taken.op), 0}, cone;
    struct activated *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = ops.n; i-- > 0;) {
        if (mlirOperationGetNumResults(ops.op[i]) != 1 || is_among(&taken, ops.op[i]) ||
            !find(q, func, &shapes, ops.op[i], &found[n], &cone))
            continue;
        ++n;
        for (size_t j = 0; j < cone.n; ++j)
            if (!is_among(&taken, cone.op[j]))
                taken.op[taken.n++] = cone.op[j];
    }
    qbc_shapes_close(&shapes);
    for (size_t i = n; i-- > 0;)
        apply(q, &found[i]);
}

void qbc_pass_recognise_mlp(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    qbc_upright(q, func);
    recognise(q, func);
    qbc_elementwise(q, module, QBC_FACTORS); /* a multiple that is left over is its gate's */
    recognise(q, func);
    qbc_tidy(q, module);
}
