/* graph: looking around in a graph that is partly level 0 and partly level 1 (pattern.h). */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool starts(const char *text, const char *head)
{
    return !strncmp(text, head, strlen(head));
}

MlirOperation qbc_main(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_find_func(module, "main");
    if (mlirOperationIsNull(func))
        qbc_error(q, module, "there is no function @main");
    return func;
}

bool qbc_is_level1(MlirValue v)
{
    static const char *const no_rows[] = {"qb.weight", "qb.state", NULL};
    MlirOperation op = qbc_def_any(v);
    if (mlirOperationIsNull(op) || qbc_rank(v) != 2)
        return false;
    const char *name = qbc_op_name(op);
    return starts(name, "arith.") || (starts(name, "qb.") && !qbc_one_of(name, no_rows));
}

bool qbc_is_constant(MlirValue v)
{
    static const char *const constants[] = {"onnx.Constant", "qb.weight", NULL};
    MlirOperation op = qbc_def_any(v);
    return !mlirOperationIsNull(op) && qbc_one_of(qbc_op_name(op), constants);
}

MlirValue qbc_operand_at(MlirOperation op, intptr_t i)
{
    if (i >= mlirOperationGetNumOperands(op) || qbc_is_none(mlirOperationGetOperand(op, i)))
        return (MlirValue){NULL};
    return mlirOperationGetOperand(op, i);
}

MlirType qbc_unranked(struct qbc *q)
{
    return mlirUnrankedTensorTypeGet(mlirF32TypeGet(q->mlir));
}

bool qbc_is_none(MlirValue v)
{
    return mlirValueIsNull(v) || mlirTypeIsANone(mlirValueGetType(v));
}

bool qbc_is_elementwise(MlirOperation op)
{
    static const char *const elementwise[] = {
        "onnx.Abs", "onnx.Add", "onnx.And", "onnx.Cast", "onnx.CastLike", "onnx.Clip",
        "onnx.Cos", "onnx.Div", "onnx.Dropout", "onnx.Elu", "onnx.Equal", "onnx.Erf", "onnx.Exp",
        "onnx.Gelu", "onnx.Greater", "onnx.GreaterOrEqual", "onnx.HardSigmoid", "onnx.HardSwish",
        "onnx.Identity", "onnx.IsInf", "onnx.IsNaN", "onnx.LeakyRelu", "onnx.Less",
        "onnx.LessOrEqual", "onnx.Log", "onnx.Max", "onnx.Min", "onnx.Mish", "onnx.Mul",
        "onnx.Neg", "onnx.Not", "onnx.Or", "onnx.Pow", "onnx.Reciprocal", "onnx.Relu",
        "onnx.Sigmoid", "onnx.Sin", "onnx.Softplus", "onnx.Sqrt", "onnx.Sub", "onnx.Sum",
        "onnx.Swish", "onnx.Tanh", "onnx.Where", "onnx.com.microsoft.FastGelu",
        "onnx.com.microsoft.Gelu", "onnx.com.microsoft.QuickGelu", NULL};
    return qbc_one_of(qbc_op_name(op), elementwise);
}

bool qbc_same(MlirValue a, MlirValue b)
{
    return mlirValueEqual(a, b);
}

struct qbc_ops qbc_users(struct qbc *q, MlirValue v)
{
    struct qbc_ops users = {qbc_alloc(q, (qbc_uses(v) + 1) * sizeof(MlirOperation)), 0};
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        size_t i = 0;
        while (i < users.n && !mlirOperationEqual(users.op[i], user))
            ++i;
        if (i == users.n)
            users.op[users.n++] = user;
    }
    return users;
}

MlirOperation qbc_only_user(MlirValue v)
{
    MlirOperation user = {NULL};
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
        MlirOperation owner = mlirOpOperandGetOwner(use);
        if (!mlirOperationIsNull(user) && !mlirOperationEqual(user, owner))
            return (MlirOperation){NULL};
        user = owner;
    }
    return user;
}

static bool is_float(MlirValue v)
{
    MlirType type = mlirValueGetType(v);
    return mlirTypeIsAShaped(type) && mlirTypeIsAFloat(mlirShapedTypeGetElementType(type));
}

MlirValue qbc_strip(MlirValue v)
{
    static const char *const moves[] = {"onnx.Reshape",  "onnx.Squeeze",  "onnx.Unsqueeze",
                                        "onnx.Flatten",  "onnx.Identity", "onnx.Cast",
                                        "onnx.CastLike", "onnx.Dropout",  NULL};
    for (;;) {
        MlirOperation op = qbc_def_any(v);
        if (mlirOperationIsNull(op) || !qbc_one_of(qbc_op_name(op), moves) ||
            mlirOpResultGetResultNumber(v) != 0)
            return v;
        MlirValue from = mlirOperationGetOperand(op, 0);
        if (is_float(from) != is_float(v))
            return v; /* a cast that changes what the numbers are */
        v = from;
    }
}

/* --- cones */

/* A set of addresses, and the values still to be looked at. */
struct walk {
    struct qbc *q;
    const void **seen;
    size_t n_seen, capacity;
    struct qbc_values stack;
    size_t stack_capacity;
    size_t n_cut;
    const MlirValue *cut;
};

