/* rows: where level 0 and level 1 meet (pattern.h).
 *
 * Level 0 has [1, T, C], [1, T, heads, head_dim], ...; level 1 has [T, C]. The elements are the
 * same in the same order, so onnx.Reshape translates, and two of them in a row are nothing.
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

void qbc_shapes_open(struct qbc *q, MlirOperation func, struct qbc_shapes *s)
{
    bool past = qbc_has_past(func);
    *s = (struct qbc_shapes){.q = q, .tokens = {5, 7}, .past = {past ? 3 : 0, past ? 4 : 0}};
    s->fixed = qbc_call_tokens(func);
    s->step = s->fixed == 1;
    for (int i = 0; i < 2 && s->fixed; ++i)
        s->tokens[i] = s->fixed;
    for (int i = 0; i < 2; ++i)
        s->at[i] = qbc_probe(q, func, s->tokens[i], s->past[i]);
}

void qbc_shapes_close(struct qbc_shapes *s)
{
    for (int i = 0; i < 2; ++i)
        qbc_evaluation_destroy(s->at[i]);
}

static int64_t symbol(const struct qbc_shapes *s, int64_t a, int64_t b)
{
    if (a == b)
        return a;
    if (a == s->tokens[0] && b == s->tokens[1])
        return QBC_T;
    if (a == s->tokens[0] + s->past[0] && b == s->tokens[1] + s->past[1])
        return QBC_P_PLUS_T;
    return a == s->past[0] && b == s->past[1] ? QBC_P : QBC_UNCLEAR;
}

bool qbc_is_tokens(const struct qbc_shapes *s, int64_t size)
{
    return size == (s->fixed ? s->fixed : QBC_T);
}

bool qbc_shapes_dims(struct qbc_shapes *s, MlirValue v, struct qbc_dims *out)
{
    *out = (struct qbc_dims){0};
    if (qbc_is_none(v))
        return false;
    const struct qbc_array *a = qbc_evaluate_small(s->at[0], v);
    const struct qbc_array *b = a ? qbc_evaluate_small(s->at[1], v) : NULL;
    if (!b || a->rank != b->rank)
        return false;
    out->rank = a->rank;
    for (size_t i = 0; i < a->rank; ++i)
        out->at[i] = symbol(s, a->dims[i], b->dims[i]);
    return true;
}

const char *qbc_dims_text(struct qbc_shapes *s, MlirValue v)
{
    static const char *const names[] = {"T", "P + T", "P", "?"}; /* of QBC_T, ... */
    struct qbc_dims d;
    if (!qbc_shapes_dims(s, v, &d))
        return NULL;
    const char *text = "[";
    for (size_t i = 0; i < d.rank; ++i)
        text = d.at[i] < 0 ? qbc_text(s->q, "%s%s%s", text, i ? ", " : "", names[-d.at[i] - 1])
                           : qbc_text(s->q, "%s%s%ld", text, i ? ", " : "", (long)d.at[i]);
    return qbc_text(s->q, "%s]", text);
}

/* How many rows of v's dimension i belong to a token: 1 when it is T, m when it is m T; 0: neither. */
static int64_t rows_of_token(struct qbc_shapes *s, MlirValue v, size_t i)
{
    int64_t a = qbc_evaluate_small(s->at[0], v)->dims[i], b = qbc_evaluate_small(s->at[1], v)->dims[i];
    if (s->fixed)
        return a == s->fixed;
    int64_t m = a / s->tokens[0];
    return a == m * s->tokens[0] && b == m * s->tokens[1] ? m : 0;
}

int64_t qbc_shapes_width(struct qbc_shapes *s, MlirValue v, struct qbc_dims *dims)
{
    struct qbc_dims own;
    dims = dims ? dims : &own;
    if (!qbc_shapes_dims(s, v, dims))
        return 0;
    if (s->step) {
        int64_t all = 1;
        for (size_t i = 0; i < dims->rank; ++i)
            all = dims->at[i] > 0 ? all * dims->at[i] : 0;
        return dims->rank ? all : 0;
    }
    size_t t = 0;
    while (t < dims->rank && dims->at[t] == 1)
        ++t;
    if (t + 1 >= dims->rank)
        return 0;
    int64_t width = rows_of_token(s, v, t);
    for (size_t i = t + 1; i < dims->rank; ++i)
        width = dims->at[i] > 0 ? width * dims->at[i] : 0;
    return width;
}

MlirType qbc_rows_type(struct qbc *q, int64_t width)
{
    return qbc_tensor2(q, mlirF32TypeGet(q->mlir), QBC_ANY, width);
}

MlirValue qbc_ints_constant(struct qbc_build *b, const int64_t *v, size_t n)
{
    int64_t dims[1] = {(int64_t)n};
    MlirType type = qbc_tensor(b->q, mlirIntegerTypeGet(b->q->mlir, 64), 1, dims);
    MlirAttribute dense = mlirDenseElementsAttrInt64Get(type, (intptr_t)n, v);
    struct qbc_attr attrs[] = {{"value", dense}, {0}};
    return mlirOperationGetResult(qbc_make(b, "onnx.Constant", type, attrs, 0, NULL), 0);
}

MlirValue qbc_number_constant(struct qbc_build *b, double x)
{
    MlirType type = qbc_tensor(b->q, mlirF32TypeGet(b->q->mlir), 0, NULL);
    struct qbc_attr attrs[] = {{"value", mlirDenseElementsAttrFloatGet(type, 1, (float[]){(float)x})}, {0}};
    return mlirOperationGetResult(qbc_make(b, "onnx.Constant", type, attrs, 0, NULL), 0);
}

