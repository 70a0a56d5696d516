/* recognise-scan-rows: the recurrence of state space models over all tokens of a call, without a state from before.
 *
 *   before   a copy of the step for each token; or products of chunks with sums of their rates; however written
 *   after    %s = "qb.state"() {name = "ssm"}
 *            %y = "qb.ssm_scan"(%s, %x, %dt, %b, %c, %a, %d) {n}
 *
 * A value is y if it is made of four level-1 values and is that formula of random numbers for one of the ways to take these,
 * with a state of 0 before the first token. The rates A are measured: x is 1 at the first token alone, dt is 1 at the second
 * alone, so the state is exp(A) from there on, and each further token's c reads one of it. With dt 0, y is D x.
 *
 * needs    recognise-mlp: x and dt are rows
 * leaves   qb.ssm_scan, for any number of tokens
 * keeps    graphs with a cache, in which a scan would have a state
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

enum { X, DT, B, C, INPUTS, TOKENS = 6, FEWEST = 3 };

struct scan {
    MlirOperation func;
    MlirValue in[INPUTS], y;
    int64_t columns, n, dts, groups, tokens;
    float *rates, *skips; /* [dts][n], [dts] */
    int64_t room;         /* for rates */
    struct qbc_dims dims; /* of y */
    bool across;          /* y is [1, C, T] */
};

/* --- what y may be */

/* No recurrence decays without one. */
static bool has_exponential(struct qbc *q, MlirValue y)
{
    struct qbc_ops cone = qbc_cone(q, y, 0, NULL);
    for (size_t i = 0; i < cone.n; ++i)
        if (qbc_is(cone.op[i], "onnx.Exp") || qbc_is(cone.op[i], "onnx.Pow"))
            return true;
    return false;
}

/* The four level-1 values among a value's leaves, which have no inputs beside them. */
static bool has_inputs(struct qbc *q, MlirValue y, MlirValue *in)
{
    struct qbc_values leaves = qbc_leaves(q, y, 0, NULL);
    size_t found = 0;
    for (size_t i = 0; i < leaves.n; ++i) {
        if (qbc_is_constant(leaves.v[i]))
            continue;
        if (!qbc_is_level1(leaves.v[i]) || found == INPUTS)
            return false;
        in[found++] = leaves.v[i];
    }
    return found == INPUTS && has_exponential(q, y);
}

static bool has_sizes(struct scan *c)
{
    int64_t x = qbc_dim(c->in[X], 1), dt = qbc_dim(c->in[DT], 1), b = qbc_dim(c->in[B], 1);
    c->dts = dt;
    return x == c->columns && b == qbc_dim(c->in[C], 1) && dt > 0 && x % dt == 0 && b > 0;
}

/* --- numbers */

/* The inputs are random, dt not negative. */
static bool bind_inputs(struct qbc *q, struct qbc_evaluation *e, const struct scan *c, struct qbc_array **in)
{
    for (int i = 0; i < INPUTS; ++i) {
        in[i] = qbc_bind_zero(q, e, c->in[i]);
        if (!in[i])
            return false;
        qbc_fill_random(in[i], 20 + (uint32_t)i);
        for (size_t k = 0; k < in[i]->n && i == DT; ++k)
            in[i]->f[k] = fabsf(in[i]->f[k]);
    }
    return true;
}

/* y as [tokens][columns]; NULL: it cannot be computed. */
static const float *result(struct qbc *q, struct qbc_evaluation *e, const struct scan *c)
{
    const struct qbc_array *y = qbc_floats_of(e, c->y);
    if (!y || y->n != (size_t)(c->tokens * c->columns))
        return NULL;
    float *upright = c->across ? qbc_alloc(q, y->n * sizeof *upright) : NULL;
    for (size_t i = 0; upright && i < y->n; ++i)
        upright[i % (size_t)c->tokens * (size_t)c->columns + i / (size_t)c->tokens] = y->f[i];
    return c->across ? upright : y->f;
}

