/* heads: heads put together of columns of several rows, y[t][h D + j] = a source's column.
 *
 *   operands   y, x, ...                  sources
 *   attributes heads, head_dim (D), runs: five numbers each, which fill a head one after the other: operand (from 0), its column
 *              for head 0, columns from head to head, columns from element to element, elements
 */
#include "kernel.h"

#include <mlir-c/BuiltinAttributes.h>

enum { Y = 0, FIRST_X = 1, WIDTH = 16, NUMBERS = 5 };

struct run {
    int64_t source, first, apart, step, n;
};

struct places {
    MlirValue from, to;
};

static MlirValue some(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    const struct places *p = user;
    k_float_to(k, k_float_at(k, p->from, column, width), p->to, column);
    return sum;
}

static void copy(struct qbc_kernel *k, const struct run *r, struct places *p)
{
    if (r->step == 1) {
        k_columns(k, r->n, WIDTH, some, p, (MlirValue){NULL});
        return;
    }
    struct k_loop each = k_for(k, k_i64(k, 0), k_i64(k, r->n), 1, 0, NULL);
    MlirValue x = k_load(k, k->f32, k_at(k, p->from, k_mul_i(k, each.i, r->step * 4)), 4);
    k_store(k, x, k_at(k, p->to, k_mul_i(k, each.i, 4)), 4);
    k_end(k, &each, NULL);
}

void qbc_kernel_heads(struct qbc_kernel *k)
{
    MlirAttribute runs = mlirOperationGetAttributeByName(k->launch, qbc_str("runs"));
    intptr_t n = mlirAttributeIsNull(runs) ? 0 : mlirDenseArrayGetNumElements(runs) / NUMBERS;
    int64_t dim = qbc_int(k->launch, "head_dim", 0), at = 0;
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    struct k_loop heads = k_for(k, k_i64(k, 0), k_i64(k, qbc_int(k->launch, "heads", 0)), 1, 0, NULL);
    MlirValue y = k_at(k, k_row(k, Y, rows.i), k_mul_i(k, heads.i, dim * 4));
    for (intptr_t i = 0; i < n; ++i) {
        int64_t v[NUMBERS];
        for (int j = 0; j < NUMBERS; ++j)
            v[j] = mlirDenseI64ArrayGetElement(runs, i * NUMBERS + j);
        struct run r = {v[0], v[1], v[2], v[3], v[4]};
        MlirValue from = k_at_i(k, k_row(k, (size_t)(FIRST_X + r.source), rows.i), r.first * 4);
        struct places p = {k_at(k, from, k_mul_i(k, heads.i, r.apart * 4)), k_at_i(k, y, at * 4)};
        copy(k, &r, &p);
        at += r.n;
    }
    k_end(k, &heads, NULL);
    k_end(k, &rows, NULL);
}
