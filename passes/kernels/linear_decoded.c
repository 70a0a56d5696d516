/* linear_decoded: products of formats without integer ones (decode.c): weights become floats, a column of the panel after
 * the other, times activations that were rounded to 8 bits as for all others.
 */
#include "linear.h"

struct tokens {
    int m;
    const MlirValue *x;
    MlirValue first; /* column of the unit, i64 */
};

/* The activation of column `column`, i64, of the row with records at x: f32. */
static MlirValue activation(struct qbc_linear *l, MlirValue x, MlirValue column)
{
    struct qbc_kernel *k = l->k;
    MlirValue record = k_op2(k, "arith.divui", column, k_i64(k, QBC_ACT_GROUP));
    MlirValue lane = k_op2(k, "arith.remui", column, k_i64(k, QBC_ACT_GROUP));
    MlirValue at = k_at(k, x, k_mul_i(k, record, QBC_ACT_RECORD));
    MlirValue code = k_load(k, k->i8, k_at_i(k, k_at(k, at, lane), QBC_ACT_CODES), 1);
    MlirValue scale = k_load(k, k->f32, k_at_i(k, at, QBC_ACT_SCALE), 4);
    return k_fmul(k, k_cast(k, "arith.sitofp", code, k->f32), scale);
}

static void add_column(struct qbc_linear *l, void *user, MlirValue column, MlirValue w, MlirValue *sums)
{
    const struct tokens *t = user;
    column = k_add(l->k, t->first, column);
    for (int j = 0; j < t->m; ++j)
        sums[j] = qbc_lanes_fma_by(l, w, activation(l, t->x[j], column), sums[j]);
}

void qbc_linear_decoded(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    for (int j = 0; j < m; ++j)
        sums[j] = k_float_of(k, qbc_lanes(l, k->f32), 0);
    struct k_loop units = k_for(k, k_i64(k, 0), k_i64(k, l->layout.units), 1, (size_t)m, sums);
    struct tokens tokens = {.m = m, .x = x, .first = k_mul_i(k, units.i, l->layout.unit)};
    MlirValue unit = k_at(k, l->panel, k_mul_i(k, units.i, l->layout.unit_bytes));
    qbc_decode_unit(l, unit, add_column, &tokens, (size_t)m, units.carried);
    k_end(k, &units, units.carried);
    for (int j = 0; j < m; ++j)
        sums[j] = units.carried[j];
}
