/* linear: y[t][n] = epilogue(sum over k of x[t][k] w[n][k]), weights read in their packed form.
 *
 *   operands   y, x, w, extra...          extra: more inputs of the epilogue, as y
 *   attributes n, k, format, panel, multiplier
 *
 * Threads take panels of rows. Within a panel, blocks of M tokens go through the whole depth, so a panel comes from
 * memory once and from the near cache for further blocks. Of many tokens, as many as fit in the cache go through
 * all panels before the next ones. What differs between formats and machines is in two places: unpack.c makes
 * vectors of codes, and the kinds of arithmetic (linear_dot.c, linear_fma.c) add up one group. Where vectors are of any
 * length, a thread's share is not panels but strips: linear_axpy.c.
 */
#include "linear_many.h"

#include <mlir-c/BuiltinTypes.h>

enum { Y = 0, X = 1, W = 2, EXTRA = 3 };

/* Input i of the epilogue from `column` on. A vector, which has no rows (the bias), ends where it ends, while rows of
 * the arena are padded. */
static MlirValue extra_at(struct qbc_linear *l, size_t i, MlirValue row, MlirValue column, MlirType type)
{
    struct qbc_kernel *k = l->k;
    MlirValue at = k_at(k, k_row(k, EXTRA + i, row), k_mul_i(k, column, 4));
    int64_t n = qbc_int(k->launch, "n", 0);
    if (!k->row_bytes[EXTRA + i] && n % l->packing.rows)
        return k_load_upto(k, type, at, k_sub(k, k_i64(k, n), column));
    return k_load(k, type, at, 4);
}

/* A token's results, columns of the panel from l->row on. */
static void finish_row(struct qbc_linear *l, MlirValue row, MlirValue column, MlirValue sums)
{
    struct qbc_kernel *k = l->k;
    int64_t n = qbc_int(k->launch, "n", 0);
    MlirValue extra[8];
    for (size_t i = 0; i < l->extras; ++i)
        extra[i] = extra_at(l, i, row, column, mlirValueGetType(sums));
    MlirValue result = k_epilogue(k, sums, l->extras, extra);
    MlirValue first = mlirValueIsNull(l->y) ? qbc_linear_row(l, Y, row, l->y_shift) : l->y;
    MlirValue at = k_at(k, first, k_mul_i(k, column, 4));
    /* rows of the arena are padded; only what the host sees must end exactly */
    if (qbc_bool(k->launch, "exact", false) && n % l->packing.rows)
        k_store_first(k, result, at, k_sub(k, k_i64(k, n), column));
    else
        k_store(k, result, at, 4);
}

void qbc_linear_finish(struct qbc_linear *l, MlirValue token, MlirValue panel, MlirValue sums)
{
    finish_row(l, token, k_mul_i(l->k, panel, l->packing.rows), sums);
}

void qbc_linear_sums(struct qbc_linear *l, int m, const MlirValue *x, MlirValue *sums)
{
    if (l->format->codebook == QBC_CODE_FLOAT)
        qbc_linear_float(l, m, x, sums);
    else if (qbc_strategy_for(l->k->q->target, l->format) != QBC_STRATEGY_DECODE)
        qbc_linear_groups(l, m, x, sums);
    else
        qbc_linear_decoded(l, m, x, sums);
}

static void slice(struct qbc_linear *l, MlirValue panel, MlirValue token, int m)
{
    struct qbc_kernel *k = l->k;
    MlirValue sums[QBC_MOST_TOKENS + 1], x[QBC_MOST_TOKENS];
    l->panel = k_at(k, k->operand[W], k_mul_i(k, panel, l->layout.panel_bytes));
    for (int j = 0; j < m; ++j)
        x[j] = qbc_linear_row(l, X, qbc_linear_token(l, token, j), l->x_shift);
    qbc_linear_sums(l, m, x, sums);
    MlirValue column = k_add(k, k_mul_i(k, panel, l->packing.rows), l->row);
    for (int j = 0; j < m; ++j)
        finish_row(l, qbc_linear_token(l, token, j), column, sums[j]);
}

/* A panel is as high as one token likes it; the sums of several tokens leave registers for fewer rows. */
static void block(struct qbc_linear *l, MlirValue panel, MlirValue token, int m)
{
    struct qbc_kernel *k = l->k;
    l->tile = qbc_tile_for(k->q->target, l->format, m);
    l->rows = l->tile->n;
    l->row = k_i64(k, 0);
    if (l->rows == l->packing.rows) {
        slice(l, panel, token, m);
        return;
    }
    struct k_loop slices = k_for(k, l->row, k_i64(k, l->packing.rows), l->rows, 0, NULL);
    l->row = slices.i;
    slice(l, panel, token, m);
    k_end(k, &slices, NULL);
}

void qbc_linear_panel(struct qbc_linear *l, MlirValue panel, MlirValue token)
{
    block(l, panel, token, 1);
}

MlirValue qbc_linear_row(struct qbc_linear *l, size_t operand, MlirValue row, MlirValue shift)
{
    MlirValue at = k_row(l->k, operand, row);
    return mlirValueIsNull(shift) ? at : k_at(l->k, at, shift);
}

MlirValue qbc_linear_token(struct qbc_linear *l, MlirValue token, int j)
{
    struct qbc_kernel *k = l->k;
    MlirValue one = k_add_i(k, token, j);
    return k->one || !j ? one : k_op2(k, "arith.minsi", one, k_add_i(k, l->to, -1));
}

/* Blocks of fewer tokens than the tile's: 1, 2, 4, 6, 8, 12. */
static int next_part(int part)
{
    int step = 1;
    while (part >= 4 && 4 * step <= part)
        step *= 2;
    return part < 4 ? 2 * part : part + step;
}

