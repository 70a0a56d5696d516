/* recognise-rope: what the operands of attention are made of: rotary embedding, cache, repeated heads.
 *
 * Heads may be put together of columns of several values, some of which all heads have (multi-head latent attention): %k is then
 * "qb.heads"(%nope, %turning) {...}, and those that turn come first, in queries as in keys.
 *
 *   before   %q = any arithmetic on %a and positions; %k = the same of %b, joined to past keys, each
 *            head repeated;  %y = "qb.attention"(%q, %k, %v) {heads = 8, kv_heads = 8, scale = 1.0}
 *   after    %q = "qb.rope"(%a) {head_dim, rotary_dim, pairing, theta}
 *            %r = "qb.rope"(%b) {...}
 *            %k = "qb.append"(%past, %r)        the model's output of new keys becomes %k
 *            %y = "qb.attention"(%q, %k, %v) {heads = 8, kv_heads = 2, scale = 0.125}
 *
 * How that is found out: base/operand.c. A factor of all columns goes into attention's scale: all
 * exports of a model meet there, whether they scale queries, keys, both (YaRN's attention factor
 * too), or the scores.
 *
 * needs    recognise-attention
 * leaves   operands that are level-1 values
 * keeps    attention whose operands are something else, and notes why
 */
#include "pattern.h"

#include <string.h>

static bool visit(struct qbc *q, MlirOperation func, MlirOperation attention,
                  struct qbc_operand *like)
{
    struct qbc_operand now[3] = {{.head_dim = 0}};
    int64_t head_dim = qbc_int(attention, "head_dim", 1);
    for (intptr_t i = 0; i < 3; ++i) {
        now[i].value = mlirOperationGetOperand(attention, i);
        now[i].head_dim = i < 2 ? head_dim : qbc_int(attention, "value_dim", head_dim);
        if (!qbc_operand_find(q, func, attention, &now[i], &like[i]) ||
            !qbc_operand_check_present(q, func, attention, &now[i]))
            return false;
    }
    if (now[2].rotary.dim || !qbc_near(now[2].factor, 1, 1e-5, 0) ||
        now[1].heads != now[2].heads || now[0].first != now[1].first || !qbc_rotary_same(&now[0].rotary, &now[1].rotary)) {
        qbc_miss(q, attention, "queries and keys must turn alike, and values not at all");
        return false;
    }
    now[1].rotary = now[0].rotary;
    struct qbc_build b = qbc_before(q, attention);
    for (intptr_t i = 0; i < 3; ++i)
        mlirOperationSetOperand(attention, i, qbc_operand_emit(&b, func, &now[i]));
    double scale = qbc_float(attention, "scale", 1) * now[0].factor * now[1].factor;
    qbc_set_float(q, attention, "scale", (float)qbc_exact_scale(scale, now[0].head_dim));
    qbc_set_int(q, attention, "kv_heads", now[1].heads);
    mlirOperationRemoveAttributeByName(attention, qbc_str("qb.miss")); /* what was tried first */
    memcpy(like, now, sizeof now);
    return true;
}

void qbc_pass_recognise_rope(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, "qb.attention");
    struct qbc_operand like[3] = {{.factor = 0}}; /* of the layer before: tried first */
    for (size_t i = 0; i < ops.n; ++i) {
        bool direct = true;
        for (intptr_t j = 0; j < 3; ++j)
            direct &= qbc_is_level1(mlirOperationGetOperand(ops.op[i], j));
        if (!direct)
            visit(q, func, ops.op[i], like);
        else
            qbc_set_float(q, ops.op[i], "scale", (float)qbc_exact_scale(qbc_float(ops.op[i], "scale", 1),
                                                                         qbc_int(ops.op[i], "head_dim", 1)));
    }
    qbc_tidy(q, module);
}
