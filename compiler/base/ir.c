/* ir: reading and changing operations. The only file that knows how MLIR stores what we ask for. */
#include "base.h"
#include "format.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

MlirStringRef qbc_str(const char *s)
{
    return mlirStringRefCreateFromCString(s);
}

const char *qbc_op_name(MlirOperation op)
{
    return mlirIdentifierStr(mlirOperationGetName(op)).data; /* identifiers end with NUL */
}

bool qbc_is(MlirOperation op, const char *name)
{
    MlirStringRef have = mlirIdentifierStr(mlirOperationGetName(op));
    return have.length == strlen(name) && !memcmp(have.data, name, have.length);
}

MlirOperation qbc_def_any(MlirValue v)
{
    if (mlirValueIsNull(v) || !mlirValueIsAOpResult(v))
        return (MlirOperation){NULL};
    return mlirOpResultGetOwner(v);
}

MlirOperation qbc_def(MlirValue v, const char *name)
{
    MlirOperation op = qbc_def_any(v);
    return !mlirOperationIsNull(op) && qbc_is(op, name) ? op : (MlirOperation){NULL};
}

struct collecting {
    struct qbc *q;
    const char *name;
    struct qbc_ops ops;
    size_t capacity;
};

static MlirWalkResult collect(MlirOperation op, void *user)
{
    struct collecting *c = user;
    if (c->name && !qbc_is(op, c->name))
        return MlirWalkResultAdvance;
    if (c->ops.n == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 64;
        MlirOperation *grown = qbc_alloc(c->q, capacity * sizeof *grown);
        if (c->ops.n)
            memcpy(grown, c->ops.op, c->ops.n * sizeof *grown);
        c->ops.op = grown;
        c->capacity = capacity;
    }
    c->ops.op[c->ops.n++] = op;
    return MlirWalkResultAdvance;
}

struct qbc_ops qbc_collect(struct qbc *q, MlirOperation root, const char *name)
{
    struct collecting c = {.q = q, .name = name};
    mlirOperationWalk(root, collect, &c, MlirWalkPreOrder);
    return c.ops;
}

void qbc_each(struct qbc *q, MlirOperation root, const char *name,
              void (*visit)(struct qbc *q, MlirOperation op))
{
    struct qbc_ops ops = qbc_collect(q, root, name);
    for (size_t i = 0; i < ops.n; ++i)
        visit(q, ops.op[i]);
}

size_t qbc_uses(MlirValue v)
{
    size_t n = 0;
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use))
        ++n;
    return n;
}

void qbc_replace(MlirOperation op, MlirValue with)
{
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), with);
    mlirOperationDestroy(op);
}

static bool unused(MlirOperation op)
{
    intptr_t n = mlirOperationGetNumResults(op);
    for (intptr_t i = 0; i < n; ++i)
        if (!mlirOpOperandIsNull(mlirValueGetFirstUse(mlirOperationGetResult(op, i))))
            return false;
    return n > 0;
}

/* Operations to look at, each once. */
struct worklist {
    struct qbc *q;
    struct qbc_ops ops;
    size_t capacity;
};

static void remember(struct worklist *w, MlirOperation op)
{
    for (size_t i = 0; i < w->ops.n; ++i)
        if (mlirOperationEqual(w->ops.op[i], op))
            return;
    if (w->ops.n == w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 16;
        MlirOperation *grown = qbc_alloc(w->q, capacity * sizeof *grown);
        if (w->ops.n)
            memcpy(grown, w->ops.op, w->ops.n * sizeof *grown);
        w->ops.op = grown;
        w->capacity = capacity;
    }
    w->ops.op[w->ops.n++] = op;
}

/* Users come after what they use, so once the latest is taken nothing in the list uses it. */
static MlirOperation take_latest(struct worklist *w)
{
    size_t latest = 0;
    for (size_t i = 1; i < w->ops.n; ++i)
        if (mlirOperationIsBeforeInBlock(w->ops.op[latest], w->ops.op[i]))
            latest = i;
    MlirOperation op = w->ops.op[latest];
    w->ops.op[latest] = w->ops.op[--w->ops.n];
    return op;
}

void qbc_sweep(struct qbc *q, MlirOperation op)
{
    struct worklist w = {.q = q};
    if (mlirOperationIsNull(op))
        return;
    remember(&w, op);
    while (w.ops.n) {
        op = take_latest(&w);
        if (!unused(op))
            continue;
        MlirBlock block = mlirOperationGetBlock(op);
        for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
            MlirOperation def = qbc_def_any(mlirOperationGetOperand(op, i));
            if (!mlirOperationIsNull(def) && mlirBlockEqual(mlirOperationGetBlock(def), block))
                remember(&w, def);
        }
        mlirOperationDestroy(op);
    }
}

