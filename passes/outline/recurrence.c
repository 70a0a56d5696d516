/* recurrence.c: operations with a state of their own: convolutions and scans. */
#include "outline.h"

/* All operands as they are; the state is the operation's own. */
MlirOperation qbc_outline_recurrence(struct outline *o, MlirOperation op, const char *kernel, int64_t state_floats)
{
    MlirValue operands[QBC_MOST_OPERANDS];
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = qbc_place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    operands[0] = qbc_place_output(o, op, "all");
    qbc_set_int(o->q, qbc_def_any(operands[1]), "bytes", state_floats * 4);
    return qbc_launch(o, kernel, "all", n + 1, operands);
}

void qbc_outline_conv(struct outline *o, MlirOperation op)
{
    int64_t columns = qbc_dim(qbc_only_result(op), 1), taps = qbc_dim(mlirOperationGetOperand(op, 2), 0) / columns;
    MlirOperation l = qbc_outline_recurrence(o, op, "conv1d", (taps - 1) * columns);
    qbc_set_int(o->q, l, "c", columns);
    qbc_set_int(o->q, l, "taps", taps);
}

void qbc_outline_scan(struct outline *o, MlirOperation op)
{
    enum { DT = 2, B = 3, A = 5 };
    int64_t columns = qbc_dim(qbc_only_result(op), 1), n = qbc_int(op, "n", 1);
    int64_t dts = qbc_dim(mlirOperationGetOperand(op, DT), 1);
    MlirOperation l = qbc_outline_recurrence(o, op, "ssm_scan", columns * n);
    qbc_set_int(o->q, l, "i", columns);
    qbc_set_int(o->q, l, "n", n);
    qbc_set_int(o->q, l, "dts", dts);
    qbc_set_int(o->q, l, "groups", qbc_dim(mlirOperationGetOperand(op, B), 1) / n);
    qbc_set_int(o->q, l, "rates", qbc_dim(mlirOperationGetOperand(op, A), 0) / dts);
}

void qbc_outline_linear_attention(struct outline *o, MlirOperation op)
{
    enum { Q = 1, K = 2, V = 3, DECAY = 4, BETA = 5 };
    static const char *const copied[] = {"heads", "scale", "delta"};
    int64_t heads = qbc_int(op, "heads", 1), keys = qbc_dim(mlirOperationGetOperand(op, K), 1) / heads;
    int64_t values = qbc_dim(mlirOperationGetOperand(op, V), 1) / heads;
    MlirOperation l = qbc_outline_recurrence(o, op, "linear_attention", heads * keys * values);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; ++i)
        qbc_copy_attribute(op, l, copied[i]);
    qbc_set_int(o->q, l, "keys", keys);
    qbc_set_int(o->q, l, "values", values);
    qbc_set_int(o->q, l, "group", qbc_dim(mlirOperationGetOperand(op, Q), 1) / keys / heads);
    if (qbc_has(op, "decays"))
        qbc_set_int(o->q, l, "decays", qbc_dim(mlirOperationGetOperand(op, DECAY), 1));
    if (qbc_has(op, "betas"))
        qbc_set_int(o->q, l, "betas", qbc_dim(mlirOperationGetOperand(op, BETA), 1));
}
