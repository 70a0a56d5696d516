/* gather: y[t][k] = x[t][order[k]], columns in another order.
 *
 *   operands   y, x, order            order: u16, one after the other, however high the panels are
 *   attributes c (columns), n, k, format, panel of `order`
 */
#include "kernel.h"

#include <mlir-c/BuiltinTypes.h>

enum { Y = 0, X = 1, ORDER = 2, WIDTH = 16 };

/* Are loads from many places worth an instruction here? */
static bool has_gathers(const struct qbc_kernel *k)
{
    enum { LONG = 512 };
    return k->q->target->scalable || k->q->target->vector_bits >= LONG;
}

static MlirValue by_lanes(struct qbc_kernel *k, int64_t n, MlirValue base, MlirValue indices)
{
    MlirValue *lanes = qbc_alloc(k->q, (size_t)n * sizeof *lanes);
    for (int64_t i = 0; i < n; ++i) {
        MlirValue index = qbc_op(&k->b, "arith.extui", k->i64, 1, k_extract(k, indices, i));
        lanes[i] = k_load(k, k->f32, k_at(k, base, k_mul_i(k, index, 4)), 4);
    }
    MlirType type = k_vec(k, n, k->f32);
    return mlirOperationGetResult(qbc_make(&k->b, "vector.from_elements", type, NULL, (size_t)n, lanes), 0);
}

MlirValue k_index(struct qbc_kernel *k, MlirValue index, int64_t count)
{
    return k_op2(k, "arith.minui", index, k_int_of(k, mlirValueGetType(index), (int16_t)(count - 1)));
}

MlirValue k_gather(struct qbc_kernel *k, int64_t n, MlirValue base, int64_t count, MlirValue indices)
{
    MlirValue which = k_index(k, k_load(k, k_vec(k, n, k->i16), indices, 2), count);
    return has_gathers(k) ? k_gather_from(k, k->f32, k->f32, base, k_cast(k, "arith.extui", which, k->i32), 4)
                          : by_lanes(k, n, base, which);
}

MlirValue k_gather_numbers(struct qbc_kernel *k, MlirValue base, MlirValue numbers)
{
    int64_t n = mlirShapedTypeGetDimSize(mlirValueGetType(numbers), 0);
    return has_gathers(k) ? k_gather_from(k, k->f32, k->f32, base, numbers, 4) : by_lanes(k, n, base, numbers);
}

static MlirValue some(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    MlirValue row = *(MlirValue *)user, indices = k_at(k, k->operand[ORDER], k_mul_i(k, column, 2));
    k_float_to(k, k_gather(k, width, k_row(k, X, row), qbc_int(k->launch, "c", 0), indices), k_row(k, Y, row), column);
    return sum;
}

void qbc_kernel_gather(struct qbc_kernel *k)
{
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    k_columns(k, qbc_int(k->launch, "c", 0), WIDTH, some, &rows.i, (MlirValue){NULL});
    k_end(k, &rows, NULL);
}
