/* unpack-attention: fused attention operations that take query, key and value in one operand.
 *
 *   before   GroupQueryAttention(%qkv, none, none, ...)      %qkv [1, T, (heads + 2 kv_heads) head_dim]
 *   after    %q, %k, %v = Split(%qkv);  GroupQueryAttention(%q, %k, %v, ...)
 *
 * needs    level 0
 * leaves   three operands, which recognise-linear and cut-linear trace to three views of the weights
 * keeps    those that have three
 */
#include "pattern.h"

#include <mlir-c/BuiltinTypes.h>

static void split(struct qbc *q, MlirOperation op, const int64_t *widths)
{
    struct qbc_build b = qbc_before(q, op);
    MlirType type = mlirUnrankedTensorTypeGet(mlirShapedTypeGetElementType(
        mlirValueGetType(mlirOperationGetOperand(op, 0))));
    struct qbc_attr attrs[] = {{"axis", qbc_attr_int(q, -1)}, {0}};
    MlirValue operands[2] = {mlirOperationGetOperand(op, 0), qbc_ints_constant(&b, widths, 3)};
    MlirOperation parts = qbc_make_regions(&b, "onnx.Split", 3, (MlirType[]){type, type, type},
                                           attrs, 2, operands, 0, NULL);
    for (intptr_t i = 0; i < 3; ++i)
        mlirOperationSetOperand(op, i, mlirOperationGetResult(parts, i));
}

void qbc_pass_unpack_attention(struct qbc *q, MlirOperation module)
{
    struct qbc_ops ops = qbc_collect(q, module, "onnx.com.microsoft.GroupQueryAttention");
    struct qbc_shapes s;
    qbc_shapes_open(q, qbc_find_func(module, "main"), &s);
    int64_t *widths = qbc_alloc(q, (3 * ops.n + 1) * sizeof *widths);
    for (size_t i = 0; i < ops.n; ++i) {
        int64_t heads = qbc_int(ops.op[i], "num_heads", 0);
        int64_t kv_heads = qbc_int(ops.op[i], "kv_num_heads", 0), all = heads + 2 * kv_heads;
        int64_t width = qbc_shapes_width(&s, mlirOperationGetOperand(ops.op[i], 0), NULL);
        if (mlirOperationGetNumOperands(ops.op[i]) < 3 || heads <= 0 || kv_heads <= 0 ||
            width % all || !qbc_is_none(mlirOperationGetOperand(ops.op[i], 1)))
            continue;
        widths[3 * i] = width / all * heads;
        widths[3 * i + 1] = widths[3 * i + 2] = width / all * kv_heads;
    }
    qbc_shapes_close(&s);
    for (size_t i = 0; i < ops.n; ++i)
        if (widths[3 * i])
            split(q, ops.op[i], &widths[3 * i]);
    qbc_tidy(q, module);
}
