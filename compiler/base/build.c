/* build: making operations at a place. */
#include "base.h"

#include <mlir-c/BuiltinAttributes.h>
#include <stdarg.h>

struct qbc_build qbc_before(struct qbc *q, MlirOperation op)
{
    return (struct qbc_build){q, mlirOperationGetBlock(op), op, mlirOperationGetLocation(op)};
}

struct qbc_build qbc_after(struct qbc *q, MlirOperation op)
{
    return (struct qbc_build){q, mlirOperationGetBlock(op), mlirOperationGetNextInBlock(op),
                              mlirOperationGetLocation(op)};
}

struct qbc_build qbc_at_end(struct qbc *q, MlirBlock block, MlirLocation loc)
{
    return (struct qbc_build){q, block, {NULL}, loc};
}

static MlirOperation insert(struct qbc_build *b, MlirOperation op)
{
    if (mlirOperationIsNull(b->before))
        mlirBlockAppendOwnedOperation(b->block, op);
    else
        mlirBlockInsertOwnedOperationBefore(b->block, b->before, op);
    return op;
}

MlirOperation qbc_make_regions(struct qbc_build *b, const char *name, size_t n_results,
                               const MlirType *results, const struct qbc_attr *attrs,
                               size_t n_operands, const MlirValue *operands, size_t n_regions,
                               const struct qbc_region *regions)
{
    MlirOperationState state = mlirOperationStateGet(qbc_str(name), b->loc);
    mlirOperationStateAddResults(&state, (intptr_t)n_results, results);
    mlirOperationStateAddOperands(&state, (intptr_t)n_operands, operands);
    for (; attrs && attrs->name; ++attrs) {
        MlirIdentifier id = mlirIdentifierGet(b->q->mlir, qbc_str(attrs->name));
        MlirNamedAttribute named = mlirNamedAttributeGet(id, attrs->value);
        mlirOperationStateAddAttributes(&state, 1, &named);
    }
    for (size_t i = 0; i < n_regions; ++i) {
        MlirRegion region = mlirRegionCreate();
        MlirLocation *locs = qbc_alloc(b->q, (regions[i].n_args + 1) * sizeof *locs);
        for (size_t j = 0; j < regions[i].n_args; ++j)
            locs[j] = b->loc;
        if (!regions[i].no_block)
            mlirRegionAppendOwnedBlock(
                region, mlirBlockCreate((intptr_t)regions[i].n_args, regions[i].args, locs));
        mlirOperationStateAddOwnedRegions(&state, 1, &region);
    }
    return insert(b, mlirOperationCreate(&state));
}

MlirBlock qbc_region_block(MlirOperation op, size_t region)
{
    return mlirRegionGetFirstBlock(mlirOperationGetRegion(op, (intptr_t)region));
}

MlirBlock qbc_move_body(MlirOperation from, MlirOperation to)
{
    MlirBlock empty = qbc_region_block(to, 0), body = qbc_region_block(from, 0);
    if (!mlirBlockIsNull(empty)) {
        mlirBlockDetach(empty);
        mlirBlockDestroy(empty);
    }
    mlirBlockDetach(body);
    mlirRegionAppendOwnedBlock(mlirOperationGetRegion(to, 0), body);
    return body;
}

MlirOperation qbc_make(struct qbc_build *b, const char *name, MlirType result,
                       const struct qbc_attr *attrs, size_t n, const MlirValue *operands)
{
    return qbc_make_regions(b, name, !mlirTypeIsNull(result), &result, attrs, n, operands, 0, NULL);
}

enum { MOST_ARGUMENTS = 16 };

MlirValue qbc_op(struct qbc_build *b, const char *name, MlirType result, size_t n, ...)
{
    MlirValue operands[MOST_ARGUMENTS];
    va_list args;
    va_start(args, n);
    for (size_t i = 0; i < n; ++i)
        operands[i] = va_arg(args, MlirValue);
    va_end(args);
    return mlirOperationGetResult(qbc_make(b, name, result, NULL, n, operands), 0);
}

MlirOperation qbc_do(struct qbc_build *b, const char *name, size_t n, ...)
{
    MlirValue operands[MOST_ARGUMENTS];
    va_list args;
    va_start(args, n);
    for (size_t i = 0; i < n; ++i)
        operands[i] = va_arg(args, MlirValue);
    va_end(args);
    return qbc_make(b, name, (MlirType){NULL}, NULL, n, operands);
}
