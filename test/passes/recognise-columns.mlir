// RUN: qbc-opt -recognise-columns %s | FileCheck %s

// Falcon-H1, Mamba-2: x, B and C are columns of what was convolved at once. Every second column is not.
// CHECK-LABEL: @main
// CHECK: %[[Y:.*]] = "qb.act"
// CHECK: "qb.columns"(%[[Y]]) {first = 0 : i64} : (tensor<?x8xf32>) -> tensor<?x5xf32>
// CHECK: "qb.columns"(%[[Y]]) {first = 5 : i64} : (tensor<?x8xf32>) -> tensor<?x3xf32>
// CHECK: "onnx.Slice"
// CHECK-NOT: qb.columns
func.func @main(%r: tensor<?x8xf32>, %ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]})
    -> (tensor<1x?x5xf32>, tensor<1x?x3xf32>, tensor<1x?x4xf32>) {
  %dims = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %parts = "onnx.Constant"() {value = dense<[5, 3]> : tensor<2xi64>} : () -> tensor<2xi64>
  %zero = "onnx.Constant"() {value = dense<0> : tensor<1xi64>} : () -> tensor<1xi64>
  %two = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %eight = "onnx.Constant"() {value = dense<8> : tensor<1xi64>} : () -> tensor<1xi64>
  %y = "qb.act"(%r) {act = "silu"} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %y3 = "onnx.Reshape"(%y, %dims) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %s:2 = "onnx.Split"(%y3, %parts) {axis = 2 : i64} : (tensor<1x?x8xf32>, tensor<2xi64>) -> (tensor<1x?x5xf32>, tensor<1x?x3xf32>)
  %t = "onnx.Slice"(%y3, %zero, %eight, %two, %two) : (tensor<1x?x8xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<1x?x4xf32>
  return %s#0, %s#1, %t : tensor<1x?x5xf32>, tensor<1x?x3xf32>, tensor<1x?x4xf32>
}
