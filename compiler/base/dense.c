/* dense: an array of the evaluator as bytes, and as a dense attribute. */
#include "facts.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

static void store_element(const struct qbc_array *a, size_t i, unsigned char *to)
{
    uint16_t half;
    double wide;
    uint32_t bits;
    switch (a->element) {
    case QBC_F32:
        memcpy(to, &a->f[i], 4);
        break;
    case QBC_F16:
        half = qbc_float_to_half(a->f[i]);
        memcpy(to, &half, 2);
        break;
    case QBC_BF16:
        memcpy(&bits, &a->f[i], 4);
        half = (uint16_t)(bits >> 16); /* exact: Cast has rounded */
        memcpy(to, &half, 2);
        break;
    case QBC_F64:
        wide = (double)a->f[i];
        memcpy(to, &wide, 8);
        break;
    default:
        memcpy(to, &a->i[i], qbc_element_bytes(a->element)); /* little-endian: the low bytes */
    }
}

void qbc_array_bytes(const struct qbc_array *a, void *out)
{
    for (size_t i = 0; i < a->n; ++i)
        store_element(a, i, (unsigned char *)out + i * qbc_element_bytes(a->element));
}

MlirAttribute qbc_array_dense(struct qbc *q, const struct qbc_array *a)
{
    MlirType type = qbc_tensor(q, qbc_element_type(q, a->element), a->rank, a->dims);
    size_t bytes = a->n * qbc_element_bytes(a->element);
    if (a->element == QBC_BOOL) {
        int *truths = qbc_alloc(q, (a->n + 1) * sizeof *truths);
        for (size_t i = 0; i < a->n; ++i)
            truths[i] = a->i[i] != 0;
        return mlirDenseElementsAttrBoolGet(type, (intptr_t)a->n, truths);
    }
    void *raw = qbc_alloc(q, bytes + 1);
    qbc_array_bytes(a, raw);
    return mlirDenseElementsAttrRawBufferGet(type, bytes, raw);
}