/* States first .. first + tokens - 2 are read, one by each token but the first. */
static void ask_for_rates(const struct scan *c, struct qbc_array **in, int64_t first)
{
    int64_t width = c->groups * c->n;
    for (size_t i = 0; i < in[X]->n; ++i)
        in[X]->f[i] = (int64_t)i < c->columns;
    for (size_t i = 0; i < in[DT]->n; ++i)
        in[DT]->f[i] = (int64_t)i < 2 * c->dts;
    for (size_t i = 0; i < in[B]->n; ++i)
        in[B]->f[i] = 1;
    for (size_t i = 0; i < in[C]->n; ++i)
        in[C]->f[i] = (int64_t)i % c->n == first + (int64_t)i / width - 1;
}

static bool measure_rates(struct qbc *q, struct scan *c)
{
    int64_t each = c->columns / c->dts, at_once = c->tokens - 1;
    bool good = true;
    if (c->room < c->dts * c->n) {
        c->room = c->dts * c->n;
        c->rates = qbc_alloc(q, (size_t)c->room * sizeof *c->rates);
    }
    for (int64_t first = 0; first < c->n && good; first += at_once) {
        struct qbc_evaluation *e = qbc_probe(q, c->func, c->tokens, 0);
        struct qbc_array *in[INPUTS];
        good = bind_inputs(q, e, c, in);
        if (good)
            ask_for_rates(c, in, first);
        const float *y = good ? result(q, e, c) : NULL;
        for (int64_t t = 1; y && t <= at_once && first + t - 1 < c->n; ++t)
            for (int64_t d = 0; d < c->dts; ++d) {
                float rate = logf(y[t * c->columns + d * each]);
                c->rates[d * c->n + first + t - 1] = rate;
                good &= isfinite(rate) && rate < 0;
            }
        good &= y != NULL;
        qbc_evaluation_destroy(e);
    }
    return good;
}

/* False as well when y is more than D x then: that tells most wrong ways to take the inputs. */
static bool measure_skips(struct qbc *q, struct scan *c)
{
    struct qbc_evaluation *e = qbc_probe(q, c->func, c->tokens, 0);
    struct qbc_array *in[INPUTS];
    bool good = bind_inputs(q, e, c, in);
    for (size_t i = 0; good && i < in[X]->n; ++i)
        in[X]->f[i] = 1;
    for (size_t i = 0; good && i < in[DT]->n; ++i)
        in[DT]->f[i] = 0;
    const float *y = good ? result(q, e, c) : NULL;
    c->skips = c->skips ? c->skips : qbc_alloc(q, (size_t)c->columns * sizeof *c->skips);
    for (int64_t d = 0; y && d < c->dts; ++d)
        c->skips[d] = y[d * (c->columns / c->dts)];
    good = y;
    for (int64_t i = 0; good && i < c->tokens * c->columns; ++i)
        good = qbc_near((double)y[i], (double)c->skips[i % c->columns * c->dts / c->columns], 1e-5, 1e-6);
    qbc_evaluation_destroy(e);
    return good;
}

/* Column i of y, token by token. */
static bool column_agrees(const struct scan *c, struct qbc_array *const *in, const float *y, int64_t i, double *h)
{
    int64_t d = i * c->dts / c->columns, g = i * c->groups / c->columns, width = c->groups * c->n;
    memset(h, 0, (size_t)c->n * sizeof *h);
    for (int64_t t = 0; t < c->tokens; ++t) {
        double x = (double)in[X]->f[t * c->columns + i], dt = (double)in[DT]->f[t * c->dts + d];
        double sum = (double)c->skips[d] * x, size = fabs(sum);
        for (int64_t n = 0; n < c->n; ++n) {
            h[n] = exp(dt * (double)c->rates[d * c->n + n]) * h[n] + dt * (double)in[B]->f[t * width + g * c->n + n] * x;
            double part = h[n] * (double)in[C]->f[t * width + g * c->n + n];
            sum += part;
            size += fabs(part);
        }
        if (!qbc_near(sum, (double)y[t * c->columns + i], 1e-5, 1e-4 * size + 1e-6))
            return false;
    }
    return true;
}

static bool recurs(struct qbc *q, const struct scan *c)
{
    struct qbc_evaluation *e = qbc_probe(q, c->func, c->tokens, 0);
    struct qbc_array *in[INPUTS];
    const float *y = bind_inputs(q, e, c, in) ? result(q, e, c) : NULL;
    double *h = qbc_alloc(q, (size_t)c->n * sizeof *h);
    bool good = y;
    for (int64_t i = 0; i < c->columns && good; ++i)
        good = column_agrees(c, in, y, i, h);
    qbc_evaluation_destroy(e);
    return good;
}

