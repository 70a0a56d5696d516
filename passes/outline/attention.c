/* attention.c: attention and the states that it reads. How a state lies in memory is told in passes/kernels/cache.h. */
#include "outline.h"

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
    MlirValue operands[] = {state, qbc_place_of(o, mlirOperationGetOperand(op, 1))};
    MlirOperation l = qbc_launch(o, keys ? "append_keys" : "append_values", "all", 2, operands);
    qbc_set_int(o->q, l, "kv_heads", kv_heads);
    qbc_set_int(o->q, l, "head_dim", head_dim);
    qbc_set_int(o->q, l, "context", o->context);
    const struct qbc_format *format = qbc_find_format(o->q, qbc_string(o->q, op, "format", "f32"));
    qbc_copy_attribute(op, l, "format");
    qbc_set_int(o->q, qbc_def_any(state), "bytes", qbc_state_bytes(format, keys, o->context, kv_heads, head_dim));
    qbc_place_remember(o, qbc_only_result(op), state);
}

/* The format of the rows that this operand has. */
static void copy_format(struct outline *o, MlirOperation attention, intptr_t operand, MlirOperation l, const char *name)
{
    MlirOperation append = qbc_def_any(mlirOperationGetOperand(attention, operand));
    if (qbc_has(append, "format"))
        qbc_set_string(o->q, l, name, qbc_string(o->q, append, "format", ""));
}

void qbc_outline_attention(struct outline *o, MlirOperation op)
{
    static const char *const copied[] = {"heads", "kv_heads", "head_dim", "scale", "window", "ahead", "cap"};
    enum { SINKS = 4 };
    MlirValue operands[6];
    const float *slopes;
    size_t n = 0, n_slopes = qbc_floats(o->q, op, "slopes", &slopes);
    for (; (intptr_t)n < mlirOperationGetNumOperands(op); ++n)
        operands[n + 1] = qbc_place_of(o, mlirOperationGetOperand(op, (intptr_t)n));
    if (n_slopes)
        operands[++n] = qbc_place_vector(o, "alibi", slopes, (int64_t)n_slopes);
    operands[0] = qbc_place_output(o, op, "all");
    MlirOperation l = qbc_launch(o, "attention", "all", n + 1, operands);
    if (mlirOperationGetNumOperands(op) >= SINKS)
        qbc_set_int(o->q, l, "sinks", SINKS);
    if (n_slopes)
        qbc_set_int(o->q, l, "slopes", (int64_t)n);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; ++i)
        qbc_copy_attribute(op, l, copied[i]);
    copy_format(o, op, 1, l, "keys");
    copy_format(o, op, 2, l, "values");
    qbc_set_int(o->q, l, "context", o->context);
}
