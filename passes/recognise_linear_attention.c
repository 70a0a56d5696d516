/* recognise-linear-attention: a state of a matrix a head that ordinary operations turn over, in graphs for one token a call.
 *
 *   before   %s = %past * Exp(%g);  %u = %b * (%v - sum of %k * %s);  %next = %s + %k * %u;  %y = sum of %q * %next      however written
 *   after    %s = "qb.state"() {name = "linear"}
 *            %y = "qb.linear_attention"(%s, %q, %k, %v, %g, %b) {heads, scale, decays, betas, delta}
 *
 * A state [1, H, K, V] or [1, H, V, K] that goes in and out is one if what goes out is that formula of random numbers, for one of the ways to
 * take the two to four values that it is made of as k, v, g and b; g and b may be missing. What is made of it and a further value and is
 * the sum, times one number, is y. A value is taken after the arithmetic that only changes its own numbers: g is what Exp is taken of.
 *
 * Gated DeltaNet (Qwen3-Next, OLMo hybrid), gated linear attention, delta rule.
 *
 * needs    recognise-mlp: queries, keys and values are rows
 * leaves   qb.linear_attention, for any number of tokens
 * keeps    other states (recognise-scan), and notes why
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

enum { MOST_INPUTS = 4 };
enum role { K, V, DECAY, BETA };

struct memory {
    struct qbc_state state;
    MlirValue y;
    int64_t heads, rows, columns;  /* of the state as it lies */
    bool turned;                   /* its rows are the values */
    size_t n;
    MlirValue in[MOST_INPUTS];     /* what next is made of */
    const float *number[MOST_INPUTS];
    int64_t width[MOST_INPUTS];
    int role[MOST_INPUTS];         /* of `enum role`: which input; -1: none */
    MlirValue q;
    double scale;
    struct qbc_dims dims;          /* of y */
    struct qbc_linear linear;
};

/* [1, .., H, K, V]. */
static bool is_memory(const struct qbc_state *s, struct memory *m)
{
    const struct qbc_dims *d = &s->dims;
    if (d->rank < 3)
        return false;
    *m = (struct memory){.state = *s, .heads = 1, .rows = d->at[d->rank - 2], .columns = d->at[d->rank - 1]};
    for (size_t k = 0; k + 2 < d->rank; ++k)
        m->heads *= d->at[k];
    return true;
}

/* --- what next is made of */

/* Numbers of one token. */
static int64_t width_of(struct qbc *q, MlirOperation func, MlirValue v)
{
    struct qbc_evaluation *e = qbc_probe(q, func, 1, 0);
    const struct qbc_array *a = qbc_evaluate_small(e, v);
    int64_t n = a && qbc_is_float(a->element) ? (int64_t)a->n : 0;
    qbc_evaluation_destroy(e);
    return n;
}

/* The only operation that reads v, if it changes v's numbers one by one, with stored ones beside them; not Exp. */
static MlirOperation change_of(MlirValue v)
{
    static const char *const changes[] = {"onnx.Mul", "onnx.Add", "onnx.Sub", "onnx.Div", "onnx.Neg", "onnx.Sigmoid", "onnx.Softplus", "onnx.Log",
                                          "onnx.Reshape", "onnx.Squeeze", "onnx.Unsqueeze", "onnx.Identity", "onnx.Cast", NULL};
    MlirOperation op = qbc_only_user(v);
    bool good = !mlirOperationIsNull(op) && qbc_one_of(qbc_op_name(op), changes) && qbc_uses(v) == 1;
    for (intptr_t i = 0; good && i < mlirOperationGetNumOperands(op); ++i) {
        MlirValue x = mlirOperationGetOperand(op, i);
        good = qbc_same(x, v) || qbc_is_constant(x);
    }
    return good ? op : (MlirOperation){NULL};
}

/* The last of the values that a leaf becomes by itself. */
static MlirValue top_of(struct qbc *q, MlirOperation func, MlirValue leaf)
{
    int64_t width = width_of(q, func, leaf);
    for (MlirOperation op; !mlirOperationIsNull(op = change_of(leaf));) {
        MlirValue next = mlirOperationGetResult(op, 0);
        if (width_of(q, func, next) != width)
            break;
        leaf = next;
    }
    return leaf;
}

static bool find_inputs(struct qbc *q, struct memory *m)
{
    struct qbc_values leaves = qbc_leaves(q, m->state.next, 1, &m->state.value);
    for (size_t i = 0; i < leaves.n; ++i) {
        MlirValue leaf = leaves.v[i];
        if (qbc_is_constant(leaf) || qbc_same(leaf, m->state.value))
            continue;
        if (!qbc_is_level1(leaf) || m->n == MOST_INPUTS)
            return false;
        m->in[m->n] = top_of(q, m->state.func, leaf);
        m->width[m->n] = width_of(q, m->state.func, m->in[m->n]);
        ++m->n;
    }
    return m->n >= 2;
}

/* --- is next the formula? */

static double input(const struct memory *m, enum role role, int64_t i)
{
    return (double)m->number[m->role[role]][i];
}

