/* linear_decoded: products of formats without integer ones (decode.c): weights become floats, a column of the panel after
 * the other, times activations that were rounded to 8 bits as for all others.
 */
#include "linear.h"

enum { MOST_ACROSS = 16 };

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

static void add_span(struct qbc_linear *l, int m, const MlirValue *x, struct qbc_code_span *s, MlirValue first, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    int wide = qbc_vector_cols(l->format);
    MlirValue w[MOST_ACROSS];
    for (int c = 0; c < l->layout.chunks; ++c) {
        qbc_decode_chunk(l, s, c, w);
        for (int i = 0; i < wide; ++i) {
            MlirValue column = k_add_i(k, first, c * wide + i);
            for (int j = 0; j < m; ++j)
                sums[j] = qbc_lanes_fma_by(l, w[i], activation(l, x[j], column), sums[j]);
        }
    }
}

/* Spans from .. of a unit, `n` of them; the state starts anew. */
static void add_group(struct qbc_linear *l, int m, const MlirValue *x, MlirValue unit, MlirValue first, MlirValue from,
                      int64_t n, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    struct qbc_code_span s = {.unit = unit, .number = from};
    MlirValue next[QBC_MOST_TOKENS + 1];
    sums[m] = qbc_decode_begin(l, &s);
    struct k_loop spans = k_for(k, k_i64(k, 0), k_i64(k, n), 1, (size_t)m + 1, sums);
    k_not_unrolled(k, &spans);
    s.number = k_add(k, from, spans.i);
    s.state = spans.carried[m];
    for (int j = 0; j < m; ++j)
        next[j] = spans.carried[j];
    add_span(l, m, x, &s, k_add(k, first, k_mul_i(k, s.number, l->layout.span)), next);
    next[m] = s.state;
    k_end(k, &spans, next);
    for (int j = 0; j < m; ++j)
        sums[j] = spans.carried[j];
}

void qbc_linear_decoded(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    int64_t together = qbc_decode_together(l);
    MlirValue next[QBC_MOST_TOKENS + 1];
    for (int j = 0; j < m; ++j)
        sums[j] = k_float_of(k, qbc_lanes(l, k->f32), 0);
    struct k_loop units = k_for(k, k_i64(k, 0), k_i64(k, l->layout.units), 1, (size_t)m, sums);
    MlirValue unit = k_at(k, l->panel, k_mul_i(k, units.i, l->layout.unit_bytes));
    MlirValue first = k_mul_i(k, units.i, l->layout.unit);
    struct k_loop groups = k_for(k, k_i64(k, 0), k_i64(k, l->layout.spans), together, (size_t)m, units.carried);
    for (int j = 0; j < m; ++j)
        next[j] = groups.carried[j];
    add_group(l, m, x, unit, first, groups.i, together, next);
    k_end(k, &groups, next);
    k_end(k, &units, groups.carried);
    for (int j = 0; j < m; ++j)
        sums[j] = units.carried[j];
}
