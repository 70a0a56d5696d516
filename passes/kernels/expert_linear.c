/* expert_linear: for each of the experts that a token chose, y = x w^T with that expert's matrix.
 *
 *     y[t][j N + n] = sum over k of x[t][k] w[e N + n][k] + bias[e N + n],     e = route[t][j], j < top
 *
 *   operands   y, x, w, route, bias (or none)
 *   attributes n (experts * N), k, format, panel, multiplier of w; top, experts; slot (bytes from a chosen expert's x to the
 *              next one's; 0: all read the same)
 *
 * Experts lie one after the other in one tensor, so that one is a run of panels: no byte of an expert that nobody chose is read
 * (but of rows in a panel with some that were chosen, where the height of panels does not divide N). Threads take panels of an expert. For one token a thread goes through the experts one by one, in
 * the order of memory; for several all tokens go through a panel's place in their experts before the next, so that a
 * panel that many chose comes from the cache.
 *
 * Expert numbers are made by kernel route and are brought below `experts` here: whatever x is, nothing else is read.
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>

enum { Y = 0, W = 2, ROUTE = 3, BIAS = 4 };

struct experts {
    struct qbc_linear l;
    int64_t top, experts, rows; /* rows: N */
    int64_t slot;
    MlirValue scratch; /* a panel's results; null: panels are of one expert each */
};

static MlirValue expert_of(struct experts *e, MlirValue token, MlirValue j)
{
    struct qbc_kernel *k = e->l.k;
    MlirValue number = k_load(k, k->f32, k_at(k, k_row(k, ROUTE, token), k_mul_i(k, j, 4)), 4);
    MlirValue index = qbc_op(&k->b, "arith.fptosi", k->i64, 1, k_fmin(k, k_f32(k, (float)(e->experts - 1)), number));
    return k_op2(k, "arith.minui", index, k_i64(k, e->experts - 1));
}

/* Choice j of a token: which of x, and where its results go, as if the first of all rows went to column 0. */
static void choose(struct experts *e, MlirValue j, MlirValue first)
{
    struct qbc_kernel *k = e->l.k;
    e->l.x_shift = e->slot ? k_mul_i(k, j, e->slot) : (MlirValue){NULL};
    e->l.y_shift = k_mul_i(k, k_sub(k, k_mul_i(k, j, e->rows), first), 4);
}

/* Rows from .. to - 1 of the result, which this thread has just made. */
static void add_bias(struct experts *e, MlirValue token, MlirValue from, MlirValue to)
{
    struct qbc_kernel *k = e->l.k;
    if (mlirOperationGetNumOperands(k->launch) <= BIAS)
        return;
    struct k_loop loop = k_for(k, from, to, 1, 0, NULL);
    MlirValue offset = k_mul_i(k, loop.i, 4), at = k_at(k, qbc_linear_row(&e->l, Y, token, e->l.y_shift), offset);
    MlirValue bias = k_load(k, k->f32, k_at(k, k->operand[BIAS], offset), 4);
    k_store(k, k_fadd(k, k_load(k, k->f32, at, 4), bias), at, 4);
    k_end(k, &loop, NULL);
}

/* A panel of which only rows from .. to - 1 are the expert's: all of it goes through memory of our own. */
static void some_of_panel(struct experts *e, MlirValue token, MlirValue number, MlirValue from, MlirValue to)
{
    struct qbc_kernel *k = e->l.k;
    MlirValue first = k_mul_i(k, number, e->l.packing.rows);
    e->l.y = k_at(k, e->scratch, k_mul_i(k, first, -4));
    qbc_linear_panel(&e->l, number, token);
    MlirValue made = e->l.y, y = qbc_linear_row(&e->l, Y, token, e->l.y_shift);
    e->l.y = (MlirValue){NULL};
    struct k_loop loop = k_for(k, from, to, 1, 0, NULL);
    MlirValue offset = k_mul_i(k, loop.i, 4);
    k_store(k, k_load(k, k->f32, k_at(k, made, offset), 4), k_at(k, y, offset), 4);
    k_end(k, &loop, NULL);
}

