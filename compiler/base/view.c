/* view: weights under Transpose, Slice, Split and Reshape are strided views of what the model file
 * holds (pattern.h). Nothing is read: a view of a large tensor costs no more than one of a small.
 */
#include "coded.h"
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>

static bool element_of(MlirType type, enum qbc_element *element)
{
    *element = mlirTypeIsAF32(type)    ? QBC_F32
               : mlirTypeIsAF16(type)  ? QBC_F16
               : mlirTypeIsABF16(type) ? QBC_BF16
                                       : QBC_F64;
    return *element != QBC_F64 || mlirTypeIsAF64(type);
}

static void row_major(struct qbc_strided *s)
{
    int64_t stride = 1;
    for (size_t d = s->rank; d-- > 0;) {
        s->strides[d] = stride;
        stride *= s->dims[d];
    }
}

static bool dims_of_type(MlirType type, struct qbc_strided *s)
{
    if (!mlirTypeIsARankedTensor(type) || mlirShapedTypeGetRank(type) > QBC_MAX_RANK)
        return false;
    s->rank = (size_t)mlirShapedTypeGetRank(type);
    for (size_t d = 0; d < s->rank; ++d) {
        if (mlirShapedTypeIsDynamicDim(type, (intptr_t)d))
            return false;
        s->dims[d] = mlirShapedTypeGetDimSize(type, (intptr_t)d);
    }
    return true;
}

static bool of_weight(struct qbc *q, MlirOperation op, struct qbc_strided *s)
{
    MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0));
    enum qbc_element element;
    const int64_t *strides;
    if (!dims_of_type(type, s) || !element_of(mlirShapedTypeGetElementType(type), &element))
        return false;
    s->name = qbc_string(q, op, "name", "");
    s->source = qbc_string(q, op, "source", s->name);
    s->blocks = mlirOperationGetAttributeByName(op, qbc_str("blocks"));
    s->offset = qbc_int(op, "offset", 0);
    row_major(s);
    if (qbc_ints(q, op, "runs", &strides) == 2) {
        s->run = strides[0];
        s->run_stride = strides[1];
    }
    size_t n = qbc_ints(q, op, "strides", &strides);
    if (n == s->rank)
        memcpy(s->strides, strides, n * sizeof *strides);
    return n == 0 || n == s->rank;
}

/* The bytes of a dense attribute, row-major; those of a splat are written out. */
static const void *dense_bytes(struct qbc *q, MlirAttribute dense, size_t n, size_t size)
{
    const char *raw = mlirDenseElementsAttrGetRawData(dense);
    if (!mlirDenseElementsAttrIsSplat(dense))
        return raw;
    char *all = qbc_alloc(q, n * size);
    for (size_t i = 0; i < n; ++i)
        memcpy(all + i * size, raw, size);
    return all;
}

/* Small initializers are constants in the IR (import.h); as weights they need a source. */
static bool of_constant(struct qbc *q, MlirOperation op, struct qbc_strided *s)
{
    MlirAttribute value = mlirOperationGetAttributeByName(op, qbc_str("value"));
    if (mlirAttributeIsNull(value) || !mlirAttributeIsADenseElements(value))
        return false;
    MlirType type = mlirAttributeGetType(value);
    struct qbc_source source = {.name = qbc_place_name(q, op)};
    if (!dims_of_type(type, s) ||
        !element_of(mlirShapedTypeGetElementType(type), &source.element))
        return false;
    size_t n = (size_t)mlirElementsAttrGetNumElements(value);
    size_t size = qbc_element_bytes(source.element);
    source.rank = s->rank;
    memcpy(source.dims, s->dims, sizeof source.dims);
    source.bytes = n * size;
    source.data = dense_bytes(q, value, n, size);
    const struct qbc_source *there = qbc_store_find(q, source.name);
    for (; there && (there->bytes != source.bytes || there->element != source.element ||
                     memcmp(there->data, source.data, source.bytes));
         there = qbc_store_find(q, source.name))
        source.name = qbc_text(q, "%s'", source.name); /* the name is taken by another tensor */
    if (!there)
        qbc_store_add(q, source);
    row_major(s);
    s->name = s->source = source.name;
    s->offset = 0;
    return true;
}

/* Strides for other dims over the same elements in row-major order, where strides can say it. Dims
 * that lie evenly in memory form a run; the new dims must divide the runs. */
static bool reshape(struct qbc_strided *s, size_t rank, const int64_t *dims)
{
    int64_t strides[QBC_MAX_RANK], run = 1, covered = 1;
    int64_t base = s->rank ? s->strides[s->rank - 1] : 1;
    size_t to = rank;
    for (size_t d = s->rank; d-- > 0;) {
        run *= s->dims[d];
        if (d > 0 && (s->dims[d - 1] == 1 || s->strides[d - 1] == run * base))
            continue; /* the run goes on */
        while (to > 0 && (covered < run || dims[to - 1] == 1)) {
            --to;
            strides[to] = covered * base;
            covered *= dims[to];
        }
        if (covered != run)
            return false;
        base = d > 0 ? s->strides[d - 1] : 1;
        run = covered = 1;
    }
    while (to > 0 && dims[to - 1] == 1)
        strides[--to] = base;
    if (to > 0)
        return false;
    s->rank = rank;
    memcpy(s->dims, dims, rank * sizeof *dims);
    memcpy(s->strides, strides, rank * sizeof *strides);
    return true;
}

