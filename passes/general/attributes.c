/* attributes: what an operation of level 0 says beside its operands. */
#include "general.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

int64_t g_attr_int(struct g_op *o, const char *name, int64_t fallback)
{
    return qbc_int(o->op, name, fallback);
}

double g_attr_float(struct g_op *o, const char *name, double fallback)
{
    return qbc_float(o->op, name, fallback);
}

const char *g_attr_text(struct g_op *o, const char *name, const char *fallback)
{
    return qbc_string(o->g->q, o->op, name, fallback);
}

size_t g_attr_ints(struct g_op *o, const char *name, const int64_t **out)
{
    return g_has_attr(o, name) ? qbc_ints(o->g->q, o->op, name, out) : 0;
}

bool g_has_attr(struct g_op *o, const char *name)
{
    return qbc_has(o->op, name);
}

bool g_has(const struct g_op *o, size_t i)
{
    return i < o->n_in && o->in[i];
}

size_t g_list(struct g_op *o, size_t i, const char *name, int64_t *out, size_t most)
{
    const int64_t *list;
    if (g_has(o, i)) {
        int64_t n = g_known_count(o->in[i]);
        if (n < 0 || (size_t)n > most || (n && !o->in[i]->known))
            return SIZE_MAX;
        for (int64_t k = 0; k < n; ++k)
            if (!g_known_int(o->in[i], k, &out[k]))
                return SIZE_MAX;
        return (size_t)n;
    }
    if (!name || !g_has_attr(o, name))
        return SIZE_MAX;
    size_t n = g_attr_ints(o, name, &list);
    for (size_t k = 0; k < n && k < most; ++k)
        out[k] = list[k];
    return n < most ? n : most;
}

bool g_declared(struct g_op *o, size_t i, size_t *rank, int64_t *dims)
{
    MlirValue v = mlirOperationGetResult(o->op, (intptr_t)i);
    if (!mlirTypeIsARankedTensor(mlirValueGetType(v)))
        return false;
    *rank = qbc_rank(v);
    for (size_t d = 0; d < *rank; ++d)
        dims[d] = qbc_dim(v, d);
    return true;
}

/* Elements one after the other, whatever MLIR keeps. */
struct g_tensor *g_attr_tensor(struct g_op *o, const char *name)
{
    MlirAttribute dense = mlirOperationGetAttributeByName(o->op, qbc_str(name));
    enum qbc_element element;
    int64_t dims[QBC_MAX_RANK];
    if (mlirAttributeIsNull(dense) || !mlirAttributeIsADenseElements(dense))
        return NULL;
    MlirType type = mlirAttributeGetType(dense);
    if (!qbc_element_of(mlirShapedTypeGetElementType(type), &element) || mlirShapedTypeGetRank(type) > QBC_MAX_RANK)
        return NULL;
    for (intptr_t i = 0; i < mlirShapedTypeGetRank(type); ++i)
        dims[i] = mlirShapedTypeGetDimSize(type, i);
    intptr_t n = mlirElementsAttrGetNumElements(dense);
    size_t bytes = qbc_element_bytes(element);
    char *data = qbc_alloc(o->g->q, (size_t)n * bytes + 8);
    const char *raw = mlirDenseElementsAttrGetRawData(dense);
    bool splat = mlirDenseElementsAttrIsSplat(dense);
    for (intptr_t i = 0; i < n; ++i)
        if (element == QBC_BOOL)
            data[i] = mlirDenseElementsAttrGetBoolValue(dense, i);
        else
            memcpy(data + (size_t)i * bytes, raw + (splat ? 0 : (size_t)i * bytes), bytes);
    return g_known(o->g, element, (size_t)mlirShapedTypeGetRank(type), dims, data);
}

enum qbc_element g_declared_element(struct g_op *o, size_t i, enum qbc_element fallback)
{
    enum qbc_element element;
    MlirType type = mlirValueGetType(mlirOperationGetResult(o->op, (intptr_t)i));
    return mlirTypeIsAShaped(type) && qbc_element_of(mlirShapedTypeGetElementType(type), &element) ? element : fallback;
}

const char *g_attr_list_text(struct g_op *o, const char *name, size_t i, const char *fallback)
{
    MlirAttribute list = mlirOperationGetAttributeByName(o->op, qbc_str(name));
    if (mlirAttributeIsNull(list) || !mlirAttributeIsAArray(list) || (intptr_t)i >= mlirArrayAttrGetNumElements(list))
        return fallback;
    MlirStringRef text = mlirStringAttrGetValue(mlirArrayAttrGetElement(list, (intptr_t)i));
    return qbc_copy(o->g->q, text.data, text.length);
}
