/* experts.c: routers, products with the matrices of chosen experts, and their sum. */
#include "outline.h"

/* Everything that op reads after its result's place; how many. */
static size_t places(struct outline *o, MlirOperation op, MlirValue *operands)
{
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = qbc_place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    operands[0] = qbc_place_output(o, op, qbc_place_rows(o, operands[1]));
    return n + 1;
}

static MlirOperation outline(struct outline *o, MlirOperation op, const char *kernel)
{
    static const char *const copied[] = {"top", "first", "experts", "score", "normalise", "scale", "groups", "kept", "best"};
    MlirValue operands[QBC_MOST_OPERANDS];
    size_t n = places(o, op, operands);
    MlirOperation l = qbc_launch(o, kernel, qbc_place_rows(o, operands[1]), n, operands);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; ++i)
        qbc_copy_attribute(op, l, copied[i]);
    return l;
}

void qbc_outline_route(struct outline *o, MlirOperation op)
{
    qbc_set_int(o->q, outline(o, op, "route"), "experts", qbc_dim(mlirOperationGetOperand(op, 0), 1));
}

void qbc_outline_combine(struct outline *o, MlirOperation op)
{
    qbc_set_int(o->q, outline(o, op, "combine"), "c", qbc_dim(qbc_only_result(op), 1));
}

/* Bytes from one chosen expert's columns of x to the next one's; 0: all read the same. */
static int64_t slot_bytes(struct outline *o, MlirValue x, MlirValue w)
{
    int64_t depth = qbc_dim(w, 1);
    if (qbc_dim(x, 1) == depth)
        return 0;
    return qbc_block_format(o->q, x) ? depth / QBC_ACT_GROUP * QBC_ACT_RECORD : depth * QBC_FLOAT_BYTES;
}

void qbc_outline_expert_linear(struct outline *o, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0), w = mlirOperationGetOperand(op, 1);
    MlirOperation l = outline(o, op, "expert_linear"), weight = qbc_def_any(w);
    qbc_launch_matrix(o, l, w);
    qbc_set_int(o->q, l, "slot", slot_bytes(o, x, w));
    if (qbc_block_format(o->q, w))
        qbc_set_int(o->q, l, "multiplier", qbc_int(qbc_def_any(mlirOperationGetOperand(l, 1)), "multiplier", 1));
    qbc_set_bool(o->q, weight, "lookup", false);
}
