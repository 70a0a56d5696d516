/* codes: DequantizeLinear where passes put it (pattern.h). */
#include "pattern.h"

#include <mlir-c/BuiltinTypes.h>

void qbc_copy_attributes(MlirOperation from, MlirOperation to)
{
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(from); ++i) {
        MlirNamedAttribute a = mlirOperationGetAttribute(from, i);
        mlirOperationSetAttributeByName(to, mlirIdentifierStr(a.name), a.attribute);
    }
}

MlirType qbc_typed_as(struct qbc *q, MlirType type, MlirType element)
{
    int64_t dims[QBC_MAX_RANK];
    if (!mlirTypeIsARankedTensor(type) || mlirShapedTypeGetRank(type) > QBC_MAX_RANK)
        return mlirUnrankedTensorTypeGet(element);
    size_t rank = (size_t)mlirShapedTypeGetRank(type);
    for (size_t d = 0; d < rank; ++d)
        dims[d] = mlirShapedTypeIsDynamicDim(type, (intptr_t)d) ? QBC_ANY : mlirShapedTypeGetDimSize(type, (intptr_t)d);
    return qbc_tensor(q, element, rank, dims);
}

MlirType qbc_as_floats(struct qbc *q, MlirType type)
{
    return qbc_typed_as(q, type, mlirF32TypeGet(q->mlir));
}

MlirValue qbc_dequantized(struct qbc_build *b, MlirValue codes, MlirValue scales, MlirValue zeros, int64_t axis)
{
    bool has_zeros = !qbc_is_none(zeros);
    MlirType type = qbc_as_floats(b->q, mlirValueGetType(codes));
    MlirValue w = qbc_op(b, "onnx.DequantizeLinear", type, 2 + has_zeros, codes, scales, zeros);
    qbc_set_int(b->q, qbc_def_any(w), "axis", axis);
    return w;
}
