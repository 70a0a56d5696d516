/* derive-cache: keys and values live in states of the session; the model takes tokens, gives logits.
 *
 *   before   func @main(%ids, %mask, %past_k, ...) -> (logits [1, T, V], present_k, ...)
 *            %k = "qb.append"(%past_k, %new)          or, without a cache, attention reads %new itself
 *   after    func @main(%tokens: tensor<?xi32>) -> tensor<?xVxf32>
 *            %s = "qb.state"() {name = "kv.0.k", block = 0}
 *            %k = "qb.append"(%s, %new)
 *
 * An export without a cache is still causal: keys and values are functions of their own tokens only,
 * so rows of earlier calls can be kept. Either way the graph is the same.
 *
 * needs    name-blocks
 * leaves   level 1 in its final form; module attributes qb.level = "graph", qb.vocab; of an encoder qb.whole, qb.outputs
 * complains of inputs that still matter, of pasts that are not a cache
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

static MlirValue make_state(struct qbc_build *b, MlirType type, int64_t block, const char *what)
{
    const char *name = qbc_text(b->q, "kv.%ld.%s", block, what);
    struct qbc_attr attrs[] = {
        {"name", qbc_attr_string(b->q, name)}, {"block", qbc_attr_int(b->q, block)}, {0}};
    return mlirOperationGetResult(qbc_make(b, "qb.state", type, attrs, 0, NULL), 0);
}

static void keep_rows(struct qbc *q, MlirOperation attention, intptr_t operand, int64_t block,
                      const char *what)
{
    MlirValue rows = mlirOperationGetOperand(attention, operand);
    MlirOperation append = qbc_def(rows, "qb.append");
    bool there = !mlirOperationIsNull(append);
    struct qbc_build b = qbc_before(q, there ? append : attention);
    if (there && qbc_def_any(mlirOperationGetOperand(append, 0)).ptr)
        return; /* to a state already */
    MlirValue state = make_state(&b, mlirValueGetType(rows), block, what);
    if (there) {
        mlirOperationSetOperand(append, 0, state);
        return;
    }
    rows = qbc_op(&b, "qb.append", mlirValueGetType(rows), 2, state, rows);
    qbc_set_int(q, qbc_def_any(rows), "block", block);
    mlirOperationSetOperand(attention, operand, rows);
}

/* States of recurrences have the names of their blocks. */
static void name_states(struct qbc *q, MlirOperation func, const char *op)
{
    struct qbc_ops ops = qbc_collect(q, func, op);
    for (size_t i = 0; i < ops.n; ++i) {
        MlirOperation state = qbc_def(mlirOperationGetOperand(ops.op[i], 0), "qb.state");
        int64_t block = qbc_int(ops.op[i], "block", (int64_t)i);
        if (mlirOperationIsNull(state) || qbc_has(state, "block"))
            continue;
        qbc_set_string(q, state, "name", qbc_text(q, "%s.%ld", qbc_string(q, state, "name", ""), (long)block));
        qbc_set_int(q, state, "block", block);
    }
}

/* The result that is the logits: said so, or the first. */
static intptr_t logits_of(MlirOperation func)
{
    intptr_t n = mlirOperationGetNumOperands(qbc_return_of(func));
    for (intptr_t i = 0; i < n; ++i) {
        MlirAttribute kind = qbc_function_attr(func, "res_attrs", (size_t)i, "qb.output");
        if (!mlirAttributeIsNull(kind) && mlirAttributeIsAString(kind) &&
            mlirStringRefEqual(mlirStringAttrGetValue(kind), qbc_str("logits")))
            return i;
    }
    return 0;
}

static bool return_logits(struct qbc *q, MlirOperation module, MlirOperation func)
{
    MlirOperation ret = qbc_return_of(func);
    if (mlirOperationGetNumOperands(ret) == 0) {
        qbc_error(q, func, "the model returns nothing");
        return false;
    }
    MlirValue logits = qbc_strip(mlirOperationGetOperand(ret, logits_of(func)));
    if (!qbc_is_level1(logits)) {
        qbc_error(q, ret, "the model's logits are no rows, one for each token");
        return false;
    }
    mlirOperationSetOperands(ret, 1, &logits);
    qbc_sweep_all(q, module);
    qbc_set_int(q, module, "qb.vocab", qbc_dim(logits, 1));
    return true;
}

/* A model whose tokens see later ones reads whole texts, and need not give scores: its ids are the embedding's rows. */
static void note_encoder(struct qbc *q, MlirOperation module, MlirOperation func, const struct qbc_ops *attentions)
{
    struct qbc_ops embeds = qbc_collect(q, func, "qb.embed");
    bool ahead = false;
    for (size_t i = 0; i < attentions->n; ++i)
        ahead |= qbc_has(attentions->op[i], "ahead");
    if (!ahead || !embeds.n)
        return;
    qbc_set_bool(q, module, "qb.whole", true);
    qbc_set_int(q, module, "qb.outputs", qbc_int(module, "qb.vocab", 0));
    qbc_set_int(q, module, "qb.vocab", qbc_dim(mlirOperationGetOperand(embeds.op[0], 1), 0));
}

static const char *input_name(struct qbc *q, MlirOperation func, intptr_t i)
{
    MlirAttribute name = qbc_function_attr(func, "arg_attrs", (size_t)i, "qb.name");
    if (mlirAttributeIsNull(name) || !mlirAttributeIsAString(name))
        return qbc_text(q, "%ld", (long)i);
    MlirStringRef s = mlirStringAttrGetValue(name);
    return qbc_copy(q, s.data, s.length);
}

static void take_tokens(struct qbc *q, MlirOperation func)
{
    MlirBlock body = qbc_func_body(func);
    for (intptr_t i = mlirBlockGetNumArguments(body); i-- > 0;) {
        MlirValue v = mlirBlockGetArgument(body, i);
        const char *kind = qbc_input(q, func, v);
        if (kind && !strcmp(kind, "tokens")) {
            MlirType i32 = mlirIntegerTypeGet(q->mlir, 32);
            mlirValueSetType(v, qbc_tensor(q, i32, 1, (int64_t[]){QBC_ANY}));
        } else if (qbc_uses(v)) {
            qbc_error(q, func, "the model's input '%s' still matters; only token ids can be given to "
                               "a compiled model", input_name(q, func, i));
        } else {
            mlirBlockEraseArgument(body, (unsigned)i);
        }
    }
}

void qbc_pass_derive_cache(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, "qb.attention");
    for (size_t i = 0; i < ops.n; ++i) {
        int64_t block = qbc_int(ops.op[i], "block", (int64_t)i);
        keep_rows(q, ops.op[i], 1, block, "k");
        keep_rows(q, ops.op[i], 2, block, "v");
    }
    name_states(q, func, "qb.conv1d");
    name_states(q, func, "qb.ssm_scan");
    name_states(q, func, "qb.linear_attention");
    if (!return_logits(q, module, func))
        return;
    note_encoder(q, module, func, &ops);
    take_tokens(q, func);
    if (q->errors)
        return;
    mlirOperationRemoveAttributeByName(func, qbc_str("arg_attrs"));
    mlirOperationRemoveAttributeByName(func, qbc_str("res_attrs"));
    mlirOperationRemoveAttributeByName(module, qbc_str("qb.opset"));
    mlirOperationRemoveAttributeByName(module, qbc_str("qb.producer"));
    qbc_retype(q, func);
    qbc_set_string(q, module, "qb.level", "graph");
}