static bool transpose(struct qbc *q, MlirOperation op, struct qbc_strided *s)
{
    struct qbc_strided from = *s;
    const int64_t *perm;
    size_t n = qbc_ints(q, op, "perm", &perm);
    if (n && n != s->rank)
        return false;
    for (size_t d = 0; d < s->rank; ++d) {
        int64_t p = n ? perm[d] : (int64_t)(s->rank - 1 - d);
        p += p < 0 ? (int64_t)s->rank : 0;
        if (p < 0 || p >= (int64_t)s->rank)
            return false;
        s->dims[d] = from.dims[p];
        s->strides[d] = from.strides[p];
    }
    return true;
}

/* Numbers that fold-shapes made an attribute of, as texts; NULL where there are none, or some that depend on T. */
static const int64_t *texts(struct qbc *q, MlirAttribute a, size_t *n)
{
    *n = mlirAttributeIsNull(a) || !mlirAttributeIsAArray(a) ? 0 : (size_t)mlirArrayAttrGetNumElements(a);
    int64_t *out = *n ? qbc_alloc(q, *n * sizeof *out) : NULL;
    for (size_t i = 0; i < *n; ++i) {
        MlirAttribute text = mlirArrayAttrGetElement(a, (intptr_t)i);
        MlirStringRef s = mlirAttributeIsAString(text) ? mlirStringAttrGetValue(text) : (MlirStringRef){"", 0};
        const char *word = qbc_copy(q, s.data, s.length);
        char *end;
        out[i] = strtoll(word, &end, 10);
        if (end == word || *end)
            return NULL;
    }
    return out;
}

