/* evaluate_elementwise: operations on one element at a time, with broadcasting.
 *
 * Floating types are computed as f32; the two narrow ones are rounded by Cast.
 */
#include "evaluate_ops.h"

#include <math.h>
#include <string.h>

/* Shape of result 0: the operands `first` .. `last` broadcast. Starts the walk over it. */
static bool broadcast(struct qbc_ev *c, enum qbc_element element, size_t first, size_t n,
                      struct qbc_ev_walk *w)
{
    size_t rank;
    int64_t dims[QBC_MAX_RANK];
    if (!qbc_ev_wants(c, first + n) || !qbc_ev_broadcast(c, n, c->in + first, &rank, dims) ||
        !qbc_ev_shape(c, 0, element, rank, dims))
        return false;
    qbc_ev_walk_start(w, rank, dims);
    for (size_t k = 0; k < n && k < 3; ++k)
        qbc_ev_broadcast_strides(c->in[first + k], rank, w->stride[k]);
    return true;
}

static bool same_kind(struct qbc_ev *c, size_t i, size_t j)
{
    return qbc_is_float(c->in[i]->element) == qbc_is_float(c->in[j]->element) ||
           qbc_ev_fail(c, "operands %zu and %zu mix floats and integers", i, j);
}

/* The low bits of x that an element has room for. */
static int64_t wrap(int64_t x, enum qbc_element element)
{
    switch (element) {
    case QBC_BOOL:
        return x != 0;
    case QBC_I8:
        return (int8_t)x;
    case QBC_U8:
        return (uint8_t)x;
    case QBC_I16:
        return (int16_t)x;
    case QBC_U16:
        return (uint16_t)x;
    case QBC_I32:
        return (int32_t)x;
    case QBC_U32:
        return (uint32_t)x;
    default:
        return x;
    }
}

bool qbc_ev_unary(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 1) || !qbc_ev_shape_like(c, 0, c->in[0]->element, c->in[0]))
        return false;
    if (!qbc_ev_known(c, 0) || !qbc_ev_numbers(c, 0))
        return true;
    const struct qbc_array *x = c->in[0];
    struct qbc_array *y = c->out;
    for (size_t i = 0; i < y->n; ++i)
        if (y->f)
            y->f[i] = c->row->float1(x->f[i]);
        else
            y->i[i] = wrap(c->row->int1(x->i[i]), y->element);
    return true;
}

static bool has_zero(const struct qbc_array *a)
{
    for (size_t i = 0; a->i && i < a->n; ++i)
        if (!a->i[i])
            return true;
    return false;
}

bool qbc_ev_binary(struct qbc_ev *c)
{
    struct qbc_ev_walk w;
    if (!qbc_ev_wants(c, 2) || !same_kind(c, 0, 1) ||
        !broadcast(c, c->in[0]->element, 0, 2, &w))
        return false;
    if (!qbc_ev_all_known(c))
        return true;
    const struct qbc_array *x = c->in[0], *y = c->in[1];
    if (!strcmp(c->row->name, "Div") && has_zero(y))
        return true; /* a number that nobody knows */
    if (!qbc_ev_numbers(c, 0))
        return true;
    struct qbc_array *z = c->out;
    for (size_t i = 0; i < z->n; ++i, qbc_ev_walk_next(&w))
        if (z->f)
            z->f[i] = c->row->float2(x->f[w.at[0]], y->f[w.at[1]]);
        else
            z->i[i] = wrap(c->row->int2(x->i[w.at[0]], y->i[w.at[1]]), z->element);
    return true;
}

bool qbc_ev_compare(struct qbc_ev *c)
{
    struct qbc_ev_walk w;
    if (!qbc_ev_wants(c, 2) || !same_kind(c, 0, 1) || !broadcast(c, QBC_BOOL, 0, 2, &w))
        return false;
    if (!qbc_ev_all_known(c) || !qbc_ev_numbers(c, 0))
        return true;
    const struct qbc_array *x = c->in[0], *y = c->in[1];
    for (size_t i = 0; i < c->out->n; ++i, qbc_ev_walk_next(&w))
        c->out->i[i] = x->f ? c->row->test_float(x->f[w.at[0]], y->f[w.at[1]])
                            : c->row->test_int(x->i[w.at[0]], y->i[w.at[1]]);
    return true;
}

