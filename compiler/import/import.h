/* import.h: a model file to level-0 IR.
 *
 *   builtin.module attributes {qb.level = "onnx", qb.source = "model.onnx", qb.opset = ["=18", "com.microsoft=1"]}
 *     func.func @main(%input_ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"], qb.name = "input_ids"}, ...)
 *         -> (tensor<1x?x256xf32> {qb.output = "logits"}, ... {qb.output = "present", qb.past = 3 : i64})
 *       %0 = "qb.weight"() {name = "onnx::MatMul_732", source = "onnx::MatMul_732", offset = 0 : i64, strides = array<i64: 64, 1>} : () -> tensor<128x64xf32>
 *       %1 = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>         every initializer and Constant of at most 64 elements
 *       %2 = "onnx.MatMul"(%x, %0) {attributes as in ONNX} : ...                             one operation a node, default domain
 *       %3 = "onnx.com.microsoft.GroupQueryAttention"(...)                                   others: with their domain
 *
 * An input that a node leaves out is "onnx.None"() : () -> none. Attributes: INT -> i64, FLOAT -> f32, STRING -> string,
 * INTS -> array<i64>, FLOATS -> array<f32>, STRINGS -> array of strings, TENSOR -> dense elements. Locations are
 * NameLoc("node name" or op_type_index, in the file). Types are what the file says where it says something, `tensor<*xE>` otherwise.
 */
#ifndef QBC_IMPORT_H
#define QBC_IMPORT_H

#include "qbc.h"

/* The module, or null after errors (all of them reported, not just the first). Fills q->store. */
MlirModule qbc_import_onnx(struct qbc *q, const char *path);

#endif