void qbc_sweep_all(struct qbc *q, MlirOperation root)
{
    struct qbc_ops ops = qbc_collect(q, root, NULL);
    for (size_t i = ops.n; i-- > 0;) /* users come after what they use */
        if (!mlirOperationEqual(ops.op[i], root) && unused(ops.op[i]) &&
            mlirOperationGetNumRegions(ops.op[i]) == 0)
            mlirOperationDestroy(ops.op[i]);
}

MlirOperation qbc_find_func(MlirOperation module, const char *name)
{
    MlirBlock body = mlirModuleGetBody(mlirModuleFromOperation(module));
    for (MlirOperation op = mlirBlockGetFirstOperation(body); !mlirOperationIsNull(op);
         op = mlirOperationGetNextInBlock(op)) {
        MlirAttribute symbol = mlirOperationGetAttributeByName(op, qbc_str("sym_name"));
        if (qbc_is(op, "func.func") && !mlirAttributeIsNull(symbol) &&
            mlirStringRefEqual(mlirStringAttrGetValue(symbol), qbc_str(name)))
            return op;
    }
    return (MlirOperation){NULL};
}

MlirBlock qbc_func_body(MlirOperation func)
{
    return mlirRegionGetFirstBlock(mlirOperationGetRegion(func, 0));
}

MlirOperation qbc_last_of(MlirBlock body)
{
    MlirOperation op = mlirBlockGetFirstOperation(body), last = op;
    for (; !mlirOperationIsNull(op); op = mlirOperationGetNextInBlock(op))
        last = op;
    return last;
}

MlirOperation qbc_splice(MlirBlock body, MlirOperation at)
{
    MlirOperation last = qbc_last_of(body), first;
    while (!mlirOperationEqual(first = mlirBlockGetFirstOperation(body), last))
        mlirOperationMoveBefore(first, at);
    return last;
}

MlirOperation qbc_module_op(MlirOperation op)
{
    while (!qbc_is(op, "builtin.module")) {
        MlirOperation parent = mlirOperationGetParentOperation(op);
        if (mlirOperationIsNull(parent))
            break;
        op = parent;
    }
    return op;
}

/* --- attributes */

static MlirAttribute get(MlirOperation op, const char *name)
{
    return mlirOperationGetAttributeByName(op, qbc_str(name));
}

bool qbc_has(MlirOperation op, const char *name)
{
    return !mlirAttributeIsNull(get(op, name));
}

int64_t qbc_int(MlirOperation op, const char *name, int64_t fallback)
{
    MlirAttribute a = get(op, name);
    if (mlirAttributeIsNull(a) || !mlirAttributeIsAInteger(a))
        return fallback;
    MlirType type = mlirAttributeGetType(a);
    if (mlirTypeIsAInteger(type) && mlirIntegerTypeIsSigned(type))
        return mlirIntegerAttrGetValueSInt(a);
    return mlirIntegerAttrGetValueInt(a);
}

double qbc_float(MlirOperation op, const char *name, double fallback)
{
    MlirAttribute a = get(op, name);
    return mlirAttributeIsNull(a) || !mlirAttributeIsAFloat(a) ? fallback
                                                               : mlirFloatAttrGetValueDouble(a);
}

bool qbc_bool(MlirOperation op, const char *name, bool fallback)
{
    MlirAttribute a = get(op, name);
    return mlirAttributeIsNull(a) || !mlirAttributeIsABool(a) ? fallback
                                                              : mlirBoolAttrGetValue(a);
}

const char *qbc_string(struct qbc *q, MlirOperation op, const char *name, const char *fallback)
{
    MlirAttribute a = get(op, name);
    if (mlirAttributeIsNull(a) || !mlirAttributeIsAString(a))
        return fallback;
    MlirStringRef s = mlirStringAttrGetValue(a);
    return qbc_copy(q, s.data, s.length);
}

size_t qbc_ints(struct qbc *q, MlirOperation op, const char *name, const int64_t **out)
{
    MlirAttribute a = get(op, name);
    *out = NULL;
    if (mlirAttributeIsNull(a) || !mlirAttributeIsADenseI64Array(a))
        return 0;
    size_t n = (size_t)mlirDenseArrayGetNumElements(a);
    int64_t *v = qbc_alloc(q, n * sizeof *v + 1);
    for (size_t i = 0; i < n; ++i)
        v[i] = mlirDenseI64ArrayGetElement(a, (intptr_t)i);
    *out = v;
    return n;
}

