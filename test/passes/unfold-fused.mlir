// RUN: split-file %s %t
// RUN: qbc-opt -unfold-fused %t/does.mlir | FileCheck %s
// RUN: sed 's/activation = "silu"/activation = "gelu"/' %t/does.mlir | not qbc-opt -unfold-fused -check-graph - 2>&1 | FileCheck %s --check-prefix=ACTIVATION

// What ONNX Runtime GenAI writes around Qwen3.5's linear attention.

//--- does.mlir
// CHECK: %[[SUM:.*]] = "onnx.Add"(%{{.*}}, %[[BIAS:.*]])
// CHECK: %[[SOFT:.*]] = "onnx.Softplus"(%[[SUM]])
// CHECK: %[[DECAY:.*]] = "onnx.Mul"(%[[SOFT]], %{{.*}})
// CHECK: %[[BETA:.*]] = "onnx.Sigmoid"(%{{.*}})
// CHECK: %[[HEADS:.*]] = "onnx.Reshape"(%{{.*}}, %{{.*}})
// CHECK: %[[NORM:.*]] = "onnx.SimplifiedLayerNormalization"(%[[HEADS]], %{{.*}}) {axis = -1 : i64, epsilon = 9.99999997E-7 : f32}
// CHECK: %[[FLAT:.*]] = "onnx.Reshape"(%[[NORM]], %{{.*}})
// CHECK: %[[OPEN:.*]] = "onnx.Sigmoid"(%[[Z:[a-z0-9]+]])
// CHECK: %[[SILU:.*]] = "onnx.Mul"(%[[Z]], %[[OPEN]])
// CHECK: "onnx.Mul"(%[[FLAT]], %[[SILU]])
// CHECK: %[[TIME:.*]] = "onnx.Gather"(%{{.*}}, %{{.*}}) {axis = 0 : i64}
// CHECK: %[[ROW:.*]] = "onnx.Reshape"(%[[TIME]], %{{.*}})
// CHECK: "onnx.com.microsoft.RotaryEmbedding"(%{{.*}}, %[[ROW]], %{{.*}}, %{{.*}}) {interleaved = 0 : i64, mrope_section
// ACTIVATION: error: com.microsoft.GatedRMSNorm is not understood: its activation 'gelu' is not known
func.func @main(%a: tensor<1x?x2xf32> {qb.input = "past", qb.dims = ["1", "T", "2"]}, %o: tensor<1x?x8xf32> {qb.input = "past", qb.dims = ["1", "T", "8"]},
                %positions: tensor<3x1x?xi64> {qb.input = "positions", qb.dims = ["3", "1", "T"]})
    -> (tensor<1x?x2xf32>, tensor<1x?x2xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>) {
  %dt = "onnx.Constant"() {value = dense<[1.0, 2.0]> : tensor<2xf32>, source = "dt"} : () -> tensor<2xf32>
  %gain = "onnx.Constant"() {value = dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>, source = "g"} : () -> tensor<4xf32>
  %cos = "qb.weight"() {name = "c", source = "c", offset = 0 : i64, strides = array<i64: 4, 1>} : () -> tensor<32x4xf32>
  %decay, %beta = "onnx.com.microsoft.LinearAttentionGate"(%a, %dt, %dt, %a) : (tensor<1x?x2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<1x?x2xf32>) -> (tensor<1x?x2xf32>, tensor<1x?x2xf32>)
  %y = "onnx.com.microsoft.GatedRMSNorm"(%o, %gain, %o) {activation = "silu", epsilon = 0.000001 : f32} : (tensor<1x?x8xf32>, tensor<4xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %r = "onnx.com.microsoft.MRotaryEmbedding"(%o, %positions, %cos, %cos) {interleaved = 0 : i64, mrope_section = array<i64: 2, 1, 1>} : (tensor<1x?x8xf32>, tensor<3x1x?xi64>, tensor<32x4xf32>, tensor<32x4xf32>) -> tensor<1x?x8xf32>
  return %decay, %beta, %y, %r : tensor<1x?x2xf32>, tensor<1x?x2xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>
}
