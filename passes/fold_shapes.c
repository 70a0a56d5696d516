/* fold-shapes: fold what only computes shapes, with T and P symbolic.
 *
 *   before   %s = "onnx.Shape"(%x)  %n = "onnx.Gather"(%s, %one)  ..  %c = "onnx.Concat"(..)
 *            %y = "onnx.Reshape"(%x, %c) : (..) -> tensor<*xf32>
 *   after    %y = "onnx.Reshape"(%x) {shape = ["1", "T", "4", "16"]} : (..) -> tensor<1x?x4x16xf32>
 *
 * needs    level 0; the arguments' qb.input and qb.dims
 * leaves   small constants where numbers are the same for every T (tokens of this call) and P
 *          (tokens in the cache); sizes, bounds and axes as attributes, each a sum of numbers, T
 * and P; ranked types with `?` where a size depends on T or P; no Cast, Reshape, .. that does
 *          nothing; no operation that nobody uses
 * keeps    what it cannot fold (attention masks: their numbers depend on T), with a warning where
 *          not even a shape can be told
 *
 * How: by what values are for several T and P (facts.h). Operations are only added until the end,
 * so that the evaluations stay valid.
 */
#include "facts.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>
enum { SMALL = 64, MOST_ENTRIES = 64 };

struct folding {
    struct qbc *q;
    struct qbc_probes probes;
    size_t n_constants; /* that the store has got */
};

/* --- operands that become attributes */

static const struct {
    const char *op;
    bool from_result; /* the attribute is the result's shape */
    struct {
        int operand;
        const char *name;
    } list[4];
} movable[] = {
    {"onnx.Reshape", true, {{1, "shape"}}},
    {"onnx.Expand", true, {{1, "shape"}}},
    {"onnx.ConstantOfShape", true, {{0, "shape"}}},
    {"onnx.Range", false, {{0, "start"}, {1, "limit"}, {2, "delta"}}},
    {"onnx.Squeeze", false, {{1, "axes"}}},
    {"onnx.Unsqueeze", false, {{1, "axes"}}},
    {"onnx.Split", false, {{1, "split"}}},
    {"onnx.Tile", false, {{1, "repeats"}}},
    {"onnx.Pad", false, {{1, "pads"}, {3, "axes"}}},
};
enum { N_MOVABLE = sizeof movable / sizeof *movable, MOST_MOVED = 4 };

static bool is_none(MlirValue v)
{
    return mlirTypeIsANone(mlirValueGetType(v));
}

/* The attributes for the operands that movable[row] names; false when one of them is not affine. */
static bool moved_attributes(struct folding *f, MlirOperation op, size_t row,
                             struct qbc_attr *moved)
{
    struct qbc_facts facts;
    for (int k = 0; k < MOST_MOVED; ++k)
        moved[k] = (struct qbc_attr){NULL, {NULL}};
    for (int k = 0; k < MOST_MOVED && movable[row].list[k].name; ++k) {
        intptr_t operand = movable[row].list[k].operand;
        if (operand >= mlirOperationGetNumOperands(op) ||
            is_none(mlirOperationGetOperand(op, operand)))
            continue;
        MlirValue v = movable[row].from_result ? mlirOperationGetResult(op, 0)
                                               : mlirOperationGetOperand(op, operand);
        moved[k].name = movable[row].list[k].name;
        if (!qbc_facts_of(&f->probes, v, &facts) ||
            (!movable[row].from_result && !qbc_facts_known(&facts)))
            return false;
        moved[k].value = movable[row].from_result ? qbc_affine_dims(f->q, &facts)
                                                  : qbc_affine_list(f->q, &facts);
        if (mlirAttributeIsNull(moved[k].value))
            return false;
    }
    return true;
}

