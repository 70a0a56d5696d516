/* piecewise: activations that are several operations of level 1, and choices between rows (pattern.h).
 *
 *     LeakyRelu(x)                 max(x, 0) + alpha min(x, 0)
 *     Elu, Selu, Celu              max(x, 0) + alpha (exp(min(x, 0)) - 1), as a multiple, with another steepness
 *     HardSigmoid(x), HardSwish    min(max(alpha x + beta, 0), 1), times x
 *     Softsign, Mish               x / (1 + |x|), x tanh(softplus(x))
 *     ThresholdedRelu(x)           "qb.where"(x - alpha, x, 0)
 *     Where(u > v, a, b)           "qb.where"(u - v, a, b)
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

MlirValue qbc_with_number(struct qbc_build *b, const char *name, MlirValue x, double by)
{
    MlirValue y = qbc_op(b, name, mlirValueGetType(x), 1, x);
    qbc_set_float(b->q, qbc_def_any(y), "by", (float)by);
    return y;
}

MlirValue qbc_act(struct qbc_build *b, const char *name, MlirValue x)
{
    MlirValue y = qbc_op(b, "qb.act", mlirValueGetType(x), 1, x);
    qbc_set_string(b->q, qbc_def_any(y), "act", name);
    return y;
}

MlirValue qbc_clip(struct qbc_build *b, MlirValue x, double low, double high)
{
    MlirValue y = qbc_op(b, "qb.clip", mlirValueGetType(x), 1, x);
    qbc_set_float(b->q, qbc_def_any(y), "low", (float)low);
    qbc_set_float(b->q, qbc_def_any(y), "high", (float)high);
    return y;
}

MlirValue qbc_rows_of_number(struct qbc_build *b, MlirValue like, double number)
{
    return qbc_clip(b, like, number, number);
}

static MlirValue times(struct qbc_build *b, MlirValue x, double by)
{
    return by == 1 ? x : qbc_with_number(b, "qb.times", x, by);
}

static MlirValue of_two(struct qbc_build *b, const char *name, MlirValue x, MlirValue y)
{
    return qbc_op(b, name, mlirValueGetType(x), 2, x, y);
}

/* max(x, 0) + slope min(x, 0) */
static MlirValue leaky(struct qbc_build *b, MlirValue x, double slope)
{
    MlirValue positive = qbc_act(b, "relu", x);
    return of_two(b, "arith.addf", positive, times(b, qbc_clip(b, x, -INFINITY, 0), slope));
}

/* max(x, 0) + alpha (exp(min(x, 0) / width) - 1) */
static MlirValue exponential(struct qbc_build *b, MlirValue x, double alpha, double width)
{
    MlirValue positive = qbc_act(b, "relu", x);
    MlirValue e = qbc_act(b, "exp", times(b, qbc_clip(b, x, -INFINITY, 0), 1 / width));
    return of_two(b, "arith.addf", positive, times(b, qbc_with_number(b, "qb.plus", e, -1), alpha));
}

static MlirValue hard_sigmoid(struct qbc_build *b, MlirValue x, double alpha, double beta)
{
    return qbc_clip(b, qbc_with_number(b, "qb.plus", times(b, x, alpha), beta), 0, 1);
}

MlirValue qbc_piecewise(struct qbc_build *b, MlirOperation op, MlirValue x)
{
    double alpha = qbc_float(op, "alpha", 1);
    if (qbc_is(op, "onnx.LeakyRelu"))
        return leaky(b, x, qbc_float(op, "alpha", 0.01));
    if (qbc_is(op, "onnx.Elu"))
        return exponential(b, x, alpha, 1);
    if (qbc_is(op, "onnx.Celu"))
        return exponential(b, x, alpha, alpha);
    if (qbc_is(op, "onnx.Selu"))
        return times(b, exponential(b, x, qbc_float(op, "alpha", 1.67326319217681884765625), 1),
                     qbc_float(op, "gamma", 1.05070102214813232421875));
    if (qbc_is(op, "onnx.HardSigmoid"))
        return hard_sigmoid(b, x, qbc_float(op, "alpha", 0.2), qbc_float(op, "beta", 0.5));
    if (qbc_is(op, "onnx.HardSwish"))
        return of_two(b, "arith.mulf", x, hard_sigmoid(b, x, 1.0 / 6, 0.5));
    if (qbc_is(op, "onnx.Softsign"))
        return of_two(b, "arith.divf", x, qbc_with_number(b, "qb.plus", qbc_act(b, "abs", x), 1));
    if (qbc_is(op, "onnx.Mish"))
        return of_two(b, "arith.mulf", x, qbc_act(b, "tanh", qbc_act(b, "softplus", x)));
    if (qbc_is(op, "onnx.ThresholdedRelu")) {
        MlirValue over = qbc_with_number(b, "qb.plus", x, -alpha);
        return qbc_op(b, "qb.where", mlirValueGetType(x), 3, over, x, qbc_rows_of_number(b, x, 0));
    }
    return (MlirValue){NULL};
}

bool qbc_is_piecewise(MlirOperation op)
{
    static const char *const names[] = {"onnx.LeakyRelu",   "onnx.Elu",       "onnx.Celu",     "onnx.Selu", "onnx.HardSigmoid",
                                        "onnx.HardSwish", "onnx.Softsign", "onnx.Mish", "onnx.ThresholdedRelu", NULL};
    return qbc_one_of(qbc_op_name(op), names);
}

/* --- Where */

bool qbc_where_find(MlirOperation op, struct qbc_where *out)
{
    static const struct {
        const char *name;
        bool turned, otherwise; /* v - u in place of u - v; the other one where that is positive */
    } tests[] = {{"onnx.Greater", false, false}, {"onnx.Less", true, false}, {"onnx.LessOrEqual", false, true}, {"onnx.GreaterOrEqual", true, true}};
    MlirValue condition = qbc_is(op, "onnx.Where") ? mlirOperationGetOperand(op, 0) : (MlirValue){NULL};
    bool negated = false;
    for (MlirOperation not; !mlirValueIsNull(condition) && (not= qbc_def(condition, "onnx.Not"), !mlirOperationIsNull(not)); negated = !negated)
        condition = mlirOperationGetOperand(not, 0);
    MlirOperation test = mlirValueIsNull(condition) ? (MlirOperation){NULL} : qbc_def_any(condition);
    for (size_t i = 0; !mlirOperationIsNull(test) && i < sizeof tests / sizeof *tests; ++i) {
        if (!qbc_is(test, tests[i].name))
            continue;
        bool other = tests[i].otherwise != negated;
        *out = (struct qbc_where){.more = mlirOperationGetOperand(test, tests[i].turned), .less = mlirOperationGetOperand(test, !tests[i].turned),
                                  .yes = mlirOperationGetOperand(op, other ? 2 : 1), .no = mlirOperationGetOperand(op, other ? 1 : 2)};
        return true;
    }
    return false;
}
