// RUN: qbc-opt -recognise-add %s | FileCheck %s
// RUN: not qbc-opt -recognise-add -check-graph %s 2>&1 | FileCheck %s --check-prefix=COMPLAINS

// CHECK-LABEL: @main
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %positions: tensor<1x?xi64> {qb.input = "positions", qb.dims = ["1", "T"]})
    -> (tensor<1x?x8xf32>, tensor<?x8xf32>, tensor<1x?xi64>, tensor<1x?x8xf32>, tensor<?x8xf32>) {
  // CHECK: %[[A:.*]] = "qb.linear"
  // CHECK: %[[B:.*]] = "qb.linear"
  // CHECK: %[[S:.*]] = arith.addf %[[A]], %[[B]] : tensor<?x8xf32>
  // CHECK: %[[T:.*]] = arith.addf %[[S]], %[[B]] : tensor<?x8xf32>
  %batch = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %a = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %b = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %a3 = "onnx.Reshape"(%a, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %b3 = "onnx.Reshape"(%b, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %s = "onnx.Add"(%a3, %b3) : (tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %t = "onnx.Add"(%s, %b3) : (tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>

  // rows times a number, or divided by one; the other way round is no multiple
  // CHECK: %[[M:.*]] = "qb.times"(%[[A]]) {by = 2.200000e-01 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  // CHECK: "qb.times"(%[[M]]) {by = 1.250000e-01 : f32}
  // CHECK: "onnx.Div"(%{{[^,]*}}, %[[A]])
  %part = "onnx.Constant"() {value = dense<0.22> : tensor<1xf32>} : () -> tensor<1xf32>
  %eight = "onnx.Constant"() {value = dense<8.0> : tensor<f32>} : () -> tensor<f32>
  %m = "onnx.Mul"(%part, %a3) : (tensor<1xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %d = "onnx.Div"(%m, %eight) : (tensor<1x?x8xf32>, tensor<f32>) -> tensor<1x?x8xf32>
  %r = "onnx.Div"(%eight, %a) : (tensor<f32>, tensor<?x8xf32>) -> tensor<?x8xf32>

  // left alone: a vector that no linear takes, and arithmetic on positions
  // CHECK: "onnx.Add"(%[[A]]
  // COMPLAINS: error: Add is not understood: a stored vector is added to rows that no linear layer gave
  %bias = "onnx.Constant"() {value = dense<1.0> : tensor<8xf32>} : () -> tensor<8xf32>
  %u = "onnx.Add"(%a, %bias) : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  // CHECK: "onnx.Add"(%arg2, %arg2)
  %p = "onnx.Add"(%positions, %positions) : (tensor<1x?xi64>, tensor<1x?xi64>) -> tensor<1x?xi64>
  return %t, %u, %p, %d, %r : tensor<1x?x8xf32>, tensor<?x8xf32>, tensor<1x?xi64>, tensor<1x?x8xf32>, tensor<?x8xf32>
}
