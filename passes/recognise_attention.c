/* recognise-attention: softmax(scale * q k^T, mask) v, whatever mask and scale are written as.
 *
 *   before   MatMul(%q, %k^T), Mul or Div, Add or Where with a mask, Softmax, Where(IsNaN), MatMul(., %v)
 *   after    %y = "qb.attention"(%q, %k, %v) {heads, kv_heads, head_dim, scale [, value_dim, window, ahead, cap, slopes]}
 *            operands as rows [T or P + T, heads * head_dim], transposed from the heads' layout
 *
 * The product before the Softmax is bound to random scores. What then comes to the product after it
 * must be softmax(scale * scores) over what each token may see, maybe with a cap, slopes or sinks (base/law.c); all of it
 * follows from the numbers, for several T and P and for longer ones than every number in the mask's cone, so that a
 * window shows. What follows the second product must only put the heads side by side.
 *
 * needs    recognise-linear, unpack-attention
 * leaves   rotary embedding, cache and repeated heads in the operands: recognise-rope
 * keeps    what is not causal attention, and notes why at the Softmax
 */
#include "pattern.h"

#include <math.h>
#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { MOST_VALUES = 256, MOST_SAMPLES = 6, FAR = 1 << 20, FILL = 1000 };

struct core {
    MlirOperation softmax, scores, output; /* the products before and after */
    MlirValue y;                           /* what the heads are side by side in */
    struct qbc_dims dims[4];               /* of q, k, v as operands, and y */
    int64_t heads, kv_heads, head_dim, value_dim;
    bool keys_transposed; /* k is [.., S, D], not [.., D, S] */
    bool joined;              /* something stands beside the scores in the softmax */
    struct qbc_strided sinks; /* which is this */
    struct qbc_law law;
};

static bool is_product(MlirOperation op)
{
    return qbc_is(op, "onnx.MatMul") || qbc_is(op, "onnx.com.microsoft.FusedMatMul");
}

static bool is_local(MlirOperation op)
{
    MlirValue v = mlirOperationGetResult(op, 0);
    return qbc_is_elementwise(op) || !qbc_same(qbc_strip(v), v);
}

/* A product of two activations: what it gives has no numbers. */
static bool is_scores(struct qbc_shapes *s, MlirOperation op)
{
    const struct qbc_array *a =
        is_product(op) ? qbc_evaluate_small(s->at[0], mlirOperationGetResult(op, 0)) : NULL;
    return a && !a->known;
}

/* The one product of activations that v comes from by elementwise operations, maybe joined to something; null: none, or
 * two. */
static MlirOperation product_before(struct qbc_shapes *s, MlirValue v, bool *joined)
{
    MlirValue list[MOST_VALUES] = {v};
    MlirOperation found = {NULL};
    for (size_t i = 0, n = 1; i < n; ++i) {
        MlirOperation op = qbc_def_any(list[i]);
        if (mlirOperationIsNull(op) || qbc_is_level1(list[i]))
            continue;
        if (is_scores(s, op)) {
            if (!mlirOperationIsNull(found) && !mlirOperationEqual(found, op))
                return (MlirOperation){NULL};
            found = op;
        }
        bool joins = qbc_is(op, "onnx.Concat");
        *joined |= joins;
        for (intptr_t j = 0; (joins || is_local(op)) && j < mlirOperationGetNumOperands(op); ++j)
            if (n < MOST_VALUES)
                list[n++] = mlirOperationGetOperand(op, j);
    }
    return found;
}

/* The one product that takes v, or what elementwise operations make of it, as its first operand. */
static MlirOperation product_after(struct qbc *q, MlirValue v)
{
    MlirValue list[MOST_VALUES] = {v};
    MlirOperation found = {NULL};
    for (size_t i = 0, n = 1; i < n; ++i) {
        struct qbc_ops users = qbc_users(q, list[i]);
        for (size_t j = 0; j < users.n; ++j) {
            MlirOperation op = users.op[j];
            if (is_product(op) && qbc_same(mlirOperationGetOperand(op, 0), list[i])) {
                if (!mlirOperationIsNull(found) && !mlirOperationEqual(found, op))
                    return (MlirOperation){NULL};
                found = op;
            } else if (mlirOperationGetNumResults(op) == 1 && (is_local(op) || qbc_is(op, "onnx.Slice")) && n < MOST_VALUES) {
                list[n++] = mlirOperationGetResult(op, 0);
            }
        }
    }
    return found;
}

/* --- layout: [leading.., rows, columns]; the leading dimensions count heads */

