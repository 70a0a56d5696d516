/* name-blocks: which block of the model an operation belongs to, what its part there is, and the
 * canonical name of its weights.
 *
 *   before   "qb.linear"(%x, %w)    %w = "qb.weight"() {name = "onnx::MatMul_732", ...}
 *   after    "qb.linear"(%x, %w) {block = 3, role = "ffn_down"}
 *            %w = "qb.weight"() {name = "3.ffn_down", block = 3, role = "ffn_down", ...}
 *
 * The residual stream starts at the embedding and goes on at every sum that it is part of; what is
 * added there was computed in a branch. A branch with attention starts a block, others belong to the
 * block at hand. The role follows from what an operation's result goes into. Names that exporters
 * gave are never looked at.
 *
 * An embedding and an output matrix that hold the same numbers twice become one.
 *
 * needs    merge-weights
 * leaves   embed, positions, N.attn_norm, N.attn_q, N.attn_k, N.attn_v, N.attn_q_norm, N.attn_k_norm, N.attn_o,
 *          N.ffn_norm, N.ffn_gate, N.ffn_up, N.ffn_down, final_norm, output; biases have their linear's or norm's name
 *          with _bias; N.ffn_router, N.ffn_{gate,up,down}_experts
 */
#include "pattern.h"

#include <string.h>

enum { MOST_SUMS = 4096 };

static const char *role_of(struct qbc *q, MlirOperation op)
{
    return qbc_string(q, op, "role", NULL);
}

/* The first role that an operation gets stays. */
static void give_role(struct qbc *q, MlirOperation op, const char *role)
{
    if (!mlirOperationIsNull(op) && !qbc_has(op, "role"))
        qbc_set_string(q, op, "role", role);
}

static MlirValue result(MlirOperation op)
{
    return mlirOperationGetResult(op, 0);
}

/* --- an embedding that is the output matrix too */

static bool same_numbers(struct qbc *q, const struct qbc_view *a, const struct qbc_view *b)
{
    enum { ROWS = 128 };
    float *x = qbc_alloc(q, 2 * ROWS * (size_t)a->cols * sizeof *x), *y = x + ROWS * a->cols;
    for (int64_t row = 0; row < a->rows; row += ROWS) {
        int64_t n = a->rows - row < ROWS ? a->rows - row : ROWS;
        qbc_view_read(a, row, n, x);
        qbc_view_read(b, row, n, y);
        if (memcmp(x, y, (size_t)(n * a->cols) * sizeof *x))
            return false;
    }
    return true;
}

/* Some exporters write the matrix that embedding and output share twice, once transposed. */
static void tie(struct qbc *q, MlirOperation embed, MlirOperation output)
{
    MlirOperation weights[2] = {qbc_def(mlirOperationGetOperand(embed, 1), "qb.weight"),
                                qbc_def(mlirOperationGetOperand(output, 1), "qb.weight")};
    struct qbc_view views[2];
    if (mlirOperationIsNull(weights[0]) || mlirOperationIsNull(weights[1]) ||
        mlirOperationEqual(weights[0], weights[1]) ||
        !mlirTypeEqual(mlirValueGetType(result(weights[0])), mlirValueGetType(result(weights[1]))))
        return;
    for (int i = 0; i < 2; ++i)
        if (!qbc_weight_source(q, weights[i]) ||
            !qbc_view_of(q, weights[i], &views[i]))
            return;
    if (same_numbers(q, &views[0], &views[1]))
        mlirOperationSetOperand(output, 1, result(weights[0]));
    for (int i = 0; i < 2; ++i)
        qbc_view_release(&views[i]);
}

/* --- blocks */

struct stream {
    struct qbc *q;
    MlirValue at[MOST_SUMS]; /* its values, oldest first */
    size_t n;
    int64_t block;
};

