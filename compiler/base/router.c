/* router: the law by which a graph's tokens choose experts, found by random logits (pattern.h).
 *
 * What is chosen tells the bias and the groups; the sum of what experts give, which comes later, tells the weights.
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

enum { TOKENS = 9, CHOICES = 256 };

MlirValue qbc_only_rows(struct qbc *q, MlirValue v, size_t n_cut, const MlirValue *cut)
{
    struct qbc_values leaves = qbc_leaves(q, v, n_cut, cut);
    MlirValue found = {NULL};
    for (size_t i = 0; i < leaves.n; ++i)
        if (qbc_is_level1(leaves.v[i])) {
            if (!mlirValueIsNull(found))
                return (MlirValue){NULL};
            found = leaves.v[i];
        }
    return found;
}

/* A call's logits: random, wide enough that softmax and sigmoid differ. */
static const struct qbc_array *bind_logits(struct qbc *q, struct qbc_evaluation *e, MlirValue logits, uint32_t seed)
{
    struct qbc_array *a = qbc_bind_zero(q, e, logits);
    if (a)
        qbc_fill_random(a, 61 + seed);
    for (size_t i = 0; a && i < a->n; ++i)
        a->f[i] *= 3;
    return a;
}

/* Logits of many tokens, and which experts the graph chose. */
struct choices {
    float *logits; /* [CHOICES][experts] */
    int64_t *ids;  /* [CHOICES][top] */
    int64_t top;   /* 0: cannot be computed */
};

/* In one call, or in as many as there are tokens where a call takes one. */
static struct choices take_choices(struct qbc_router_finder *f, MlirValue logits, MlirValue ids)
{
    struct choices c = {.top = 0};
    int64_t each = f->shapes.step ? 1 : CHOICES, experts = qbc_dim(logits, 1);
    c.logits = qbc_alloc(f->q, (size_t)(CHOICES * experts) * sizeof *c.logits);
    for (int64_t t = 0; t < CHOICES; t += each) {
        struct qbc_evaluation *e = qbc_probe(f->q, f->func, each, 0);
        const struct qbc_array *l = bind_logits(f->q, e, logits, (uint32_t)t), *a = l ? qbc_evaluate(e, ids) : NULL;
        bool good = a && a->known && a->i && a->n && a->n % (size_t)each == 0 && (t == 0 || (int64_t)a->n == each * c.top);
        c.top = good ? (int64_t)a->n / each : 0;
        if (good && t == 0)
            c.ids = qbc_alloc(f->q, (size_t)(CHOICES * c.top) * sizeof *c.ids);
        if (good) {
            memcpy(c.logits + t * experts, l->f, l->n * sizeof *l->f);
            memcpy(c.ids + t * c.top, a->i, a->n * sizeof *a->i);
        }
        qbc_evaluation_destroy(e);
        if (!good)
            break;
    }
    return c;
}

static bool chooses(const struct qbc_routing *law, const struct choices *c)
{
    int64_t want[QBC_MOST_CHOSEN];
    double weights[QBC_MOST_CHOSEN];
    for (int64_t t = 0; t < CHOICES; ++t) {
        qbc_route(law, c->logits + t * law->experts, want, weights);
        if (memcmp(want, c->ids + t * law->top, (size_t)law->top * sizeof *want))
            return false;
    }
    return true;
}

/* Groups that some of are kept: by the largest, or the two largest, of each. */
static bool try_groups(struct qbc_routing *law, const struct choices *c)
{
    for (law->groups = 1; law->groups <= QBC_MOST_CHOSEN && law->groups < law->experts; ++law->groups)
        for (law->kept = 1; law->kept < law->groups || law->groups == 1; ++law->kept) {
            bool even = law->experts % law->groups == 0 && law->kept * (law->experts / law->groups) >= law->top;
            for (law->best = 1; even && law->best <= 2; ++law->best)
                if (chooses(law, c))
                    return true;
            if (law->groups == 1)
                break;
        }
    return false;
}

