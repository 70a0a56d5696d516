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
            y->i[i] = qbc_ev_wrap(c->row->int1(x->i[i]), y->element);
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
    if (!qbc_ev_wants(c, 2) || !same_kind(c, 0, 1) || !broadcast(c, c->in[0]->element, 0, 2, &w))
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
            z->i[i] = qbc_ev_wrap(c->row->int2(x->i[w.at[0]], y->i[w.at[1]]), z->element);
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
            z->i[i] = qbc_ev_wrap(c->row->int2(z->i[i], x->i[w.at[0]]), z->element);
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

/* --- functions that want more than x and y */

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
        return qbc_ev_to_int((float)pow((double)base, exponent), QBC_I64);
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
