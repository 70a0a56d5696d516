/* fold-shapes: fold what only computes shapes, with T and P symbolic.
 *
 *   before   %s = "onnx.Shape"(%x)  %n = "onnx.Gather"(%s, %one)  ..  %c = "onnx.Concat"(..)
 *            %y = "onnx.Reshape"(%x, %c) : (..) -> tensor<*xf32>
 *   after    %y = "onnx.Reshape"(%x) {shape = ["1", "T", "4", "16"]} : (..) -> tensor<1x?x4x16xf32>
 *
 * needs    level 0; the arguments' qb.input and qb.dims
 * leaves   small constants where numbers are the same for every T (tokens of this call) and P
 *          (tokens in the cache); sizes, bounds and axes as attributes, each a sum of numbers, T and
 *          P; ranked types with `?` where a size depends on T or P; no Cast, Reshape, .. that does
 *          nothing; no operation that nobody uses
 * keeps    what it cannot fold (attention masks: their numbers depend on T), with a warning where
 *          not even a shape can be told
 *
 * How: the graph is evaluated for a few pairs of T and P (evaluate.h). What agrees in all of them is
 * taken as a constant, what lies on a plane as affine; the pairs outnumber the unknowns. Operations
 * are only added until the end, so that evaluations stay valid.
 */
#include "evaluate.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>

enum { PROBES = 5, SMALL = 64, MOST_ENTRIES = 64 };
static const int64_t probe_tokens[PROBES] = {5, 6, 5, 17, 1};
static const int64_t probe_past[PROBES] = {3, 3, 4, 29, 0};

struct folding {
    struct qbc *q;
    struct qbc_evaluation *e[PROBES];
    size_t n_constants;
};

/* What a value is for each probe. */
struct facts {
    const struct qbc_array *a[PROBES];
};

static bool shapes_of(const struct folding *f, MlirValue v, struct facts *facts)
{
    if (mlirTypeIsANone(mlirValueGetType(v)))
        return false;
    for (int k = 0; k < PROBES; ++k) {
        facts->a[k] = qbc_evaluate(f->e[k], v);
        if (!facts->a[k] || facts->a[k]->rank != facts->a[0]->rank)
            return false;
    }
    return true;
}

