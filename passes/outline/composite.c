/* composite.c: what composite formats are put together with. */
#include "outline.h"

void qbc_outline_columns(struct outline *o, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    int64_t first = qbc_int(op, "first", 0), n = qbc_dim(qbc_only_result(op), 1);
    bool quantized = qbc_block_format(o->q, x);
    int64_t shift = quantized ? first / QBC_ACT_GROUP * QBC_ACT_RECORD : first * QBC_FLOAT_BYTES;
    int64_t width = quantized ? (n + QBC_ACT_GROUP - 1) / QBC_ACT_GROUP * QBC_ACT_RECORD : n * QBC_FLOAT_BYTES;
    qbc_place_remember(o, qbc_only_result(op), qbc_place_part(o, qbc_place_of(o, x), shift, width));
}

/* Its parts were written into it. */
void qbc_outline_join(struct outline *o, MlirOperation op)
{
    if (mlirValueIsNull(qbc_place_of(o, qbc_only_result(op))))
        qbc_error(o->q, op, "the parts of a join are products or rows of embeddings, each of one join only");
}

/* A table that rows are looked up in, or read. */
static void set_table(struct outline *o, MlirOperation op, MlirOperation l, MlirValue table, bool lookup)
{
    qbc_launch_matrix(o, l, table);
    qbc_set_bool(o->q, qbc_def_any(table), "lookup", lookup);
    qbc_set_int(o->q, l, "c", qbc_dim(qbc_only_result(op), 1));
}

void qbc_outline_gather(struct outline *o, MlirOperation op)
{
    MlirValue x = qbc_place_of(o, mlirOperationGetOperand(op, 0)), order = mlirOperationGetOperand(op, 1);
    MlirValue operands[] = {qbc_place_output(o, op, qbc_place_rows(o, x)), x, qbc_place_of(o, order)};
    set_table(o, op, qbc_launch(o, "gather", qbc_place_rows(o, x), 3, operands), order, false);
}

void qbc_outline_project(struct outline *o, MlirOperation op)
{
    MlirValue x = qbc_place_of(o, mlirOperationGetOperand(op, 0)), b = mlirOperationGetOperand(op, 1);
    MlirValue operands[] = {qbc_place_output(o, op, qbc_place_rows(o, x)), x, qbc_place_of(o, b)};
    MlirOperation l = qbc_launch(o, "project", qbc_place_rows(o, x), 3, operands);
    set_table(o, op, l, b, false);
    qbc_set_int(o->q, l, "columns", qbc_dim(mlirOperationGetOperand(op, 0), 1));
}

void qbc_outline_sparse(struct outline *o, MlirOperation op)
{
    MlirValue x = qbc_place_of(o, mlirOperationGetOperand(op, 0)), values = mlirOperationGetOperand(op, 1),
              indices = mlirOperationGetOperand(op, 2);
    MlirValue operands[] = {qbc_place_output(o, op, qbc_place_rows(o, x)), x, qbc_place_of(o, values),
                            qbc_place_of(o, indices)};
    MlirOperation l = qbc_launch(o, "sparse", qbc_place_rows(o, x), 4, operands);
    set_table(o, op, l, values, false);
    qbc_set_int(o->q, l, "columns", qbc_dim(mlirOperationGetOperand(op, 0), 1));
    qbc_set_bool(o->q, qbc_def_any(indices), "lookup", false);
    if (qbc_has(qbc_def_any(operands[0]), "shift"))
        qbc_set_bool(o->q, l, "exact", true);
}

/* A table that a product reads too is read by that as a whole, whichever comes first. */
static bool is_only_looked_up(MlirValue table)
{
    for (MlirOpOperand use = mlirValueGetFirstUse(table); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use))
        if (qbc_is(mlirOpOperandGetOwner(use), "qb.sparse"))
            return false;
    return true;
}

void qbc_outline_embed_sparse(struct outline *o, MlirOperation op)
{
    MlirValue x = qbc_place_of(o, mlirOperationGetOperand(op, 1)), values = mlirOperationGetOperand(op, 2),
              indices = mlirOperationGetOperand(op, 3);
    MlirValue operands[] = {qbc_place_output(o, op, "all"), x, qbc_place_of(o, values), qbc_place_of(o, indices)};
    MlirOperation l = qbc_launch(o, "embed_sparse", "all", 4, operands);
    set_table(o, op, l, values, is_only_looked_up(values));
    qbc_copy_attribute(op, l, "rows_before");
    qbc_set_bool(o->q, qbc_def_any(indices), "lookup", is_only_looked_up(indices));
}

void qbc_outline_embed_scale(struct outline *o, MlirOperation op)
{
    MlirValue operands[4] = {qbc_place_output(o, op, "all")};
    for (int i = 1; i < 4; ++i)
        operands[i] = qbc_place_of(o, mlirOperationGetOperand(op, i));
    MlirOperation l = qbc_launch(o, "embed_scale", "all", 4, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(qbc_only_result(op), 1));
    qbc_set_int(o->q, l, "n", qbc_dim(mlirOperationGetOperand(op, 2), 0));
    qbc_copy_attribute(op, l, "rows_before");
}

void qbc_outline_choose(struct outline *o, MlirOperation op)
{
    MlirValue a = qbc_place_of(o, mlirOperationGetOperand(op, 1)),
              b = qbc_place_of(o, mlirOperationGetOperand(op, 2));
    MlirValue operands[] = {qbc_place_output(o, op, "all"), a, b};
    MlirOperation l = qbc_launch(o, "choose", "all", 3, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(qbc_only_result(op), 1));
    qbc_set_int(o->q, l, "cut", qbc_int(op, "cut", 0));
    qbc_set_int(o->q, l, "n", INT32_MAX); /* any token */
    qbc_copy_attribute(op, l, "rows_before");
}