void qbc_linear_tokens(struct qbc_linear *l, MlirValue panel, qbc_linear_block block)
{
    struct qbc_kernel *k = l->k;
    if (k->one) {
        block(l, panel, k_i64(k, 0), 1);
        return;
    }
    int m = qbc_tile_for(k->q->target, l->format, QBC_MOST_TOKENS)->m, most = 0;
    for (int part = 1; part < m; part = next_part(part))
        most = part;
    MlirValue count = k_add_i(k, k_sub(k, l->to, l->from), m - 1 - most);
    MlirValue blocks = k_op2(k, "arith.divui", count, k_i64(k, m));
    MlirValue whole = k_add(k, l->from, k_mul_i(k, blocks, m)), rest = k_sub(k, l->to, whole);
    struct k_loop loop = k_for(k, l->from, whole, m, 0, NULL);
    block(l, panel, loop.i, m);
    k_end(k, &loop, NULL);
    for (int part = 1, less = 0; part < m; less = part, part = next_part(part)) {
        MlirValue fits = k_cmp(k, QBC_LE, rest, k_i64(k, part)), more = k_cmp(k, QBC_GT, rest, k_i64(k, less));
        struct k_loop then = k_if(k, k_op2(k, "arith.andi", fits, more));
        block(l, panel, whole, part);
        k_end(k, &then, NULL);
    }
}

/* How many tokens' activations fill half of the second-level cache: as many go through all of a thread's panels
 * before the next ones come, so that they are read from memory once. */
static int64_t tokens_in_cache(const struct qbc_linear *l)
{
    const struct qbc_kernel *k = l->k;
    int m = qbc_tile_for(k->q->target, l->format, QBC_MOST_TOKENS)->m;
    int64_t fit = k->q->target->l2_bytes / 2 / k->row_bytes[X] / m * m;
    return fit > 4 * m ? fit : 4 * m;
}

/* All tokens, a few at a time, with the panels of `share` in their packed form. */
static void few(struct qbc_linear *l, struct k_range share)
{
    struct qbc_kernel *k = l->k;
    int64_t some = tokens_in_cache(l);
    struct k_loop chunks = k_for(k, k_i64(k, 0), k->rows, some, 0, NULL);
    l->from = chunks.i;
    l->to = k_op2(k, "arith.minsi", k_add_i(k, chunks.i, some), k->rows);
    struct k_loop panels = k_for(k, share.from, share.to, 1, 0, NULL);
    qbc_linear_tokens(l, panels.i, block);
    k_end(k, &panels, NULL);
    k_end(k, &chunks, NULL);
}

static void several(struct qbc_linear *l, struct k_range share)
{
    struct qbc_kernel *k = l->k;
    int least = qbc_linear_least_many(l);
    if (!least) {
        few(l, share);
        return;
    }
    struct k_loop is_few = k_if(k, k_cmp(k, QBC_LT, k->rows, k_i64(k, least)));
    few(l, share);
    k_end(k, &is_few, NULL);
    struct k_loop is_many = k_if(k, k_cmp(k, QBC_GE, k->rows, k_i64(k, least)));
    qbc_linear_many(l, share);
    k_end(k, &is_many, NULL);
}

/* Where vectors are of any length. */
static void strips(struct qbc_linear *l)
{
    struct qbc_kernel *k = l->k;
    if (k->one) {
        qbc_linear_axpy(l);
        return;
    }
    int64_t some = tokens_in_cache(l);
    struct k_loop chunks = k_for(k, k_i64(k, 0), k->rows, some, 0, NULL);
    l->from = chunks.i;
    l->to = k_op2(k, "arith.minsi", k_add_i(k, chunks.i, some), k->rows);
    qbc_linear_axpy(l);
    k_end(k, &chunks, NULL);
}

struct qbc_linear qbc_linear_of(struct qbc_kernel *k, const struct qbc_format *f, int64_t rows, int64_t columns, MlirValue w)
{
    struct qbc_linear l = {
        .k = k,
        .format = f,
        .tile = qbc_tile_for(k->q->target, f, 1),
        .packing = qbc_packing_for(k->q->target, f, rows),
        .depth = columns,
        .multiplier = qbc_int(k->launch, "multiplier", 1),
        .extras = (size_t)mlirOperationGetNumOperands(k->launch) - EXTRA,
    };
    l.layout = qbc_layout(f, l.packing, rows, columns);
    l.tail = k_at_i(k, w, l.layout.tail_offset);
    for (int i = 0; i < qbc_operands(f) && qbc_has_levels(f); ++i) {
        l.levels[i] = qbc_levels(f, i, qbc_takes_signed(l.tile, f));
        if (k->q->target->compares_to_bytes && qbc_has_runs(f))
            qbc_levels_as_masks(f, &l.levels[i]);
    }
    return l;
}

void qbc_kernel_linear(struct qbc_kernel *k)
{
    int64_t n = qbc_int(k->launch, "n", 0), depth = qbc_int(k->launch, "k", 0);
    const struct qbc_format *format = qbc_find_format(k->q, qbc_string(k->q, k->launch, "format", ""));
    struct qbc_linear l = qbc_linear_of(k, format, n, depth, k->operand[W]);
    if (k->q->target->scalable) {
        strips(&l);
        return;
    }
    struct k_range share = k_share(k, k_i64(k, l.layout.panels));
    if (!k->one) {
        several(&l, share);
        return;
    }
    struct k_loop panels = k_for(k, share.from, share.to, 1, 0, NULL);
    qbc_linear_tokens(&l, panels.i, block);
    k_end(k, &panels, NULL);
}
