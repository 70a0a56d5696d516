/* element: ONNX's element types and MLIR's. Unsigned types keep their sign in MLIR (ui8). */
#include "base.h"

#include <mlir-c/BuiltinTypes.h>

static const struct {
    enum qbc_element element;
    const char *type;
} pairs[] = {
    {QBC_F32, "f32"}, {QBC_I64, "i64"},   {QBC_BOOL, "i1"},  {QBC_F16, "f16"}, {QBC_I32, "i32"},
    {QBC_F64, "f64"}, {QBC_BF16, "bf16"}, {QBC_U8, "ui8"},   {QBC_I8, "i8"},   {QBC_U16, "ui16"},
    {QBC_I16, "i16"}, {QBC_U32, "ui32"},  {QBC_U64, "ui64"}, {QBC_U4, "ui4"},  {QBC_I4, "i4"},
    {QBC_U2, "ui2"},  {QBC_I2, "i2"},
    {QBC_F8E4M3FN, "f8E4M3FN"}, {QBC_F8E4M3FNUZ, "f8E4M3FNUZ"}, {QBC_F8E5M2, "f8E5M2"},
    {QBC_F8E5M2FNUZ, "f8E5M2FNUZ"}, {QBC_F4E2M1, "f4E2M1FN"}, {QBC_F8E8M0, "f8E8M0FNU"},
};
enum { N_PAIRS = sizeof pairs / sizeof *pairs };

MlirType qbc_element_type(struct qbc *q, enum qbc_element element)
{
    for (size_t i = 0; i < N_PAIRS; ++i)
        if (pairs[i].element == element)
            return qbc_type(q, pairs[i].type);
    return (MlirType){NULL};
}

static bool of_integer(MlirType type, enum qbc_element *out)
{
    bool is_unsigned = mlirIntegerTypeIsUnsigned(type);
    switch (mlirIntegerTypeGetWidth(type)) {
    case 1:
        *out = QBC_BOOL;
        return !is_unsigned;
    case 2:
        *out = is_unsigned ? QBC_U2 : QBC_I2;
        return true;
    case 4:
        *out = is_unsigned ? QBC_U4 : QBC_I4;
        return true;
    case 8:
        *out = is_unsigned ? QBC_U8 : QBC_I8;
        return true;
    case 16:
        *out = is_unsigned ? QBC_U16 : QBC_I16;
        return true;
    case 32:
        *out = is_unsigned ? QBC_U32 : QBC_I32;
        return true;
    case 64:
        *out = is_unsigned ? QBC_U64 : QBC_I64;
        return true;
    default:
        return false;
    }
}

bool qbc_element_of(MlirType type, enum qbc_element *out)
{
    if (mlirTypeIsAInteger(type))
        return of_integer(type, out);
    *out = mlirTypeIsAF32(type)              ? QBC_F32
           : mlirTypeIsAF16(type)            ? QBC_F16
           : mlirTypeIsABF16(type)           ? QBC_BF16
           : mlirTypeIsAF64(type)            ? QBC_F64
           : mlirTypeIsAFloat8E4M3FN(type)   ? QBC_F8E4M3FN
           : mlirTypeIsAFloat8E4M3FNUZ(type) ? QBC_F8E4M3FNUZ
           : mlirTypeIsAFloat8E5M2(type)     ? QBC_F8E5M2
           : mlirTypeIsAFloat8E5M2FNUZ(type) ? QBC_F8E5M2FNUZ
           : mlirTypeIsAFloat4E2M1FN(type)   ? QBC_F4E2M1
           : mlirTypeIsAFloat8E8M0FNU(type)  ? QBC_F8E8M0
                                             : (enum qbc_element)0;
    return *out != 0;
}
