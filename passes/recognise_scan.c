/* recognise-scan: the recurrence of state space models, in graphs for one token a call.
 *
 *   before   %h = %state * Exp(%dt * A) + %dt * %b * %x;  %y = sum over n of %h * %c, + D * %x      however written
 *   after    %s = "qb.state"() {name = "ssm"}
 *            %y = "qb.ssm_scan"(%s, %x, %dt, %b, %c, %a, %d) {n}
 *
 * A state [1, .., N] that goes in and out is one if what goes out is made of it and of three level-1 values, and is that
 * formula of random numbers for one of the ways to take these; the rates A are measured: with dt 1, x 0 and a state of ones
 * what goes out is exp(A). What is made of it and a fourth value and agrees with the sum is y; D is measured in the same way.
 * A table of rates that the graph stores is taken in place of what was measured.
 *
 * needs    recognise-mlp: x and dt are rows
 * leaves   qb.ssm_scan, for any number of tokens
 * keeps    other states, and notes why
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

enum { X, DT, B, INPUTS };

struct scan {
    struct qbc_state state;
    MlirValue in[INPUTS], c, y;
    int64_t columns, n, dts, groups;
    float *rates, *skips; /* [dts][n], [dts] */
    struct qbc_dims dims; /* of y */
};

static const float *numbers(struct qbc_evaluation *e, MlirValue v, size_t n)
{
    const struct qbc_array *a = qbc_floats_of(e, v);
    return a && a->n == n ? a->f : NULL;
}

/* --- the state */

/* [1, ..., N]. */
static bool is_scan(const struct qbc_state *s, struct scan *c)
{
    const struct qbc_dims *d = &s->dims;
    if (d->rank < 3)
        return false;
    *c = (struct scan){.state = *s, .columns = 1, .n = d->at[d->rank - 1]};
    for (size_t k = 0; k + 1 < d->rank; ++k)
        c->columns *= d->at[k];
    return true;
}

/* The level-1 values among a value's leaves; n of them, or false. */
static bool rows_of(struct qbc *q, MlirValue v, size_t n_cut, const MlirValue *cut, size_t n, MlirValue *out)
{
    struct qbc_values leaves = qbc_leaves(q, v, n_cut, cut);
    size_t found = 0;
    for (size_t i = 0; i < leaves.n; ++i)
        if (qbc_is_level1(leaves.v[i])) {
            if (found < n)
                out[found] = leaves.v[i];
            ++found;
        }
    return found == n;
}

/* --- what goes out */

/* x, dt and b are `in`, in this order. Fills them with numbers; `size` 0: zeros, but dt 1. */
static bool bind_inputs(struct qbc *q, struct qbc_evaluation *e, const struct scan *c, bool random)
{
    for (int i = 0; i < INPUTS; ++i) {
        struct qbc_array *a = qbc_bind_zero(q, e, c->in[i]);
        if (!a)
            return false;
        if (random)
            qbc_fill_random(a, 20 + (uint32_t)i);
        for (size_t k = 0; k < a->n && i == DT; ++k)
            a->f[k] = random ? fabsf(a->f[k]) : 1;
    }
    return true;
}

/* With dt 1, x 0 and a state of ones: exp(A). */
static bool measure_rates(struct qbc *q, struct scan *c)
{
    struct qbc_evaluation *e = qbc_probe(q, c->state.func, 1, 0);
    size_t all = (size_t)(c->columns * c->n);
    bool good = bind_inputs(q, e, c, false);
    struct qbc_array *state = qbc_bind_zero(q, e, c->state.value);
    for (size_t i = 0; state && i < state->n; ++i)
        state->f[i] = 1;
    const float *out = good && state ? numbers(e, c->state.next, all) : NULL;
    int64_t each = c->columns / c->dts;
    c->rates = qbc_alloc(q, (size_t)(c->dts * c->n) * sizeof *c->rates);
    for (int64_t d = 0; out && d < c->dts; ++d)
        for (int64_t n = 0; n < c->n; ++n)
            c->rates[d * c->n + n] = logf(out[d * each * c->n + n]);
    for (int64_t i = 0; out && i < c->dts * c->n; ++i)
        good &= isfinite(c->rates[i]) && c->rates[i] < 0;
    qbc_evaluation_destroy(e);
    return good && out;
}

