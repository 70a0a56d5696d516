/* evaluate_read: what an operation's attributes, list operands and weights say. */
#include "coded.h"
#include "evaluate_ops.h"

#include <math.h>
#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

int64_t qbc_ev_int(struct qbc_ev *c, const char *name, int64_t fallback)
{
    return qbc_int(c->op, name, fallback);
}

float qbc_ev_float(struct qbc_ev *c, const char *name, float fallback)
{
    return (float)qbc_float(c->op, name, (double)fallback);
}

size_t qbc_ev_int_list(struct qbc_ev *c, const char *name, int64_t *out)
{
    MlirAttribute a = mlirOperationGetAttributeByName(c->op, qbc_str(name));
    if (mlirAttributeIsNull(a) || !mlirAttributeIsADenseI64Array(a))
        return SIZE_MAX;
    size_t n = (size_t)mlirDenseArrayGetNumElements(a);
    if (n > QBC_EV_MOST_OPERANDS)
        n = QBC_EV_MOST_OPERANDS;
    for (size_t i = 0; i < n; ++i)
        out[i] = mlirDenseI64ArrayGetElement(a, (intptr_t)i);
    return n;
}

/* What fold-shapes leaves in place of an operand: texts, each a sum of numbers, T and P. */
static bool affine_list(struct qbc_ev *c, MlirAttribute texts, const char *name, int64_t *out,
                        size_t *n)
{
    *n = (size_t)mlirArrayAttrGetNumElements(texts);
    for (size_t i = 0; i < *n && i < QBC_EV_MOST_OPERANDS; ++i) {
        MlirAttribute text = mlirArrayAttrGetElement(texts, (intptr_t)i);
        if (!mlirAttributeIsAString(text) ||
            !qbc_ev_affine(c->e, mlirStringAttrGetValue(text), &out[i]))
            return qbc_ev_fail(c, "entry %zu of its '%s' is no sum of numbers, T and P", i, name);
    }
    return *n <= QBC_EV_MOST_OPERANDS || qbc_ev_fail(c, "its '%s' is too long", name);
}

bool qbc_ev_list(struct qbc_ev *c, size_t operand, const char *name, int64_t *out, size_t *n)
{
    if (!qbc_ev_has(c, operand)) {
        MlirAttribute texts = mlirOperationGetAttributeByName(c->op, qbc_str(name));
        if (!mlirAttributeIsNull(texts) && mlirAttributeIsAArray(texts))
            return affine_list(c, texts, name, out, n);
        *n = qbc_ev_int_list(c, name, out);
        return true;
    }
    const struct qbc_array *a = c->in[operand];
    if (!qbc_ev_known(c, operand))
        return qbc_ev_fail(c, "the shape depends on numbers that are not known (operand %zu, '%s')",
                           operand, name);
    if (!a->i || a->n > QBC_EV_MOST_OPERANDS)
        return qbc_ev_fail(c, "operand %zu ('%s') should be a short list of integers", operand,
                           name);
    *n = a->n;
    memcpy(out, a->i, a->n * sizeof *out);
    return true;
}

bool qbc_ev_axis(int64_t *axis, size_t rank)
{
    if (*axis < 0)
        *axis += (int64_t)rank;
    return *axis >= 0 && *axis < (int64_t)rank;
}

double qbc_ev_get(const struct qbc_array *a, size_t i)
{
    return a->f ? (double)a->f[i] : (double)a->i[i];
}

void qbc_ev_put(struct qbc_array *a, size_t i, double value)
{
    if (a->f)
        a->f[i] = (float)value;
    else
        a->i[i] = (int64_t)value;
}