/* result = result op operand k, over the whole result. */
static void accumulate(struct qbc_ev *c, size_t k)
{
    struct qbc_array *z = c->out;
    const struct qbc_array *x = c->in[k];
    struct qbc_ev_walk w;
    qbc_ev_walk_start(&w, z->rank, z->dims);
    qbc_ev_broadcast_strides(x, z->rank, w.stride[0]);
    for (size_t i = 0; i < z->n; ++i, qbc_ev_walk_next(&w)) {
        if (k == 0)
            qbc_ev_copy(z, i, x, (size_t)w.at[0]);
        else if (z->f)
            z->f[i] = c->row->float2(z->f[i], x->f[w.at[0]]);
        else
            z->i[i] = wrap(c->row->int2(z->i[i], x->i[w.at[0]]), z->element);
    }
}

bool qbc_ev_variadic(struct qbc_ev *c)
{
    size_t rank;
    int64_t dims[QBC_MAX_RANK];
    if (!qbc_ev_wants(c, c->n_in ? c->n_in : 1))
        return false;
    for (size_t k = 1; k < c->n_in; ++k)
        if (!same_kind(c, 0, k))
            return false;
    if (!qbc_ev_broadcast(c, c->n_in, c->in, &rank, dims) ||
        !qbc_ev_shape(c, 0, c->in[0]->element, rank, dims))
        return false;
    if (!qbc_ev_all_known(c) || !qbc_ev_numbers(c, 0))
        return true;
    for (size_t k = 0; k < c->n_in; ++k)
        accumulate(c, k);
    return true;
}

bool qbc_ev_mean(struct qbc_ev *c)
{
    c->row = qbc_ev_find("onnx.Sum");
    if (!qbc_ev_variadic(c))
        return false;
    for (size_t i = 0; c->out->f && i < c->out->n; ++i)
        c->out->f[i] /= (float)c->n_in;
    return true;
}

/* --- types */

static int64_t to_int(float x, enum qbc_element element)
{
    if (element == QBC_BOOL)
        return x != 0;
    if (!(x > -0x1p63f))
        return x == x ? INT64_MIN : 0; /* also NaN: kernels differ, none gives anything useful */
    return wrap(x < 0x1p63f ? (int64_t)x : INT64_MAX, element);
}

static float round_to(float x, enum qbc_element element)
{
    if (element == QBC_F16)
        return qbc_half_to_float(qbc_float_to_half(x));
    if (element == QBC_BF16 && x == x) {
        uint32_t bits;
        memcpy(&bits, &x, 4);
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000; /* nearest even */
        memcpy(&x, &bits, 4);
    }
    return x;
}

static bool cast_to(struct qbc_ev *c, enum qbc_element to)
{
    if (!qbc_element_bytes(to))
        return qbc_ev_fail(c, "cast to type %d, which is not supported", (int)to);
    if (!qbc_ev_shape_like(c, 0, to, c->in[0]))
        return false;
    if (!qbc_ev_known(c, 0))
        return true;
    const struct qbc_array *x = c->in[0];
    struct qbc_array *y = c->out;
    if (to == x->element) {
        *y = *x;
        return true;
    }
    if (!qbc_ev_numbers(c, 0))
        return true;
    for (size_t i = 0; i < y->n; ++i)
        if (y->f)
            y->f[i] = round_to(x->f ? x->f[i] : (float)x->i[i], to);
        else
            y->i[i] = x->f ? to_int(x->f[i], to) : wrap(x->i[i], to);
    return true;
}

bool qbc_ev_cast(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 1) && cast_to(c, (enum qbc_element)qbc_ev_int(c, "to", 0));
}

bool qbc_ev_cast_like(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 2) && cast_to(c, c->in[1]->element);
}

/* --- functions that want more than x and y */

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

bool qbc_ev_fast_gelu(struct qbc_ev *c)
{
    struct qbc_ev_walk w;
    if (qbc_ev_has(c, 1)) /* x + bias first: the numbers are left to the two operations */
        return broadcast(c, c->in[0]->element, 0, 2, &w);
    return map_same(c, gelu_tanh);
}

bool qbc_ev_quick_gelu(struct qbc_ev *c)
{
    return map_same(c, quick_gelu);
}

