/* linear_axpy: products where vectors are of any length (RISC-V).
 *
 * The rows of a panel lie side by side for each k, so that a vector holds as many rows as the CPU's vectors have lanes: a
 * strip. A strip goes through the whole depth with its sums in registers, adding x[k] times column k of the
 * panel. The same code serves every length of vectors: only the number of strips differs.
 *
 * Threads take pieces of 16 rows, wherever panels end. For one token sums fill groups of eight registers, so that
 * there are few instructions; for several tokens, groups of four.
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>

enum { Y = 0, X = 1, W = 2, EXTRA = 3, MOST_EXTRA = 8 };
enum {
    ONE_LANES = 16, /* of a vector, for one token: floats fill eight registers */
    MANY_LANES = 8, /* for several, or where scales need registers too: four */
};

/* `lanes` results of row `token`, from `column` on, vl of them. */
static void put(struct qbc_linear *l, MlirValue token, MlirValue column, MlirValue sums, MlirValue vl)
{
    struct qbc_kernel *k = l->k;
    MlirValue extra[MOST_EXTRA], offset = k_mul_i(k, column, 4);
    for (size_t i = 0; i < l->extras; ++i)
        extra[i] = k_rvv_load(k, mlirValueGetType(sums), k_at(k, k_row(k, EXTRA + i, token), offset), vl);
    k_rvv_store(k, k_epilogue(k, sums, l->extras, extra), k_at(k, qbc_linear_row(l, Y, token, l->y_shift), offset), vl);
}

/* The epilogue needs registers of its own: where sums fill groups of eight, halves go through it in turn. */
static void finish(struct qbc_linear *l, MlirValue token, MlirValue column, MlirValue sums)
{
    struct qbc_kernel *k = l->k;
    if (l->lanes < ONE_LANES) {
        put(l, token, column, sums, l->vl);
        return;
    }
    MlirValue most = k_most_lanes(k, l->lanes / 2), low = k_op2(k, "arith.minsi", l->vl, most);
    put(l, token, column, k_rvv_half_of(k, sums, false), low);
    put(l, token, k_add(k, column, low), k_rvv_half_of(k, sums, true), k_sub(k, l->vl, low));
}

/* m tokens with the strip of vl rows from `row` on. */
static void block(struct qbc_linear *l, MlirValue row, MlirValue token, int m)
{
    struct qbc_kernel *k = l->k;
    MlirValue x[QBC_MOST_TOKENS], sums[QBC_MOST_TOKENS + 1], height = k_i64(k, l->packing.rows);
    MlirValue panel = k_op2(k, "arith.divui", row, height);
    l->row = k_op2(k, "arith.remui", row, height);
    l->panel = k_at(k, k->operand[W], k_mul_i(k, panel, l->layout.panel_bytes));
    for (int j = 0; j < m; ++j)
        x[j] = qbc_linear_row(l, X, qbc_linear_token(l, token, j), l->x_shift);
    qbc_linear_sums(l, m, x, sums);
    for (int j = 0; j < m; ++j)
        finish(l, qbc_linear_token(l, token, j), row, sums[j]);
}

/* Which tokens go through a strip. */
struct strip_walk {
    bool all;        /* of l->from .. l->to - 1 */
    MlirValue token; /* else this one */
};

/* Rows from .. to - 1, which are in one panel. */
static void strips(struct qbc_linear *l, MlirValue from, MlirValue to, struct strip_walk walk)
{
    struct qbc_kernel *k = l->k;
    MlirValue most = k_most_lanes(k, l->lanes);
    struct k_loop loop = k_for_by(k, from, to, most, 0, NULL);
    l->vl = k_op2(k, "arith.minsi", k_sub(k, to, loop.i), most);
    if (walk.all)
        qbc_linear_tokens(l, loop.i, block);
    else
        block(l, loop.i, walk.token, 1);
    k_end(k, &loop, NULL);
}

/* In each panel, its part of rows from .. to - 1. */
static void panels(struct qbc_linear *l, MlirValue from, MlirValue to, struct strip_walk walk)
{
    struct qbc_kernel *k = l->k;
    int64_t height = l->packing.rows;
    MlirValue first = k_op2(k, "arith.divui", from, k_i64(k, height));
    MlirValue last = k_op2(k, "arith.divui", k_add_i(k, to, height - 1), k_i64(k, height));
    struct k_loop loop = k_for(k, first, last, 1, 0, NULL);
    MlirValue begin = k_mul_i(k, loop.i, height), end = k_add_i(k, begin, height);
    strips(l, k_op2(k, "arith.maxsi", begin, from), k_op2(k, "arith.minsi", end, to), walk);
    k_end(k, &loop, NULL);
}

/* Nothing but sums, codes and the scale needs registers. */
static bool is_plain(const struct qbc_linear *l)
{
    const struct qbc_format *f = l->format;
    return f->codebook == QBC_CODE_FLOAT || (qbc_has_runs(f) && qbc_scales_are_half(l) && f->offset != QBC_OFFSET_MIN);
}

void qbc_linear_axpy(struct qbc_linear *l)
{
    struct qbc_kernel *k = l->k;
    int64_t n = qbc_int(k->launch, "n", 0);
    struct k_range share = k_share(k, k_i64(k, (n + QBC_PIECE - 1) / QBC_PIECE));
    MlirValue from = k_mul_i(k, share.from, QBC_PIECE), to = k_mul_i(k, share.to, QBC_PIECE);
    to = k_op2(k, "arith.minsi", to, k_i64(k, n));
    l->lanes = k->one && is_plain(l) ? ONE_LANES : MANY_LANES;
    panels(l, from, to, (struct strip_walk){.all = true});
}

void qbc_linear_axpy_rows(struct qbc_linear *l, MlirValue token, MlirValue from, MlirValue to)
{
    l->lanes = is_plain(l) ? ONE_LANES : MANY_LANES;
    panels(l, from, to, (struct strip_walk){.token = token});
}