MlirValue qbc_reshape(struct qbc_build *b, MlirValue v, MlirType type, size_t n, const int64_t *to)
{
    return qbc_op(b, "onnx.Reshape", type, 2, v, qbc_ints_constant(b, to, n));
}

MlirValue qbc_transpose(struct qbc_build *b, MlirValue v, size_t n, const int64_t *perm)
{
    MlirType type = qbc_unranked(b->q);
    struct qbc_attr attrs[] = {{"perm", mlirDenseI64ArrayGet(b->q->mlir, (intptr_t)n, perm)}, {0}};
    return mlirOperationGetResult(qbc_make(b, "onnx.Transpose", type, attrs, 1, &v), 0);
}

MlirValue qbc_rows(struct qbc_build *b, MlirValue v, int64_t width)
{
    MlirValue from = qbc_strip(v);
    if (qbc_is_level1(from) && qbc_dim(from, 1) == width)
        return from;
    return qbc_reshape(b, v, qbc_rows_type(b->q, width), 2, (int64_t[]){-1, width});
}

MlirValue qbc_unrows(struct qbc_build *b, MlirValue rows, const struct qbc_dims *dims)
{
    int64_t to[QBC_MAX_RANK], shape[QBC_MAX_RANK];
    for (size_t i = 0; i < dims->rank; ++i) {
        to[i] = dims->at[i] > 0 ? dims->at[i] : -1;
        shape[i] = dims->at[i] > 0 ? dims->at[i] : QBC_ANY;
    }
    MlirType type = qbc_tensor(b->q, mlirF32TypeGet(b->q->mlir), dims->rank, shape);
    return qbc_reshape(b, rows, type, dims->rank, to);
}

MlirValue qbc_unrows_across(struct qbc_build *b, MlirValue rows, const struct qbc_dims *dims)
{
    struct qbc_dims upright = *dims;
    int64_t perm[QBC_MAX_RANK], last = (int64_t)dims->rank - 1;
    for (int64_t d = 0; d <= last; ++d)
        perm[d] = d;
    perm[last] = last - 1;
    perm[last - 1] = last;
    upright.at[last - 1] = QBC_T;
    upright.at[last] = qbc_dim(rows, 1);
    return qbc_transpose(b, qbc_unrows(b, rows, &upright), dims->rank, perm);
}

MlirOperation qbc_return_of(MlirOperation func)
{
    return mlirBlockGetTerminator(qbc_func_body(func));
}

MlirAttribute qbc_function_attr(MlirOperation func, const char *list, size_t i, const char *name)
{
    MlirAttribute all = mlirOperationGetAttributeByName(func, qbc_str(list));
    if (mlirAttributeIsNull(all) || !mlirAttributeIsAArray(all) ||
        i >= (size_t)mlirArrayAttrGetNumElements(all))
        return mlirAttributeGetNull();
    return mlirDictionaryAttrGetElementByName(mlirArrayAttrGetElement(all, (intptr_t)i),
                                              qbc_str(name));
}

void qbc_retype(struct qbc *q, MlirOperation func)
{
    MlirBlock body = qbc_func_body(func);
    MlirOperation ret = qbc_return_of(func);
    intptr_t n = mlirBlockGetNumArguments(body), m = mlirOperationGetNumOperands(ret);
    MlirType *types = qbc_alloc(q, (size_t)(n + m + 1) * sizeof *types);
    for (intptr_t i = 0; i < n; ++i)
        types[i] = mlirValueGetType(mlirBlockGetArgument(body, i));
    for (intptr_t i = 0; i < m; ++i)
        types[n + i] = mlirValueGetType(mlirOperationGetOperand(ret, i));
    MlirType type = mlirFunctionTypeGet(q->mlir, n, types, m, types + n);
    qbc_set(func, "function_type", mlirTypeAttrGet(type));
}

/* The same elements in rows of the same width are the same rows, however many a call is said to have. */
static bool same_rows(MlirValue v, MlirValue rows)
{
    return mlirTypeEqual(mlirValueGetType(v), mlirValueGetType(rows)) || (qbc_rank(v) == 2 && qbc_dim(v, 1) == qbc_dim(rows, 1));
}

static void take_directly(struct qbc *q, MlirOperation op)
{
    const char *name = qbc_op_name(op);
    (void)q;
    if (strncmp(name, "qb.", 3) && strncmp(name, "arith.", 6))
        return;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        MlirValue v = mlirOperationGetOperand(op, i), from = qbc_strip(v);
        if (qbc_is_level1(from) && same_rows(v, from))
            mlirOperationSetOperand(op, i, from);
    }
}

/* A transposition that undoes another: what that one transposed. */
static void undo_transpose(struct qbc *q, MlirOperation op)
{
    MlirOperation before = qbc_def(mlirOperationGetOperand(op, 0), "onnx.Transpose");
    const int64_t *first, *then;
    if (mlirOperationIsNull(before))
        return;
    size_t n = qbc_ints(q, before, "perm", &first), m = qbc_ints(q, op, "perm", &then);
    bool same = n && n == m;
    for (size_t i = 0; same && i < n; ++i)
        same = then[i] >= 0 && then[i] < (int64_t)n && first[then[i]] == (int64_t)i;
    if (same)
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), mlirOperationGetOperand(before, 0));
}

void qbc_tidy(struct qbc *q, MlirOperation module)
{
    qbc_each(q, module, "onnx.Transpose", undo_transpose);
    qbc_each(q, module, NULL, take_directly);
    qbc_sweep_all(q, module);
    MlirOperation func = qbc_find_func(module, "main");
    if (!mlirOperationIsNull(func))
        qbc_retype(q, func);
}