bool qbc_ev_clip(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 1) || !qbc_ev_shape_like(c, 0, c->in[0]->element, c->in[0]))
        return false;
    if (!qbc_ev_all_known(c) || !qbc_ev_numbers(c, 0))
        return true;
    const struct qbc_array *low = qbc_ev_has(c, 1) && c->in[1]->n ? c->in[1] : NULL;
    const struct qbc_array *high = qbc_ev_has(c, 2) && c->in[2]->n ? c->in[2] : NULL;
    for (size_t i = 0; i < c->out->n; ++i) {
        qbc_ev_copy(c->out, i, c->in[0], i);
        if (low && qbc_ev_get(c->out, i) < qbc_ev_get(low, 0))
            qbc_ev_copy(c->out, i, low, 0);
        if (high && qbc_ev_get(c->out, i) > qbc_ev_get(high, 0))
            qbc_ev_copy(c->out, i, high, 0);
    }
    return true;
}

static int64_t int_power(int64_t base, double exponent)
{
    uint64_t product = 1, factor = (uint64_t)base;
    if (exponent < 0 || exponent > 64 || floor(exponent) != exponent)
        return to_int((float)pow((double)base, exponent), QBC_I64);
    for (unsigned e = (unsigned)exponent; e; e >>= 1, factor *= factor)
        product *= e & 1 ? factor : 1;
    return (int64_t)product;
}

bool qbc_ev_pow(struct qbc_ev *c)
{
    struct qbc_ev_walk w;
    if (!qbc_ev_wants(c, 2) || !broadcast(c, c->in[0]->element, 0, 2, &w))
        return false;
    if (!qbc_ev_all_known(c) || !qbc_ev_numbers(c, 0))
        return true;
    const struct qbc_array *x = c->in[0], *y = c->in[1];
    for (size_t i = 0; i < c->out->n; ++i, qbc_ev_walk_next(&w)) {
        double exponent = qbc_ev_get(y, (size_t)w.at[1]);
        if (c->out->f)
            c->out->f[i] = powf(x->f[w.at[0]], (float)exponent);
        else
            c->out->i[i] = int_power(x->i[w.at[0]], exponent);
    }
    return true;
}

/* fmod = 0: the sign of the divisor (Python's %); fmod = 1: of the dividend (C's). */
static int64_t int_mod(int64_t x, int64_t y, bool like_c)
{
    int64_t rest = y == -1 ? 0 : x % y;
    return !like_c && rest && (rest < 0) != (y < 0) ? rest + y : rest;
}

static float float_mod(float x, float y, bool like_c)
{
    float rest = fmodf(x, y);
    return !like_c && rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

bool qbc_ev_mod(struct qbc_ev *c)
{
    struct qbc_ev_walk w;
    if (!qbc_ev_wants(c, 2) || !same_kind(c, 0, 1) || !broadcast(c, c->in[0]->element, 0, 2, &w))
        return false;
    if (!qbc_ev_all_known(c) || has_zero(c->in[1]) || !qbc_ev_numbers(c, 0))
        return true;
    bool like_c = qbc_ev_int(c, "fmod", 0) != 0;
    const struct qbc_array *x = c->in[0], *y = c->in[1];
    for (size_t i = 0; i < c->out->n; ++i, qbc_ev_walk_next(&w))
        if (c->out->f)
            c->out->f[i] = float_mod(x->f[w.at[0]], y->f[w.at[1]], like_c);
        else
            c->out->i[i] = int_mod(x->i[w.at[0]], y->i[w.at[1]], like_c);
    return true;
}

/* Are all elements of a known condition equal to `want`? */
static bool all_are(const struct qbc_array *condition, bool want)
{
    for (size_t i = 0; i < condition->n; ++i)
        if ((condition->i[i] != 0) != want)
            return false;
    return true;
}

/* Where needs the numbers of a branch only where it takes something from it. */
bool qbc_ev_where(struct qbc_ev *c)
{
    struct qbc_ev_walk w;
    if (!qbc_ev_wants(c, 3) || !same_kind(c, 1, 2) || !broadcast(c, c->in[1]->element, 0, 3, &w))
        return false;
    if (!qbc_ev_known(c, 0) || !c->in[0]->i)
        return true;
    const struct qbc_array *condition = c->in[0];
    bool first = all_are(condition, false) || qbc_ev_known(c, 1);
    bool second = all_are(condition, true) || qbc_ev_known(c, 2);
    if (!first || !second || !qbc_ev_numbers(c, 0))
        return true;
    for (size_t i = 0; i < c->out->n; ++i, qbc_ev_walk_next(&w))
        if (condition->i[w.at[0]])
            qbc_ev_copy(c->out, i, c->in[1], (size_t)w.at[1]);
        else
            qbc_ev_copy(c->out, i, c->in[2], (size_t)w.at[2]);
    return true;
}
