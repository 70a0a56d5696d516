/* recognise-mlp: the gated activation between the products of a feed-forward part.
 *
 *   before   Sigmoid, Mul, Mul; Swish, Mul; x / (1 + exp(-x)) ...   of two linears' results
 *   after    %y = "qb.glu"(%gate, %up) {act = "silu"}
 *
 * A multiplication is one if all it is made of are two level-1 values and numbers, and for random
 * values it gives act(a) * b; which of the two is the gate is found out in the same way.
 *
 * needs    recognise-linear
 * leaves   one qb.glu for each
 * keeps    other elementwise operations, and notes at an activation why it is none of these
 */
#include "pattern.h"

#include <math.h>

enum { TOKENS = 4 };

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static const struct {
    const char *name;
    double (*of)(double x);
} activations[] = {{"silu", silu}};

struct gated {
    MlirOperation op; /* the last multiplication */
    MlirValue gate, up;
    const char *act;
    struct qbc_dims dims;
    int64_t width;
};

static bool is_activation(MlirOperation op)
{
    return qbc_is(op, "onnx.Sigmoid") || qbc_is(op, "onnx.Swish") || qbc_is(op, "onnx.Tanh") ||
           qbc_is(op, "onnx.Erf") || qbc_is(op, "onnx.Gelu") || qbc_is(op, "onnx.Relu") ||
           qbc_is(op, "onnx.com.microsoft.QuickGelu") || qbc_is(op, "onnx.com.microsoft.Gelu") ||
           qbc_is(op, "onnx.com.microsoft.FastGelu") || qbc_is(op, "onnx.Exp");
}

/* Elementwise, or the same numbers in other dims. */
static bool is_local(MlirOperation op)
{
    MlirValue v = mlirOperationGetResult(op, 0);
    return qbc_is_elementwise(op) || !qbc_same(qbc_strip(v), v);
}

/* The two level-1 values that all of v's cone is made of; it must hold an activation. */
static bool made_of_two(struct qbc *q, MlirValue v, MlirValue *a, MlirValue *b)
{
    struct qbc_values leaves = qbc_leaves(q, v, 0, NULL);
    struct qbc_ops cone = qbc_cone(q, v, 0, NULL);
    MlirValue rows[2];
    size_t n = 0;
    bool active = false, local = true;
    for (size_t i = 0; i < cone.n; ++i) {
        MlirValue made = mlirOperationGetResult(cone.op[i], 0);
        active |= is_activation(cone.op[i]);
        local &= qbc_is_constant(made) || is_local(cone.op[i]);
    }
    for (size_t i = 0; i < leaves.n; ++i)
        if (!qbc_is_level1(leaves.v[i]))
            local &= qbc_is_constant(leaves.v[i]);
        else if (n++ < 2)
            rows[n - 1] = leaves.v[i];
    *a = rows[0];
    *b = rows[n == 2];
    return active && local && n == 2;
}

static bool gives(const struct qbc_array *y, const struct qbc_array *gate,
                  const struct qbc_array *up, double (*act)(double))
{
    for (size_t i = 0; i < y->n; ++i)
        if (!qbc_near(act((double)gate->f[i]) * (double)up->f[i], (double)y->f[i], 1e-4, 1e-5))
            return false;
    return true;
}

/* Random numbers from -6 to 6, where activations differ. */
static const struct qbc_array *bind_wide(struct qbc *q, struct qbc_evaluation *e, MlirValue v,
                                         uint32_t seed)
{
    struct qbc_array *a = qbc_bind_zero(q, e, v);
    if (a)
        qbc_fill_random(a, seed);
    for (size_t i = 0; a && i < a->n; ++i)
        a->f[i] *= 6;
    return a;
}

static bool which(struct qbc *q, MlirOperation func, MlirValue v, MlirValue a, MlirValue b,
                  struct gated *g)
{
    struct qbc_evaluation *e = qbc_probe(q, func, TOKENS, 0);
    const struct qbc_array *x[2] = {bind_wide(q, e, a, 1), bind_wide(q, e, b, 2)};
    const struct qbc_array *y = x[0] && x[1] ? qbc_floats_of(e, v) : NULL;
    bool found = false;
    if (y && y->n == x[0]->n && y->n == x[1]->n)
        for (size_t k = 0; k < sizeof activations / sizeof *activations && !found; ++k)
            for (int swap = 0; swap < 2 && !found; ++swap) {
                found = gives(y, x[swap], x[!swap], activations[k].of);
                g->act = activations[k].name;
                g->gate = swap ? b : a;
                g->up = swap ? a : b;
            }
    qbc_evaluation_destroy(e);
    return found;
}

static void note(struct qbc *q, MlirValue v)
{
    struct qbc_ops cone = qbc_cone(q, v, 0, NULL);
    for (size_t i = 0; i < cone.n; ++i)
        if (is_activation(cone.op[i]))
            qbc_miss(q, cone.op[i], "no gate: what follows is not silu(a) * b");
}

static bool find(struct qbc *q, MlirOperation func, struct qbc_shapes *s, MlirOperation op,
                 struct gated *g)
{
    MlirValue a, b, y = mlirOperationGetResult(op, 0);
    *g = (struct gated){.op = op};
    if (!made_of_two(q, y, &a, &b))
        return false;
    g->width = qbc_shapes_width(s, y, &g->dims);
    if (g->width == qbc_dim(a, 1) && g->width == qbc_dim(b, 1) && which(q, func, y, a, b, g))
        return true;
    note(q, y);
    return false;
}

static void apply(struct qbc *q, const struct gated *g)
{
    struct qbc_build b = qbc_before(q, g->op);
    MlirValue y = qbc_op(&b, "qb.glu", qbc_rows_type(q, g->width), 2, g->gate, g->up);
    qbc_set_string(q, qbc_def_any(y), "act", g->act);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(g->op, 0), qbc_unrows(&b, y, &g->dims));
}

void qbc_pass_recognise_mlp(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct gated *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        if (qbc_is(ops.op[i], "onnx.Mul") || qbc_is(ops.op[i], "onnx.Div"))
            n += find(q, func, &shapes, ops.op[i], &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
}
