/* linear_span: the runs of a span, one after the other.
 *
 * Where codes are digits, a number has some of several runs, and those of all numbers of a panel do not stay in registers that
 * long: the rows of one register go through the whole span before the next ones.
 */
#include "linear_groups.h"

/* How many rows are worked on at once. */
static int rows_at_once(const struct qbc_linear *l)
{
    enum { FOUR = 4 /* which all kinds can do */ };
    int rows = l->k->q->target->vector_bits / 8 / l->packing.depth;
    if (!l->format->digits || qbc_is_strip(l) || l->tile->kind == QBC_KIND_FMA)
        return l->rows;
    rows = rows < FOUR ? FOUR : rows;
    return rows < l->rows ? rows : l->rows;
}

/* Of the rows from l->row + row on. */
static void add_rows(const struct qbc_linear *l, int m, const struct qbc_place *p, int row, int rows, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    struct qbc_linear some = *l;
    struct qbc_place place = *p;
    some.rows = rows;
    some.row = k_add_i(k, l->row, row);
    place.codes = k_at_i(k, p->codes, (int64_t)row * l->packing.depth);
    for (int column = 0; column < l->layout.span; column += qbc_run_columns(l->format))
        qbc_linear_add_run(&some, m, &place, column, sums);
}

void qbc_linear_add_span(struct qbc_linear *l, int m, const struct qbc_place *p, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    int rows = rows_at_once(l), n = l->rows / rows;
    MlirValue part[QBC_MOST_TOKENS][QBC_PADDED_ROW / 4], some[QBC_MOST_TOKENS];
    if (n == 1) {
        add_rows(l, m, p, 0, rows, sums);
        return;
    }
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j < m; ++j)
            some[j] = k_part(k, sums[j], (int64_t)i * rows, rows);
        add_rows(l, m, p, i * rows, rows, some);
        for (int j = 0; j < m; ++j)
            part[j][i] = some[j];
    }
    for (int j = 0; j < m; ++j)
        sums[j] = k_join(k, (size_t)n, part[j]);
}
