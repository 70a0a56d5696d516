/* change_attr: the attributes of qb.weight that say what is changed, read and written. See changes.h. */
#include "changes_inside.h"
#include "hadamard.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

static const char MATRICES[] = "qb.matrices";

static MlirAttribute entry(MlirAttribute change, const char *name)
{
    return mlirDictionaryAttrGetElementByName(change, qbc_str(name));
}

static const char *text(struct qbc *q, MlirAttribute a)
{
    if (mlirAttributeIsNull(a) || !mlirAttributeIsAString(a))
        return NULL;
    MlirStringRef s = mlirStringAttrGetValue(a);
    return qbc_copy(q, s.data, s.length);
}

/* [n] numbers; NULL: there are not so many. */
static const float *numbers(struct qbc *q, MlirAttribute a, int64_t n)
{
    if (mlirAttributeIsNull(a) || !mlirAttributeIsADenseF32Array(a) || mlirDenseArrayGetNumElements(a) != n)
        return NULL;
    float *v = qbc_alloc(q, (size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; ++i)
        v[i] = mlirDenseF32ArrayGetElement(a, (intptr_t)i);
    return v;
}

static bool read_matrix(struct qbc *q, MlirAttribute attr, struct qbc_change *c, int64_t runs)
{
    const struct qbc_source *source = qbc_store_find(q, text(q, attr) ? text(q, attr) : "");
    int64_t one = c->order * c->order;
    if (!source || source->element != QBC_F32 || qbc_source_elements(source) % one)
        return false;
    c->matrix = source->data;
    c->matrices = qbc_source_elements(source) / one;
    return c->matrices > 0 && runs % c->matrices == 0;
}

static bool read_rotation(struct qbc *q, MlirAttribute attr, struct qbc_change *c, int64_t n)
{
    MlirAttribute order = entry(attr, "rotate"), matrix = entry(attr, "matrix");
    c->order = mlirAttributeIsAInteger(order) ? mlirIntegerAttrGetValueInt(order) : 0;
    c->transposed = !mlirAttributeIsNull(entry(attr, "transposed"));
    if (c->order < 1 || n % c->order)
        return false;
    if (!mlirAttributeIsNull(matrix))
        return read_matrix(q, matrix, c, n / c->order);
    c->factor = qbc_hadamard_factor(c->order);
    if (!c->factor)
        return false;
    int8_t *m = qbc_alloc(q, (size_t)(c->factor * c->factor));
    qbc_hadamard_fill(c->factor, m);
    c->hadamard = m;
    return true;
}

static bool read_change(struct qbc *q, MlirAttribute attr, const struct qbc_view *v, struct qbc_change *c)
{
    if (!mlirAttributeIsADictionary(attr))
        return false;
    const char *axis = text(q, entry(attr, "along"));
    c->rows = axis && !strcmp(axis, "rows");
    int64_t n = c->rows ? v->rows : v->cols;
    if (!mlirAttributeIsNull(entry(attr, "rotate")))
        return read_rotation(q, attr, c, n);
    c->scale = numbers(q, entry(attr, "scale"), n);
    c->add = numbers(q, entry(attr, "add"), n);
    return c->scale || c->add;
}

static struct qbc_changes *of(struct qbc *q)
{
    if (!q->changes)
        q->changes = qbc_alloc(q, sizeof *q->changes);
    if (!q->changes->cache) {
        q->changes->cache = qbc_alloc(q, sizeof *q->changes->cache);
        pthread_mutex_init(&q->changes->cache->lock, NULL);
    }
    return q->changes;
}

static struct qbc_changed *read_changes(struct qbc *q, MlirAttribute attr, const struct qbc_view *view)
{
    struct qbc_changed *c = qbc_alloc(q, sizeof *c);
    *c = (struct qbc_changed){.stored = *view, .cache = of(q)->cache, .key = attr.ptr};
    c->n = mlirAttributeIsAArray(attr) ? (size_t)mlirArrayAttrGetNumElements(attr) : 0;
    c->list = qbc_alloc(q, (c->n + 1) * sizeof *c->list);
    for (size_t i = 0; i < c->n; ++i) {
        if (!read_change(q, mlirArrayAttrGetElement(attr, (intptr_t)i), view, &c->list[i]))
            return NULL;
        c->mixes |= c->list[i].rows && c->list[i].order;
    }
    c->source = (struct qbc_source){.name = view->source->name, .element = QBC_F32, .rank = 2, .changed = c,
                                    .dims = {view->rows, view->cols}};
    return c;
}

static void store_matrix(struct qbc *q, const char *name, const float *values, size_t n)
{
    qbc_store_add(q, (struct qbc_source){.name = name, .element = QBC_F32, .rank = 1, .dims = {(int64_t)n}, .data = values,
                                         .bytes = n * sizeof *values});
}

void qbc_matrices_take(struct qbc *q, MlirOperation module)
{
    MlirAttribute all = mlirOperationGetAttributeByName(module, qbc_str(MATRICES));
    intptr_t n = mlirAttributeIsNull(all) || !mlirAttributeIsADictionary(all) ? 0 : mlirDictionaryAttrGetNumElements(all);
    for (intptr_t i = 0; i < n; ++i) {
        MlirNamedAttribute matrix = mlirDictionaryAttrGetElement(all, i);
        MlirStringRef s = mlirIdentifierStr(matrix.name);
        const char *name = qbc_copy(q, s.data, s.length);
        size_t size = mlirAttributeIsADenseF32Array(matrix.attribute) ? (size_t)mlirDenseArrayGetNumElements(matrix.attribute) : 0;
        if (size && !qbc_store_find(q, name))
            store_matrix(q, name, numbers(q, matrix.attribute, (int64_t)size), size);
    }
}

void qbc_matrix_add(struct qbc *q, MlirOperation module, const char *name, const float *values, size_t n)
{
    enum { MOST = 16 };
    MlirNamedAttribute list[MOST];
    MlirAttribute old = mlirOperationGetAttributeByName(module, qbc_str(MATRICES));
    intptr_t n_old = mlirAttributeIsNull(old) ? 0 : mlirDictionaryAttrGetNumElements(old);
    if (n_old + 1 >= MOST) {
        qbc_error(q, module, "more than %d matrices", MOST - 1);
        return;
    }
    for (intptr_t i = 0; i < n_old; ++i)
        list[i] = mlirDictionaryAttrGetElement(old, i);
    list[n_old] = mlirNamedAttributeGet(mlirIdentifierGet(q->mlir, qbc_str(name)),
                                        mlirDenseF32ArrayGet(q->mlir, (intptr_t)n, values));
    qbc_set(module, MATRICES, mlirDictionaryAttrGet(q->mlir, n_old + 1, list));
    store_matrix(q, name, values, n);
}

static bool same(const struct qbc_view *a, const struct qbc_view *b)
{
    return a->source == b->source && a->rows == b->rows && a->cols == b->cols && a->offset == b->offset &&
           a->row_stride == b->row_stride && a->col_stride == b->col_stride;
}

bool qbc_changed_view(struct qbc *q, MlirOperation weight, struct qbc_view *view)
{
    MlirAttribute attr = mlirOperationGetAttributeByName(weight, qbc_str("changes"));
    if (mlirAttributeIsNull(attr))
        return true;
    struct qbc_changed *c = of(q)->list;
    while (c && (c->key != attr.ptr || !same(&c->stored, view)))
        c = c->next;
    if (!c) {
        c = read_changes(q, attr, view);
        if (!c) {
            qbc_error(q, weight, "its changes do not fit a weight of %ld rows and %ld columns", (long)view->rows,
                      (long)view->cols);
            return false;
        }
        c->next = of(q)->list;
        of(q)->list = c;
    }
    *view = (struct qbc_view){.source = &c->source, .rows = c->stored.rows, .cols = c->stored.cols,
                              .row_stride = c->stored.cols, .col_stride = 1};
    return true;
}

const struct qbc_source *qbc_values_source(struct qbc *q, MlirOperation weight)
{
    const float *values;
    if (!qbc_has(weight, "values"))
        return NULL;
    const char *name = qbc_text(q, "values of %s", qbc_string(q, weight, "name", ""));
    size_t n = qbc_floats(q, weight, "values", &values);
    const struct qbc_source *there = qbc_store_find(q, name);
    if (there && there->bytes == n * sizeof *values && !memcmp(there->data, values, there->bytes))
        return there;
    qbc_store_add(q, (struct qbc_source){.name = name, .element = QBC_F32, .rank = 1, .dims = {(int64_t)n}, .data = values,
                                         .bytes = n * sizeof *values});
    return qbc_store_find(q, name);
}

/* --- writing it */

static void add_change(struct qbc *q, MlirOperation weight, enum qbc_axis axis, const struct qbc_attr *attrs, size_t n)
{
    enum { MOST = 64, FIELDS = 4 };
    MlirNamedAttribute named[FIELDS];
    MlirAttribute list[MOST], old = mlirOperationGetAttributeByName(weight, qbc_str("changes"));
    size_t n_old = mlirAttributeIsNull(old) ? 0 : (size_t)mlirArrayAttrGetNumElements(old), used = 0;
    for (size_t i = 0; i < n; ++i)
        if (!mlirAttributeIsNull(attrs[i].value))
            named[used++] = mlirNamedAttributeGet(mlirIdentifierGet(q->mlir, qbc_str(attrs[i].name)), attrs[i].value);
    if (axis == QBC_ALONG_ROWS)
        named[used++] = mlirNamedAttributeGet(mlirIdentifierGet(q->mlir, qbc_str("along")), qbc_attr_string(q, "rows"));
    if (n_old + 1 >= MOST) {
        qbc_error(q, weight, "more than %d changes of one weight", MOST - 1);
        return;
    }
    for (size_t i = 0; i < n_old; ++i)
        list[i] = mlirArrayAttrGetElement(old, (intptr_t)i);
    list[n_old] = mlirDictionaryAttrGet(q->mlir, (intptr_t)used, named);
    qbc_set(weight, "changes", mlirArrayAttrGet(q->mlir, (intptr_t)n_old + 1, list));
}

void qbc_change_scale(struct qbc *q, MlirOperation weight, enum qbc_axis axis, const float *scale, int64_t n)
{
    const struct qbc_attr attr = {"scale", mlirDenseF32ArrayGet(q->mlir, (intptr_t)n, scale)};
    add_change(q, weight, axis, &attr, 1);
}

void qbc_change_add(struct qbc *q, MlirOperation weight, enum qbc_axis axis, const float *add, int64_t n)
{
    const struct qbc_attr attr = {"add", mlirDenseF32ArrayGet(q->mlir, (intptr_t)n, add)};
    add_change(q, weight, axis, &attr, 1);
}

void qbc_change_rotate(struct qbc *q, MlirOperation weight, enum qbc_axis axis, int64_t order, const char *matrix,
                       bool transposed)
{
    const struct qbc_attr attrs[] = {
        {"matrix", matrix ? qbc_attr_string(q, matrix) : mlirAttributeGetNull()},
        {"rotate", qbc_attr_int(q, order)},
        {"transposed", transposed ? mlirUnitAttrGet(q->mlir) : mlirAttributeGetNull()},
    };
    add_change(q, weight, axis, attrs, sizeof attrs / sizeof *attrs);
}

static MlirValue add_values(struct qbc_build *b, const char *name, const float *values, size_t rank, const int64_t *dims)
{
    MlirOperation op = qbc_make(b, "qb.weight", qbc_tensor(b->q, mlirF32TypeGet(b->q->mlir), rank, dims), NULL, 0, NULL);
    int64_t strides[2] = {rank > 1 ? dims[1] : 1, 1}, n = dims[0] * strides[0];
    qbc_set_string(b->q, op, "name", name);
    qbc_set_string(b->q, op, "source", "");
    qbc_set_int(b->q, op, "offset", 0);
    qbc_set_ints(b->q, op, "strides", strides, rank);
    qbc_set_floats(b->q, op, "values", values, (size_t)n);
    return mlirOperationGetResult(op, 0);
}

MlirValue qbc_values(struct qbc_build *b, const char *name, const float *values, int64_t n)
{
    return add_values(b, name, values, 1, &n);
}

MlirValue qbc_matrix_values(struct qbc_build *b, const char *name, const float *values, int64_t rows, int64_t cols)
{
    return add_values(b, name, values, 2, (int64_t[]){rows, cols});
}
