/* import.h: a model file to level-0 IR.
 *
 *   builtin.module attributes {qb.level = "onnx", qb.source = "model.onnx",
 *                              qb.opset = ["=18", "com.microsoft=1"], qb.producer = "pytorch 2.9"}
 *     func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"],
 *                                            qb.name = "input_ids"}, ...)
 *         -> (tensor<1x?x256xf32> {qb.output = "logits", qb.dims = [...], qb.name = "logits"},
 *             tensor<1x2x?x16xf32> {qb.output = "present", qb.past = 3 : i64, ...})
 *       %0 = "qb.weight"() {name = "onnx::MatMul_732", source = "onnx::MatMul_732",
 *                           offset = 0 : i64, strides = array<i64: 64, 1>} : () -> tensor<128x64xf32>
 *       %1 = "onnx.Constant"() {value = dense<1> : tensor<i64>, source = "val_4"} : () -> tensor<i64>
 *       %2 = "onnx.MatMul"(%x, %0) {attributes as in ONNX} : ...
 *       %3 = "onnx.com.microsoft.GroupQueryAttention"(...) ...
 *
 * Inputs are tokens, positions, types, mask, past or other; outputs logits, hidden, present (which continues
 * the input number qb.past) or other. Sizes are numbers and sums with T (tokens of this call) and P
 * (tokens in the cache); "?" where the file leaves open what cannot be told from use. The batch is 1.
 *
 * One operation a node, sorted; other domains than ONNX's own in the name. A weight is a view of all
 * of a stored tensor, of any rank. Weights and Constant nodes of at most 64 elements are
 * onnx.Constant; the store knows them too, as `source`. An input that a node leaves out is
 * "onnx.None"() : () -> none. Attributes: INT -> i64, FLOAT -> f32, STRING -> string,
 * INTS -> array<i64>, FLOATS -> array<f32>, STRINGS -> array of strings, TENSOR -> dense elements.
 * Locations are NameLoc(the node's name, or type_output, in the file). Types are what the file
 * declares, `tensor<*xE>` otherwise.
 */
#ifndef QBC_IMPORT_H
#define QBC_IMPORT_H

#include "base.h"

/* The module, or null after errors (all of them reported, not just the first). Fills q->store. */
MlirModule qbc_import_onnx(struct qbc *q, const char *path);

#endif