static size_t place(const struct walk *w, const void *p)
{
    size_t i = ((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 20 & (w->capacity - 1);
    while (w->seen[i] && w->seen[i] != p)
        i = (i + 1) & (w->capacity - 1);
    return i;
}

static bool first_time(struct walk *w, const void *p)
{
    if (2 * w->n_seen >= w->capacity) {
        struct walk old = *w;
        w->capacity = old.capacity ? 2 * old.capacity : 256;
        w->seen = qbc_alloc(w->q, w->capacity * sizeof *w->seen);
        for (size_t i = 0; i < old.capacity; ++i)
            if (old.seen[i])
                w->seen[place(w, old.seen[i])] = old.seen[i];
    }
    size_t i = place(w, p);
    if (w->seen[i])
        return false;
    w->seen[i] = p;
    ++w->n_seen;
    return true;
}

static void append(struct qbc *q, struct qbc_values *list, size_t *capacity, MlirValue v)
{
    if (list->n == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 64;
        MlirValue *grown = qbc_alloc(q, *capacity * sizeof *grown);
        if (list->n)
            memcpy(grown, list->v, list->n * sizeof *grown);
        list->v = grown;
    }
    list->v[list->n++] = v;
}

static void push(struct walk *w, MlirValue v)
{
    if (!qbc_is_none(v) && first_time(w, v.ptr))
        append(w->q, &w->stack, &w->stack_capacity, v);
}

static bool is_end(const struct walk *w, MlirValue v)
{
    for (size_t i = 0; i < w->n_cut; ++i)
        if (qbc_same(v, w->cut[i]))
            return true;
    return mlirOperationIsNull(qbc_def_any(v)) || qbc_is_level1(v) || qbc_is_constant(v);
}

static void push_operands(struct walk *w, MlirOperation op)
{
    static const char *const blind[] = {"onnx.Shape", "onnx.Size", NULL};
    if (qbc_one_of(qbc_op_name(op), blind))
        return;
    for (intptr_t i = mlirOperationGetNumOperands(op); i-- > 0;)
        push(w, mlirOperationGetOperand(op, i));
}

struct qbc_values qbc_leaves(struct qbc *q, MlirValue v, size_t n_cut, const MlirValue *cut)
{
    struct walk w = {.q = q, .n_cut = n_cut, .cut = cut};
    struct qbc_values leaves = {0};
    size_t capacity = 0;
    push(&w, v);
    while (w.stack.n) {
        MlirValue at = w.stack.v[--w.stack.n];
        if (is_end(&w, at))
            append(q, &leaves, &capacity, at);
        else
            push_operands(&w, qbc_def_any(at));
    }
    return leaves;
}

struct qbc_ops qbc_cone(struct qbc *q, MlirValue v, size_t n_cut, const MlirValue *cut)
{
    struct walk w = {.q = q, .n_cut = n_cut, .cut = cut};
    struct walk ops = {.q = q};
    struct qbc_values results = {0};
    size_t capacity = 0;
    push(&w, v);
    while (w.stack.n) {
        MlirValue at = w.stack.v[--w.stack.n];
        MlirOperation op = qbc_def_any(at);
        bool end = is_end(&w, at);
        if ((!end || qbc_is_constant(at)) && first_time(&ops, op.ptr))
            append(q, &results, &capacity, at);
        if (!end)
            push_operands(&w, op);
    }
    struct qbc_ops cone = {qbc_alloc(q, (results.n + 1) * sizeof(MlirOperation)), results.n};
    for (size_t i = 0; i < results.n; ++i)
        cone.op[i] = qbc_def_any(results.v[i]);
    return cone;
}

/* --- names */

const char *qbc_input(struct qbc *q, MlirOperation func, MlirValue v)
{
    if (!mlirValueIsABlockArgument(v))
        return NULL;
    size_t i = (size_t)mlirBlockArgumentGetArgNumber(v);
    MlirAttribute kind = qbc_function_attr(func, "arg_attrs", i, "qb.input");
    if (mlirAttributeIsNull(kind) || !mlirAttributeIsAString(kind))
        return NULL;
    MlirStringRef s = mlirStringAttrGetValue(kind);
    return qbc_copy(q, s.data, s.length);
}

intptr_t qbc_present_of(MlirOperation func, MlirValue past)
{
    intptr_t n = mlirOperationGetNumOperands(qbc_return_of(func));
    for (intptr_t i = 0; i < n && !mlirValueIsNull(past); ++i) {
        MlirAttribute a = qbc_function_attr(func, "res_attrs", (size_t)i, "qb.past");
        if (!mlirAttributeIsNull(a) && mlirAttributeIsAInteger(a) &&
            mlirIntegerAttrGetValueInt(a) == mlirBlockArgumentGetArgNumber(past))
            return i;
    }
    return -1;
}

const char *qbc_place_name(struct qbc *q, MlirOperation op)
{
    MlirLocation loc = mlirOperationGetLocation(op);
    if (mlirLocationIsAName(loc)) {
        MlirStringRef name = mlirIdentifierStr(mlirLocationNameGetName(loc));
        return qbc_copy(q, name.data, name.length);
    }
    if (mlirLocationIsAFileLineColRange(loc))
        return qbc_text(q, "line %d", mlirLocationFileLineColRangeGetStartLine(loc));
    return "";
}

enum { LONGEST_MISS = 600 };

/* Does the user want to know of patterns that nearly matched here? */
static bool is_debugged(struct qbc *q, MlirOperation op)
{
    const char *name = q->options.debug_match;
    return name && strstr(qbc_place_name(q, op), name);
}

void qbc_miss(struct qbc *q, MlirOperation op, const char *format, ...)
{
    char reason[LONGEST_MISS];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    const char *before = qbc_string(q, op, "qb.miss", NULL);
    if (before && strstr(before, reason))
        return;
    if (is_debugged(q, op))
        qbc_note(q, op, "a pattern nearly matched at %s: %s", qbc_op_name(op), reason);
    qbc_set_string(q, op, "qb.miss", before ? qbc_text(q, "%s; %s", before, reason) : reason);
}
