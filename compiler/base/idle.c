/* idle: operations that give what they take (facts.h). */
#include "facts.h"

/* These do nothing when the result has the operand's shape (and, for Cast, its type). */
static bool may_be_idle(MlirOperation op)
{
    static const char *const names[] = {"onnx.Cast",    "onnx.Identity", "onnx.Dropout",
                                        "onnx.Reshape", "onnx.Expand",   "onnx.Flatten",
                                        "onnx.Tile",    "onnx.Squeeze",  "onnx.Unsqueeze",
                                        "onnx.Concat",  "onnx.Split",    NULL};
    return qbc_one_of(qbc_op_name(op), names);
}

/* Are all of its numbers, of which there are at most so many, this one? */
static bool is_all(const struct qbc_probes *probes, MlirValue v, double number, size_t most)
{
    struct qbc_facts facts;
    if (!qbc_facts_of(probes, v, &facts) || !qbc_facts_constant(&facts) || !facts.a[0]->n || facts.a[0]->n > most)
        return false;
    const struct qbc_array *a = facts.a[0];
    for (size_t i = 0; i < a->n; ++i)
        if ((a->f ? (double)a->f[i] : (double)a->i[i]) != number)
            return false;
    return true;
}

/* A Slice that keeps every size keeps every element, in order unless it steps backwards. */
static bool is_forward_slice(const struct qbc_probes *probes, MlirOperation op)
{
    if (!qbc_is(op, "onnx.Slice"))
        return false;
    if (mlirOperationGetNumOperands(op) < 5)
        return !qbc_has(op, "steps");
    return is_all(probes, mlirOperationGetOperand(op, 4), 1, QBC_MAX_RANK);
}

static bool is_identity_transpose(struct qbc *q, MlirOperation op)
{
    const int64_t *perm;
    size_t n = qbc_ints(q, op, "perm", &perm);
    for (size_t i = 0; i < n; ++i)
        if (perm[i] != (int64_t)i)
            return false;
    return n && qbc_is(op, "onnx.Transpose");
}

static bool others_unused(MlirOperation op)
{
    for (intptr_t i = 1; i < mlirOperationGetNumResults(op); ++i)
        if (qbc_uses(mlirOperationGetResult(op, i)))
            return false;
    return true;
}

/* Which operand a multiplication by one number 1, or a division, leaves as it is; -1: none. A gain of ones is one yet. */
static intptr_t left_alone(const struct qbc_probes *probes, MlirOperation op)
{
    bool times = qbc_is(op, "onnx.Mul");
    if ((times || qbc_is(op, "onnx.Div")) && is_all(probes, mlirOperationGetOperand(op, 1), 1, 1))
        return 0;
    return times && is_all(probes, mlirOperationGetOperand(op, 0), 1, 1) ? 1 : -1;
}

static intptr_t candidate(const struct qbc_probes *probes, MlirOperation op)
{
    intptr_t n = mlirOperationGetNumOperands(op);
    if (!n || !others_unused(op))
        return -1;
    if (n == 2 && left_alone(probes, op) >= 0)
        return left_alone(probes, op);
    if ((qbc_is(op, "onnx.Concat") && n > 1) || (qbc_is(op, "onnx.Dropout") && n > 2)) /* the latter may be training */
        return -1;
    bool pads = qbc_is(op, "onnx.Pad"); /* of as many elements: by nothing */
    bool idle = may_be_idle(op) || is_forward_slice(probes, op) || is_identity_transpose(probes->q, op);
    return idle || (pads && n > 1 && is_all(probes, mlirOperationGetOperand(op, 1), 0, 2 * QBC_MAX_RANK)) ? 0 : -1;
}

intptr_t qbc_idle_operand(const struct qbc_probes *probes, MlirOperation op, const struct qbc_facts *result)
{
    struct qbc_facts operand;
    intptr_t i = candidate(probes, op);
    if (i < 0 || !qbc_facts_of(probes, mlirOperationGetOperand(op, i), &operand))
        return -1;
    for (int k = 0; k < QBC_PROBES; ++k)
        if (!qbc_same_dims(operand.a[k], result->a[k]))
            return -1;
    return operand.a[0]->element == result->a[0]->element ? i : -1;
}
