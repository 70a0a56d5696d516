/* sparse: y[t][n] = sum over j of values[n][j] * x[t][indices[n][j]], a few entries for each row of a matrix.
 *
 *   operands   y, x, values, indices       f16 and u16 [n][k], packed alike: entry j of a panel's rows together
 *   attributes c (columns of y), columns (of x), n, k (entries of a row), format, panel; exact: nothing is written beyond column n
 *
 * Threads take panels, as for products (linear.c): who adds this to a product of the same panels reads what it wrote.
 */
#include "kernel.h"

enum { Y = 0, X = 1, VALUES = 2, INDICES = 3 };

struct sparse {
    struct qbc_kernel *k;
    int64_t rows, columns, entries; /* of the matrix, of a row */
    int64_t strip;         /* rows that are worked on at once */
    struct qbc_packing packing;
    struct qbc_layout layout;
};

/* Byte offset of entry 0 of a row, in both tables. */
static MlirValue offset_of(struct sparse *s, MlirValue row)
{
    struct qbc_kernel *k = s->k;
    MlirValue height = k_i64(k, s->packing.rows);
    MlirValue panel = k_op2(k, "arith.divui", row, height), lane = k_op2(k, "arith.remui", row, height);
    return k_add(k, k_mul_i(k, panel, s->layout.panel_bytes), k_mul_i(k, lane, 2));
}

static void store(struct sparse *s, MlirValue sum, MlirValue row, MlirValue token)
{
    struct qbc_kernel *k = s->k;
    MlirValue at = k_at(k, k_row(k, Y, token), k_mul_i(k, row, 4));
    if (qbc_bool(k->launch, "exact", false) && s->rows % s->strip)
        k_store_first(k, sum, at, k_sub(k, k_i64(k, s->rows), row));
    else
        k_store(k, sum, at, 4);
}

/* A strip of rows, with one token. */
static void multiply(struct sparse *s, MlirValue row, MlirValue offset, MlirValue token)
{
    struct qbc_kernel *k = s->k;
    MlirValue zero = k_float_of(k, k_vec(k, s->strip, k->f32), 0), x = k_row(k, X, token);
    struct k_loop entries = k_for(k, k_i64(k, 0), k_i64(k, s->entries), 1, 1, &zero);
    MlirValue at = k_add(k, offset, k_mul_i(k, entries.i, s->layout.unit_bytes));
    k_not_unrolled(k, &entries);
    MlirValue value = k_load_half(k, s->strip, k_at(k, k->operand[VALUES], at));
    MlirValue more = k_gather(k, s->strip, x, s->columns, k_at(k, k->operand[INDICES], at));
    MlirValue next = k_fma(k, value, more, entries.carried[0]);
    k_end(k, &entries, &next);
    store(s, entries.carried[0], row, token);
}

void qbc_kernel_sparse(struct qbc_kernel *k)
{
    const struct qbc_format *format = qbc_find_format(k->q, qbc_string(k->q, k->launch, "format", ""));
    struct sparse s = {.k = k, .rows = qbc_int(k->launch, "n", 0), .columns = qbc_int(k->launch, "columns", 0),
                       .entries = qbc_int(k->launch, "k", 0)};
    s.packing = qbc_packing_for(k->q->target, format, s.rows);
    s.layout = qbc_layout(format, s.packing, s.rows, s.entries);
    s.strip = k->q->target->scalable ? QBC_PIECE : s.packing.rows;
    struct k_range share = k_share(k, k_i64(k, (s.rows + s.strip - 1) / s.strip));
    struct k_loop strips = k_for(k, share.from, share.to, 1, 0, NULL);
    MlirValue row = k_mul_i(k, strips.i, s.strip), offset = offset_of(&s, row);
    struct k_loop tokens = k_for(k, k_i64(k, 0), k->rows, 1, 0, NULL);
    multiply(&s, row, offset, tokens.i);
    k_end(k, &tokens, NULL);
    k_end(k, &strips, NULL);
}