/* One panel of the expert that a token chose as its j-th; there may be one less, where panels hold rows of two experts. */
static void panel_of(struct experts *e, MlirValue token, MlirValue j, MlirValue panel)
{
    struct qbc_kernel *k = e->l.k;
    MlirValue height = k_i64(k, e->l.packing.rows), first = k_mul_i(k, expert_of(e, token, j), e->rows);
    MlirValue number = k_add(k, k_op2(k, "arith.divui", first, height), panel), end = k_add_i(k, first, e->rows);
    MlirValue from = k_op2(k, "arith.maxsi", first, k_mul(k, number, height));
    MlirValue to = k_op2(k, "arith.minsi", end, k_add(k, k_mul(k, number, height), height));
    choose(e, j, first);
    if (mlirValueIsNull(e->scratch)) {
        qbc_linear_panel(&e->l, number, token);
        add_bias(e, token, from, to);
        return;
    }
    struct k_loop there = k_if(k, k_cmp(k, QBC_LT, from, to));
    some_of_panel(e, token, number, from, to);
    add_bias(e, token, from, to);
    k_end(k, &there, NULL);
}

static void in_panels(struct experts *e)
{
    struct qbc_kernel *k = e->l.k;
    int64_t height = e->l.packing.rows, rest = e->rows % height;
    if (rest)
        e->scratch = k_scratch(k, height * 4);
    struct k_range share = k_share(k, k_i64(k, (e->rows + height - 1) / height + (rest != 0)));
    MlirValue zero = k_i64(k, 0), top = k_i64(k, e->top);
    if (k->one) {
        struct k_loop choices = k_for(k, zero, top, 1, 0, NULL);
        struct k_loop panels = k_for(k, share.from, share.to, 1, 0, NULL);
        panel_of(e, zero, choices.i, panels.i);
        k_end(k, &panels, NULL);
        k_end(k, &choices, NULL);
        return;
    }
    struct k_loop panels = k_for(k, share.from, share.to, 1, 0, NULL);
    struct k_loop tokens = k_for(k, zero, k->rows, 1, 0, NULL);
    struct k_loop choices = k_for(k, zero, top, 1, 0, NULL);
    panel_of(e, tokens.i, choices.i, panels.i);
    k_end(k, &choices, NULL);
    k_end(k, &tokens, NULL);
    k_end(k, &panels, NULL);
}

/* Where vectors are of any length, shares are pieces of rows, wherever panels end. */
static void in_rows(struct experts *e)
{
    struct qbc_kernel *k = e->l.k;
    struct k_range share = k_share(k, k_i64(k, (e->rows + QBC_PIECE - 1) / QBC_PIECE));
    MlirValue from = k_mul_i(k, share.from, QBC_PIECE), to = k_mul_i(k, share.to, QBC_PIECE);
    to = k_op2(k, "arith.minsi", to, k_i64(k, e->rows));
    struct k_loop tokens = k_for(k, k_i64(k, 0), k->rows, 1, 0, NULL);
    struct k_loop choices = k_for(k, k_i64(k, 0), k_i64(k, e->top), 1, 0, NULL);
    MlirValue first = k_mul_i(k, expert_of(e, tokens.i, choices.i), e->rows);
    choose(e, choices.i, first);
    MlirValue begin = k_add(k, first, from), end = k_add(k, first, to);
    qbc_linear_axpy_rows(&e->l, tokens.i, begin, end);
    add_bias(e, tokens.i, begin, end);
    k_end(k, &choices, NULL);
    k_end(k, &tokens, NULL);
}

void qbc_kernel_expert_linear(struct qbc_kernel *k)
{
    int64_t all = qbc_int(k->launch, "n", 0), depth = qbc_int(k->launch, "k", 0);
    const struct qbc_format *format = qbc_find_format(k->q, qbc_string(k->q, k->launch, "format", ""));
    struct experts e = {
        .l = qbc_linear_of(k, format, all, depth, k->operand[W]),
        .top = qbc_int(k->launch, "top", 1),
        .experts = qbc_int(k->launch, "experts", 1),
        .slot = qbc_int(k->launch, "slot", 0),
    };
    e.l.extras = 0;
    e.rows = all / e.experts;
    if (k->q->target->scalable)
        in_rows(&e);
    else
        in_panels(&e);
}