/* A stored number for each expert, among what the choice is made of. */
static bool find_bias(struct qbc_router_finder *f, struct qbc_router *r, const struct qbc_values *leaves, size_t from)
{
    for (size_t i = from; i < leaves->n; ++i) {
        if (!qbc_is_constant(leaves->v[i]) || !qbc_strided_of(f->q, f->shapes.at[0], leaves->v[i], &r->bias) || !r->bias.rank)
            continue;
        r->bias_axis = r->bias.rank - 1;
        if (r->bias.dims[r->bias_axis] != r->law.experts)
            continue;
        r->law.bias = qbc_strided_read(f->q, &r->bias, (size_t)r->law.experts);
        if (r->law.bias)
            return true;
    }
    return false;
}

static bool find_law(struct qbc_router_finder *f, struct qbc_router *r, MlirValue ids, const struct choices *c)
{
    static const char *const scores[] = {"softmax", "sigmoid", "none"};
    struct qbc_values leaves = qbc_leaves(f->q, ids, 1, &r->logits);
    bool biased = find_bias(f, r, &leaves, 0);
    for (size_t i = 0; i < sizeof scores / sizeof *scores; ++i) {
        r->law.score = scores[i];
        if (try_groups(&r->law, c))
            return true;
    }
    if (biased) { /* a vector that is none */
        r->law.bias = NULL;
        r->law.score = scores[0];
        return try_groups(&r->law, c);
    }
    return false;
}

static struct qbc_router *known_router(struct qbc_router_finder *f, MlirValue logits, int64_t top)
{
    for (size_t i = 0; i < f->n_routers; ++i)
        if (qbc_same(f->router[i].logits, logits) && f->router[i].law.top == top)
            return &f->router[i];
    return NULL;
}

struct qbc_router *qbc_router_find(struct qbc_router_finder *f, MlirOperation where, MlirValue ids)
{
    struct qbc_router r = {.logits = qbc_only_rows(f->q, ids, 0, NULL)};
    if (mlirValueIsNull(r.logits) || qbc_dim(r.logits, 1) > QBC_MOST_EXPERTS) {
        qbc_miss(f->q, where, "matrices are gathered by something that is not made of one router's logits");
        return NULL;
    }
    r.law = (struct qbc_routing){.experts = qbc_dim(r.logits, 1), .scale = 1, .score = "softmax", .groups = 1};
    struct choices c = take_choices(f, r.logits, ids);
    r.law.top = c.top;
    struct qbc_router *known = c.top ? known_router(f, r.logits, c.top) : NULL;
    bool good = c.top > 0 && c.top <= QBC_MOST_CHOSEN && c.top <= r.law.experts;
    good = good && (known ? chooses(&known->law, &c) : find_law(f, &r, ids, &c));
    if (!good)
        qbc_miss(f->q, where, "the experts are not those of the largest softmax or sigmoid of a router's logits");
    if (good && !known) {
        f->router[f->n_routers] = r;
        known = &f->router[f->n_routers++];
    }
    return good ? known : NULL;
}

/* --- the weights of all experts, those that are not chosen 0 */