static bool recurs(struct qbc *q, const struct scan *c)
{
    struct qbc_evaluation *e = qbc_probe(q, c->state.func, 1, 0);
    bool good = bind_inputs(q, e, c, true);
    const struct qbc_array *state = qbc_bind_random(q, e, c->state.value, 30);
    const float *out = good && state ? numbers(e, c->state.next, (size_t)(c->columns * c->n)) : NULL;
    const struct qbc_array *x = qbc_floats_of(e, c->in[X]), *dt = qbc_floats_of(e, c->in[DT]), *b = qbc_floats_of(e, c->in[B]);
    good = out && x && dt && b;
    for (int64_t i = 0; i < c->columns && good; ++i) {
        int64_t d = i * c->dts / c->columns, g = i * c->groups / c->columns;
        for (int64_t n = 0; n < c->n && good; ++n) {
            double step = (double)dt->f[d], h = (double)state->f[i * c->n + n];
            double want = exp(step * (double)c->rates[d * c->n + n]) * h + step * (double)b->f[g * c->n + n] * (double)x->f[i];
            good = qbc_near(want, (double)out[i * c->n + n], 1e-4, 1e-5);
        }
    }
    qbc_evaluation_destroy(e);
    return good;
}

/* Do the three values, taken as x, dt and b, make what goes out? */
static bool try_inputs(struct qbc *q, struct scan *c, MlirValue x, MlirValue dt, MlirValue b)
{
    c->in[X] = x;
    c->in[DT] = dt;
    c->in[B] = b;
    c->dts = qbc_dim(dt, 1);
    c->groups = qbc_dim(b, 1) / c->n;
    return qbc_dim(x, 1) == c->columns && c->dts > 0 && c->columns % c->dts == 0 && qbc_dim(b, 1) % c->n == 0 && c->groups > 0 &&
           c->columns % c->groups == 0 && measure_rates(q, c) && recurs(q, c);
}

static bool find_inputs(struct qbc *q, struct scan *c)
{
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    MlirValue v[INPUTS];
    if (!rows_of(q, c->state.next, 1, &c->state.value, INPUTS, v))
        return false;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; ++i)
        if (try_inputs(q, c, v[orders[i][0]], v[orders[i][1]], v[orders[i][2]]))
            return true;
    return false;
}

/* --- y */

/* h is `next`, bound. False: v is no such sum, whatever D is. */
static bool is_sum(struct qbc *q, struct scan *c, MlirValue v)
{
    struct qbc_evaluation *e = qbc_probe(q, c->state.func, 1, 0);
    const struct qbc_array *x = qbc_bind_random(q, e, c->in[X], 41), *w = qbc_bind_random(q, e, c->c, 42);
    const struct qbc_array *h = qbc_bind_random(q, e, c->state.next, 40); /* last: its shape is made of the others */
    const float *y = h && x && w ? numbers(e, v, (size_t)c->columns) : NULL;
    bool good = y;
    for (int64_t i = 0; i < c->columns && good; ++i) {
        int64_t d = i * c->dts / c->columns, g = i * c->groups / c->columns;
        double sum = (double)c->skips[d] * (double)x->f[i];
        for (int64_t n = 0; n < c->n; ++n)
            sum += (double)h->f[i * c->n + n] * (double)w->f[g * c->n + n];
        good = qbc_near(sum, (double)y[i], 1e-4, 1e-5);
    }
    qbc_evaluation_destroy(e);
    return good;
}

