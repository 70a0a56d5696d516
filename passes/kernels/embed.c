/* embed: y[t] = row tokens[t] of w, decoded from the packed form that the head reads too.
 * embed_positions: y[t] = row `first` + position of token t.
 *
 *   operands   y, w
 *   attributes n (vocabulary, or positions), k (columns), format, panel; first; rows_before: w has the rows from there on
 */
#include "linear.h"
#include "step.h"

enum { Y = 0, W = 1, AT_ONCE = 32 };

struct row {
    struct qbc_linear l; /* of one row: its lane in the panel */
    MlirValue y;
};

/* The tokens of rows that another part has find one of ours. */
static MlirValue in_range(struct qbc_kernel *k, MlirValue id)
{
    id = k_add_i(k, id, -qbc_int(k->launch, "rows_before", 0));
    id = k_op2(k, "arith.maxsi", id, k_i64(k, 0));
    return k_op2(k, "arith.minsi", id, k_i64(k, qbc_int(k->launch, "n", 1) - 1));
}

MlirValue k_token(struct qbc_kernel *k, MlirValue t)
{
    MlirValue tokens = k_load(k, k->ptr, k_at_i(k, k->step, QBRT_STEP_TOKENS), 8);
    MlirValue id = k_load(k, k->i32, k_at(k, tokens, k_mul_i(k, t, 4)), 4);
    id = qbc_op(&k->b, "arith.extui", k->i64, 1, id);
    return qbc_has(k->launch, "rows_before") ? in_range(k, id) : id;
}

static MlirValue copy_some(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct row *r = user;
    int bytes = r->l.format->bits / 8, stride = r->l.layout.unit_bytes;
    MlirValue at = k_at(k, k_at(k, r->l.panel, k_mul_i(k, r->l.row, bytes)), k_mul_i(k, column, stride));
    MlirValue v = k_load_strided(k, width, bytes == 4 ? k->f32 : k_half(k), at, stride);
    k_float_to(k, bytes == 4 ? v : k_half_to_float(k, v), r->y, column);
    return sum;
}

static void copy_floats(struct qbc_kernel *k, struct row *r)
{
    k_columns(k, r->l.depth, k->q->target->scalable ? AT_ONCE : 8, copy_some, r, (MlirValue){NULL});
}

static void store_column(struct qbc_linear *l, void *user, MlirValue column, MlirValue w, MlirValue *carried)
{
    const MlirValue *y = user;
    (void)carried;
    k_store(l->k, w, k_at(l->k, *y, k_mul_i(l->k, column, 4)), 4);
}

static void decode_unit(struct qbc_kernel *k, struct row *r, MlirValue number)
{
    const struct qbc_layout *layout = &r->l.layout;
    MlirValue unit = k_at(k, r->l.panel, k_mul_i(k, number, layout->unit_bytes));
    MlirValue y = k_at(k, r->y, k_mul_i(k, number, (int64_t)layout->unit * 4));
    qbc_decode_unit(&r->l, unit, store_column, &y, 0, NULL);
}

static void embed(struct qbc_kernel *k, bool by_position)
{
    int64_t vocabulary = qbc_int(k->launch, "n", 0), columns = qbc_int(k->launch, "k", 0);
    const struct qbc_format *format = qbc_find_format(k->q, qbc_string(k->q, k->launch, "format", ""));
    struct row r = {.l = qbc_linear_of(k, format, vocabulary, columns, k->operand[W])};
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    MlirValue id = by_position ? k_add_i(k, k_add(k, k->pos, rows.i), qbc_int(k->launch, "first", 0)) : k_token(k, rows.i);
    MlirValue height = k_i64(k, r.l.packing.rows), panel = k_op2(k, "arith.divui", id, height);
    r.l.panel = k_at(k, k->operand[W], k_mul_i(k, panel, r.l.layout.panel_bytes));
    r.l.row = k_op2(k, "arith.remui", id, height);
    r.l.rows = 1;
    r.y = k_row(k, Y, rows.i);
    if (format->codebook == QBC_CODE_FLOAT) {
        copy_floats(k, &r);
    } else {
        struct k_loop units = k_for(k, k_i64(k, 0), k_i64(k, r.l.layout.units), 1, 0, NULL);
        decode_unit(k, &r, units.i);
        k_end(k, &units, NULL);
    }
    k_end(k, &rows, NULL);
}

void qbc_kernel_embed(struct qbc_kernel *k)
{
    embed(k, false);
}

void qbc_kernel_embed_positions(struct qbc_kernel *k)
{
    embed(k, true);
}
