/* build_scalable: operations on RISC-V vectors of any length, for generators. LLVM puts the instruction that sets
 * length and type (vsetvli) where it is needed: nowhere between operations of the same vl whose elements and
 * registers have the same ratio. */
#include "kernel.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>

/* lanes past vl may become anything; the rounding mode of the CPU; a vl of all lanes */
enum { AGNOSTIC = 3, DYNAMIC = 7, ALL = -1 };

MlirType k_scalable(struct qbc_kernel *k, int64_t lanes, MlirType element)
{
    (void)k;
    bool scalable = true;
    return mlirVectorTypeGetScalable(1, &lanes, &scalable, element);
}

MlirValue k_most_lanes(struct qbc_kernel *k, int64_t lanes)
{
    int64_t group = 0; /* log2 of the registers of as many bytes: 0 1 2 3 */
    while (8 << group < lanes)
        ++group;
    MlirValue operands[] = {k_i64(k, 0), k_i64(k, group)};
    return k_intrinsic(k, "llvm.riscv.vsetvlimax", k->i64, 2, operands);
}

static MlirValue intrinsic(struct qbc_kernel *k, const char *name, MlirType type, size_t n, const MlirValue *operands)
{
    return k_intrinsic(k, qbc_text(k->q, "llvm.riscv.%s", name), type, n, operands);
}

static MlirValue nothing(struct qbc_kernel *k, MlirType type)
{
    return mlirOperationGetResult(qbc_make(&k->b, "llvm.mlir.poison", type, NULL, 0, NULL), 0);
}

MlirValue k_rvv_op1(struct qbc_kernel *k, const char *name, MlirType type, MlirValue a, MlirValue vl)
{
    return intrinsic(k, name, type, 3, (MlirValue[]){nothing(k, type), a, vl});
}

MlirValue k_rvv_op(struct qbc_kernel *k, const char *name, MlirType type, MlirValue a, MlirValue b, MlirValue vl)
{
    return intrinsic(k, name, type, 4, (MlirValue[]){nothing(k, type), a, b, vl});
}

MlirValue k_rvv_op_float(struct qbc_kernel *k, const char *name, MlirValue a, MlirValue b, MlirValue vl)
{
    MlirType type = mlirValueGetType(a);
    return intrinsic(k, name, type, 5, (MlirValue[]){nothing(k, type), a, b, k_i64(k, DYNAMIC), vl});
}

MlirValue k_rvv_add_product(struct qbc_kernel *k, const char *name, MlirValue sum, MlirValue a, MlirValue b,
                            MlirValue vl)
{
    return intrinsic(k, name, mlirValueGetType(sum), 5, (MlirValue[]){sum, a, b, vl, k_i64(k, AGNOSTIC)});
}

MlirValue k_rvv_add_product_float(struct qbc_kernel *k, MlirValue sum, MlirValue a, MlirValue b, MlirValue vl)
{
    MlirValue operands[] = {sum, a, b, k_i64(k, DYNAMIC), vl, k_i64(k, AGNOSTIC)};
    return intrinsic(k, "vfmacc", mlirValueGetType(sum), 6, operands);
}

MlirValue k_rvv_int_to_float(struct qbc_kernel *k, MlirValue v, MlirValue vl)
{
    MlirType from = mlirValueGetType(v), type = k_with_element(from, k->f32);
    if (mlirTypeEqual(mlirShapedTypeGetElementType(from), k->i16))
        return k_rvv_op1(k, "vfwcvt.f.x.v", type, v, vl);
    return intrinsic(k, "vfcvt.f.x.v", type, 4, (MlirValue[]){nothing(k, type), v, k_i64(k, DYNAMIC), vl});
}

MlirValue k_rvv_splat(struct qbc_kernel *k, MlirType type, MlirValue scalar, MlirValue vl)
{
    bool is_float = mlirTypeIsAFloat(mlirValueGetType(scalar));
    return k_rvv_op1(k, is_float ? "vfmv.v.f" : "vmv.v.x", type, scalar, vl);
}

MlirValue k_rvv_load(struct qbc_kernel *k, MlirType type, MlirValue at, MlirValue vl)
{
    return k_rvv_op1(k, "vle", type, at, vl);
}

/* As k_load_half does it without instructions for f16. */
MlirValue k_rvv_load_half(struct qbc_kernel *k, int64_t lanes, MlirValue at, MlirValue vl)
{
    MlirType ints = k_scalable(k, lanes, k->i32), floats = k_scalable(k, lanes, k->f32);
    MlirValue v = k_rvv_op1(k, "vsext", ints, k_rvv_load(k, k_scalable(k, lanes, k->i16), at, vl), vl);
    v = k_rvv_op(k, "vsll", ints, v, k_i64(k, 13), vl);
    v = k_rvv_op(k, "vand", ints, v, k_i32(k, (int32_t)0x8fffffff), vl);
    return k_rvv_op_float(k, "vfmul", k_bitcast(k, v, floats), k_f32(k, 0x1p112f), vl);
}