/* With h 0 and x 1: D. */
static bool measure_skips(struct qbc *q, struct scan *c, MlirValue v)
{
    struct qbc_evaluation *e = qbc_probe(q, c->state.func, 1, 0);
    struct qbc_array *x = qbc_bind_zero(q, e, c->in[X]);
    for (size_t i = 0; x && i < x->n; ++i)
        x->f[i] = 1;
    const struct qbc_array *w = qbc_bind_random(q, e, c->c, 42);
    struct qbc_array *h = qbc_bind_zero(q, e, c->state.next); /* last: its shape is made of the others */
    const float *y = h && x && w ? numbers(e, v, (size_t)c->columns) : NULL;
    c->skips = qbc_alloc(q, (size_t)c->dts * sizeof *c->skips);
    for (int64_t d = 0; y && d < c->dts; ++d)
        c->skips[d] = y[d * (c->columns / c->dts)];
    qbc_evaluation_destroy(e);
    return y;
}

/* Its level-1 leaves beside h must be x, or nothing more than c. */
static bool has_output(struct qbc *q, struct scan *c, MlirValue v)
{
    struct qbc_values leaves = qbc_leaves(q, v, 1, &c->state.next);
    c->c = (MlirValue){NULL};
    for (size_t i = 0; i < leaves.n; ++i) {
        MlirValue leaf = leaves.v[i];
        if (qbc_same(leaf, c->state.next) || qbc_is_constant(leaf) || qbc_same(leaf, c->in[X]))
            continue;
        if (!qbc_is_level1(leaf) || qbc_dim(leaf, 1) != c->groups * c->n || !mlirValueIsNull(c->c))
            return false;
        c->c = leaf;
    }
    return !mlirValueIsNull(c->c) && measure_skips(q, c, v) && is_sum(q, c, v);
}

/* All that is made of h, nearest first; the farthest that is the sum is y. */
static bool find_output(struct qbc *q, struct qbc_shapes *s, struct scan *c)
{
    struct qbc_values made = qbc_made_of(q, c->state.next);
    struct scan best = {.y = {NULL}};
    for (size_t i = 1; i < made.n; ++i)
        if (qbc_shapes_width(s, made.v[i], &c->dims) == c->columns && has_output(q, c, made.v[i])) {
            best = *c;
            best.y = made.v[i];
        }
    if (!mlirValueIsNull(best.y))
        *c = best;
    return !mlirValueIsNull(c->y);
}

/* --- the rewrite */

static void apply(struct qbc *q, struct qbc_shapes *s, struct scan *c)
{
    struct qbc_build b = qbc_before(q, qbc_def_any(c->y));
    struct qbc_ssm made = {.x = c->in[X], .dt = c->in[DT], .b = c->in[B], .c = c->c, .columns = c->columns, .n = c->n,
                           .dts = c->dts, .rates = c->rates, .skips = c->skips,
                           .where = qbc_def_any(c->y), .near_rates = qbc_leaves(q, c->state.next, 1, &c->state.value), .near_skips = qbc_leaves(q, c->y, 1, &c->state.next)};
    MlirValue y = qbc_ssm_emit(&b, s, &made), state = mlirOperationGetOperand(qbc_def_any(y), 0);
    mlirValueReplaceAllUsesOfWith(c->y, qbc_unrows(&b, y, &c->dims));
    qbc_state_replace(&c->state, state); /* nobody else computes it */
}

void qbc_pass_recognise_scan(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func) || !qbc_is_step(func))
        return;
    intptr_t n_args = mlirBlockGetNumArguments(qbc_func_body(func));
    struct scan *found = qbc_alloc(q, ((size_t)n_args + 1) * sizeof *found);
    struct qbc_shapes s;
    size_t n = 0;
    qbc_shapes_open(q, func, &s);
    for (intptr_t i = 0; i < n_args; ++i) {
        struct qbc_state state;
        n += qbc_state_at(&s, func, i, &state) && is_scan(&state, &found[n]) && find_inputs(q, &found[n]) && find_output(q, &s, &found[n]);
    }
    for (size_t i = 0; i < n; ++i)
        apply(q, &s, &found[i]);
    qbc_shapes_close(&s);
    qbc_tidy(q, module);
}