static bool is_stream(const struct stream *s, MlirValue v)
{
    for (size_t i = 0; i < s->n; ++i)
        if (qbc_same(s->at[i], v))
            return true;
    return false;
}

/* The first sum that v is part of; null: none. */
static MlirOperation next_sum(struct qbc *q, MlirValue v)
{
    struct qbc_ops users = qbc_users(q, v);
    MlirOperation first = {NULL};
    for (size_t i = 0; i < users.n; ++i)
        if (qbc_is(users.op[i], "arith.addf") &&
            (mlirOperationIsNull(first) || mlirOperationIsBeforeInBlock(users.op[i], first)))
            first = users.op[i];
    return first;
}

static bool marked(MlirOperation op)
{
    return qbc_has(op, "block");
}

static bool is_norm(MlirOperation op)
{
    return qbc_is(op, "qb.rms_norm") || qbc_is(op, "qb.layer_norm");
}

/* What v is a multiple of, maybe within bounds. */
static MlirValue without_times(MlirValue v)
{
    static const char *const numbers[] = {"qb.times", "qb.clip", NULL};
    for (MlirOperation op = qbc_def_any(v); !mlirOperationIsNull(op) && qbc_one_of(qbc_op_name(op), numbers); op = qbc_def_any(v))
        v = mlirOperationGetOperand(op, 0);
    return v;
}

/* The norm, or the linear, that v comes from, with or without a bias or a number in between; null: another operation. */
static MlirOperation norm_of(MlirValue v)
{
    v = without_times(v);
    MlirOperation op = qbc_def_any(v);
    return mlirOperationIsNull(op) || is_norm(op) ? op : (MlirOperation){NULL};
}

static MlirOperation linear_of(MlirValue v)
{
    v = without_times(v);
    MlirOperation bias = qbc_def(v, "qb.bias");
    return qbc_def(mlirOperationIsNull(bias) ? v : mlirOperationGetOperand(bias, 0), "qb.linear");
}

/* Gives the block to what v is computed from, back to the stream. True if a `kind` is among it. */
static bool has(const struct stream *s, MlirValue v, const char *kind, bool mark)
{
    MlirOperation op = qbc_def_any(v);
    if (mlirOperationIsNull(op) || is_stream(s, v) || !qbc_is_level1(v) || marked(op))
        return false;
    bool found = qbc_is(op, kind);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i)
        found |= has(s, mlirOperationGetOperand(op, i), kind, mark);
    if (mark)
        qbc_set_int(s->q, op, "block", s->block);
    return found;
}

static void follow(struct stream *s, MlirValue v)
{
    while (s->n < MOST_SUMS) {
        s->at[s->n++] = v;
        MlirOperation sum = next_sum(s->q, v), user = qbc_only_user(v);
        if (mlirOperationIsNull(sum) && !mlirOperationIsNull(user) &&
            (is_norm(user) || qbc_is(user, "qb.times")) && !mlirOperationIsNull(next_sum(s->q, result(user)))) {
            v = result(user); /* a norm of the stream itself */
            continue;
        }
        if (mlirOperationIsNull(sum))
            return;
        MlirValue a = mlirOperationGetOperand(sum, 0);
        MlirValue branch = qbc_same(a, v) ? mlirOperationGetOperand(sum, 1) : a;
        bool scan = has(s, branch, "qb.ssm_scan", false) || has(s, branch, "qb.linear_attention", false), attention = scan || has(s, branch, "qb.attention", false);
        if (attention || has(s, branch, "qb.linear", false)) { /* else positions */
            s->block = s->block < 0 ? 0 : s->block + attention;
            has(s, branch, "qb.linear", true);
            qbc_set_int(s->q, sum, "block", s->block);
            give_role(s->q, norm_of(branch), attention ? "attn_post_norm" : "ffn_post_norm");
        }
        v = result(sum);
    }
}

/* --- roles */

