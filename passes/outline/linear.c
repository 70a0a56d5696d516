/* linear.c: products of blocks, and the rounding of what they read. */
#include "outline.h"
#include "target.h"

#include <string.h>

/* Bytes between long rows: where columns of several rows are read side by side, they do not meet in the same sets of a
 * near cache of 4 KiB a way. Eight rows are spread over all of them. */
static int64_t spread(int64_t bytes)
{
    enum { LINE = 64, LONG = 32, APART = 8 };
    int64_t lines = (bytes + LINE - 1) / LINE;
    while (lines >= LONG && lines % (2 * APART) != APART)
        ++lines;
    return lines * LINE;
}

struct consumers {
    int64_t bias;    /* that all products take off; 1 when they differ */
    int64_t columns; /* of the longest group's end */
};

/* Products of these activations, or of some of their columns, which begin at `first`. */
static void add_consumers(struct outline *o, MlirValue x, int64_t first, struct consumers *c)
{
    for (MlirOpOperand use = mlirValueGetFirstUse(x); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        if (qbc_is(user, "qb.columns")) {
            add_consumers(o, qbc_only_result(user), first + qbc_int(user, "first", 0), c);
            continue;
        }
        const struct qbc_format *f = qbc_block_format(o->q, mlirOperationGetOperand(user, 1));
        if (!f)
            continue;
        MlirValue w = mlirOperationGetOperand(user, 1);
        struct qbc_layout layout = qbc_outline_layout(o, f, w);
        int64_t wants = qbc_linear_shift(o->q->target, f), end = first + layout.units * layout.unit;
        c->bias = c->bias == 0 || c->bias == wants ? wants : 1;
        c->columns = end > c->columns ? end : c->columns;
    }
}

/* The bias that all products of these activations take off, so that the quantizer multiplies once. And the records that
 * the longest group asks for. */
static void set_consumers(struct outline *o, MlirOperation quantize, MlirOperation l)
{
    struct consumers c = {.columns = qbc_dim(qbc_only_result(quantize), 1)};
    add_consumers(o, qbc_only_result(quantize), 0, &c);
    int64_t records = (c.columns + QBC_ACT_GROUP - 1) / QBC_ACT_GROUP, bias = c.bias;
    qbc_set_int(o->q, l, "multiplier", bias ? bias : 1);
    qbc_set_int(o->q, l, "records", records);
    MlirOperation place = qbc_def_any(mlirOperationGetOperand(l, 0));
    int64_t bytes = spread(records * QBC_ACT_RECORD), row_bytes[QBC_MOST_OPERANDS];
    qbc_set_int(o->q, place, "row_bytes", bytes);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(l); ++i)
        row_bytes[i] = qbc_place_row_bytes(mlirOperationGetOperand(l, i));
    qbc_set_ints(o->q, l, "row_bytes", row_bytes, (size_t)mlirOperationGetNumOperands(l));
    qbc_set_int(o->q, place, "multiplier", bias ? bias : 1);
}

void qbc_outline_quantize(struct outline *o, MlirOperation op)
{
    static const char *const rounding[] = {"act", "low", "high", "clip_low", "clip_high"};
    intptr_t n = mlirOperationGetNumOperands(op);
    MlirValue x = qbc_place_of(o, mlirOperationGetOperand(op, 0)), operands[3];
    const char *rows = qbc_place_rows(o, x);
    operands[0] = qbc_place_buffer(o, 0, rows);
    operands[1] = x;
    if (n == 2)
        operands[2] = qbc_place_of(o, mlirOperationGetOperand(op, 1));
    qbc_place_remember(o, qbc_only_result(op), operands[0]);
    MlirOperation l = qbc_launch(o, "quantize", rows, (size_t)n + 1, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(qbc_only_result(op), 1));
    qbc_copy_attribute(op, l, "eps");
    if (strcmp(qbc_string(o->q, op, "act", "i8g32"), "i8g32") || qbc_has(op, "clip_low"))
        for (size_t i = 0; i < sizeof rounding / sizeof *rounding; ++i)
            qbc_copy_attribute(op, l, rounding[i]);
    set_consumers(o, op, l);
}

/* For whoever reads the program: how it is multiplied, and what else could; products a cycle for one token, for several. */
static void set_strategy(struct outline *o, MlirOperation l, const struct qbc_format *f)
{
    enum { SEVERAL = 4 };
    const struct qbc_target *t = o->q->target;
    const char *several = qbc_text(o->q, "%s; %d tokens: %s", qbc_describe_strategy(o->q, t, f, 1), SEVERAL,
                                   qbc_describe_strategy(o->q, t, f, SEVERAL));
    qbc_set_string(o->q, l, "strategy", qbc_strategy_name(qbc_strategy_for(t, f)));
    qbc_set_string(o->q, l, "strategy_costs", several);
}

void qbc_outline_linear(struct outline *o, MlirOperation op)
{
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    MlirValue operands[QBC_MOST_OPERANDS], w = mlirOperationGetOperand(op, 1);
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = qbc_place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    const char *rows = qbc_place_rows(o, operands[1]);
    operands[0] = qbc_place_output(o, op, rows);
    MlirOperation l = qbc_launch(o, "linear", rows, n + 1, operands);
    qbc_launch_matrix(o, l, w);
    if (qbc_block_format(o->q, w)) {
        qbc_set_int(o->q, l, "multiplier", qbc_int(qbc_def_any(operands[1]), "multiplier", 1));
        set_strategy(o, l, qbc_block_format(o->q, w));
    }
    if (qbc_place_is_logits(o, operands[0]) || qbc_has(qbc_def_any(operands[0]), "shift"))
        qbc_set_bool(o->q, l, "exact", true);
    qbc_set_bool(o->q, qbc_def_any(w), "lookup", false); /* all of it is read */
    if (!qbc_has(qbc_def_any(w), "role")) {
        qbc_copy_attribute(op, qbc_def_any(w), "role");
        qbc_copy_attribute(op, qbc_def_any(w), "block");
    }
    qbc_move_body(op, l);
}
