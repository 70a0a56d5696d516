/* lanes: vectors with a lane for each row that is worked on: l->rows of them; or, where vectors are of any length, as many as
 * there are, of which the first l->vl count. What is only computed may be computed for all; memory is touched for
 * those that count.
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>

bool qbc_is_strip(const struct qbc_linear *l)
{
    return !mlirValueIsNull(l->vl);
}

MlirType qbc_lanes(const struct qbc_linear *l, MlirType element)
{
    return qbc_is_strip(l) ? k_scalable(l->k, l->lanes, element) : k_vec(l->k, l->rows, element);
}

MlirValue qbc_lanes_load(struct qbc_linear *l, MlirType element, MlirValue at)
{
    MlirType type = qbc_lanes(l, element);
    return qbc_is_strip(l) ? k_rvv_load(l->k, type, at, l->vl) : k_load(l->k, type, at, 1);
}

MlirValue qbc_lanes_load_half(struct qbc_linear *l, MlirValue at)
{
    if (qbc_is_strip(l))
        return k_rvv_load_half(l->k, l->lanes, at, l->vl);
    return k_half_to_float(l->k, qbc_lanes_load(l, k_half(l->k), at));
}

MlirValue qbc_lanes_splat(struct qbc_linear *l, MlirValue scalar)
{
    return qbc_op(&l->k->b, "vector.broadcast", qbc_lanes(l, mlirValueGetType(scalar)), 1, scalar);
}

MlirValue qbc_lanes_number(struct qbc_linear *l)
{
    if (!qbc_is_strip(l))
        return k_iota(l->k, l->rows, l->k->i32);
    return k_rvv_numbers(l->k, qbc_lanes(l, l->k->i32), l->vl);
}

/* 16 bits as f32, f16 */
static MlirValue from_half(struct qbc_kernel *k, MlirValue bits)
{
    return k_half_to_float(k, k->q->target->no_half ? bits : k_bitcast(k, bits, k_with_element(mlirValueGetType(bits), k->f16)));
}

MlirValue qbc_lanes_half(struct qbc_linear *l, MlirValue words)
{
    return from_half(l->k, k_cast(l->k, "arith.trunci", words, l->k->i16));
}

MlirValue qbc_lanes_gather_half(struct qbc_linear *l, MlirValue base, MlirValue bytes)
{
    struct qbc_kernel *k = l->k;
    if (qbc_is_strip(l))
        return from_half(k, k_rvv_gather(k, qbc_lanes(l, k->i16), base, bytes, l->vl));
    return qbc_lanes_half(l, k_gather_from(k, k->i32, k->i8, base, bytes, 1));
}

/* --- floats */

MlirValue qbc_lanes_mul(struct qbc_linear *l, MlirValue v, MlirValue by)
{
    if (qbc_is_strip(l))
        return k_rvv_op_float(l->k, "vfmul", v, by, l->vl);
    return k_fmul(l->k, v, qbc_lanes_splat(l, by));
}

MlirValue qbc_lanes_fma(struct qbc_linear *l, MlirValue a, MlirValue b, MlirValue sum)
{
    return qbc_is_strip(l) ? k_rvv_add_product_float(l->k, sum, a, b, l->vl) : k_fma(l->k, a, b, sum);
}

MlirValue qbc_lanes_fma_by(struct qbc_linear *l, MlirValue v, MlirValue by, MlirValue sum)
{
    struct qbc_kernel *k = l->k;
    bool is_float = mlirTypeIsAFloat(mlirValueGetType(by));
    if (!qbc_is_strip(l))
        by = qbc_lanes_splat(l, by);
    by = is_float ? by : k_cast(k, "arith.sitofp", by, k->f32);
    return qbc_is_strip(l) ? k_rvv_add_product_float(k, sum, by, v, l->vl) : k_fma(k, v, by, sum);
}