MlirValue k_rvv_numbers(struct qbc_kernel *k, MlirType type, MlirValue vl)
{
    return intrinsic(k, "vid", type, 2, (MlirValue[]){nothing(k, type), vl});
}

MlirValue k_rvv_gather(struct qbc_kernel *k, MlirType type, MlirValue at, MlirValue bytes, MlirValue vl)
{
    return intrinsic(k, "vluxei", type, 4, (MlirValue[]){nothing(k, type), at, bytes, vl});
}

MlirValue k_rvv_spread(struct qbc_kernel *k, MlirValue v, MlirValue index)
{
    MlirType type = mlirValueGetType(v);
    return intrinsic(k, "vrgather.vv", type, 4, (MlirValue[]){nothing(k, type), v, index, k_i64(k, ALL)});
}

MlirValue k_rvv_look_up(struct qbc_kernel *k, int n, const int8_t *table, MlirValue index)
{
    MlirType type = mlirValueGetType(index), some = k_vec(k, n, k->i8);
    struct qbc_attr value[] = {{"value", mlirDenseElementsAttrInt8Get(some, n, table)}, {0}};
    struct qbc_attr pos[] = {{"pos", qbc_attr_int(k->q, 0)}, {0}};
    MlirValue entries = mlirOperationGetResult(qbc_make(&k->b, "arith.constant", some, value, 0, NULL), 0);
    MlirValue into[] = {entries, k_int_of(k, type, 0)};
    entries = mlirOperationGetResult(qbc_make(&k->b, "vector.scalable.insert", type, pos, 2, into), 0);
    return k_rvv_spread(k, entries, index);
}

void k_rvv_store(struct qbc_kernel *k, MlirValue v, MlirValue at, MlirValue vl)
{
    intrinsic(k, "vse", (MlirType){NULL}, 3, (MlirValue[]){v, at, vl});
}

MlirValue k_rvv_half_of(struct qbc_kernel *k, MlirValue v, bool high)
{
    MlirType type = mlirValueGetType(v);
    int64_t half = mlirShapedTypeGetDimSize(type, 0) / 2;
    struct qbc_attr attrs[] = {{"pos", qbc_attr_int(k->q, high ? half : 0)}, {0}};
    MlirType part = k_scalable(k, half, mlirShapedTypeGetElementType(type));
    return mlirOperationGetResult(qbc_make(&k->b, "vector.scalable.extract", part, attrs, 1, &v), 0);
}

static MlirValue all_lanes(struct qbc_kernel *k, int64_t n)
{
    return k_int_of(k, k_vec(k, n, k->i1), 1);
}

/* Lane by lane: what has no instruction for it still computes with whole vectors. */
static MlirValue gather(struct qbc_kernel *k, int64_t n, MlirType element, MlirValue at, int64_t stride)
{
    MlirValue *lanes = qbc_alloc(k->q, (size_t)n * sizeof *lanes);
    for (int64_t i = 0; i < n; ++i)
        lanes[i] = k_load(k, element, k_at_i(k, at, i * stride), 1);
    MlirType type = k_vec(k, n, element);
    return mlirOperationGetResult(qbc_make(&k->b, "vector.from_elements", type, NULL, (size_t)n, lanes), 0);
}

MlirValue k_load_strided(struct qbc_kernel *k, int64_t n, MlirType element, MlirValue at, int64_t stride)
{
    if (!k->q->target->scalable)
        return gather(k, n, element, at, stride);
    MlirValue operands[] = {at, k_i64(k, stride), all_lanes(k, n), k_i32(k, (int32_t)n)};
    return k_intrinsic(k, "llvm.experimental.vp.strided.load", k_vec(k, n, element), 4, operands);
}

void k_store_strided(struct qbc_kernel *k, MlirValue vector, MlirValue at, int64_t stride)
{
    int64_t n = mlirShapedTypeGetDimSize(mlirValueGetType(vector), 0);
    for (int64_t i = 0; i < n && !k->q->target->scalable; ++i)
        k_store(k, k_extract(k, vector, i), k_at_i(k, at, i * stride), 1);
    if (!k->q->target->scalable)
        return;
    MlirValue operands[] = {vector, at, k_i64(k, stride), all_lanes(k, n), k_i32(k, (int32_t)n)};
    k_intrinsic(k, "llvm.experimental.vp.strided.store", (MlirType){NULL}, 5, operands);
}
