// RUN: qbc-opt -unfold-experts %s | FileCheck %s
// RUN: sed 's/k = 2 : i64/k = 2 : i64, use_sparse_mixer = 1 : i64/' %s > %t.mlir
// RUN: qbc-opt -unfold-experts %t.mlir | FileCheck %s --check-prefix=KEEPS

// A mixture of codes with swiglu, whose gates and values take turns, and one of floats with relu in the dims of old files. The former's weights sum up to 1
// whatever it says, and is what the latter reads; scales of whole rows are those of blocks as long as a row.
// CHECK-LABEL: @main
// CHECK: %[[P:.*]] = "onnx.Softmax"(%[[R:.*]]) {axis = -1 : i64}
// CHECK: %[[TOP:.*]]:2 = "onnx.TopK"(%[[P]], %{{.*}}) {axis = -1 : i64}
// CHECK: %[[IDS:.*]] = "onnx.Reshape"(%[[TOP]]#1
// CHECK: %[[ALL:.*]] = "onnx.ReduceSum"(%[[TOP]]#0
// CHECK: %[[W0:.*]] = "onnx.Div"(%[[TOP]]#0, %[[ALL]])
// CHECK: %[[W:.*]] = "onnx.Reshape"(%[[W0]]
// CHECK: %[[X:.*]] = "onnx.Tile"
// CHECK: %[[ROWS:.*]] = "onnx.Reshape"(%[[X]]
// CHECK: %[[UP:.*]] = "onnx.com.microsoft.GatherBlockQuantized"(%{{.*}}, %[[IDS]], %{{.*}}) {bits = 4 : i64, block_size = 4 : i64, gather_axis = 0 : i64, quantize_axis = 2 : i64}
// CHECK: %[[COLUMN:.*]] = "onnx.Unsqueeze"(%[[ROWS]]
// CHECK: "onnx.MatMul"(%[[UP]], %[[COLUMN]])
// CHECK: %[[BIAS:.*]] = "onnx.Gather"(%{{.*}}, %[[IDS]]) {axis = 0 : i64}
// CHECK: %[[U:.*]] = "onnx.Add"(%{{.*}}, %[[BIAS]])
// CHECK: %[[G0:.*]] = "onnx.Slice"(%[[U]]
// CHECK: %[[L0:.*]] = "onnx.Slice"(%[[U]]
// CHECK: %[[G:.*]] = "onnx.Min"(%[[G0]]
// CHECK: %[[L1:.*]] = "onnx.Max"(%[[L0]]
// CHECK: %[[L:.*]] = "onnx.Min"(%[[L1]]
// CHECK: %[[S:.*]] = "onnx.Sigmoid"
// CHECK: %[[H:.*]] = "onnx.Mul"(%[[G]], %[[S]])
// CHECK: %[[M:.*]] = "onnx.Add"(%[[L]]
// CHECK: "onnx.Mul"(%[[H]], %[[M]])
// CHECK: %[[Z:.*]] = "onnx.Squeeze"
// CHECK: "onnx.Mul"(%[[Z]], %[[W]])
// CHECK: "onnx.ReduceSum"{{.*}} {keepdims = 0 : i64}
// CHECK: "onnx.TopK"
// CHECK-NOT: onnx.Div
// CHECK: "onnx.Reshape"(%[[OLD:.*]], %{{.*}}) : (tensor<4x4x6xf32>
// CHECK: "onnx.Relu"
// CHECK-NOT: MoE
// KEEPS: "onnx.com.microsoft.QMoE"{{.*}} qb.miss = "use_sparse_mixer, the choice of experts by thresholds, is not supported
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}) -> (tensor<1x?x4xf32>, tensor<1x?x4xf32>) {
  %embed = "onnx.Constant"() {source = "embed", value = dense<1.0> : tensor<9x4xf32>} : () -> tensor<9x4xf32>
  %line = "onnx.Constant"() {value = dense<[-1, 4]> : tensor<2xi64>} : () -> tensor<2xi64>
  %x = "onnx.Gather"(%embed, %ids) {axis = 0 : i64} : (tensor<9x4xf32>, tensor<1x?xi64>) -> tensor<1x?x4xf32>
  %r = "onnx.Reshape"(%x, %line) : (tensor<1x?x4xf32>, tensor<2xi64>) -> tensor<?x4xf32>
  %up = "onnx.Constant"() {source = "up", value = dense<1> : tensor<4x12x2xui8>} : () -> tensor<4x12x2xui8>
  %us = "onnx.Constant"() {source = "us", value = dense<1.0> : tensor<4x12xf32>} : () -> tensor<4x12xf32>
  %ub = "onnx.Constant"() {source = "ub", value = dense<1.0> : tensor<4x12xf32>} : () -> tensor<4x12xf32>
  %down = "onnx.Constant"() {source = "down", value = dense<1> : tensor<4x4x3xui8>} : () -> tensor<4x4x3xui8>
  %ds = "onnx.Constant"() {source = "ds", value = dense<1.0> : tensor<4x4xf32>} : () -> tensor<4x4xf32>
  %old = "onnx.Constant"() {source = "old", value = dense<1.0> : tensor<4x4x6xf32>} : () -> tensor<4x4x6xf32>
  %old2 = "onnx.Constant"() {source = "old2", value = dense<1.0> : tensor<4x6x4xf32>} : () -> tensor<4x6x4xf32>
  %y = "onnx.com.microsoft.QMoE"(%x, %r, %up, %us, %ub, %down, %ds) {k = 2 : i64, activation_type = "swiglu", swiglu_fusion = 1 : i64, activation_alpha = 1.702 : f32, activation_beta = 1.0 : f32, swiglu_limit = 7.0 : f32, expert_weight_bits = 4 : i64} : (tensor<1x?x4xf32>, tensor<?x4xf32>, tensor<4x12x2xui8>, tensor<4x12xf32>, tensor<4x12xf32>, tensor<4x4x3xui8>, tensor<4x4xf32>) -> tensor<1x?x4xf32>
  %none = "onnx.None"() : () -> none
  %z = "onnx.com.microsoft.MoE"(%y, %r, %old, %none, %old2) {k = 1 : i64, activation_type = "relu"} : (tensor<1x?x4xf32>, tensor<?x4xf32>, tensor<4x4x6xf32>, none, tensor<4x6x4xf32>) -> tensor<1x?x4xf32>
  return %y, %z : tensor<1x?x4xf32>, tensor<1x?x4xf32>
}
