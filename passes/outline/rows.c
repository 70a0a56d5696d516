/* rows.c: weights, embeddings, norms; results that are other results seen differently; what the host brings and gets. */
#include "outline.h"

/* The operation itself goes to @weights, for the emitter. */
void qbc_outline_weight(struct outline *o, MlirOperation op)
{
    qbc_place_weight(o, op);
    mlirOperationMoveBefore(op, mlirBlockGetTerminator(o->weights));
}

void qbc_outline_embed(struct outline *o, MlirOperation op)
{
    MlirValue w = mlirOperationGetOperand(op, 1);
    MlirValue operands[] = {qbc_place_output(o, op, "all"), qbc_place_of(o, w)};
    MlirOperation l = qbc_launch(o, "embed", "all", 2, operands);
    qbc_launch_matrix(o, l, w);
    qbc_copy_attribute(op, l, "rows_before");
    qbc_set_bool(o->q, qbc_def_any(w), "lookup", true);
    if (!qbc_has(qbc_def_any(w), "role"))
        qbc_set_string(o->q, qbc_def_any(w), "role", "embed");
}

void qbc_outline_positions(struct outline *o, MlirOperation op)
{
    MlirValue w = mlirOperationGetOperand(op, 0);
    MlirValue operands[] = {qbc_place_output(o, op, "all"), qbc_place_of(o, w)};
    MlirOperation l = qbc_launch(o, "embed_positions", "all", 2, operands);
    qbc_launch_matrix(o, l, w);
    qbc_set_int(o->q, l, "first", qbc_int(op, "first", 0));
    qbc_set_bool(o->q, qbc_def_any(w), "lookup", true);
}

void qbc_outline_norm(struct outline *o, MlirOperation op)
{
    bool centred = qbc_is(op, "qb.layer_norm");
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    MlirValue operands[4], x = qbc_place_of(o, mlirOperationGetOperand(op, 0));
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = qbc_place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    operands[0] = qbc_place_output(o, op, qbc_place_rows(o, x));
    MlirOperation l = qbc_launch(o, centred ? "layer_norm" : "rms_norm", qbc_place_rows(o, x), n + 1, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(qbc_only_result(op), 1));
    qbc_set_int(o->q, l, "run", qbc_dim(mlirOperationGetOperand(op, 1), 0));
    qbc_set_float(o->q, l, "eps", (float)qbc_float(op, "eps", 0));
}

void qbc_outline_hadamard(struct outline *o, MlirOperation op)
{
    MlirValue x = qbc_place_of(o, mlirOperationGetOperand(op, 0));
    MlirValue operands[] = {qbc_place_output(o, op, qbc_place_rows(o, x)), x};
    MlirOperation l = qbc_launch(o, "hadamard", qbc_place_rows(o, x), 2, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(qbc_only_result(op), 1));
    qbc_copy_attribute(op, l, "run");
    qbc_copy_attribute(op, l, "transposed");
}

/* Rows without a distance: the vector itself. */
void qbc_outline_repeat(struct outline *o, MlirOperation op)
{
    qbc_place_remember(o, qbc_only_result(op), qbc_place_of(o, mlirOperationGetOperand(op, 0)));
}

void qbc_outline_tail(struct outline *o, MlirOperation op)
{
    qbc_place_remember(o, qbc_only_result(op), qbc_place_tail(o, qbc_place_of(o, mlirOperationGetOperand(op, 0))));
}

/* The rows stay where they are found after the step: [chunk][C], rows padded as in the arena. */
void qbc_outline_observe(struct outline *o, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0), from = qbc_place_of(o, x);
    MlirOperation state = qbc_place_new(o, "state");
    MlirValue operands[] = {qbc_only_result(state), from};
    qbc_copy_attribute(op, state, "name");
    qbc_set_int(o->q, state, "row_bytes", qbc_padded_row(qbc_dim(x, 1)));
    qbc_set_int(o->q, state, "bytes", qbc_padded_row(qbc_dim(x, 1)) * o->chunk);
    MlirOperation l = qbc_launch(o, "elementwise", qbc_place_rows(o, from), 2, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(x, 1));
}

/* A result that has more rows than asked for, or that something else reads too, is copied. */
void qbc_outline_return(struct outline *o, MlirOperation op)
{
    MlirValue y = qbc_place_of(o, mlirOperationGetOperand(op, 0)), operands[2];
    if (mlirValueIsNull(y) || qbc_place_is_logits(o, y))
        return;
    operands[1] = qbc_place_tail(o, y);
    operands[0] = qbc_place_logits(o);
    MlirOperation l = qbc_launch(o, "elementwise", "tail", 2, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(o->result, 1));
}

void qbc_outline_input(struct outline *o, MlirValue argument)
{
    if (qbc_rank(argument) != 2)
        return;
    MlirOperation place = qbc_place_new(o, "input");
    qbc_set_int(o->q, place, "row_bytes", qbc_padded_row(qbc_dim(argument, 1)));
    qbc_set_string(o->q, place, "rows", "all");
    qbc_place_remember(o, argument, qbc_only_result(place));
}
