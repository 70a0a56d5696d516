/* share: which part of a kernel's work is this thread's, and walks over rows and columns. */
#include "kernel.h"

/* thread * units / threads .. (thread + 1) * units / threads: parts differ by one at most, and
 * where a part begins does not change what is computed in it. */
struct k_range k_share(struct qbc_kernel *k, MlirValue units)
{
    MlirValue next = k_add_i(k, k->thread, 1);
    struct k_range r = {
        .from = k_op2(k, "arith.divui", k_mul(k, k->thread, units), k->threads),
        .to = k_op2(k, "arith.divui", k_mul(k, next, units), k->threads),
    };
    return r;
}

MlirValue k_row(struct qbc_kernel *k, size_t operand, MlirValue row)
{
    return k_at(k, k->operand[operand], k_mul_i(k, row, k->row_bytes[operand]));
}

MlirValue k_columns(struct qbc_kernel *k, int64_t n, int64_t width, k_column_body body, void *user,
                    MlirValue sum)
{
    bool carries = !mlirValueIsNull(sum);
    int64_t whole = n / width * width;
    if (whole) {
        struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, whole), width, carries, &sum);
        MlirValue next = body(k, user, loop.i, width, carries ? loop.carried[0] : sum);
        k_end(k, &loop, &next);
        sum = carries ? loop.carried[0] : sum;
    }
    for (int64_t piece = width; n > whole; piece /= 2)
        for (; n - whole >= piece; whole += piece)
            sum = body(k, user, k_i64(k, whole), piece, sum);
    return sum;
}

MlirValue k_float_at(struct qbc_kernel *k, MlirValue row, MlirValue column, int64_t width)
{
    return k_load(k, k_vec(k, width, k->f32), k_at(k, row, k_mul_i(k, column, 4)), 4);
}

void k_float_to(struct qbc_kernel *k, MlirValue value, MlirValue row, MlirValue column)
{
    k_store(k, value, k_at(k, row, k_mul_i(k, column, 4)), 4);
}