/* The rows of B are one group, or several; as many states as give the formula. */
static bool try_groups(struct qbc *q, struct scan *c)
{
    int64_t width = qbc_dim(c->in[B], 1);
    if (!has_sizes(c) || !measure_skips(q, c))
        return false;
    for (c->groups = 1; c->groups <= c->dts; ++c->groups) {
        c->n = width / c->groups;
        if (width % c->groups == 0 && c->columns % c->groups == 0 && measure_rates(q, c) && recurs(q, c))
            return true;
    }
    return false;
}

static bool try_orders(struct qbc *q, struct scan *c, const MlirValue *in)
{
    for (int order = 0; order < INPUTS * INPUTS * INPUTS * INPUTS; ++order) {
        int at[INPUTS] = {order % 4, order / 4 % 4, order / 16 % 4, order / 64};
        bool each = ((1 << at[0]) | (1 << at[1]) | (1 << at[2]) | (1 << at[3])) == 15;
        for (int i = 0; i < INPUTS; ++i)
            c->in[i] = in[at[i]];
        if (each && try_groups(q, c))
            return true;
    }
    return false;
}

/* --- the rewrite */

static void apply(struct qbc *q, struct qbc_shapes *s, struct scan *c)
{
    struct qbc_build b = qbc_before(q, qbc_def_any(c->y));
    struct qbc_values near = qbc_leaves(q, c->y, 0, NULL);
    struct qbc_ssm made = {.where = qbc_def_any(c->y), .x = c->in[X], .dt = c->in[DT], .b = c->in[B], .c = c->in[C],
                           .columns = c->columns, .n = c->n, .dts = c->dts, .rates = c->rates, .skips = c->skips,
                           .near_rates = near, .near_skips = near};
    MlirValue y = qbc_ssm_emit(&b, s, &made);
    mlirValueReplaceAllUsesOfWith(c->y, c->across ? qbc_unrows_across(&b, y, &c->dims) : qbc_unrows(&b, y, &c->dims));
}

/* [1, T, C], or [1, C, T]. */
static bool has_columns(struct qbc_shapes *s, struct scan *c, bool across)
{
    c->across = across;
    c->columns = qbc_shapes_width(s, c->y, &c->dims);
    if (!across)
        return c->columns > 0;
    size_t rank = c->dims.rank;
    for (size_t d = 0; d + 2 < rank; ++d)
        if (c->dims.at[d] != 1)
            return false;
    c->columns = rank >= 2 ? c->dims.at[rank - 2] : 0;
    return c->columns > 0 && qbc_is_tokens(s, c->dims.at[rank - 1]);
}

/* Later values first: what a scan is made of is none. */
static size_t find_all(struct qbc *q, MlirOperation func, struct qbc_shapes *s, struct scan *found)
{
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    MlirValue taken[INPUTS], in[INPUTS];
    size_t n = 0;
    for (size_t i = ops.n; i-- > 0;) {
        MlirValue v = mlirOperationGetNumResults(ops.op[i]) == 1 ? mlirOperationGetResult(ops.op[i], 0) : (MlirValue){NULL};
        if (mlirValueIsNull(v) || strncmp(qbc_op_name(ops.op[i]), "onnx.", 5) || !has_inputs(q, v, in) ||
            (n && !memcmp(in, taken, sizeof in)))
            continue;
        struct scan *c = &found[n];
        *c = (struct scan){.func = func, .y = v, .tokens = qbc_tokens_or(func, TOKENS)};
        if ((has_columns(s, c, false) && try_orders(q, c, in)) || (has_columns(s, c, true) && try_orders(q, c, in))) {
            memcpy(taken, in, sizeof in);
            ++n;
        }
    }
    return n;
}

void qbc_pass_recognise_scan_rows(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func) || qbc_has_past(func) || qbc_tokens_or(func, TOKENS) < FEWEST)
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct scan *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes s;
    qbc_shapes_open(q, func, &s);
    size_t n = find_all(q, func, &s, found);
    for (size_t i = 0; i < n; ++i)
        apply(q, &s, &found[i]);
    qbc_shapes_close(&s);
    qbc_upright(q, func);
    qbc_tidy(q, module);
}