/* op's operands without the moved ones: nothing at the end, onnx.None in between. */
static size_t kept_operands(struct folding *f, MlirOperation op, size_t row,
                            const struct qbc_attr *moved, MlirValue *kept)
{
    struct qbc_build b = qbc_before(f->q, op);
    intptr_t n = mlirOperationGetNumOperands(op);
    for (intptr_t i = 0; i < n; ++i)
        kept[i] = mlirOperationGetOperand(op, i);
    for (int k = 0; k < MOST_MOVED; ++k)
        if (moved[k].name)
            kept[movable[row].list[k].operand] = (MlirValue){NULL};
    while (n && (mlirValueIsNull(kept[n - 1]) || is_none(kept[n - 1])))
        --n;
    for (intptr_t i = 0; i < n; ++i)
        if (mlirValueIsNull(kept[i]))
            kept[i] = qbc_op(&b, "onnx.None", mlirNoneTypeGet(f->q->mlir), 0);
    return (size_t)n;
}

/* A copy of op with other operands and more attributes takes its place. */
static MlirOperation rebuild(struct folding *f, MlirOperation op, size_t n,
                             const MlirValue *operands, const struct qbc_attr *more)
{
    struct qbc_build b = qbc_before(f->q, op);
    intptr_t n_results = mlirOperationGetNumResults(op);
    MlirType *types = qbc_alloc(f->q, (size_t)(n_results + 1) * sizeof *types);
    for (intptr_t i = 0; i < n_results; ++i)
        types[i] = mlirValueGetType(mlirOperationGetResult(op, i));
    MlirOperation made =
        qbc_make_regions(&b, qbc_op_name(op), (size_t)n_results, types, NULL, n, operands, 0, NULL);
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); ++i) {
        MlirNamedAttribute a = mlirOperationGetAttribute(op, i);
        mlirOperationSetAttributeByName(made, mlirIdentifierStr(a.name), a.attribute);
    }
    for (int k = 0; k < MOST_MOVED; ++k)
        if (more[k].name)
            qbc_set(made, more[k].name, more[k].value);
    for (intptr_t i = 0; i < n_results; ++i)
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, i),
                                      mlirOperationGetResult(made, i));
    return made;
}

/* --- Slice: bounds count from the front and stay inside, which ONNX does not ask for */

/* starts, ends, axes and steps of a Slice as one probe sees them. */
struct bounds {
    const struct qbc_array *list[MOST_MOVED], *x;
};

static bool bounds_of(struct folding *f, MlirOperation op, int k, struct bounds *b)
{
    intptr_t n = mlirOperationGetNumOperands(op);
    *b = (struct bounds){.x = n ? qbc_evaluate(f->probes.e[k], mlirOperationGetOperand(op, 0))
                                : NULL};
    for (intptr_t i = 1; i < n && i <= MOST_MOVED; ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        const struct qbc_array *a = is_none(v) ? NULL : qbc_evaluate(f->probes.e[k], v);
        if (!is_none(v) &&
            (!a || !a->i || a->n > MOST_ENTRIES || (b->list[0] && a->n != b->list[0]->n)))
            return false;
        b->list[i - 1] = a;
    }
    return b->x && b->list[0] && b->list[1];
}

static int64_t inside(int64_t x, int64_t dim)
{
    x = x < 0 ? x + dim : x;
    return x < 0 ? 0 : x > dim ? dim : x;
}

/* Entry i of list `which`: as it stands, or in its plain form. */
static bool entry(const struct bounds *b, size_t which, size_t i, bool plain, int64_t *out)
{
    int64_t axis = b->list[2] ? b->list[2]->i[i] : (int64_t)i;
    int64_t step = b->list[3] ? b->list[3]->i[i] : 1;
    axis = axis < 0 ? axis + (int64_t)b->x->rank : axis;
    if (axis < 0 || axis >= (int64_t)b->x->rank)
        return false;
    int64_t raw = which == 2 ? axis : which == 3 ? step : b->list[which]->i[i];
    *out = plain && which < 2 && step > 0 ? inside(raw, b->x->dims[axis]) : raw;
    return true;
}