/* The linear that an operand of attention comes from, and the norms on the way. */
static void name_operand(struct qbc *q, MlirValue v, const char *role)
{
    for (;;) {
        MlirOperation op = qbc_def_any(v);
        if (mlirOperationIsNull(op))
            return;
        if (is_norm(op))
            give_role(q, op, qbc_text(q, "%s_norm", role));
        if (qbc_is(op, "qb.linear")) {
            give_role(q, op, role);
            give_role(q, norm_of(mlirOperationGetOperand(op, 0)), "attn_norm");
            return;
        }
        if (!qbc_is(op, "qb.rope") && !qbc_is(op, "qb.append") && !qbc_is(op, "qb.bias") && !qbc_is(op, "qb.times") && !qbc_is(op, "qb.clip") &&
            !is_norm(op))
            return;
        v = mlirOperationGetOperand(op, qbc_is(op, "qb.append"));
    }
}

static void name_users(struct qbc *q, MlirOperation op, const char *role)
{
    struct qbc_ops users = qbc_users(q, result(op));
    for (size_t i = 0; i < users.n; ++i)
        if (qbc_is(users.op[i], "qb.linear"))
            give_role(q, users.op[i], role);
}

static void name_attention(struct qbc *q, MlirOperation op)
{
    static const char *const roles[] = {"attn_q", "attn_k", "attn_v"};
    for (intptr_t i = 0; i < 3; ++i)
        name_operand(q, mlirOperationGetOperand(op, i), roles[i]);
    name_users(q, op, "attn_o");
}

static void name_ffn(struct qbc *q, MlirValue v, const char *role)
{
    MlirOperation linear = linear_of(v);
    if (mlirOperationIsNull(linear))
        return;
    give_role(q, linear, role);
    give_role(q, norm_of(mlirOperationGetOperand(linear, 0)), "ffn_norm");
}

static void name_glu(struct qbc *q, MlirOperation op)
{
    name_ffn(q, mlirOperationGetOperand(op, 0), "ffn_gate");
    name_ffn(q, mlirOperationGetOperand(op, 1), "ffn_up");
    name_users(q, op, "ffn_down");
}

static void name_act(struct qbc *q, MlirOperation op)
{
    name_ffn(q, mlirOperationGetOperand(op, 0), "ffn_up");
    name_users(q, op, "ffn_down");
}

/* The product with experts that v comes from, through clips and biases. */
static MlirOperation experts_of(MlirValue v)
{
    static const char *const through[] = {"qb.clip", "qb.times", "qb.plus", "qb.act", NULL};
    MlirOperation op = qbc_def_any(v);
    while (!mlirOperationIsNull(op) && qbc_one_of(qbc_op_name(op), through))
        op = qbc_def_any(mlirOperationGetOperand(op, 0));
    return mlirOperationIsNull(op) || qbc_is(op, "qb.expert_linear") ? op : (MlirOperation){NULL};
}

/* A product with experts that others come before is the last one; of these, what an activation is taken of is the gate. */
static void name_experts(struct qbc *q, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    MlirOperation glu = qbc_def(x, "qb.glu"), router = qbc_def(mlirOperationGetOperand(op, 2), "qb.route");
    if (!mlirOperationIsNull(router))
        give_role(q, linear_of(mlirOperationGetOperand(router, 0)), "ffn_router");
    if (qbc_dim(x, 1) == qbc_dim(mlirOperationGetOperand(op, 1), 1)) {
        give_role(q, norm_of(x), "ffn_norm");
        return; /* reads rows of tokens */
    }
    give_role(q, op, "ffn_down_experts");
    for (intptr_t i = 0; i < 2 && !mlirOperationIsNull(glu); ++i)
        give_role(q, experts_of(mlirOperationGetOperand(glu, i)), i ? "ffn_up_experts" : "ffn_gate_experts");
}

static MlirOperation output_linear(MlirOperation func)
{
    return linear_of(qbc_strip(mlirOperationGetOperand(qbc_return_of(func), 0)));
}

