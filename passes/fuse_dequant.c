/* fuse-dequant: let linear and embed read the blocks themselves.
 *
 *   before   %w = "qb.dequant"(%b) : (tensor<NxKx!qb.block<F>>) -> tensor<NxKxf32>
 *            %y = "qb.linear"(%a, %w)              %a quantized, or %b absent and %w dense
 *   after    %y = "qb.fused_linear"(%a, %b) ({ ^bb0(%p: f32): "llvm.return"(%p) })
 *
 * needs    formats assigned, activations quantized
 * leaves   every linear that has a kernel as fused_linear with an empty epilogue
 * keeps    a dequant that something else reads; a linear on blocks whose input is not quantized
 */
#include "passes.h"

#include <mlir-c/BuiltinTypes.h>

static MlirOperation fused_linear(struct qbc *q, MlirOperation linear, MlirValue w)
{
    struct qbc_build b = qbc_before(q, linear);
    MlirType f32 = mlirF32TypeGet(q->mlir), type = mlirValueGetType(mlirOperationGetResult(linear, 0));
    MlirValue operands[] = {mlirOperationGetOperand(linear, 0), w};
    struct qbc_region epilogue = {1, &f32};
    MlirOperation fused =
        qbc_make_regions(&b, "qb.fused_linear", 1, &type, NULL, 2, operands, 1, &epilogue);
    MlirBlock body = qbc_region_block(fused, 0);
    struct qbc_build in_body = qbc_at_end(q, body, b.loc);
    qbc_do(&in_body, "llvm.return", 1, mlirBlockGetArgument(body, 0));
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(linear); ++i) {
        MlirNamedAttribute a = mlirOperationGetAttribute(linear, i);
        mlirOperationSetAttributeByName(fused, mlirIdentifierStr(a.name), a.attribute);
    }
    return fused;
}

static void fuse_linear(struct qbc *q, MlirOperation linear)
{
    MlirValue w = mlirOperationGetOperand(linear, 1);
    MlirOperation dequant = qbc_def(w, "qb.dequant");
    if (!mlirOperationIsNull(dequant)) {
        if (!qbc_block_format(q, mlirOperationGetOperand(linear, 0)))
            return; /* float activations times blocks: no kernel does that */
        w = mlirOperationGetOperand(dequant, 0);
        if (!qbc_block_format(q, w)) {
            qbc_error(q, dequant, "unknown block format; see qbc --list-formats");
            return;
        }
    }
    MlirOperation fused = fused_linear(q, linear, w);
    qbc_replace(linear, mlirOperationGetResult(fused, 0));
    if (!mlirOperationIsNull(dequant))
        qbc_sweep(q, dequant); /* no upstream pass would */
}

static void fuse_embed(struct qbc *q, MlirOperation embed)
{
    MlirOperation dequant = qbc_def(mlirOperationGetOperand(embed, 1), "qb.dequant");
    if (mlirOperationIsNull(dequant))
        return;
    mlirOperationSetOperand(embed, 1, mlirOperationGetOperand(dequant, 0));
    qbc_sweep(q, dequant);
}

/* Has no epilogue: it stays what it is. */
static void fuse_experts(struct qbc *q, MlirOperation experts)
{
    if (qbc_block_format(q, mlirOperationGetOperand(experts, 0)))
        fuse_embed(q, experts);
}

void qbc_pass_fuse_dequant(struct qbc *q, MlirOperation module)
{
    qbc_each(q, module, "qb.linear", fuse_linear);
    qbc_each(q, module, "qb.embed", fuse_embed);
    qbc_each(q, module, "qb.expert_linear", fuse_experts);
}