/* One list of all probes; entries whose plain form is not affine (min(4, T)) as they stand. */
static MlirAttribute slice_list(struct folding *f, const struct bounds *b, size_t which)
{
    MlirAttribute each[MOST_ENTRIES];
    size_t n = b[0].list[0]->n;
    for (size_t i = 0; i < n; ++i) {
        const char *text = NULL;
        for (int plain = 1; plain >= 0 && !text; --plain) {
            int64_t x[QBC_PROBES];
            for (int k = 0; k < QBC_PROBES; ++k)
                if (b[k].list[0]->n != n || !entry(&b[k], which, i, plain, &x[k]))
                    return (MlirAttribute){NULL};
            text = qbc_affine(f->q, x);
        }
        if (!text)
            return (MlirAttribute){NULL};
        each[i] = qbc_attr_string(f->q, text);
    }
    return mlirArrayAttrGet(f->q->mlir, (intptr_t)n, each);
}

static MlirOperation move_bounds(struct folding *f, MlirOperation op)
{
    static const char *const names[MOST_MOVED] = {"starts", "ends", "axes", "steps"};
    struct qbc_attr moved[MOST_MOVED];
    struct bounds b[QBC_PROBES];
    for (int k = 0; k < QBC_PROBES; ++k)
        if (!bounds_of(f, op, k, &b[k]))
            return op;
    for (size_t i = 0; i < MOST_MOVED; ++i) {
        moved[i] = (struct qbc_attr){names[i], slice_list(f, b, i)};
        if (mlirAttributeIsNull(moved[i].value))
            return op;
    }
    MlirValue x = mlirOperationGetOperand(op, 0);
    return rebuild(f, op, 1, &x, moved);
}

static MlirOperation move_operands(struct folding *f, MlirOperation op)
{
    struct qbc_attr moved[MOST_MOVED];
    bool any = false;
    size_t row = 0;
    if (qbc_is(op, "onnx.Slice"))
        return move_bounds(f, op);
    while (row < N_MOVABLE && !qbc_is(op, movable[row].op))
        ++row;
    if (row == N_MOVABLE || !moved_attributes(f, op, row, moved))
        return op;
    for (int k = 0; k < MOST_MOVED; ++k)
        any = any || moved[k].name;
    if (!any)
        return op;
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    MlirValue *kept = qbc_alloc(f->q, (n + 1) * sizeof *kept);
    n = kept_operands(f, op, row, moved, kept);
    return rebuild(f, op, n, kept, moved);
}

/* --- constants and types */

/* As the importer does, the store knows it too: it may be a small weight, laid out differently. */
static MlirAttribute store(struct folding *f, const struct qbc_array *a)
{
    struct qbc_source s = {.name = qbc_text(f->q, "folded.%zu", f->n_constants++),
                           .element = a->element,
                           .rank = a->rank,
                           .bytes = a->n * qbc_element_bytes(a->element)};
    void *bytes = qbc_alloc(f->q, s.bytes + 1);
    memcpy(s.dims, a->dims, sizeof s.dims);
    qbc_array_bytes(a, bytes);
    s.data = bytes;
    qbc_store_add(f->q, s);
    return qbc_attr_string(f->q, s.name);
}

static void make_constant(struct folding *f, MlirOperation op, MlirValue result,
                          const struct qbc_array *a)
{
    struct qbc_build b = qbc_before(f->q, op);
    MlirAttribute value = qbc_array_dense(f->q, a);
    struct qbc_attr attrs[] = {{"value", value}, {NULL, {NULL}}, {NULL, {NULL}}};
    if (a->f && a->n > 1)
        attrs[1] = (struct qbc_attr){"source", store(f, a)};
    MlirOperation made = qbc_make(&b, "onnx.Constant", mlirAttributeGetType(value), attrs, 0, NULL);
    mlirValueReplaceAllUsesOfWith(result, mlirOperationGetResult(made, 0));
}