/* One element as it lies in memory. */
static void read_element(struct qbc_array *to, size_t i, enum qbc_element element, const void *data,
                         int64_t at)
{
    const unsigned char *p = (const unsigned char *)data + (size_t)at * qbc_element_bytes(element);
    uint64_t bits = 0;
    memcpy(&bits, p, qbc_element_bytes(element)); /* little-endian */
    uint32_t low = (uint32_t)bits;
    double wide;
    switch (element) {
    case QBC_F32:
        memcpy(&to->f[i], &low, 4);
        break;
    case QBC_F16:
        to->f[i] = qbc_half_to_float((uint16_t)bits);
        break;
    case QBC_BF16:
        low <<= 16;
        memcpy(&to->f[i], &low, 4);
        break;
    case QBC_F64:
        memcpy(&wide, &bits, 8);
        to->f[i] = (float)wide;
        break;
    case QBC_I8:
        to->i[i] = (int8_t)bits;
        break;
    case QBC_I16:
        to->i[i] = (int16_t)bits;
        break;
    case QBC_I32:
        to->i[i] = (int32_t)bits;
        break;
    case QBC_BOOL:
        to->i[i] = bits != 0;
        break;
    default:
        to->i[i] = (int64_t)bits;
    }
}

static bool room(struct qbc_evaluation *e, struct qbc_array *a)
{
    *a = qbc_array_create(e, a->element, a->rank, a->dims);
    return a->known;
}

bool qbc_ev_dense(struct qbc_evaluation *e, MlirAttribute dense, struct qbc_array *out)
{
    MlirType type = mlirAttributeGetType(dense), element = mlirShapedTypeGetElementType(type);
    size_t rank = (size_t)mlirShapedTypeGetRank(type);
    int64_t dims[QBC_MAX_RANK];
    *out = (struct qbc_array){.rank = rank};
    if (rank > QBC_MAX_RANK || !qbc_element_of(element, &out->element))
        return false;
    for (size_t i = 0; i < rank; ++i)
        out->dims[i] = dims[i] = mlirShapedTypeGetDimSize(type, (intptr_t)i);
    if (!room(e, out))
        return false;
    bool splat = mlirDenseElementsAttrIsSplat(dense);
    const void *raw = out->element == QBC_BOOL ? NULL : mlirDenseElementsAttrGetRawData(dense);
    for (size_t i = 0; i < out->n; ++i) {
        if (raw)
            read_element(out, i, out->element, raw, splat ? 0 : (int64_t)i);
        else /* how single bits are stored is MLIR's affair */
            out->i[i] = splat ? mlirDenseElementsAttrGetBoolSplatValue(dense) != 0
                              : mlirDenseElementsAttrGetBoolValue(dense, (intptr_t)i);
    }
    return true;
}

static bool inside(const struct qbc_source *source, const struct qbc_array *a, int64_t offset,
                   const int64_t *strides)
{
    double first = (double)offset, last = first;
    for (size_t d = 0; d < a->rank; ++d) {
        double span = (double)(a->dims[d] - 1) * (double)strides[d];
        *(span < 0 ? &first : &last) += span;
    }
    return first >= 0 && last < (double)qbc_source_elements(source);
}

bool qbc_ev_read_weight(struct qbc_evaluation *e, MlirOperation weight, struct qbc_array *array)
{
    struct qbc *q = qbc_ev_context(e);
    const struct qbc_source *source = qbc_weight_source(q, weight);
    const int64_t *strides;
    size_t n = qbc_ints(q, weight, "strides", &strides);
    int64_t offset = qbc_int(weight, "offset", 0);
    if (!source || qbc_has(weight, "runs") || qbc_is_float(source->element) != qbc_is_float(array->element) ||
        qbc_element_bits(source->element) < 8 || n != array->rank || !array->n ||
        !inside(source, array, offset, strides) || !room(e, array))
        return false;
    struct qbc_ev_walk w;
    qbc_ev_walk_start(&w, array->rank, array->dims);
    memcpy(w.stride[0], strides, n * sizeof *strides);
    for (size_t i = 0; i < array->n; ++i, qbc_ev_walk_next(&w))
        if (source->coded)
            qbc_coded_read(source->coded, offset + w.at[0], 1, array->f + i);
        else
            read_element(array, i, source->element, source->data, offset + w.at[0]);
    return true;
}
