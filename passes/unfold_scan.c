/* unfold-scan: a Scan or Loop over the tokens of a call, in a model with a cache, as the model for one token a call.
 *
 *   before   tokens [1, T];  %last, %ys = Scan(%past, %xs) ({^(%s, %x): ... onnx.yield %next, %y})
 *   after    tokens [1, 1];  %x = Squeeze(%xs) ... %ys = Unsqueeze(%y)                             %last is %next
 *
 * A model with a cache may be asked one token at a time, so no more than that says what it is; and then the loop's body runs once. What a
 * recurrence does with any number of tokens is found out from that, as for exports that were made for one token.
 *
 * needs    level 0
 * leaves   no loop over tokens
 * keeps    loops whose state begins anew in each call, that run backwards or another number of times, and notes why
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { MOST_AXES = 64 };

static bool is_loop(MlirOperation op)
{
    return (qbc_is(op, "onnx.Scan") || qbc_is(op, "onnx.Loop")) && mlirOperationGetNumRegions(op) == 1;
}

/* Operands that are carried: from which one on, and how many. */
static intptr_t first_state(MlirOperation op)
{
    return qbc_is(op, "onnx.Loop") ? 2 : 0;
}

static int64_t scan_inputs(MlirOperation op)
{
    return qbc_is(op, "onnx.Scan") ? qbc_int(op, "num_scan_inputs", 0) : 0;
}

static intptr_t count_states(MlirOperation op)
{
    return mlirOperationGetNumOperands(op) - first_state(op) - (intptr_t)scan_inputs(op);
}

/* Entry i of a list of axes or directions; 0: it is not there. */
static int64_t entry(struct qbc *q, MlirOperation op, const char *name, intptr_t i)
{
    const int64_t *list;
    return (intptr_t)qbc_ints(q, op, name, &list) > i ? list[i] : 0;
}

/* --- which loops */

/* Is a carried value made of what the call before left? */
static bool continues(struct qbc *q, MlirOperation func, MlirOperation op)
{
    for (intptr_t i = 0; i < count_states(op); ++i) {
        struct qbc_values leaves = qbc_leaves(q, mlirOperationGetOperand(op, first_state(op) + i), 0, NULL);
        for (size_t k = 0; k < leaves.n; ++k) {
            const char *input = qbc_input(q, func, leaves.v[k]);
            if (input && !strcmp(input, "past"))
                return true;
        }
    }
    return false;
}

static bool runs_forward(struct qbc *q, MlirOperation op)
{
    for (intptr_t i = 0; i < MOST_AXES; ++i)
        if (entry(q, op, "scan_input_directions", i) || entry(q, op, "scan_output_directions", i))
            return false;
    return true;
}

static bool may_unfold(struct qbc *q, MlirOperation func, MlirOperation op)
{
    if (count_states(op) < 1 || !continues(q, func, op))
        qbc_miss(q, op, "its state begins anew in each call; export the model with its cache, or for one token");
    else if (!runs_forward(q, op))
        qbc_miss(q, op, "it runs from the last token to the first");
    else
        return true;
    return false;
}

/* With one token, does it run once? */
static bool runs_once(struct qbc *q, MlirOperation func, MlirOperation op)
{
    struct qbc_evaluation *e = qbc_probe(q, func, 1, 3);
    bool once = true;
    if (qbc_is(op, "onnx.Loop")) {
        const struct qbc_array *trips = qbc_is_none(mlirOperationGetOperand(op, 0)) ? NULL : qbc_evaluate(e, mlirOperationGetOperand(op, 0));
        once = trips && trips->known && trips->i && trips->n == 1 && trips->i[0] == 1;
    }
    for (intptr_t i = first_state(op) + count_states(op), k = 0; once && i < mlirOperationGetNumOperands(op); ++i, ++k) {
        const struct qbc_array *a = qbc_evaluate_small(e, mlirOperationGetOperand(op, i));
        int64_t axis = entry(q, op, "scan_input_axes", k);
        axis += a && axis < 0 ? (int64_t)a->rank : 0;
        once = a && axis >= 0 && axis < (int64_t)a->rank && a->dims[axis] == 1;
    }
    qbc_evaluation_destroy(e);
    if (!once)
        qbc_miss(q, op, "it does not run once for each token");
    return once;
}

/* --- one token */

/* "P + T" with 1 for T. */
static MlirAttribute for_one(struct qbc *q, MlirAttribute dims)
{
    MlirAttribute at[QBC_MAX_RANK];
    intptr_t n = mlirArrayAttrGetNumElements(dims);
    for (intptr_t i = 0; i < n && i < QBC_MAX_RANK; ++i) {
        MlirStringRef s = mlirStringAttrGetValue(mlirArrayAttrGetElement(dims, i));
        char *text = qbc_copy(q, s.data, s.length);
        for (char *c = text; *c; ++c)
            *c = *c == 'T' ? '1' : *c;
        at[i] = qbc_attr_string(q, text);
    }
    return mlirArrayAttrGet(q->mlir, n < QBC_MAX_RANK ? n : QBC_MAX_RANK, at);
}

