/* recognise-recurrence: recurrences that are one operation of ONNX, or of ONNX Runtime.
 *
 *   before   %y, %present = LinearAttention(%q, %k, %v, %past, %decay, %beta) {update_rule = "gated_delta", ...}
 *   after    %s = "qb.state"() {name = "linear"}
 *            %y = "qb.linear_attention"(%s, %q, %k, %v, %decay, %beta) {heads, scale, decays, betas, delta}
 *
 *   before   %y, %present = CausalConvWithState(%x, %w, %b, %past) {activation = "silu"}
 *   after    %s = "qb.state"() {name = "conv"}
 *            %y = "qb.conv1d"(%s, %x, %w, %b), and "qb.act"
 *
 * The state is the session's: what the function takes and returns of it goes. ONNX Runtime's may have fewer heads of queries or keys than of
 * values: they are repeated ("qb.heads"); and rows of the convolution for which nothing is transposed {channels_last}.
 *
 * needs    operands whose shapes are known
 * leaves   rows
 * keeps    an operation whose state comes from anything but the call before, and notes why
 */
#include "pattern.h"

#include <string.h>

enum { MOST_OPERANDS = 6, PAST = 3 };

struct recurrence {
    MlirOperation op;
    MlirValue in[MOST_OPERANDS]; /* null: left out */
    int64_t width[MOST_OPERANDS];
    struct qbc_dims dims; /* of y */
    struct qbc_linear linear;
    struct qbc_strided taps, bias;
};

static bool has_state(struct qbc *q, MlirOperation func, const struct recurrence *r)
{
    const char *input = mlirValueIsNull(r->in[PAST]) ? NULL : qbc_input(q, func, r->in[PAST]);
    bool good = mlirValueIsNull(r->in[PAST]) || (input && !strcmp(input, "past"));
    if (mlirOperationGetNumResults(r->op) > 1) {
        MlirValue next = mlirOperationGetResult(r->op, 1);
        intptr_t at = mlirValueIsNull(r->in[PAST]) ? -1 : qbc_present_of(func, r->in[PAST]);
        bool returned = at >= 0 && qbc_same(mlirOperationGetOperand(qbc_return_of(func), at), next);
        good &= qbc_uses(next) == (returned ? 1 : 0);
    }
    if (!good)
        qbc_miss(q, r->op, "its state is not what the call before left");
    return good;
}

/* A state of so many columns; the function returns it in place of the old one. */
static MlirValue make_state(struct qbc_build *b, MlirOperation func, const struct recurrence *r, const char *name, int64_t columns)
{
    struct qbc_attr attrs[] = {{"name", qbc_attr_string(b->q, name)}, {0}};
    MlirValue state = mlirOperationGetResult(qbc_make(b, "qb.state", qbc_rows_type(b->q, columns), attrs, 0, NULL), 0);
    intptr_t at = mlirValueIsNull(r->in[PAST]) ? -1 : qbc_present_of(func, r->in[PAST]);
    if (at >= 0)
        mlirOperationSetOperand(qbc_return_of(func), at, state);
    return state;
}

static void read_operands(struct recurrence *r)
{
    for (intptr_t i = 0; i < MOST_OPERANDS; ++i)
        r->in[i] = i < mlirOperationGetNumOperands(r->op) ? qbc_operand_at(r->op, i) : (MlirValue){NULL};
}

/* --- linear attention */

static const struct {
    const char *rule;
    bool decays, delta;
} rules[] = {{"linear", false, false}, {"gated", true, false}, {"delta", false, true}, {"gated_delta", true, true}};

static int rule_of(struct qbc *q, MlirOperation op)
{
    const char *name = qbc_string(q, op, "update_rule", "gated_delta");
    for (int i = 0; i < 4; ++i)
        if (!strcmp(name, rules[i].rule))
            return i;
    return -1;
}

static bool find_linear(struct qbc *q, MlirOperation func, struct qbc_shapes *s, struct recurrence *r)
{
    enum { Q, K, V, DECAY = 4, BETA = 5 };
    int64_t *w = r->width;
    int rule = rule_of(q, r->op);
    read_operands(r);
    for (int i = 0; i < MOST_OPERANDS; ++i)
        w[i] = i == PAST || mlirValueIsNull(r->in[i]) ? 0 : qbc_shapes_width(s, r->in[i], NULL);
    struct qbc_linear *l = &r->linear;
    bool good = rule >= 0 && qbc_linear_has_heads(l, qbc_int(r->op, "kv_num_heads", 0), qbc_int(r->op, "q_num_heads", 0), w[Q], w[K], w[V]);
    int64_t heads = l->heads, most = l->query_heads > heads ? l->query_heads : heads;
    good = good && qbc_shapes_width(s, mlirOperationGetResult(r->op, 0), &r->dims) == l->values * most;
    if (good && rules[rule].decays)
        good = w[DECAY] == heads || w[DECAY] == l->keys * heads;
    if (good && rules[rule].delta)
        good = w[BETA] == heads || w[BETA] == 1;
    if (!good)
        qbc_miss(q, r->op, "its rows do not have the heads that its attributes say");
    return good && has_state(q, func, r);
}