static int64_t leading(const struct qbc_dims *d)
{
    int64_t heads = 1;
    for (size_t i = 0; i + 2 < d->rank; ++i)
        heads = d->at[i] > 0 ? heads * d->at[i] : 0;
    return heads;
}

/* Does broadcasting give head h of `all` the head h / group of `few`? Only if its dimensions are
 * those of `all` first and 1 after. */
static bool repeats_in_order(const struct qbc_dims *all, const struct qbc_dims *few)
{
    bool repeated = false;
    if (all->rank != few->rank)
        return leading(few) == leading(all);
    for (size_t i = 0; i + 2 < all->rank; ++i) {
        if (few->at[i] != all->at[i] && few->at[i] != 1)
            return false;
        if (repeated && few->at[i] != 1)
            return false;
        repeated |= few->at[i] != all->at[i];
    }
    return true;
}

static bool has_layout(struct qbc *q, struct qbc_shapes *s, struct core *c)
{
    struct qbc_dims scores, *qd = &c->dims[0], *kd = &c->dims[1], *vd = &c->dims[2];
    MlirValue v[3] = {mlirOperationGetOperand(c->scores, 0), mlirOperationGetOperand(c->scores, 1),
                      mlirOperationGetOperand(c->output, 1)};
    bool good = qbc_shapes_dims(s, mlirOperationGetResult(c->scores, 0), &scores);
    for (int i = 0; i < 3; ++i)
        good = good && qbc_shapes_dims(s, v[i], &c->dims[i]) && c->dims[i].rank >= 2;
    c->keys_transposed = qbc_int(c->scores, "transB", 0);
    if (!good || scores.rank < 2)
        return false;
    int64_t tokens = s->fixed ? s->fixed : QBC_T, past = s->past[0] ? QBC_P_PLUS_T : tokens, *k = kd->at + kd->rank - 2;
    c->heads = leading(&scores);
    c->kv_heads = leading(kd);
    c->head_dim = qd->at[qd->rank - 1];
    c->value_dim = vd->at[vd->rank - 1];
    if (scores.at[scores.rank - 2] != tokens || scores.at[scores.rank - 1] != past || c->heads < 1 ||
        qbc_int(c->scores, "transA", 0)) {
        qbc_miss(q, c->softmax, "no attention: the scores are not [heads, T, P + T]");
        return false;
    }
    if (leading(qd) != c->heads || k[!c->keys_transposed] != past ||
        k[c->keys_transposed] != c->head_dim || vd->at[vd->rank - 2] != past ||
        vd->at[vd->rank - 1] < 1 || leading(vd) != c->kv_heads || c->kv_heads < 1 ||
        !repeats_in_order(qd, kd) || !repeats_in_order(qd, vd)) {
        qbc_miss(q, c->softmax, "no attention: queries, keys and values do not have the same heads");
        return false;
    }
    return true;
}

/* --- scale and mask */

/* The largest integer in what makes the probabilities of the scores: a window is not longer. Large
 * floats are what masks are filled with. */
static int64_t largest_number(struct qbc *q, struct qbc_shapes *s, const struct core *c)
{
    MlirValue scores = mlirOperationGetResult(c->scores, 0);
    struct qbc_ops cone = qbc_cone(q, mlirOperationGetOperand(c->output, 0), 1, &scores);
    int64_t largest = 1;
    for (size_t i = 0; i < cone.n; ++i) {
        MlirValue v = mlirOperationGetResult(cone.op[i], 0);
        const struct qbc_array *a = qbc_is_constant(v) ? qbc_evaluate_small(s->at[0], v) : NULL;
        for (size_t j = 0; a && a->known && a->n <= 64 && j < a->n; ++j) {
            double x = fabs(a->f ? (double)a->f[j] : (double)a->i[j]);
            if (x < (a->f ? FILL : FAR) && x == floor(x) && (int64_t)x > largest)
                largest = (int64_t)x;
        }
    }
    return largest;
}

/* Positions of a stored table [.., N, N] in what makes the probabilities: all that the mask is known for; 0: none. */
static int64_t table_rows(struct qbc *q, struct qbc_shapes *s, const struct core *c)
{
    MlirValue scores = mlirOperationGetResult(c->scores, 0);
    struct qbc_values leaves = qbc_leaves(q, mlirOperationGetOperand(c->output, 0), 1, &scores);
    int64_t rows = 0;
    for (size_t i = 0; i < leaves.n; ++i) {
        struct qbc_dims d;
        if (!qbc_is_constant(leaves.v[i]) || !qbc_shapes_dims(s, leaves.v[i], &d) || d.rank < 2 || d.at[d.rank - 1] < 2 ||
            d.at[d.rank - 1] != d.at[d.rank - 2])
            continue;
        rows = rows && rows < d.at[d.rank - 1] ? rows : d.at[d.rank - 1];
    }
    return rows;
}

