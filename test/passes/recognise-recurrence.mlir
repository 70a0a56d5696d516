// RUN: split-file %s %t
// RUN: qbc-opt -recognise-recurrence %t/does.mlir | FileCheck %s
// RUN: sed 's/gated_delta/linear/' %t/does.mlir | qbc-opt -recognise-recurrence - | FileCheck %s --check-prefix=LINEAR
// RUN: sed 's/q_num_heads = 2/q_num_heads = 3/' %t/does.mlir | not qbc-opt -recognise-recurrence -check-graph - 2>&1 | FileCheck %s --check-prefix=HEADS
// RUN: sed 's/activation = "silu"/activation = "gelu"/' %t/does.mlir | not qbc-opt -recognise-recurrence -check-graph - 2>&1 | FileCheck %s --check-prefix=ACTIVATION

// Opset 27: a convolution whose window goes in and out, then the gated delta rule; two heads of queries share one of keys.

//--- does.mlir
// CHECK: %[[X:.*]] = "qb.linear"
// CHECK: %[[W:.*]] = "qb.state"() {name = "conv"} : () -> tensor<?x8xf32>
// CHECK: %[[C:.*]] = "qb.conv1d"(%[[W]], %[[X]], %{{.*}}) : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<16xf32>) -> tensor<?x8xf32>
// CHECK: "qb.act"(%[[C]]) {act = "silu"}
// CHECK: %[[S:.*]] = "qb.state"() {name = "linear"} : () -> tensor<?x8xf32>
// CHECK: %[[Y:.*]] = "qb.linear_attention"(%[[S]], %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) {betas = true, decays = true, delta = true, heads = 1 : i64, scale = 0.707106769 : f32}
// CHECK: return {{.*}}, %[[S]], %[[W]]
// LINEAR: "qb.linear_attention"{{.*}} {heads = 1 : i64, scale = 0.707106769 : f32}
// HEADS: error: LinearAttention is not understood: its rows do not have the heads that its attributes say
// ACTIVATION: error: CausalConvWithState is not understood: its activation 'gelu' is not known
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]},
                %past: tensor<1x1x2x4xf32> {qb.input = "past", qb.dims = ["1", "1", "2", "4"]},
                %window: tensor<1x8x1xf32> {qb.input = "past", qb.dims = ["1", "8", "1"]}, %r: tensor<?x4xf32>, %m: tensor<8x4xf32>,
                %g: tensor<?x1xf32>, %e: tensor<?x1xf32>)
    -> (tensor<1x?x8xf32>, tensor<1x1x2x4xf32> {qb.output = "present", qb.past = 1 : i64}, tensor<1x8x1xf32> {qb.output = "present", qb.past = 2 : i64}) {
  %w = "onnx.Constant"() {value = dense<1.0> : tensor<8x1x2xf32>, source = "w"} : () -> tensor<8x1x2xf32>
  %dims = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %one = "onnx.Constant"() {value = dense<[1, -1, 1]> : tensor<3xi64>} : () -> tensor<3xi64>
  %none = "onnx.None"() : () -> none
  %x = "qb.linear"(%r, %m) : (tensor<?x4xf32>, tensor<8x4xf32>) -> tensor<?x8xf32>
  %rows = "onnx.Reshape"(%x, %dims) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %across = "onnx.Transpose"(%rows) {perm = array<i64: 0, 2, 1>} : (tensor<1x?x8xf32>) -> tensor<1x8x?xf32>
  %c, %kept = "onnx.CausalConvWithState"(%across, %w, %none, %window) {activation = "silu"} : (tensor<1x8x?xf32>, tensor<8x1x2xf32>, none, tensor<1x8x1xf32>) -> (tensor<1x8x?xf32>, tensor<1x8x1xf32>)
  %upright = "onnx.Transpose"(%c) {perm = array<i64: 0, 2, 1>} : (tensor<1x8x?xf32>) -> tensor<1x?x8xf32>
  %q, %k, %v = "onnx.Split"(%upright) {axis = -1 : i64, split = array<i64: 4, 2, 2>} : (tensor<1x?x8xf32>) -> (tensor<1x?x4xf32>, tensor<1x?x2xf32>, tensor<1x?x2xf32>)
  %v4 = "onnx.Concat"(%v, %v) {axis = -1 : i64} : (tensor<1x?x2xf32>, tensor<1x?x2xf32>) -> tensor<1x?x4xf32>
  %decay = "onnx.Reshape"(%g, %one) : (tensor<?x1xf32>, tensor<3xi64>) -> tensor<1x?x1xf32>
  %beta = "onnx.Reshape"(%e, %one) : (tensor<?x1xf32>, tensor<3xi64>) -> tensor<1x?x1xf32>
  %o, %next = "onnx.LinearAttention"(%q, %k, %v4, %past, %decay, %beta) {q_num_heads = 2 : i64, kv_num_heads = 1 : i64, update_rule = "gated_delta"} : (tensor<1x?x4xf32>, tensor<1x?x2xf32>, tensor<1x?x4xf32>, tensor<1x1x2x4xf32>, tensor<1x?x1xf32>, tensor<1x?x1xf32>) -> (tensor<1x?x8xf32>, tensor<1x1x2x4xf32>)
  return %o, %next, %kept : tensor<1x?x8xf32>, tensor<1x1x2x4xf32>, tensor<1x8x1xf32>
}