static bool same_dims(const struct qbc_array *a, const struct qbc_array *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

static bool all_known(const struct facts *facts)
{
    for (int k = 0; k < PROBES; ++k)
        if (!facts->a[k]->known)
            return false;
    return true;
}

/* Bitwise, so that -0 and NaN stay what they are. */
static bool is_constant(const struct facts *facts)
{
    const struct qbc_array *first = facts->a[0];
    if (!all_known(facts) || first->n > SMALL)
        return false;
    for (int k = 1; k < PROBES; ++k) {
        const struct qbc_array *a = facts->a[k];
        if (!same_dims(a, first) ||
            (a->f ? memcmp(a->f, first->f, a->n * sizeof *a->f)
                  : memcmp(a->i, first->i, a->n * sizeof *a->i)))
            return false;
    }
    return true;
}

/* --- sums of numbers, T and P */

/* The text of x = a + b T + c P, or NULL: three probes give a, b, c, the others confirm. */
static const char *affine(struct qbc *q, const int64_t x[PROBES])
{
    int64_t b = x[1] - x[0], c = x[2] - x[0];
    int64_t a = x[0] - b * probe_tokens[0] - c * probe_past[0];
    const char *text = "";
    if (llabs(x[0]) > INT32_MAX || llabs(b) > INT32_MAX || llabs(c) > INT32_MAX)
        return NULL;
    for (int k = 3; k < PROBES; ++k)
        if (x[k] != a + b * probe_tokens[k] + c * probe_past[k])
            return NULL;
    if (c)
        text = c == 1 ? "P" : qbc_text(q, "%lld*P", (long long)c);
    if (b) {
        const char *sign = *text ? b < 0 ? " - " : " + " : b < 0 ? "-" : "";
        text = llabs(b) == 1 ? qbc_text(q, "%s%sT", text, sign)
                             : qbc_text(q, "%s%s%lld*T", text, sign, llabs(b));
    }
    if (!*text)
        return qbc_text(q, "%lld", (long long)a);
    return a ? qbc_text(q, "%s %c %lld", text, a < 0 ? '-' : '+', llabs(a)) : text;
}

static MlirAttribute texts(struct qbc *q, size_t n, int64_t (*x)[PROBES])
{
    MlirAttribute each[MOST_ENTRIES];
    for (size_t i = 0; i < n; ++i) {
        const char *text = affine(q, x[i]);
        if (!text)
            return (MlirAttribute){NULL};
        each[i] = qbc_attr_string(q, text);
    }
    return mlirArrayAttrGet(q->mlir, (intptr_t)n, each);
}

static MlirAttribute dims_attribute(struct qbc *q, const struct facts *facts)
{
    int64_t x[QBC_MAX_RANK][PROBES];
    for (size_t d = 0; d < facts->a[0]->rank; ++d)
        for (int k = 0; k < PROBES; ++k)
            x[d][k] = facts->a[k]->dims[d];
    return texts(q, facts->a[0]->rank, x);
}

/* The numbers of a short list of integers; a scalar gives one text, not a list. */
static MlirAttribute list_attribute(struct qbc *q, const struct facts *facts)
{
    int64_t x[MOST_ENTRIES][PROBES];
    size_t n = facts->a[0]->n;
    for (int k = 0; k < PROBES; ++k)
        if (!facts->a[k]->i || facts->a[k]->n != n || n > MOST_ENTRIES)
            return (MlirAttribute){NULL};
    for (size_t i = 0; i < n; ++i)
        for (int k = 0; k < PROBES; ++k)
            x[i][k] = facts->a[k]->i[i];
    if (facts->a[0]->rank)
        return texts(q, n, x);
    const char *text = affine(q, x[0]);
    return text ? qbc_attr_string(q, text) : (MlirAttribute){NULL};
}

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
    struct facts facts;
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
        if (!shapes_of(f, v, &facts) || (!movable[row].from_result && !all_known(&facts)))
            return false;
        moved[k].value = movable[row].from_result ? dims_attribute(f->q, &facts)
                                                  : list_attribute(f->q, &facts);
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
static MlirOperation rebuild(struct folding *f, MlirOperation op, size_t n, const MlirValue *operands,
                             const struct qbc_attr *more)
{
    struct qbc_build b = qbc_before(f->q, op);
    intptr_t n_results = mlirOperationGetNumResults(op);
    MlirType *types = qbc_alloc(f->q, (size_t)(n_results + 1) * sizeof *types);
    for (intptr_t i = 0; i < n_results; ++i)
        types[i] = mlirValueGetType(mlirOperationGetResult(op, i));
    MlirOperation made = qbc_make_regions(&b, qbc_op_name(op), (size_t)n_results, types, NULL, n,
                                          operands, 0, NULL);
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
    *b = (struct bounds){.x = n ? qbc_evaluate(f->e[k], mlirOperationGetOperand(op, 0)) : NULL};
    for (intptr_t i = 1; i < n && i <= MOST_MOVED; ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        const struct qbc_array *a = is_none(v) ? NULL : qbc_evaluate(f->e[k], v);
        if (!is_none(v) && (!a || !a->i || a->n > MOST_ENTRIES || (b->list[0] && a->n != b->list[0]->n)))
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
            int64_t x[PROBES];
            for (int k = 0; k < PROBES; ++k)
                if (b[k].list[0]->n != n || !entry(&b[k], which, i, plain, &x[k]))
                    return (MlirAttribute){NULL};
            text = affine(f->q, x);
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
    struct bounds b[PROBES];
    for (int k = 0; k < PROBES; ++k)
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

/* --- operations that do nothing */

/* These do nothing when the result has the operand's shape (and, for Cast, its type). */
static bool may_be_idle(MlirOperation op)
{
    static const char *const names[] = {
        "onnx.Cast", "onnx.Identity", "onnx.Dropout",   "onnx.Reshape", "onnx.Expand", "onnx.Flatten",
        "onnx.Tile", "onnx.Squeeze",  "onnx.Unsqueeze", "onnx.Concat",  "onnx.Split",  NULL};
    size_t i = 0;
    while (names[i] && !qbc_is(op, names[i]))
        ++i;
    return names[i] != NULL;
}

/* A Slice that keeps every size keeps every element, in order unless it steps backwards. */
static bool is_forward_slice(struct folding *f, MlirOperation op)
{
    struct facts steps;
    if (!qbc_is(op, "onnx.Slice"))
        return false;
    if (mlirOperationGetNumOperands(op) < 5)
        return !qbc_has(op, "steps");
    if (!shapes_of(f, mlirOperationGetOperand(op, 4), &steps) || !all_known(&steps))
        return false;
    for (size_t i = 0; i < steps.a[0]->n; ++i)
        if (steps.a[0]->i[i] != 1)
            return false;
    return is_constant(&steps);
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

static bool is_idle(struct folding *f, MlirOperation op, const struct facts *result)
{
    struct facts operand;
    if (!mlirOperationGetNumOperands(op) || !others_unused(op) ||
        (qbc_is(op, "onnx.Concat") && mlirOperationGetNumOperands(op) > 1) ||
        (!may_be_idle(op) && !is_forward_slice(f, op) && !is_identity_transpose(f->q, op)) ||
        (qbc_is(op, "onnx.Dropout") && mlirOperationGetNumOperands(op) > 2)) /* may be training */
        return false;
    if (!shapes_of(f, mlirOperationGetOperand(op, 0), &operand))
        return false;
    for (int k = 0; k < PROBES; ++k)
        if (!same_dims(operand.a[k], result->a[k]))
            return false;
    return operand.a[0]->element == result->a[0]->element;
}

/* --- constants and types */

static void store_element(const struct qbc_array *a, size_t i, unsigned char *to)
{
    uint16_t half = a->f ? qbc_float_to_half(a->f[i]) : 0;
    double wide = a->f ? (double)a->f[i] : 0;
    uint32_t bits;
    if (a->element == QBC_F16) {
        memcpy(to, &half, 2);
    } else if (a->element == QBC_BF16) {
        memcpy(&bits, &a->f[i], 4);
        half = (uint16_t)(bits >> 16); /* exact: Cast has rounded */
        memcpy(to, &half, 2);
    } else if (a->element == QBC_F64) {
        memcpy(to, &wide, 8);
    } else if (a->f) {
        memcpy(to, &a->f[i], 4);
    } else {
        memcpy(to, &a->i[i], qbc_element_bytes(a->element)); /* little-endian: the low bytes */
    }
}

static MlirAttribute dense(struct qbc *q, const struct qbc_array *a)
{
    MlirType type = qbc_tensor(q, qbc_element_type(q, a->element), a->rank, a->dims);
    unsigned char bytes[SMALL * sizeof(double)];
    int truths[SMALL];
    size_t size = qbc_element_bytes(a->element);
    for (size_t i = 0; i < a->n; ++i) {
        if (a->element == QBC_BOOL)
            truths[i] = a->i[i] != 0;
        else
            store_element(a, i, bytes + i * size);
    }
    if (a->element == QBC_BOOL)
        return mlirDenseElementsAttrBoolGet(type, (intptr_t)a->n, truths);
    return mlirDenseElementsAttrRawBufferGet(type, a->n * size, bytes);
}

/* As the importer does, the store knows it too: it may be a small weight, laid out differently. */
static MlirAttribute store(struct folding *f, const struct qbc_array *a)
{
    struct qbc_source s = {.name = qbc_text(f->q, "folded.%zu", f->n_constants++),
                           .element = a->element,
                           .rank = a->rank,
                           .bytes = a->n * qbc_element_bytes(a->element)};
    unsigned char *bytes = qbc_alloc(f->q, s.bytes + 1);
    memcpy(s.dims, a->dims, a->rank * sizeof *s.dims);
    for (size_t i = 0; i < a->n; ++i)
        store_element(a, i, bytes + i * qbc_element_bytes(a->element));
    s.data = bytes;
    qbc_store_add(f->q, s);
    return qbc_attr_string(f->q, s.name);
}

static void make_constant(struct folding *f, MlirOperation op, MlirValue result,
                          const struct qbc_array *a)
{
    struct qbc_build b = qbc_before(f->q, op);
    MlirAttribute value = dense(f->q, a);
    struct qbc_attr attrs[] = {{"value", value}, {"source", store(f, a)}, {NULL, {NULL}}};
    if (!a->f || a->n < 2)
        attrs[1].name = NULL; /* a number, not a weight */
    MlirOperation made =
        qbc_make(&b, "onnx.Constant", mlirAttributeGetType(value), attrs, 0, NULL);
    mlirValueReplaceAllUsesOfWith(result, mlirOperationGetResult(made, 0));
}

static void set_type(struct folding *f, MlirValue v, const struct facts *facts)
{
    const struct qbc_array *first = facts->a[0];
    MlirType element = qbc_element_type(f->q, first->element);
    int64_t dims[QBC_MAX_RANK];
    for (size_t d = 0; d < first->rank; ++d) {
        dims[d] = first->dims[d];
        for (int k = 1; k < PROBES; ++k)
            if (facts->a[k]->dims[d] != dims[d])
                dims[d] = QBC_ANY;
    }
    mlirValueSetType(v, qbc_tensor(f->q, element, first->rank, dims));
}

static void type_arguments(struct folding *f, MlirOperation func)
{
    MlirBlock body = qbc_func_body(func);
    struct facts facts;
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(body); ++i)
        if (shapes_of(f, mlirBlockGetArgument(body, i), &facts))
            set_type(f, mlirBlockGetArgument(body, i), &facts);
}

/* --- the pass */

static void complain(struct folding *f, MlirOperation op)
{
    MlirOperation where = {NULL};
    const char *name = qbc_op_name(op);
    name += strncmp(name, "onnx.", 5) ? 0 : 5;
    for (int k = 0; k < PROBES; ++k) {
        if (qbc_evaluate(f->e[k], mlirOperationGetResult(op, 0)))
            continue;
        const char *why = qbc_evaluation_problem(f->e[k], &where);
        if (mlirOperationEqual(where, op)) /* the others follow from it */
            qbc_warn(f->q, op, "%s: the shape of its result cannot be told: %s",
                     name, why);
        return;
    }
}

static void fold(struct folding *f, MlirOperation op)
{
    struct facts facts;
    intptr_t n = mlirOperationGetNumResults(op);
    if (n == 0 || qbc_is(op, "onnx.Constant") || qbc_is(op, "onnx.None"))
        return;
    if (shapes_of(f, mlirOperationGetResult(op, 0), &facts) && is_idle(f, op, &facts)) {
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), mlirOperationGetOperand(op, 0));
        return;
    }
    for (intptr_t i = 0; i < n; ++i) {
        MlirValue result = mlirOperationGetResult(op, i);
        if (!shapes_of(f, result, &facts))
            continue;
        set_type(f, result, &facts);
        if (!qbc_is(op, "qb.weight") && qbc_uses(result) && is_constant(&facts))
            make_constant(f, op, result, facts.a[0]);
    }
    if (!shapes_of(f, mlirOperationGetResult(op, 0), &facts))
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
    struct folding f = {.q = q};
    MlirOperation func = qbc_find_func(module, "main");
    if (mlirOperationIsNull(func)) {
        qbc_error(q, module, "there is no function @main; fold-shapes wants an imported model");
        return;
    }
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    for (int k = 0; k < PROBES; ++k)
        f.e[k] = qbc_evaluation_create(q, func, probe_tokens[k], probe_past[k]);
    type_arguments(&f, func);
    for (size_t i = 0; i < ops.n; ++i)
        if (!mlirOperationEqual(ops.op[i], func))
            fold(&f, ops.op[i]);
    for (int k = 0; k < PROBES; ++k)
        qbc_evaluation_destroy(f.e[k]);
    type_results(q, func);
    qbc_sweep_all(q, func);
}