/* An argument's or result's attributes, of which qb.dims changes. */
static MlirAttribute changed(struct qbc *q, MlirAttribute dictionary)
{
    intptr_t n = mlirDictionaryAttrGetNumElements(dictionary);
    MlirNamedAttribute *all = qbc_alloc(q, (size_t)(n + 1) * sizeof *all);
    for (intptr_t i = 0; i < n; ++i) {
        all[i] = mlirDictionaryAttrGetElement(dictionary, i);
        if (mlirStringRefEqual(mlirIdentifierStr(all[i].name), qbc_str("qb.dims")) && mlirAttributeIsAArray(all[i].attribute))
            all[i].attribute = for_one(q, all[i].attribute);
    }
    return mlirDictionaryAttrGet(q->mlir, n, all);
}

static void change_list(struct qbc *q, MlirOperation func, const char *name)
{
    MlirAttribute list = mlirOperationGetAttributeByName(func, qbc_str(name));
    if (mlirAttributeIsNull(list) || !mlirAttributeIsAArray(list))
        return;
    intptr_t n = mlirArrayAttrGetNumElements(list);
    MlirAttribute *all = qbc_alloc(q, (size_t)(n + 1) * sizeof *all);
    for (intptr_t i = 0; i < n; ++i)
        all[i] = changed(q, mlirArrayAttrGetElement(list, i));
    qbc_set(func, name, mlirArrayAttrGet(q->mlir, n, all));
}

static void ask_one_token(struct qbc *q, MlirOperation func)
{
    change_list(q, func, "arg_attrs");
    change_list(q, func, "res_attrs");
}

/* --- the body, once */

static MlirValue reshaped(struct qbc_build *b, const char *name, MlirValue v, int64_t axis)
{
    MlirType type = mlirUnrankedTensorTypeGet(mlirShapedTypeGetElementType(mlirValueGetType(v)));
    return qbc_op(b, name, type, 2, v, qbc_ints_constant(b, &axis, 1));
}

/* What the body's argument i is the first time. */
static MlirValue argument(struct qbc_build *b, MlirOperation op, intptr_t i, MlirType type)
{
    intptr_t states = count_states(op), first = first_state(op);
    if (i >= first)
        return i < first + states ? mlirOperationGetOperand(op, i)
                                  : reshaped(b, "onnx.Squeeze", mlirOperationGetOperand(op, i), entry(b->q, op, "scan_input_axes", i - states));
    MlirValue number = reshaped(b, "onnx.Squeeze", qbc_ints_constant(b, &(int64_t){i}, 1), 0); /* which turn: 0; to be continued: 1 */
    return i ? qbc_op(b, "onnx.Cast", type, 1, number) : number;
}

static void unfold(struct qbc *q, MlirOperation op)
{
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    struct qbc_build b = qbc_before(q, op);
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(body); ++i) {
        MlirValue inside = mlirBlockGetArgument(body, i), now = argument(&b, op, i, mlirValueGetType(inside));
        if (first_state(op) && i == 1)
            qbc_set_int(q, qbc_def_any(now), "to", QBC_BOOL);
        mlirValueReplaceAllUsesOfWith(inside, now);
    }
    MlirOperation last = qbc_splice(body, op);
    b = qbc_before(q, op);
    intptr_t states = count_states(op), skipped = first_state(op) ? 1 : 0; /* a Loop's yields whether to go on */
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i) {
        MlirValue v = mlirOperationGetOperand(last, i + skipped);
        if (i >= states)
            v = reshaped(&b, "onnx.Unsqueeze", v, entry(q, op, "scan_output_axes", i - states));
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, i), v);
    }
    mlirOperationDestroy(op);
}

/* As many of everything as it says; nothing else here asks again. */
static bool has_arguments(MlirOperation op)
{
    intptr_t operands = mlirOperationGetNumOperands(op);
    int64_t inputs = scan_inputs(op);
    if (operands < first_state(op) || inputs < 0 || inputs > operands)
        return false;
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    MlirOperation last = qbc_last_of(body);
    return mlirBlockGetNumArguments(body) == operands &&
           mlirOperationGetNumOperands(last) == mlirOperationGetNumResults(op) + (first_state(op) ? 1 : 0);
}

void qbc_pass_unfold_scan(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    bool one = qbc_is_step(func), any = false;
    MlirOperation next;
    for (MlirOperation op = mlirBlockGetFirstOperation(qbc_func_body(func)); !mlirOperationIsNull(op); op = next) {
        next = mlirOperationGetNextInBlock(op);
        if (!is_loop(op) || !has_arguments(op) || (!one && !may_unfold(q, func, op)))
            continue;
        if (!one)
            ask_one_token(q, func);
        one = true;
        if (runs_once(q, func, op)) {
            unfold(q, op);
            any = true;
        }
    }
    if (any)
        qbc_tidy(q, module);
}