size_t qbc_floats(struct qbc *q, MlirOperation op, const char *name, const float **out)
{
    MlirAttribute a = get(op, name);
    *out = NULL;
    if (mlirAttributeIsNull(a) || !mlirAttributeIsADenseF32Array(a))
        return 0;
    size_t n = (size_t)mlirDenseArrayGetNumElements(a);
    float *v = qbc_alloc(q, n * sizeof *v + 1);
    for (size_t i = 0; i < n; ++i)
        v[i] = mlirDenseF32ArrayGetElement(a, (intptr_t)i);
    *out = v;
    return n;
}

void qbc_set(MlirOperation op, const char *name, MlirAttribute value)
{
    mlirOperationSetAttributeByName(op, qbc_str(name), value);
}

MlirAttribute qbc_attr_int(struct qbc *q, int64_t value)
{
    return mlirIntegerAttrGet(mlirIntegerTypeGet(q->mlir, 64), value);
}

MlirAttribute qbc_attr_float(struct qbc *q, float value)
{
    return mlirFloatAttrDoubleGet(q->mlir, mlirF32TypeGet(q->mlir), (double)value);
}

MlirAttribute qbc_attr_string(struct qbc *q, const char *value)
{
    return mlirStringAttrGet(q->mlir, qbc_str(value));
}

void qbc_set_int(struct qbc *q, MlirOperation op, const char *name, int64_t value)
{
    qbc_set(op, name, qbc_attr_int(q, value));
}

void qbc_set_float(struct qbc *q, MlirOperation op, const char *name, float value)
{
    qbc_set(op, name, qbc_attr_float(q, value));
}

void qbc_set_bool(struct qbc *q, MlirOperation op, const char *name, bool value)
{
    qbc_set(op, name, mlirBoolAttrGet(q->mlir, value));
}

void qbc_set_string(struct qbc *q, MlirOperation op, const char *name, const char *value)
{
    qbc_set(op, name, qbc_attr_string(q, value));
}

void qbc_set_ints(struct qbc *q, MlirOperation op, const char *name, const int64_t *v, size_t n)
{
    qbc_set(op, name, mlirDenseI64ArrayGet(q->mlir, (intptr_t)n, v));
}

void qbc_set_floats(struct qbc *q, MlirOperation op, const char *name, const float *v, size_t n)
{
    qbc_set(op, name, mlirDenseF32ArrayGet(q->mlir, (intptr_t)n, v));
}

/* --- types */

MlirType qbc_type(struct qbc *q, const char *text)
{
    return mlirTypeParseGet(q->mlir, qbc_str(text));
}

MlirType qbc_tensor(struct qbc *q, MlirType element, size_t rank, const int64_t *dims)
{
    int64_t shape[QBC_MAX_RANK];
    for (size_t i = 0; i < rank; ++i)
        shape[i] = dims[i] == QBC_ANY ? mlirShapedTypeGetDynamicSize() : dims[i];
    (void)q;
    return mlirRankedTensorTypeGet((intptr_t)rank, shape, element, mlirAttributeGetNull());
}

MlirType qbc_tensor2(struct qbc *q, MlirType element, int64_t rows, int64_t cols)
{
    return qbc_tensor(q, element, 2, (int64_t[]){rows, cols});
}

size_t qbc_rank(MlirValue v)
{
    MlirType type = mlirValueGetType(v);
    return mlirTypeIsARankedTensor(type) ? (size_t)mlirShapedTypeGetRank(type) : 0;
}

int64_t qbc_dim(MlirValue v, size_t i)
{
    MlirType type = mlirValueGetType(v);
    return mlirShapedTypeIsDynamicDim(type, (intptr_t)i)
               ? QBC_ANY
               : mlirShapedTypeGetDimSize(type, (intptr_t)i);
}

MlirType qbc_block_type(struct qbc *q, const char *format)
{
    return qbc_type(q, qbc_text(q, "!qb.block<\"%s\">", format));
}

struct printing {
    char text[128];
    size_t n;
};

static void print(MlirStringRef part, void *user)
{
    struct printing *p = user;
    size_t room = sizeof p->text - 1 - p->n, n = part.length < room ? part.length : room;
    memcpy(p->text + p->n, part.data, n);
    p->n += n;
}

/* The C API cannot read a dynamic type's parameters, so: print and cut. Only here. */
const struct qbc_format *qbc_block_format(struct qbc *q, MlirValue v)
{
    MlirType type = mlirValueGetType(v);
    if (mlirTypeIsARankedTensor(type))
        type = mlirShapedTypeGetElementType(type);
    struct printing p = {.n = 0};
    mlirTypePrint(type, print, &p);
    static const char head[] = "!qb.block<\"";
    if (strncmp(p.text, head, sizeof head - 1))
        return NULL;
    char *name = p.text + sizeof head - 1;
    name[strcspn(name, "\"")] = 0;
    return qbc_find_format(q, name);
}
