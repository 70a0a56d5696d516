/* evaluate_activation: functions of one number, with parameters in attributes. */
#include "evaluate_ops.h"

#include <math.h>
#include <string.h>

typedef double qbc_ev_of_float(struct qbc_ev *c, double x);

static bool map_float(struct qbc_ev *c, enum qbc_element element, qbc_ev_of_float *function)
{
    if (!qbc_ev_wants(c, 1) || !qbc_ev_shape_like(c, 0, element, c->in[0]))
        return false;
    if (!qbc_ev_known(c, 0) || !qbc_ev_numbers(c, 0))
        return true;
    for (size_t i = 0; i < c->out->n; ++i)
        qbc_ev_put(c->out, i, function(c, qbc_ev_get(c->in[0], i)));
    return true;
}

static double is_nan(struct qbc_ev *c, double x)
{
    (void)c;
    return isnan(x);
}

static double is_inf(struct qbc_ev *c, double x)
{
    return isinf(x) && qbc_ev_int(c, x > 0 ? "detect_positive" : "detect_negative", 1);
}

static double logical_not(struct qbc_ev *c, double x)
{
    (void)c;
    return x == 0;
}

static double leaky_relu(struct qbc_ev *c, double x)
{
    return x < 0 ? x * (double)qbc_ev_float(c, "alpha", 0.01f) : x;
}

static double elu(struct qbc_ev *c, double x)
{
    return x < 0 ? (double)qbc_ev_float(c, "alpha", 1) * expm1(x) : x;
}

static double celu(struct qbc_ev *c, double x)
{
    double alpha = (double)qbc_ev_float(c, "alpha", 1);
    return x < 0 ? alpha * expm1(x / alpha) : x;
}

static double selu(struct qbc_ev *c, double x)
{
    double alpha = (double)qbc_ev_float(c, "alpha", 1.67326319f);
    return (double)qbc_ev_float(c, "gamma", 1.05070102f) * (x <= 0 ? alpha * expm1(x) : x);
}

static double hard_sigmoid(struct qbc_ev *c, double x)
{
    double y = (double)qbc_ev_float(c, "alpha", 0.2f) * x + (double)qbc_ev_float(c, "beta", 0.5f);
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

static double swish(struct qbc_ev *c, double x)
{
    return x / (1 + exp(-x * (double)qbc_ev_float(c, "alpha", 1)));
}

static double thresholded_relu(struct qbc_ev *c, double x)
{
    return x > (double)qbc_ev_float(c, "alpha", 1) ? x : 0;
}

static double gelu_tanh(struct qbc_ev *c, double x)
{
    (void)c;
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static double gelu_erf(struct qbc_ev *c, double x)
{
    (void)c;
    return 0.5 * x * (1 + erf(x * 0.7071067811865476));
}

static double quick_gelu(struct qbc_ev *c, double x)
{
    return x / (1 + exp(-x * (double)qbc_ev_float(c, "alpha", 1.702f)));
}

bool qbc_ev_is_nan(struct qbc_ev *c)
{
    return map_float(c, QBC_BOOL, is_nan);
}

bool qbc_ev_is_inf(struct qbc_ev *c)
{
    return map_float(c, QBC_BOOL, is_inf);
}

bool qbc_ev_logical_not(struct qbc_ev *c)
{
    return map_float(c, QBC_BOOL, logical_not);
}

static bool map_same(struct qbc_ev *c, qbc_ev_of_float *function)
{
    return qbc_ev_wants(c, 1) && map_float(c, c->in[0]->element, function);
}

bool qbc_ev_leaky_relu(struct qbc_ev *c)
{
    return map_same(c, leaky_relu);
}

bool qbc_ev_elu(struct qbc_ev *c)
{
    return map_same(c, elu);
}

bool qbc_ev_celu(struct qbc_ev *c)
{
    return map_same(c, celu);
}

bool qbc_ev_selu(struct qbc_ev *c)
{
    return map_same(c, selu);
}

bool qbc_ev_hard_sigmoid(struct qbc_ev *c)
{
    return map_same(c, hard_sigmoid);
}

bool qbc_ev_swish(struct qbc_ev *c)
{
    return map_same(c, swish);
}

bool qbc_ev_thresholded_relu(struct qbc_ev *c)
{
    return map_same(c, thresholded_relu);
}

bool qbc_ev_gelu(struct qbc_ev *c)
{
    const char *how = qbc_string(qbc_ev_context(c->e), c->op, "approximate", "none");
    return map_same(c, strcmp(how, "tanh") ? gelu_erf : gelu_tanh);
}

/* x [.., C], bias [C] or none: gelu(x + bias) */
static bool biased(struct qbc_ev *c, qbc_ev_of_float *function)
{
    if (!qbc_ev_has(c, 1))
        return map_same(c, function);
    const struct qbc_array *x = c->in[0], *b = c->in[1];
    if (!x->rank || b->n != (size_t)x->dims[x->rank - 1])
        return qbc_ev_fail(c, "a bias of %zu numbers for %s", b->n, qbc_ev_dims_text(c->e, x));
    if (!qbc_ev_shape_like(c, 0, x->element, x))
        return false;
    if (!qbc_ev_all_known(c) || !qbc_ev_numbers(c, 0))
        return true;
    for (size_t i = 0; i < x->n; ++i)
        c->out->f[i] = (float)function(c, (double)x->f[i] + (double)b->f[i % b->n]);
    return true;
}

bool qbc_ev_fast_gelu(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 1) && biased(c, gelu_tanh);
}

bool qbc_ev_bias_gelu(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 2) && biased(c, gelu_erf);
}

bool qbc_ev_quick_gelu(struct qbc_ev *c)
{
    return map_same(c, quick_gelu);
}
