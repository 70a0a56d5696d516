/* embed_parts: what a row of an embedding needs whose format is a composite, after its parts were looked up.
 *
 * embed_sparse: y[t] = x[t], values[token][j] added to column indices[token][j]
 *   operands   y, x, values, indices       f16 and u16 [n][k]
 *   attributes c (columns of y), n, k (entries of a row), format, panel
 *
 * embed_scale: y[t][c] = x[t][c] * (u[token] * v[c])
 *   operands   y, x, u, v                  f32 [n], [c]
 *   attributes c, n
 *
 * choose: y[t] = a[t] where the token is below the cut, else b[t]
 *   operands   y, a, b
 *   attributes c, cut, n (any)
 *
 * All may have {rows_before}: k_token in embed.c.
 */
#include "kernel.h"

enum { Y = 0, X = 1, VALUES = 2, INDICES = 3, U = 2, V = 3, A = 1, B = 2, WIDTH = 64 };

static MlirValue copy(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    MlirValue row = *(MlirValue *)user;
    k_float_to(k, k_float_at(k, k_row(k, X, row), column, width), k_row(k, Y, row), column);
    return sum;
}

static void add_entry(struct qbc_kernel *k, MlirValue y, MlirValue offset)
{
    MlirValue index = k_load(k, k->i16, k_at(k, k->operand[INDICES], offset), 2);
    index = k_index(k, index, qbc_int(k->launch, "c", 0));
    MlirValue column = qbc_op(&k->b, "arith.extui", k->i64, 1, index), at = k_at(k, y, k_mul_i(k, column, 4));
    MlirValue value = k_load_half(k, 0, k_at(k, k->operand[VALUES], offset));
    k_store(k, k_fadd(k, k_load(k, k->f32, at, 4), value), at, 4);
}

void qbc_kernel_embed_sparse(struct qbc_kernel *k)
{
    int64_t n = qbc_int(k->launch, "n", 0), entries = qbc_int(k->launch, "k", 0);
    const struct qbc_format *format = qbc_find_format(k->q, qbc_string(k->q, k->launch, "format", ""));
    struct qbc_packing packing = qbc_packing_for(k->q->target, format, n);
    struct qbc_layout layout = qbc_layout(format, packing, n, entries);
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    k_columns(k, qbc_int(k->launch, "c", 0), WIDTH, copy, &rows.i, (MlirValue){NULL});
    MlirValue id = k_token(k, rows.i), height = k_i64(k, packing.rows);
    MlirValue panel = k_op2(k, "arith.divui", id, height), lane = k_op2(k, "arith.remui", id, height);
    MlirValue offset = k_add(k, k_mul_i(k, panel, layout.panel_bytes), k_mul_i(k, lane, 2));
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, entries), 1, 0, NULL);
    add_entry(k, k_row(k, Y, rows.i), k_add(k, offset, k_mul_i(k, loop.i, layout.unit_bytes)));
    k_end(k, &loop, NULL);
    k_end(k, &rows, NULL);
}

struct scaled {
    MlirValue row, u;
};

static MlirValue scale(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct scaled *s = user;
    MlirValue v = k_float_at(k, k->operand[V], column, width), by = k_fmul(k, k_splat(k, s->u, width), v);
    k_float_to(k, k_fmul(k, k_float_at(k, k_row(k, X, s->row), column, width), by), k_row(k, Y, s->row), column);
    return sum;
}

void qbc_kernel_embed_scale(struct qbc_kernel *k)
{
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    MlirValue at = k_at(k, k->operand[U], k_mul_i(k, k_token(k, rows.i), 4));
    struct scaled s = {rows.i, k_load(k, k->f32, at, 4)};
    k_columns(k, qbc_int(k->launch, "c", 0), WIDTH, scale, &s, (MlirValue){NULL});
    k_end(k, &rows, NULL);
}

struct chosen {
    MlirValue from, to;
};

static MlirValue copy_chosen(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct chosen *c = user;
    k_float_to(k, k_float_at(k, c->from, column, width), c->to, column);
    return sum;
}

void qbc_kernel_choose(struct qbc_kernel *k)
{
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    MlirValue first = k_cmp(k, QBC_LT, k_token(k, rows.i), k_i64(k, qbc_int(k->launch, "cut", 0)));
    struct chosen c = {k_select(k, first, k_row(k, A, rows.i), k_row(k, B, rows.i)), k_row(k, Y, rows.i)};
    k_columns(k, qbc_int(k->launch, "c", 0), WIDTH, copy_chosen, &c, (MlirValue){NULL});
    k_end(k, &rows, NULL);
}
