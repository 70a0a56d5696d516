// RUN: split-file %s %t
// RUN: qbc-opt -fold-step %t/step.mlir | FileCheck %s
// RUN: qbc-opt -fold-step %t/any.mlir | FileCheck %s --check-prefix=KEEPS

// Mamba (transformers' exporter): one token a call. Columns are rows; the only entry of a dimension is all of it. What turns the
// order around stays.

//--- step.mlir
// CHECK-LABEL: @main
// CHECK: %[[A:.*]] = "onnx.Reshape"(%[[X:[^,]*]], %{{.*}}) {{.*}} -> tensor<1x8x1xf32>
// CHECK: "onnx.Reshape"(%[[A]], %{{.*}}) {{.*}} -> tensor<1x8xf32>
// CHECK: %[[H:.*]] = "onnx.Reshape"(%[[X]]
// CHECK: "onnx.Transpose"(%[[H]]) {perm = array<i64: 0, 2, 1>}
func.func @main(%ids: tensor<1x1xi64> {qb.input = "tokens", qb.dims = ["1", "1"]}, %w: tensor<9x8xf32>)
    -> (tensor<1x8xf32>, tensor<1x4x2xf32>) {
  %zero = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %heads = "onnx.Constant"() {value = dense<[1, 2, 4]> : tensor<3xi64>} : () -> tensor<3xi64>
  %x = "onnx.Gather"(%w, %ids) {axis = 0 : i64} : (tensor<9x8xf32>, tensor<1x1xi64>) -> tensor<1x1x8xf32>
  %t = "onnx.Transpose"(%x) {perm = array<i64: 0, 2, 1>} : (tensor<1x1x8xf32>) -> tensor<1x8x1xf32>
  %y = "onnx.Gather"(%t, %zero) {axis = 2 : i64} : (tensor<1x8x1xf32>, tensor<i64>) -> tensor<1x8xf32>
  %h = "onnx.Reshape"(%x, %heads) : (tensor<1x1x8xf32>, tensor<3xi64>) -> tensor<1x2x4xf32>
  %z = "onnx.Transpose"(%h) {perm = array<i64: 0, 2, 1>} : (tensor<1x2x4xf32>) -> tensor<1x4x2xf32>
  return %y, %z : tensor<1x8xf32>, tensor<1x4x2xf32>
}

//--- any.mlir
// KEEPS: "onnx.Transpose"
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}, %w: tensor<9x8xf32>) -> tensor<1x8x?xf32> {
  %x = "onnx.Gather"(%w, %ids) {axis = 0 : i64} : (tensor<9x8xf32>, tensor<1x?xi64>) -> tensor<1x?x8xf32>
  %t = "onnx.Transpose"(%x) {perm = array<i64: 0, 2, 1>} : (tensor<1x?x8xf32>) -> tensor<1x8x?xf32>
  return %t : tensor<1x8x?xf32>
}