/* What is left of a number of the state whose key is i. */
static double kept(const struct memory *m, int64_t head, int64_t i)
{
    const struct qbc_linear *l = &m->linear;
    if (m->role[DECAY] < 0)
        return 1;
    int64_t n = m->width[m->role[DECAY]];
    return exp(input(m, DECAY, n == 1 ? 0 : n == l->heads ? head : head * l->keys + i));
}

static double at(const struct memory *m, const float *state, int64_t head, int64_t i, int64_t j)
{
    return (double)state[head * m->rows * m->columns + (m->turned ? j * m->columns + i : i * m->columns + j)];
}

/* One column of values of a head: next of the formula, and of the graph. */
static bool column_agrees(const struct memory *m, const float *state, const float *next, int64_t head, int64_t j)
{
    const struct qbc_linear *l = &m->linear;
    int64_t key = head * l->key_heads / l->heads * l->keys;
    double u = input(m, V, head * l->values + j);
    for (int64_t i = 0; l->delta && i < l->keys; ++i)
        u -= input(m, K, key + i) * kept(m, head, i) * at(m, state, head, i, j);
    if (m->role[BETA] >= 0)
        u *= input(m, BETA, m->width[m->role[BETA]] == 1 ? 0 : head);
    for (int64_t i = 0; i < l->keys; ++i) {
        double want = kept(m, head, i) * at(m, state, head, i, j) + input(m, K, key + i) * u;
        if (!qbc_near(want, at(m, next, head, i, j), 1e-4, 1e-5))
            return false;
    }
    return true;
}

static bool agrees(const struct memory *m, const float *state, const float *next)
{
    for (int64_t head = 0; head < m->linear.heads; ++head)
        for (int64_t j = 0; j < m->linear.values; ++j)
            if (!column_agrees(m, state, next, head, j))
                return false;
    return true;
}

/* Do the inputs have the widths of their roles? */
static bool fits(struct memory *m)
{
    struct qbc_linear *l = &m->linear;
    int64_t keys = m->turned ? m->columns : m->rows, values = m->turned ? m->rows : m->columns;
    int64_t k = m->width[m->role[K]], v = m->width[m->role[V]];
    if (v != m->heads * values || k % keys || !qbc_linear_has_heads(l, m->heads, m->heads, m->heads * keys, k, v))
        return false;
    int64_t decay = m->role[DECAY] < 0 ? 1 : m->width[m->role[DECAY]], beta = m->role[BETA] < 0 ? 1 : m->width[m->role[BETA]];
    return (decay == 1 || decay == l->heads || decay == l->heads * l->keys) && (beta == 1 || beta == l->heads);
}

/* Number `code` of the ways to give the inputs roles, in base 4; false: one role twice, or k or v missing. */
static bool take_roles(struct memory *m, int code)
{
    for (int r = 0; r < MOST_INPUTS; ++r)
        m->role[r] = -1;
    for (size_t i = 0; i < m->n; ++i, code /= MOST_INPUTS) {
        if (m->role[code % MOST_INPUTS] >= 0)
            return false;
        m->role[code % MOST_INPUTS] = (int)i;
    }
    return m->role[K] >= 0 && m->role[V] >= 0;
}

static bool try_roles(struct memory *m, const float *state, const float *next)
{
    enum { CODES = MOST_INPUTS * MOST_INPUTS * MOST_INPUTS * MOST_INPUTS };
    for (int code = 0; code < CODES && (code < 1 << 2 * m->n); ++code)
        for (int way = 0; take_roles(m, code) && way < 4; ++way) {
            m->turned = way & 1;
            m->linear.delta = way & 2;
            if ((m->linear.delta || m->role[BETA] < 0) && fits(m) && agrees(m, state, next))
                return true;
        }
    return false;
}

static bool recurs(struct qbc *q, struct memory *m)
{
    struct qbc_evaluation *e = qbc_probe(q, m->state.func, 1, 0);
    const struct qbc_array *state = qbc_bind_random(q, e, m->state.value, 30);
    bool good = state;
    for (size_t i = 0; i < m->n && good; ++i) {
        const struct qbc_array *a = qbc_bind_random(q, e, m->in[i], 20 + (uint32_t)i);
        m->number[i] = a ? a->f : NULL;
        good = a;
    }
    const struct qbc_array *next = good ? qbc_floats_of(e, m->state.next) : NULL;
    good = next && next->n == state->n && try_roles(m, state->f, next->f);
    qbc_evaluation_destroy(e);
    return good;
}

/* --- y */

/* y[h, j] over the sum of q[i] next[i, j], as all of them say; 0: they do not. */
static double measure_scale(const struct memory *m, const float *q, const float *next, const float *y)
{
    const struct qbc_linear *l = &m->linear;
    int64_t most = l->query_heads > l->heads ? l->query_heads : l->heads;
    double scale = 0;
    for (int64_t n = 0; n < most * l->values; ++n) {
        int64_t head = n / l->values, j = n % l->values, query = head * l->query_heads / most * l->keys;
        double sum = 0;
        for (int64_t i = 0; i < l->keys; ++i)
            sum += (double)q[query + i] * at(m, next, head * l->heads / most, i, j);
        scale = n ? scale : (double)y[0] / sum;
        if (!qbc_near(sum * scale, (double)y[n], 1e-4, 1e-5))
            return 0;
    }
    return scale;
}