bool qbc_router_weighs(struct qbc_router *r, size_t tokens, const float *logits, const double *weights)
{
    static const char *const scores[] = {"softmax", "sigmoid", "none"};
    int64_t ids[QBC_MOST_CHOSEN], n = r->law.experts;
    double made[QBC_MOST_CHOSEN];
    struct qbc_routing law = r->law;
    bool found = false;
    for (int way = 0; way < 6 && !found; ++way) {
        law.score = law.bias || r->settled ? r->law.score : scores[way / 2];
        law.normalise = way % 2;
        law.scale = 1;
        found = true;
        for (size_t t = 0; t < tokens && found; ++t) {
            const double *want = weights + (int64_t)t * n;
            double sum = 0, all = 0;
            qbc_route(&law, logits + (int64_t)t * n, ids, made);
            if (t == 0)
                law.scale = qbc_shortest(want[ids[0]] / made[0], 1e-4);
            for (int64_t j = 0; j < law.top; ++j) {
                made[j] *= t == 0 ? law.scale : 1;
                found = found && qbc_near(made[j], want[ids[j]], 2e-4, 2e-5);
                sum += fabs(want[ids[j]]);
            }
            for (int64_t e = 0; e < n; ++e)
                all += fabs(want[e]);
            found = found && qbc_near(sum, all, 1e-6, 1e-7);
        }
    }
    if (found)
        r->law = law;
    return found;
}

/* --- qb.route */

MlirValue qbc_router_route(struct qbc_build *b, struct qbc_router *r)
{
    if (!mlirValueIsNull(r->route))
        return r->route;
    struct qbc *q = b->q;
    struct qbc_build at = qbc_after(q, qbc_def_any(r->logits));
    MlirValue operands[2] = {r->logits, {NULL}};
    size_t n = 1;
    if (r->law.bias)
        operands[n++] = qbc_weight(&at, &r->bias, 1, &r->bias_axis);
    MlirOperation op = qbc_make(&at, "qb.route", qbc_rows_type(q, 2 * r->law.top), NULL, n, operands);
    r->route = mlirOperationGetResult(op, 0);
    qbc_set_int(q, op, "top", r->law.top);
    if (r->law.groups > 1) {
        qbc_set_int(q, op, "groups", r->law.groups);
        qbc_set_int(q, op, "kept", r->law.kept);
        qbc_set_int(q, op, "best", r->law.best);
    }
    qbc_router_settle(q, r);
    return r->route;
}

void qbc_router_settle(struct qbc *q, struct qbc_router *r)
{
    MlirOperation route = qbc_def_any(r->route);
    qbc_set_string(q, route, "score", r->law.score);
    qbc_set_bool(q, route, "normalise", r->law.normalise);
    qbc_set_float(q, route, "scale", (float)r->law.scale);
}

/* --- the sum */

bool qbc_router_sums(struct qbc_router_finder *f, struct qbc_router *r, MlirValue rows, MlirValue v)
{
    static const char *const scores[] = {"softmax", "sigmoid", "none"};
    struct qbc_evaluation *e = qbc_probe(f->q, f->func, TOKENS, 0);
    const struct qbc_array *z = qbc_bind_random(f->q, e, rows, 62), *logits = bind_logits(f->q, e, r->logits, 0);
    const struct qbc_array *y = z && logits ? qbc_floats_of(e, v) : NULL;
    int64_t width = qbc_dim(rows, 1) / r->law.top, ids[QBC_MOST_CHOSEN];
    bool good = y && y->n * (size_t)r->law.top == z->n, found = false;
    struct qbc_routing law = r->law;
    for (int way = 0; way < 6 && good && !found; ++way) {
        double weights[QBC_MOST_CHOSEN];
        law.score = law.bias || r->settled ? r->law.score : scores[way / 2];
        law.normalise = way % 2;
        law.scale = 1;
        found = true;
        for (int64_t i = 0; i < (int64_t)y->n && found; ++i) {
            double sum = 0;
            qbc_route(&law, logits->f + i / width * law.experts, ids, weights);
            for (int64_t j = 0; j < law.top; ++j)
                sum += weights[j] * (double)z->f[(i / width * law.top + j) * width + i % width];
            if (i == 0 && sum != 0) {
                law.scale = qbc_shortest((double)y->f[0] / sum, 1e-4);
                sum *= law.scale;
            }
            found = qbc_near(sum, (double)y->f[i], 2e-4, 2e-5);
        }
    }
    qbc_evaluation_destroy(e);
    if (found)
        r->law = law;
    return found;
}
