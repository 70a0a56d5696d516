/* check-graph: everything that the model computes has been understood, or say what has not.
 *
 *   before   level 1, maybe with onnx.* operations that no pass recognised
 *   after    the same; an error at each operation that a pattern nearly matched, with the reason, its opset and dims
 *
 * Operations that only feed such a one have no reason of their own and are left out, unless there is
 * none with a reason: then the first ones that take level-1 values are named.
 *
 * needs    the recognising passes
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

static const char *onnx_name(MlirOperation op)
{
    const char *name = qbc_op_name(op);
    return strncmp(name, "onnx.", 5) ? NULL : name + 5;
}

/* The function's own operations: of one with regions, itself is told of. */
static struct qbc_ops operations_of(struct qbc *q, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    size_t n = 0;
    for (size_t i = 0; i < ops.n; ++i)
        if (mlirOperationEqual(mlirOperationGetParentOperation(ops.op[i]), func))
            ops.op[n++] = ops.op[i];
    ops.n = n;
    return ops;
}

/* Dims of a result of the function, put back around a level-1 value. */
static bool is_border(MlirOperation op)
{
    MlirValue v = mlirOperationGetResult(op, 0);
    return qbc_is_level1(qbc_strip(v)) || qbc_is_constant(v) || qbc_is(op, "onnx.None");
}

/* Not only moved, and neither sizes, masks nor positions. */
static bool is_arithmetic(struct qbc_evaluation *e, MlirOperation op)
{
    static const char *const moves[] = {"Transpose", "Concat", "Slice", "Split", "Expand",
                                        "Gather",    "Shape",  "Size",  "Range", NULL};
    MlirValue v = mlirOperationGetResult(op, 0);
    for (const char *const *m = moves; *m; ++m)
        if (!strcmp(onnx_name(op), *m))
            return false;
    const struct qbc_array *a = qbc_evaluate_small(e, v);
    bool data = !a || (!a->known && qbc_is_float(a->element));
    return data && qbc_same(qbc_strip(v), v) && !qbc_is_elementwise(op);
}

static bool takes_level1(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i)
        if (qbc_is_level1(qbc_strip(mlirOperationGetOperand(op, i))))
            return true;
    return false;
}

/* Which opset it is of, and what it gives: ", opset 18, gives [1, 4, T, P + T]". */
static const char *details(struct qbc *q, struct qbc_shapes *s, MlirOperation op)
{
    const char *dims = qbc_dims_text(s, mlirOperationGetResult(op, 0)), *name = onnx_name(op);
    MlirAttribute all = mlirOperationGetAttributeByName(qbc_module_op(op), qbc_str("qb.opset"));
    const char *opset = "";
    for (intptr_t i = 0; name && !mlirAttributeIsNull(all) && i < mlirArrayAttrGetNumElements(all); ++i) {
        MlirStringRef text = mlirStringAttrGetValue(mlirArrayAttrGetElement(all, i));
        const char *equals = memchr(text.data, '=', text.length);
        size_t domain = equals ? (size_t)(equals - text.data) : 0, number = text.length - domain - 1;
        if (equals && strchr(name, '.') ? domain && !strncmp(name, text.data, domain) : !domain)
            opset = qbc_text(q, ", opset %.*s", (int)number, equals + 1);
    }
    return dims ? qbc_text(q, "%s, gives %s", opset, dims) : opset;
}

static void complain(struct qbc *q, struct qbc_shapes *s, MlirOperation op, const char *why)
{
    const char *name = onnx_name(op) ? onnx_name(op) : qbc_op_name(op), *more = details(q, s, op);
    qbc_error(q, op, "%s is not understood: %s%s%s%s", name, why, *more ? " (" : "", *more ? more + 2 : "",
              *more ? ")" : "");
    qbc_set_bool(q, op, "qb.unknown", true);
}

void qbc_pass_check_graph(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = operations_of(q, func);
    struct qbc_shapes s;
    qbc_shapes_open(q, func, &s);
    size_t before = q->errors, left = 0;
    for (size_t i = 0; i < ops.n; ++i) {
        const char *miss = qbc_string(q, ops.op[i], "qb.miss", NULL);
        bool onnx = onnx_name(ops.op[i]) && !is_border(ops.op[i]);
        left += onnx;
        if (miss && (onnx || !onnx_name(ops.op[i])))
            complain(q, &s, ops.op[i], miss);
        else if (onnx && is_arithmetic(s.at[0], ops.op[i]))
            complain(q, &s, ops.op[i], "no pattern has this operation");
    }
    for (size_t i = 0; i < ops.n && left && q->errors == before; ++i)
        if (onnx_name(ops.op[i]) && !is_border(ops.op[i]) && takes_level1(ops.op[i]))
            complain(q, &s, ops.op[i], "no pattern has it here");
    for (size_t i = 0; i < ops.n && left && q->errors == before; ++i)
        if (onnx_name(ops.op[i]) && !is_border(ops.op[i]))
            complain(q, &s, ops.op[i], "no pattern has it");
    if (q->errors > before && qbc_has(module, "qb.source"))
        qbc_note(q, func, "a model that takes token ids is compiled as a language model; -entry=run compiles it as it is, slower (-Wslow-path)");
    qbc_shapes_close(&s);
}