static bool is_output(struct qbc *q, struct memory *m, MlirValue v)
{
    struct qbc_evaluation *e = qbc_probe(q, m->state.func, 1, 0);
    const struct qbc_array *query = qbc_bind_random(q, e, m->q, 41), *next = qbc_bind_random(q, e, m->state.next, 40);
    const struct qbc_array *y = query && next ? qbc_floats_of(e, v) : NULL;
    struct qbc_linear *l = &m->linear;
    int64_t k = m->width[m->role[K]];
    bool good = y && query->n % (size_t)l->keys == 0 &&
                qbc_linear_has_heads(l, l->heads, (int64_t)query->n / l->keys, (int64_t)query->n, k, m->width[m->role[V]]) &&
                (int64_t)y->n == (l->query_heads > l->heads ? l->query_heads : l->heads) * l->values;
    m->scale = good ? measure_scale(m, query->f, next->f, y->f) : 0;
    qbc_evaluation_destroy(e);
    return good && m->scale != 0 && isfinite(m->scale);
}

/* Made of next and one other value. */
static bool has_output(struct qbc *q, struct memory *m, MlirValue v)
{
    struct qbc_values leaves = qbc_leaves(q, v, 1, &m->state.next);
    m->q = (MlirValue){NULL};
    for (size_t i = 0; i < leaves.n; ++i) {
        if (qbc_same(leaves.v[i], m->state.next) || qbc_is_constant(leaves.v[i]))
            continue;
        if (!qbc_is_level1(leaves.v[i]) || !mlirValueIsNull(m->q))
            return false;
        m->q = leaves.v[i];
    }
    if (mlirValueIsNull(m->q))
        return false;
    return is_output(q, m, v);
}

/* All that is made of next, nearest first; the farthest that is the sum is y. */
static bool find_output(struct qbc *q, struct qbc_shapes *s, struct memory *m)
{
    struct qbc_values made = qbc_made_of(q, m->state.next);
    struct memory best = {.y = {NULL}};
    for (size_t i = 1; i < made.n; ++i)
        if (qbc_shapes_width(s, made.v[i], &m->dims) > 0 && has_output(q, m, made.v[i])) {
            best = *m;
            best.y = made.v[i];
        }
    if (!mlirValueIsNull(best.y))
        *m = best;
    return !mlirValueIsNull(m->y);
}

/* --- the rewrite */

static MlirValue rows_of(struct qbc_build *b, const struct memory *m, enum role role)
{
    int i = m->role[role];
    return i < 0 ? (MlirValue){NULL} : qbc_rows(b, m->in[i], m->width[i]);
}

static void apply(struct qbc *q, struct memory *m)
{
    struct qbc_build b = qbc_before(q, qbc_def_any(m->y));
    struct qbc_linear l = m->linear;
    struct qbc_attr attrs[] = {{"name", qbc_attr_string(q, "linear")}, {0}};
    MlirType type = qbc_rows_type(q, l.heads * l.keys * l.values);
    MlirValue state = mlirOperationGetResult(qbc_make(&b, "qb.state", type, attrs, 0, NULL), 0);
    l.q = m->q;
    l.k = rows_of(&b, m, K);
    l.v = rows_of(&b, m, V);
    l.decay = rows_of(&b, m, DECAY);
    l.beta = rows_of(&b, m, BETA);
    l.scale = qbc_exact_scale(m->scale, l.keys);
    MlirValue y = qbc_linear_emit(&b, &l, state);
    mlirValueReplaceAllUsesOfWith(m->y, qbc_unrows(&b, y, &m->dims));
    qbc_state_replace(&m->state, state);
}

void qbc_pass_recognise_linear_attention(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func) || !qbc_is_step(func))
        return;
    intptr_t n_args = mlirBlockGetNumArguments(qbc_func_body(func));
    struct memory *found = qbc_alloc(q, ((size_t)n_args + 1) * sizeof *found);
    struct qbc_shapes s;
    size_t n = 0;
    qbc_shapes_open(q, func, &s);
    for (intptr_t i = 0; i < n_args; ++i) {
        struct qbc_state state;
        if (!qbc_state_at(&s, func, i, &state) || !is_memory(&state, &found[n]) || !find_inputs(q, &found[n]) || !recurs(q, &found[n]))
            continue;
        if (find_output(q, &s, &found[n]))
            ++n;
        else if (!mlirOperationIsNull(qbc_def_any(found[n].state.next)))
            qbc_miss(q, qbc_def_any(found[n].state.next), "a state of linear attention of which no sum with queries is made");
    }
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_shapes_close(&s);
    qbc_tidy(q, module);
}
