// RUN: qbc-opt -unfold-codes %s | FileCheck %s

// What onnxruntime.quantization writes: an embedding whose rows are gathered as codes, its transpose for the logits, operations on codes. Codes are
// floats before they are moved or added; a bias of whole numbers has the scales of both operands. Codes with several scales stay where they are.
// CHECK-LABEL: @main
// CHECK: %[[CODES:.*]] = "onnx.Constant"() {source = "codes"
// CHECK: %[[ROWS:.*]] = "onnx.DequantizeLinear"(%[[CODES]], %[[S:.*]], %[[Z:.*]]) {axis = 1 : i64} : {{.*}} -> tensor<6x4xf32>
// CHECK: %[[X:.*]] = "onnx.Gather"(%[[ROWS]], %arg0) {axis = 0 : i64} : {{.*}} -> tensor<1x?x4xf32>
// CHECK: %[[TURNED:.*]] = "onnx.Transpose"(%[[ROWS]]) {perm = array<i64: 1, 0>} : {{.*}} -> tensor<4x6xf32>
// CHECK: %[[Q:.*]] = "onnx.QuantizeLinear"(%[[X]]
// CHECK: %[[A:.*]] = "onnx.DequantizeLinear"(%[[Q]], %[[S]], %[[Z]])
// CHECK: %[[SUM:.*]] = "onnx.Add"(%[[A]], %[[A]])
// CHECK: %[[CODES2:.*]] = "onnx.QuantizeLinear"(%[[SUM]], %[[S]], %[[Z]]) : {{.*}} -> tensor<1x?x4xi8>
// CHECK: %[[B:.*]] = "onnx.DequantizeLinear"(%[[CODES2]], %[[S]], %[[Z]])
// CHECK: %[[W:.*]] = "onnx.DequantizeLinear"(%{{.*}}, %{{.*}}, %{{.*}}) {axis = 0 : i64}
// CHECK: %[[BIAS:.*]] = "onnx.Constant"() {value = dense<[2.500000e-01, 1.000000e+00]> : tensor<2xf32>}
// CHECK: "onnx.Gemm"(%[[B]], %[[W]], %[[BIAS]]) {transB = 1 : i64}
// CHECK: "onnx.MatMul"(%[[X]], %[[TURNED]])
// CHECK: %[[U:.*]] = "onnx.Transpose"(%[[CODES]]) {{.*}} -> tensor<4x6xi8>
// CHECK: "onnx.DequantizeLinear"(%[[U]],
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}) -> (tensor<1x?x6xf32>, tensor<?x2xf32>, tensor<4x6xf32>) {
  %codes = "onnx.Constant"() {source = "codes", value = dense<1> : tensor<6x4xi8>} : () -> tensor<6x4xi8>
  %s = "onnx.Constant"() {source = "s", value = dense<0.5> : tensor<f32>} : () -> tensor<f32>
  %z = "onnx.Constant"() {source = "z", value = dense<0> : tensor<i8>} : () -> tensor<i8>
  %w = "onnx.Constant"() {source = "w", value = dense<1> : tensor<2x4xi8>} : () -> tensor<2x4xi8>
  %ws = "onnx.Constant"() {source = "ws", value = dense<[0.5, 1.0]> : tensor<2xf32>} : () -> tensor<2xf32>
  %wz = "onnx.Constant"() {source = "wz", value = dense<0> : tensor<2xi8>} : () -> tensor<2xi8>
  %bias = "onnx.Constant"() {source = "bias", value = dense<[1, 2]> : tensor<2xi32>} : () -> tensor<2xi32>
  %six = "onnx.Constant"() {source = "six", value = dense<0.5> : tensor<6xf32>} : () -> tensor<6xf32>
  %g = "onnx.Gather"(%codes, %ids) {axis = 0 : i64} : (tensor<6x4xi8>, tensor<1x?xi64>) -> tensor<1x?x4xi8>
  %x = "onnx.com.microsoft.DequantizeLinear"(%g, %s, %z) : (tensor<1x?x4xi8>, tensor<f32>, tensor<i8>) -> tensor<1x?x4xf32>
  %t = "onnx.Transpose"(%codes) {perm = array<i64: 1, 0>} : (tensor<6x4xi8>) -> tensor<4x6xi8>
  %head = "onnx.DequantizeLinear"(%t, %s, %z) : (tensor<4x6xi8>, tensor<f32>, tensor<i8>) -> tensor<4x6xf32>
  %xq = "onnx.com.microsoft.QuantizeLinear"(%x, %s, %z) : (tensor<1x?x4xf32>, tensor<f32>, tensor<i8>) -> tensor<1x?x4xi8>
  %sum = "onnx.com.microsoft.QLinearAdd"(%xq, %s, %z, %xq, %s, %z, %s, %z) : (tensor<1x?x4xi8>, tensor<f32>, tensor<i8>, tensor<1x?x4xi8>, tensor<f32>, tensor<i8>, tensor<f32>, tensor<i8>) -> tensor<1x?x4xi8>
  %y = "onnx.com.microsoft.QGemm"(%sum, %s, %z, %w, %ws, %wz, %bias) {transB = 1 : i64} : (tensor<1x?x4xi8>, tensor<f32>, tensor<i8>, tensor<2x4xi8>, tensor<2xf32>, tensor<2xi8>, tensor<2xi32>) -> tensor<?x2xf32>
  %l = "onnx.MatMul"(%x, %head) : (tensor<1x?x4xf32>, tensor<4x6xf32>) -> tensor<1x?x6xf32>
  %u = "onnx.Transpose"(%codes) {perm = array<i64: 1, 0>} : (tensor<6x4xi8>) -> tensor<4x6xi8>
  %kept = "onnx.DequantizeLinear"(%u, %six) {axis = 1 : i64} : (tensor<4x6xi8>, tensor<6xf32>) -> tensor<4x6xf32>
  return %l, %y, %kept : tensor<1x?x6xf32>, tensor<?x2xf32>, tensor<4x6xf32>
}
