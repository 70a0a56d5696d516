/* attention.c: attention and the states that it reads. How a state lies in memory is told in passes/kernels/cache.h. */
#include "outline.h"

#include <string.h>

static MlirOperation attention_reading(MlirValue appended, int *operand)
{
    for (MlirOpOperand use = mlirValueGetFirstUse(appended); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
        *operand = (int)mlirOpOperandGetOperandNumber(use);
        if (qbc_is(mlirOpOperandGetOwner(use), "qb.attention") && *operand > 0)
            return mlirOpOperandGetOwner(use);
    }
    return (MlirOperation){NULL};
}

void qbc_outline_state(struct outline *o, MlirOperation op)
{
    MlirOperation place = qbc_place_new(o, "state");
    qbc_copy_attribute(op, place, "name");
    qbc_place_remember(o, qbc_only_result(op), qbc_only_result(place));
}

/* How the state keeps what is appended; positions become blocks. */
static void copy_cache(struct outline *o, MlirOperation append, MlirOperation l, const char *format)
{
    int64_t sink = (qbc_int(append, "sink", 0) + QBC_POSITIONS - 1) / QBC_POSITIONS;
    int64_t recent = (qbc_int(append, "recent", 0) + QBC_POSITIONS - 1) / QBC_POSITIONS;
    if (qbc_has(append, "format"))
        qbc_set_string(o->q, l, format, qbc_string(o->q, append, "format", ""));
    if (qbc_has(append, "norm") && !strcmp(format, "format")) /* for who writes it */
        qbc_copy_attribute(append, l, "norm");
    if (sink)
        qbc_set_int(o->q, l, "sink", sink);
    if (recent) {
        qbc_set_int(o->q, l, "recent", recent);
        qbc_set_int(o->q, l, "ring", qbc_ring_blocks(recent, o->chunk));
    }
}

/* Of vectors, where what is appended becomes such; null: it does not. */
static MlirValue table_of(struct outline *o, MlirOperation append)
{
    enum { TABLE = 2 };
    bool there = mlirOperationGetNumOperands(append) > TABLE && qbc_has(append, "format");
    return there ? qbc_place_of(o, mlirOperationGetOperand(append, TABLE)) : (MlirValue){NULL};
}

void qbc_outline_append(struct outline *o, MlirOperation op)
{
    int operand = 0;
    MlirOperation attention = attention_reading(qbc_only_result(op), &operand);
    if (mlirOperationIsNull(attention)) {
        qbc_error(o->q, op, "no attention reads this state");
        return;
    }
    bool keys = operand == 1;
    int64_t head_dim = qbc_int(attention, "head_dim", 0), kv_heads = qbc_int(attention, "kv_heads", 0);
    MlirValue state = qbc_place_of(o, mlirOperationGetOperand(op, 0));
    MlirValue operands[] = {state, qbc_place_of(o, mlirOperationGetOperand(op, 1)), table_of(o, op)};
    MlirOperation l = qbc_launch(o, keys ? "append_keys" : "append_values", "all", mlirValueIsNull(operands[2]) ? 2 : 3, operands);
    qbc_set_int(o->q, l, "kv_heads", kv_heads);
    qbc_set_int(o->q, l, "head_dim", keys ? head_dim : qbc_int(attention, "value_dim", head_dim));
    qbc_set_int(o->q, l, "context", o->context);
    copy_cache(o, op, l, "format");
    qbc_set_int(o->q, qbc_def_any(state), "bytes", qbc_state_bytes(o->q, l, keys));
    qbc_place_remember(o, qbc_only_result(op), state);
}

void qbc_outline_attention(struct outline *o, MlirOperation op)
{
    static const char *const copied[] = {"heads", "kv_heads", "head_dim", "value_dim", "scale", "window", "ahead", "cap"};
    enum { SINKS = 4 };
    static const char *const tables[] = {"key_table", "value_table"};
    MlirValue operands[8];
    const float *slopes;
    size_t n = 0, number[2] = {0}, n_slopes = qbc_floats(o->q, op, "slopes", &slopes);
    for (; (intptr_t)n < mlirOperationGetNumOperands(op); ++n)
        operands[n + 1] = qbc_place_of(o, mlirOperationGetOperand(op, (intptr_t)n));
    if (n_slopes)
        operands[++n] = qbc_place_vector(o, "alibi", slopes, (int64_t)n_slopes);
    size_t of_slopes = n;
    for (intptr_t i = 0; i < 2; ++i) {
        MlirValue table = table_of(o, qbc_def_any(mlirOperationGetOperand(op, i + 1)));
        if (!mlirValueIsNull(table))
            operands[number[i] = ++n] = table;
    }
    operands[0] = qbc_place_output(o, op, "all");
    MlirOperation l = qbc_launch(o, "attention", "all", n + 1, operands);
    for (int i = 0; i < 2; ++i)
        if (number[i])
            qbc_set_int(o->q, l, tables[i], (int64_t)number[i]);
    if (mlirOperationGetNumOperands(op) >= SINKS)
        qbc_set_int(o->q, l, "sinks", SINKS);
    if (n_slopes)
        qbc_set_int(o->q, l, "slopes", (int64_t)of_slopes);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; ++i)
        qbc_copy_attribute(op, l, copied[i]);
    copy_cache(o, qbc_def_any(mlirOperationGetOperand(op, 1)), l, "keys");
    copy_cache(o, qbc_def_any(mlirOperationGetOperand(op, 2)), l, "values");
    qbc_set_int(o->q, l, "context", o->context);
}

void qbc_outline_heads(struct outline *o, MlirOperation op)
{
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    MlirValue *operands = qbc_alloc(o->q, (n + 1) * sizeof *operands);
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = qbc_place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    operands[0] = qbc_place_output(o, op, "all");
    MlirOperation l = qbc_launch(o, "heads", "all", n + 1, operands);
    qbc_copy_attribute(op, l, "heads");
    qbc_copy_attribute(op, l, "head_dim");
    qbc_copy_attribute(op, l, "runs");
}