/* The integers of operand i, or of the attribute that it became; NULL where there are none. */
static const int64_t *list(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, intptr_t i, const char *name, size_t *n)
{
    const int64_t *numbers;
    MlirValue v = qbc_operand_at(op, i);
    if (mlirValueIsNull(v) && (*n = qbc_ints(q, op, name, &numbers)) > 0)
        return numbers;
    if (mlirValueIsNull(v))
        return texts(q, mlirOperationGetAttributeByName(op, qbc_str(name)), n);
    const struct qbc_array *a = qbc_evaluate_small(e, v);
    *n = a && a->known && a->i ? a->n : 0;
    return *n ? a->i : NULL;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* `to` has the shape of the result: only where it starts and how it steps is to be found. */
static bool slice(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, const struct qbc_array *to, struct qbc_strided *s)
{
    size_t n, n_axes, n_steps;
    const int64_t *starts = list(q, e, op, 1, "starts", &n), *axes = list(q, e, op, 3, "axes", &n_axes),
                  *steps = list(q, e, op, 4, "steps", &n_steps);
    if (!starts || (axes && n_axes != n) || (steps && n_steps != n) || to->rank != s->rank)
        return false;
    for (size_t i = 0; i < n; ++i) {
        int64_t axis = axes ? axes[i] : (int64_t)i, step = steps ? steps[i] : 1;
        axis += axis < 0 ? (int64_t)s->rank : 0;
        if (axis < 0 || axis >= (int64_t)s->rank || step <= 0)
            return false;
        int64_t start = clamp(starts[i] < 0 ? starts[i] + s->dims[axis] : starts[i], 0,
                              s->dims[axis]);
        s->offset += start * s->strides[axis];
        s->strides[axis] *= step;
    }
    memcpy(s->dims, to->dims, sizeof s->dims);
    return true;
}

static bool split(struct qbc_evaluation *e, MlirOperation op, MlirValue v,
                  const struct qbc_array *to, struct qbc_strided *s)
{
    int64_t axis = qbc_int(op, "axis", 0);
    axis += axis < 0 ? (int64_t)s->rank : 0;
    if (axis < 0 || axis >= (int64_t)s->rank)
        return false;
    for (intptr_t i = 0; i < mlirOpResultGetResultNumber(v); ++i) {
        const struct qbc_array *before = qbc_evaluate_small(e, mlirOperationGetResult(op, i));
        if (!before)
            return false;
        s->offset += before->dims[axis] * s->strides[axis];
    }
    s->dims[axis] = to->dims[axis];
    return true;
}

/* One entry along an axis: the matrix of an expert. */
static bool pick(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, const struct qbc_array *to, struct qbc_strided *s)
{
    size_t n;
    const int64_t *index = list(q, e, op, 1, "indices", &n);
    int64_t axis = qbc_int(op, "axis", 0);
    axis += axis < 0 ? (int64_t)s->rank : 0;
    if (n != 1 || axis < 0 || axis >= (int64_t)s->rank)
        return false;
    int64_t at = index[0] < 0 ? index[0] + s->dims[axis] : index[0];
    if (at < 0 || at >= s->dims[axis])
        return false;
    s->offset += at * s->strides[axis];
    s->dims[axis] = 1;
    return reshape(s, to->rank, to->dims);
}

bool qbc_strided_of(struct qbc *q, struct qbc_evaluation *e, MlirValue v, struct qbc_strided *out)
{
    *out = (struct qbc_strided){0};
    MlirOperation op = qbc_def_any(v);
    if (mlirOperationIsNull(op))
        return false;
    if (qbc_is(op, "qb.weight"))
        return of_weight(q, op, out);
    if (qbc_is(op, "onnx.Constant"))
        return of_constant(q, op, out);
    bool cuts = qbc_is(op, "onnx.Slice") || qbc_is(op, "onnx.Split");
    bool turns = qbc_is(op, "onnx.Transpose"), picks = qbc_is(op, "onnx.Gather");
    MlirValue from = cuts || turns || picks ? mlirOperationGetOperand(op, 0) : qbc_strip(v);
    if (qbc_same(from, v) || !qbc_strided_of(q, e, from, out) || out->run)
        return false;
    const struct qbc_array *to = qbc_evaluate_small(e, v);
    if (!to || to->rank > QBC_MAX_RANK)
        return false;
    if (turns)
        return transpose(q, op, out);
    if (picks)
        return pick(q, e, op, to, out);
    if (cuts)
        return qbc_is(op, "onnx.Slice") ? slice(q, e, op, to, out) : split(e, op, v, to, out);
    return reshape(out, to->rank, to->dims);
}

bool qbc_strided_matrix(struct qbc_strided *view)
{
    size_t first = 0;
    while (view->rank - first > 2 && view->dims[first] == 1)
        ++first;
    view->rank -= first;
    memmove(view->dims, view->dims + first, view->rank * sizeof *view->dims);
    memmove(view->strides, view->strides + first, view->rank * sizeof *view->strides);
    return view->rank == 2;
}

bool qbc_strided_vector(struct qbc_strided *view, const struct qbc_dims *dims, int64_t width)
{
    int64_t n = 1, stride = 1;
    for (size_t i = 0; i < view->rank; ++i) {
        size_t d = view->rank - 1 - i;
        int64_t length = view->dims[d], beside = i < dims->rank ? dims->at[dims->rank - 1 - i] : 1;
        if (length == 1 && (beside == 1 || n == width))
            continue;
        if (length != beside || (n > 1 && view->strides[d] != n * stride))
            return false;
        stride = n == 1 ? view->strides[d] : stride;
        n *= length;
    }
    if (n != width || (view->run && view->rank > 1))
        return false;
    view->rank = 1;
    view->dims[0] = width;
    view->strides[0] = stride;
    return true;
}

float *qbc_strided_read(struct qbc *q, const struct qbc_strided *view, size_t n)
{
    size_t have = 1, longest = 0;
    for (size_t d = 0; d < view->rank; ++d) {
        have *= (size_t)view->dims[d];
        longest = view->dims[d] > view->dims[longest] ? d : longest;
    }
    struct qbc_strided s = *view;
    struct qbc_view v = {.rows = 1, .cols = 1, .run = view->run, .run_stride = view->run_stride};
    v.source = mlirAttributeIsNull(s.blocks) ? qbc_store_find(q, s.source)
                                             : qbc_coded_source(q, s.source, s.blocks);
    bool vector = s.rank > 0 && have == (size_t)s.dims[longest];
    if (!v.source || have != n || (!vector && !qbc_strided_matrix(&s)))
        return NULL;
    v.offset = s.offset;
    v.rows = vector ? 1 : s.dims[0];
    v.cols = vector ? s.dims[longest] : s.dims[1];
    v.row_stride = vector ? 0 : s.strides[0];
    v.col_stride = s.strides[vector ? longest : 1];
    float *out = qbc_alloc(q, n * sizeof *out);
    qbc_view_read(&v, 0, v.rows, out);
    return out;
}

MlirValue qbc_weight(struct qbc_build *b, const struct qbc_strided *view, size_t n,
                     const size_t *dims)
{
    int64_t shape[QBC_MAX_RANK], strides[QBC_MAX_RANK];
    for (size_t i = 0; i < n; ++i) {
        shape[i] = view->dims[dims[i]];
        strides[i] = view->strides[dims[i]];
    }
    struct qbc_attr attrs[] = {
        {"name", qbc_attr_string(b->q, view->name)},
        {"source", qbc_attr_string(b->q, view->source)},
        {"offset", qbc_attr_int(b->q, view->offset)},
        {"strides", mlirDenseI64ArrayGet(b->q->mlir, (intptr_t)n, strides)},
        {mlirAttributeIsNull(view->blocks) ? NULL : "blocks", view->blocks},
        {0},
    };
    int64_t runs[2] = {view->run, view->run_stride};
    MlirType type = qbc_tensor(b->q, mlirF32TypeGet(b->q->mlir), n, shape);
    MlirOperation weight = qbc_make(b, "qb.weight", type, attrs, 0, NULL);
    if (view->run)
        qbc_set_ints(b->q, weight, "runs", runs, 2);
    return mlirOperationGetResult(weight, 0);
}
