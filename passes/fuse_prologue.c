/* fuse-prologue: normalise or scale a row while quantizing it.
 *
 *   before   %n = "qb.rms_norm"(%x, %g) {eps}
 *            %a = "qb.quantize"(%n) {act}
 *   after    %a = "qb.quantize"(%x, %g) {act, eps}
 *
 *   before   %s = "qb.scale"(%x, %v)
 *            %a = "qb.quantize"(%s) {act}
 *   after    %a = "qb.quantize"(%x, %v) {act}
 *
 * keeps    a norm or a scaling that something else reads, a norm that runs over less than the row
 */
#include "passes.h"

static void fuse(struct qbc *q, MlirOperation quantize)
{
    static const char *const kept[] = {"act", "low", "high", "clip_low", "clip_high"};
    MlirValue scaled = mlirOperationGetOperand(quantize, 0);
    MlirOperation norm = qbc_def(scaled, "qb.rms_norm"), scale = qbc_def(scaled, "qb.scale");
    norm = mlirOperationIsNull(norm) ? scale : norm;
    if (mlirOperationIsNull(norm) || mlirOperationGetNumOperands(quantize) != 1)
        return;
    MlirValue y = mlirOperationGetResult(norm, 0), gain = mlirOperationGetOperand(norm, 1);
    if (qbc_uses(y) != 1 || qbc_dim(gain, 0) != qbc_dim(y, 1))
        return;
    struct qbc_build b = qbc_before(q, quantize);
    MlirValue operands[] = {mlirOperationGetOperand(norm, 0), gain};
    MlirType type = mlirValueGetType(mlirOperationGetResult(quantize, 0));
    MlirOperation fused = qbc_make(&b, "qb.quantize", type, NULL, 2, operands);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; ++i)
        if (qbc_has(quantize, kept[i]))
            qbc_set(fused, kept[i], mlirOperationGetAttributeByName(quantize, qbc_str(kept[i])));
    if (mlirOperationIsNull(scale))
        qbc_set_float(q, fused, "eps", (float)qbc_float(norm, "eps", 0));
    qbc_replace(quantize, mlirOperationGetResult(fused, 0));
    mlirOperationDestroy(norm);
}

void qbc_pass_fuse_prologue(struct qbc *q, MlirOperation module)
{
    qbc_each(q, module, "qb.quantize", fuse);
}