/* Scores: random, times `size`; of one head only, which what follows repeats, where all would be too many. */
static const struct qbc_array *bind_scores(struct qbc *q, struct qbc_evaluation *e, MlirValue v, float size)
{
    struct qbc_array *a = qbc_bind_zero(q, e, v);
    const struct qbc_array *shape = a ? a : qbc_evaluate(e, v);
    if (!a && shape && shape->rank >= 2) {
        int64_t dims[QBC_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
        memcpy(dims + shape->rank - 2, shape->dims + shape->rank - 2, 2 * sizeof *dims);
        a = qbc_alloc(q, sizeof *a);
        *a = qbc_array_create(e, QBC_F32, shape->rank, dims);
        if (!a->known)
            return NULL;
        qbc_evaluation_bind(e, v, *a);
    }
    if (a)
        qbc_fill_random(a, 7);
    for (size_t i = 0; a && i < a->n; ++i)
        a->f[i] *= size;
    return a;
}

/* Scores of this size and what becomes of them. NULL, or why that cannot be computed. The evaluation is the caller's. */
static const char *sample(struct qbc *q, struct qbc_evaluation *e, const struct core *c, float size, struct qbc_scores *x)
{
    int64_t each = x->tokens * (x->tokens + x->past);
    const struct qbc_array *s = bind_scores(q, e, mlirOperationGetResult(c->scores, 0), size);
    const struct qbc_array *p = s ? qbc_floats_of(e, mlirOperationGetOperand(c->output, 0)) : NULL;
    if (!s)
        return qbc_text(q, "the mask cannot be tried with %ld tokens: too many scores", x->tokens);
    if (!p || p->n % (size_t)each || p->n < s->n || p->n % s->n)
        return qbc_text(q, "the probabilities of %ld tokens after %ld cannot be computed: %s", x->tokens, x->past,
                        qbc_evaluation_problem(e, NULL));
    x->heads = (int64_t)p->n / each;
    x->score_heads = (int64_t)s->n / each;
    x->scores = s->f;
    x->p = p->f;
    return NULL;
}

/* The last of the tokens, where a graph takes one a call; as many as it takes, where that is fixed. */
static struct qbc_scores scores_of(MlirOperation func, int64_t tokens, int64_t past)
{
    bool step = qbc_is_step(func);
    return (struct qbc_scores){.tokens = qbc_tokens_or(func, tokens), .past = step ? past + tokens - 1 : past};
}

static const char *check(struct qbc *q, MlirOperation func, struct core *c, int64_t tokens, int64_t past, float size)
{
    struct qbc_scores x = scores_of(func, tokens, past);
    struct qbc_evaluation *e = qbc_probe(q, func, x.tokens, x.past);
    const char *problem = sample(q, e, c, size, &x);
    if (!problem && x.heads != c->heads && (c->law.slopes || c->law.sinks))
        problem = "heads have laws of their own, which are not told apart";
    if (!problem)
        problem = qbc_law_check(q, &c->law, &x);
    qbc_evaluation_destroy(e);
    return problem;
}

/* NULL, or why there is nothing to learn from. */
static const char *learn(struct qbc *q, MlirOperation func, struct core *c, enum qbc_lesson lesson, float size)
{
    enum { TOKENS = 24 };
    struct qbc_scores x = scores_of(func, TOKENS, 0);
    struct qbc_evaluation *e = qbc_probe(q, func, x.tokens, x.past);
    const char *problem = sample(q, e, c, size, &x);
    if (!problem)
        qbc_law_learn(q, &c->law, lesson, &x);
    qbc_evaluation_destroy(e);
    return problem;
}

/* The only dimension that is not 1 is that of the heads. */
static bool is_for_heads(struct qbc_strided *v, int64_t heads)
{
    size_t axis = 0;
    for (size_t d = 0; d < v->rank; ++d)
        if (v->dims[d] != 1)
            axis = d;
    for (size_t d = 0; d < v->rank; ++d)
        if (v->dims[d] != (d == axis ? heads : 1))
            return false;
    if (v->rank) {
        v->dims[0] = heads;
        v->strides[0] = v->strides[axis];
    }
    bool any = v->rank > 0;
    v->rank = any;
    return any;
}

/* A stored number for each head among what makes the probabilities. */
static bool find_sinks(struct qbc *q, struct qbc_shapes *s, struct core *c)
{
    MlirValue scores = mlirOperationGetResult(c->scores, 0);
    struct qbc_values leaves = qbc_leaves(q, mlirOperationGetOperand(c->output, 0), 1, &scores);
    for (size_t i = 0; i < leaves.n && c->joined; ++i)
        if (qbc_is_constant(leaves.v[i]) && qbc_strided_of(q, s->at[0], leaves.v[i], &c->sinks) &&
            is_for_heads(&c->sinks, c->heads)) {
            const float *numbers = qbc_strided_read(q, &c->sinks, (size_t)c->heads);
            c->law.sinks = numbers;
            if (numbers)
                return true;
        }
    if (c->joined)
        qbc_miss(q, c->softmax, "no attention: what is joined to the scores is no stored number for each head");
    return !c->joined;
}

/* Cone of masks may hold numbers up to which nothing shows: samples are longer than these, and of several sizes. */
static bool follows_law(struct qbc *q, MlirOperation func, struct qbc_shapes *s, struct core *c)
{
    enum { SHORT = 256, LONGEST = 2048 }; /* so many squared can be evaluated */
    int64_t far = largest_number(q, s, c) + 6, table = table_rows(q, s, c), at[MOST_SAMPLES][2] = {{5, 0}, {1, 0}};
    size_t n = 2;
    if (table > LONGEST) {
        qbc_miss(q, c->softmax, "no attention: a mask is stored for %ld positions; up to %d can be tried", (long)table, LONGEST);
        return false;
    }
    if (table) {
        far = s->past[0] ? table - 3 : table;
        qbc_limit_context(q, c->softmax, table);
    }
    if (s->past[0]) {
        memcpy(at[n++], (int64_t[]){5, 3}, sizeof *at);
        memcpy(at[n++], (int64_t[]){1, 7}, sizeof *at);
        memcpy(at[n++], (int64_t[]){3, far}, sizeof *at);
    }
    if (!s->past[0] || far <= SHORT)
        memcpy(at[n++], (int64_t[]){far, 0}, sizeof *at);
    if (!find_sinks(q, s, c))
        return false;
    learn(q, func, c, QBC_LEARN_SLOPES, 0);
    const char *problem = learn(q, func, c, QBC_LEARN_SCALE, 0.01f);
    float large = c->law.scale > 0 ? (float)(30 / c->law.scale) : 1;
    learn(q, func, c, QBC_LEARN_CAP, large);
    learn(q, func, c, QBC_REFINE_SCALE, large / 5);
    if (!problem && !(c->law.scale > 0))
        problem = "the scores do not count";
    for (size_t i = 0; i < n && !problem; ++i)
        problem = check(q, func, c, at[i][0], at[i][1], 1);
    if (!problem)
        problem = check(q, func, c, at[0][0], at[0][1], large);
    if (problem)
        qbc_miss(q, c->softmax, "no attention: %s", problem);
    return !problem;
}

/* --- the heads side by side */

/* Is v the second product's result [heads, T, D], numbered from 0, as [T, heads, D]? */
static bool is_side_by_side(struct qbc_evaluation *e, const struct core *c, MlirValue v,
                            int64_t tokens)
{
    const struct qbc_array *a = qbc_floats_of(e, v);
    int64_t i = 0, d = c->value_dim;
    if (!a || (int64_t)a->n != tokens * c->heads * d)
        return false;
    for (int64_t t = 0; t < tokens; ++t)
        for (int64_t h = 0; h < c->heads; ++h)
            for (int64_t j = 0; j < d; ++j)
                if ((int64_t)a->f[i++] != (h * tokens + t) * d + j)
                    return false;
    return true;
}

static bool find_result(struct qbc *q, MlirOperation func, struct qbc_shapes *s, struct core *c)
{
    enum { TOKENS = 3 };
    struct qbc_evaluation *e = qbc_probe(q, func, TOKENS, 0);
    MlirValue v = mlirOperationGetResult(c->output, 0);
    c->y = (MlirValue){NULL};
    if (qbc_bind_iota(q, e, v))
        for (;;) {
            if (is_side_by_side(e, c, v, qbc_tokens_or(func, TOKENS)))
                c->y = v;
            MlirOperation user = qbc_only_user(v);
            if (mlirOperationIsNull(user) || mlirOperationGetNumResults(user) != 1 ||
                strncmp(qbc_op_name(user), "onnx.", 5) || is_product(user))
                break;
            v = mlirOperationGetResult(user, 0);
        }
    qbc_evaluation_destroy(e);
    bool good = !mlirValueIsNull(c->y) &&
                qbc_shapes_width(s, c->y, &c->dims[3]) == c->heads * c->value_dim;
    if (!good)
        qbc_miss(q, c->softmax, "no attention: its heads are not put side by side");
    return good;
}

static bool find(struct qbc *q, MlirOperation func, struct qbc_shapes *s, MlirOperation softmax,
                 struct core *c)
{
    MlirValue x = mlirOperationGetOperand(softmax, 0), y = mlirOperationGetResult(softmax, 0);
    *c = (struct core){.softmax = softmax, .output = product_after(q, y)};
    c->scores = product_before(s, x, &c->joined);
    if (mlirOperationIsNull(c->scores) || mlirOperationIsNull(c->output)) {
        qbc_miss(q, softmax, "no attention: it does not lie between two products");
        return false;
    }
    return has_layout(q, s, c) && follows_law(q, func, s, c) && find_result(q, func, s, c);
}

/* --- the rewrite */

/* [leading.., S, D], or [leading.., D, S], as rows [S, heads * D]. */
static MlirValue heads_to_rows(struct qbc_build *b, MlirValue v, const struct qbc_dims *d,
                               bool columns_first, int64_t width)
{
    int64_t perm[QBC_MAX_RANK];
    perm[0] = (int64_t)d->rank - 2 + columns_first;
    for (size_t i = 0; i + 2 < d->rank; ++i)
        perm[i + 1] = (int64_t)i;
    perm[d->rank - 1] = (int64_t)d->rank - 1 - columns_first;
    v = qbc_transpose(b, v, d->rank, perm);
    return qbc_reshape(b, v, qbc_rows_type(b->q, width), 2, (int64_t[]){-1, width});
}

static void set_law(struct qbc *q, MlirOperation op, const struct qbc_law *law, int64_t heads)
{
    int64_t ahead = qbc_mask_ahead(&law->mask);
    if (law->mask.window)
        qbc_set_int(q, op, "window", law->mask.window);
    if (ahead)
        qbc_set_int(q, op, "ahead", ahead);
    if (law->cap > 0)
        qbc_set_float(q, op, "cap", (float)law->cap);
    if (!law->slopes)
        return;
    float *slopes = qbc_alloc(q, (size_t)heads * sizeof *slopes);
    for (int64_t h = 0; h < heads; ++h)
        slopes[h] = (float)law->slopes[h];
    qbc_set_floats(q, op, "slopes", slopes, (size_t)heads);
}

static void apply(struct qbc *q, struct core *c)
{
    struct qbc_build b = qbc_before(q, qbc_def_any(c->y));
    b.loc = mlirOperationGetLocation(c->softmax);
    int64_t width = c->heads * c->value_dim;
    MlirValue qv = heads_to_rows(&b, mlirOperationGetOperand(c->scores, 0), &c->dims[0], false,
                                 c->heads * c->head_dim);
    MlirValue kv = heads_to_rows(&b, mlirOperationGetOperand(c->scores, 1), &c->dims[1],
                                 !c->keys_transposed, c->kv_heads * c->head_dim);
    MlirValue vv = heads_to_rows(&b, mlirOperationGetOperand(c->output, 1), &c->dims[2], false,
                                 c->kv_heads * c->value_dim);
    MlirValue operands[] = {qv, kv, vv, c->joined ? qbc_weight(&b, &c->sinks, 1, (size_t[]){0}) : (MlirValue){NULL}};
    MlirOperation op = qbc_make(&b, "qb.attention", qbc_rows_type(q, width), NULL, 3 + c->joined, operands);
    MlirValue y = mlirOperationGetResult(op, 0);
    qbc_set_int(q, op, "heads", c->heads);
    qbc_set_int(q, op, "kv_heads", c->kv_heads);
    qbc_set_int(q, op, "head_dim", c->head_dim);
    if (c->value_dim != c->head_dim)
        qbc_set_int(q, op, "value_dim", c->value_dim);
    double scale = qbc_shortest(c->law.scale * qbc_float(c->scores, "alpha", 1), 3e-6);
    qbc_set_float(q, op, "scale", (float)scale);
    set_law(q, op, &c->law, c->heads);
    mlirValueReplaceAllUsesOfWith(c->y, qbc_unrows(&b, y, &c->dims[3]));
}

void qbc_pass_recognise_attention(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, "onnx.Softmax");
    struct core *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        n += find(q, func, &shapes, ops.op[i], &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
}