static void type_arguments(struct folding *f, MlirOperation func)
{
    MlirBlock body = qbc_func_body(func);
    struct qbc_facts facts;
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(body); ++i)
        if (qbc_facts_of(&f->probes, mlirBlockGetArgument(body, i), &facts))
            mlirValueSetType(mlirBlockGetArgument(body, i), qbc_facts_type(f->q, &facts));
}

/* --- the pass */

static void complain(struct folding *f, MlirOperation op)
{
    MlirOperation where = {NULL};
    const char *name = qbc_op_name(op);
    name += strncmp(name, "onnx.", 5) ? 0 : 5;
    for (int k = 0; k < QBC_PROBES; ++k) {
        if (qbc_evaluate(f->probes.e[k], mlirOperationGetResult(op, 0)))
            continue;
        const char *why = qbc_evaluation_problem(f->probes.e[k], &where);
        if (mlirOperationEqual(where, op)) /* the others follow from it */
            qbc_warn(f->q, op, "%s: the shape of its result cannot be told: %s", name, why);
        return;
    }
}

static void fold(struct folding *f, MlirOperation op)
{
    struct qbc_facts facts;
    intptr_t n = mlirOperationGetNumResults(op);
    if (n == 0 || qbc_is(op, "onnx.Constant") || qbc_is(op, "onnx.None"))
        return;
    bool has_facts = qbc_facts_of(&f->probes, mlirOperationGetResult(op, 0), &facts);
    intptr_t idle = has_facts ? qbc_idle_operand(&f->probes, op, &facts) : -1;
    if (idle >= 0) {
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), mlirOperationGetOperand(op, idle));
        return;
    }
    for (intptr_t i = 0; i < n; ++i) {
        MlirValue result = mlirOperationGetResult(op, i);
        if (!qbc_facts_of(&f->probes, result, &facts))
            continue;
        mlirValueSetType(result, qbc_facts_type(f->q, &facts));
        if (!qbc_is(op, "qb.weight") && qbc_uses(result) && facts.a[0]->n <= SMALL &&
            qbc_facts_constant(&facts))
            make_constant(f, op, result, facts.a[0]);
    }
    if (!qbc_facts_of(&f->probes, mlirOperationGetResult(op, 0), &facts))
        complain(f, op);
    else if (qbc_uses(mlirOperationGetResult(op, 0)) || n > 1)
        move_operands(f, op);
}

/* The function's results may have got other types. */
static void type_results(struct qbc *q, MlirOperation func)
{
    MlirBlock body = qbc_func_body(func);
    MlirOperation end = mlirBlockGetTerminator(body);
    intptr_t n_in = mlirBlockGetNumArguments(body), n_out = mlirOperationGetNumOperands(end);
    MlirType *in = qbc_alloc(q, (size_t)(n_in + 1) * sizeof *in);
    MlirType *out = qbc_alloc(q, (size_t)(n_out + 1) * sizeof *out);
    for (intptr_t i = 0; i < n_in; ++i)
        in[i] = mlirValueGetType(mlirBlockGetArgument(body, i));
    for (intptr_t i = 0; i < n_out; ++i)
        out[i] = mlirValueGetType(mlirOperationGetOperand(end, i));
    qbc_set(func, "function_type",
            mlirTypeAttrGet(mlirFunctionTypeGet(q->mlir, n_in, in, n_out, out)));
}

void qbc_pass_fold_shapes(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_find_func(module, "main");
    if (mlirOperationIsNull(func)) {
        qbc_error(q, module, "there is no function @main; fold-shapes wants an imported model");
        return;
    }
    struct folding f = {.q = q, .probes = qbc_probes_create(q, func)};
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    type_arguments(&f, func);
    for (size_t i = 0; i < ops.n; ++i)
        if (!mlirOperationEqual(ops.op[i], func))
            fold(&f, ops.op[i]);
    qbc_probes_destroy(&f.probes);
    type_results(q, func);
    qbc_sweep_all(q, func);
}