static void name_ends(struct qbc *q, MlirOperation func)
{
    struct qbc_ops embeds = qbc_collect(q, func, "qb.embed");
    MlirOperation output = output_linear(func);
    for (size_t i = 0; i < embeds.n; ++i)
        give_role(q, embeds.op[i], "embed");
    if (mlirOperationIsNull(output))
        return;
    give_role(q, output, "output");
    give_role(q, norm_of(mlirOperationGetOperand(output, 0)), "final_norm");
    if (embeds.n)
        tie(q, embeds.op[0], output);
}

/* --- names */

static bool taken(struct qbc *q, const struct qbc_ops *weights, const char *name)
{
    for (size_t i = 0; i < weights->n; ++i)
        if (qbc_has(weights->op[i], "role") &&
            !strcmp(qbc_string(q, weights->op[i], "name", ""), name))
            return true;
    return false;
}

/* The role of operand i of op: a vector that is added has that of what it is added to. */
static const char *operand_role(struct qbc *q, MlirOperation op, intptr_t i)
{
    enum { TAPS = 2, RATES = 5 };
    if (qbc_is(op, "qb.conv1d"))
        return i == TAPS ? "conv" : "conv_bias";
    if (qbc_is(op, "qb.ssm_scan"))
        return i == RATES ? "ssm_a" : "ssm_d";
    MlirOperation linear = qbc_is(op, "qb.bias") ? linear_of(mlirOperationGetResult(op, 0)) : op;
    const char *role = mlirOperationIsNull(linear) ? NULL : role_of(q, linear);
    if (qbc_is(op, "qb.route"))
        return "ffn_router_bias";
    bool added = qbc_is(op, "qb.bias") || i >= 2;
    if (!role)
        role = qbc_is(op, "qb.embed_positions") ? "positions" : is_norm(op) ? "norm" : "linear";
    return added ? qbc_text(q, "%s_bias", role) : role;
}

/* A weight is named by the first operation that has a role for it. */
static void name_weight(struct qbc *q, const struct qbc_ops *weights, MlirOperation op, intptr_t i)
{
    MlirOperation weight = qbc_def(mlirOperationGetOperand(op, i), "qb.weight");
    if (mlirOperationIsNull(weight) || qbc_has(weight, "role"))
        return;
    int64_t block = qbc_int(op, "block", -1);
    const char *role = operand_role(q, op, i);
    const char *name = block < 0 ? role : qbc_text(q, "%ld.%s", block, role), *plain = name;
    if (i < 2 && !qbc_is(op, "qb.conv1d"))
        give_role(q, op, role);
    for (int k = 2; taken(q, weights, name); ++k)
        name = qbc_text(q, "%s.%d", plain, k);
    qbc_set_string(q, weight, "name", name);
    qbc_set_string(q, weight, "role", role);
    if (block >= 0)
        qbc_set_int(q, weight, "block", block);
}

void qbc_pass_name_blocks(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct stream *s = qbc_alloc(q, sizeof *s);
    *s = (struct stream){.q = q, .block = -1};
    struct qbc_ops embeds = qbc_collect(q, func, "qb.embed");
    if (embeds.n)
        follow(s, result(embeds.op[0]));
    name_ends(q, func);
    qbc_each(q, func, "qb.attention", name_attention);
    qbc_each(q, func, "qb.expert_linear", name_experts);
    qbc_each(q, func, "qb.glu", name_glu);
    qbc_each(q, func, "qb.act", name_act);
    struct qbc_ops weights = qbc_collect(q, func, "qb.weight"), ops = qbc_collect(q, func, NULL);
    for (size_t i = 0; i < ops.n; ++i)
        for (intptr_t k = 0; k < mlirOperationGetNumOperands(ops.op[i]); ++k)
            name_weight(q, &weights, ops.op[i], k);
    qbc_tidy(q, module);
}