static void apply_linear(struct qbc *q, MlirOperation func, const struct recurrence *r)
{
    enum { Q, K, V, DECAY = 4, BETA = 5 };
    struct qbc_build b = qbc_before(q, r->op);
    struct qbc_linear l = r->linear;
    int rule = rule_of(q, r->op);
    MlirValue rows[MOST_OPERANDS];
    for (int i = 0; i < MOST_OPERANDS; ++i)
        rows[i] = i == PAST || !r->width[i] ? (MlirValue){NULL} : qbc_rows(&b, r->in[i], r->width[i]);
    l.q = rows[Q];
    l.k = rows[K];
    l.v = rows[V];
    l.decay = rules[rule].decays ? rows[DECAY] : (MlirValue){NULL};
    l.beta = rules[rule].delta ? rows[BETA] : (MlirValue){NULL};
    l.delta = rules[rule].delta;
    l.scale = qbc_float(r->op, "scale", 0);
    MlirValue state = make_state(&b, func, r, "linear", l.heads * l.keys * l.values), y = qbc_linear_emit(&b, &l, state);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(r->op, 0), qbc_unrows(&b, y, &r->dims));
}

/* --- convolution */

static bool find_conv(struct qbc *q, MlirOperation func, struct qbc_shapes *s, struct recurrence *r)
{
    enum { X, W, BIAS };
    const char *act = qbc_string(q, r->op, "activation", "none");
    read_operands(r);
    size_t column = qbc_int(r->op, "channels_last", 0) ? 2 : 1;
    bool good = qbc_int(r->op, "ndim", 1) == 1 && qbc_int(r->op, "dilation", 1) == 1 &&
                qbc_shapes_dims(s, mlirOperationGetResult(r->op, 0), &r->dims) && r->dims.rank == 3 && r->dims.at[column] > 0 &&
                qbc_strided_of(q, s->at[0], r->in[W], &r->taps) && r->taps.rank == 3 && r->taps.dims[0] == r->dims.at[column] &&
                r->taps.dims[1] == 1 && r->taps.strides[2] == 1 && r->taps.strides[0] == r->taps.dims[2];
    if (good && !mlirValueIsNull(r->in[BIAS]))
        good = qbc_strided_of(q, s->at[0], r->in[BIAS], &r->bias) && r->bias.rank == 1;
    if (!good)
        qbc_miss(q, r->op, "a convolution along another axis than tokens, with gaps, or whose weights are not stored or not those of each column");
    else if (strcmp(act, "none") && strcmp(act, "silu") && strcmp(act, "swish")) {
        qbc_miss(q, r->op, "its activation '%s' is not known", act);
        good = false;
    }
    return good && has_state(q, func, r);
}

static void apply_conv(struct qbc *q, MlirOperation func, struct recurrence *r)
{
    enum { X, W, BIAS };
    struct qbc_build b = qbc_before(q, r->op);
    bool last = qbc_int(r->op, "channels_last", 0);
    int64_t columns = r->dims.at[last ? 2 : 1], turn[] = {0, 2, 1};
    MlirType type = qbc_rows_type(q, columns);
    MlirValue x = qbc_rows(&b, last ? r->in[X] : qbc_transpose(&b, r->in[X], 3, turn), columns);
    MlirValue state = make_state(&b, func, r, "conv", columns);
    struct qbc_dims rows = {.rank = 3, .at = {r->dims.at[0], r->dims.at[last ? 1 : 2], columns}};
    r->taps.dims[2] *= columns;
    MlirValue operands[] = {state, x, qbc_weight(&b, &r->taps, 1, (size_t[]){2}),
                            r->bias.rank ? qbc_weight(&b, &r->bias, 1, (size_t[]){0}) : (MlirValue){NULL}};
    MlirValue y = mlirOperationGetResult(qbc_make(&b, "qb.conv1d", type, NULL, r->bias.rank ? 4 : 3, operands), 0);
    if (strcmp(qbc_string(q, r->op, "activation", "none"), "none")) {
        y = qbc_op(&b, "qb.act", type, 1, y);
        qbc_set_string(q, qbc_def_any(y), "act", "silu");
    }
    y = qbc_unrows(&b, y, &rows);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(r->op, 0), last ? y : qbc_transpose(&b, y, 3, turn));
}

static size_t find_all(struct qbc *q, MlirOperation func, struct qbc_shapes *s, const char *name, struct recurrence *found,
                       bool (*find)(struct qbc *q, MlirOperation func, struct qbc_shapes *s, struct recurrence *r))
{
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    const char *runtime = qbc_text(q, "onnx.com.microsoft.%s", name), *own = qbc_text(q, "onnx.%s", name);
    size_t n = 0;
    for (size_t i = 0; i < ops.n; ++i) {
        if (!qbc_is(ops.op[i], own) && !qbc_is(ops.op[i], runtime))
            continue;
        found[n] = (struct recurrence){.op = ops.op[i]};
        n += find(q, func, s, &found[n]);
    }
    return n;
}

void qbc_pass_recognise_recurrence(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    size_t most = qbc_collect(q, func, NULL).n + 1;
    struct recurrence *linear = qbc_alloc(q, most * sizeof *linear), *conv = qbc_alloc(q, most * sizeof *conv);
    struct qbc_shapes s;
    qbc_shapes_open(q, func, &s);
    size_t n_linear = find_all(q, func, &s, "LinearAttention", linear, find_linear);
    size_t n_conv = find_all(q, func, &s, "CausalConvWithState", conv, find_conv);
    qbc_shapes_close(&s);
    for (size_t i = 0; i < n_linear; ++i)
        apply_linear(q, func, &linear[i]);
    for (size_t i = 0; i < n_conv; ++i)
        apply_conv(q, func, &conv[i]);
    qbc_tidy(q, module);
}
