// RUN: qbc-opt -recognise-elementwise %s | FileCheck %s
// RUN: not qbc-opt -recognise-elementwise -check-graph %s 2>&1 | FileCheck %s --check-prefix=COMPLAINS

// Gemma 2 (dynamo): the cap of the logits; a gate; a stored vector that is taken away; and what is no arithmetic on rows.
// CHECK-LABEL: @main
// CHECK: %[[Y:.*]] = "qb.linear"
// CHECK: %[[S:.*]] = "qb.times"(%[[Y]]) {by = 0.0333333351 : f32}
// CHECK: %[[T:.*]] = "qb.act"(%[[S]]) {act = "tanh"}
// CHECK: "qb.times"(%[[T]]) {by = 3.000000e+01 : f32}
// CHECK: %[[G:.*]] = "qb.act"(%[[Y]]) {act = "sigmoid"}
// CHECK: arith.mulf %[[G]], %[[Y]]
// CHECK: %[[W:.*]] = "qb.weight"() {{.*}} : () -> tensor<8xf32>
// CHECK: %[[R:.*]] = "qb.repeat"(%[[W]])
// CHECK: arith.subf %[[Y]], %[[R]]
// CHECK: %[[N:.*]] = "qb.times"(%[[Y]]) {by = -1.000000e+00 : f32}
// CHECK: "qb.plus"(%[[N]]) {by = 3.000000e+01 : f32}
// CHECK: arith.mulf %[[Y]], %[[Y]]
// CHECK: "onnx.Pow"
// COMPLAINS: error: Pow is not understood: no pattern has it here
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>)
    -> (tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>) {
  %batch = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %cap = "onnx.Constant"() {value = dense<30.0> : tensor<f32>} : () -> tensor<f32>
  %two = "onnx.Constant"() {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
  %vector = "onnx.Constant"() {value = dense<[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]> : tensor<8xf32>, source = "vector"} : () -> tensor<8xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %y3 = "onnx.Reshape"(%y, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %s = "onnx.Div"(%y3, %cap) : (tensor<1x?x8xf32>, tensor<f32>) -> tensor<1x?x8xf32>
  %t = "onnx.Tanh"(%s) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %a = "onnx.Mul"(%t, %cap) : (tensor<1x?x8xf32>, tensor<f32>) -> tensor<1x?x8xf32>
  %g = "onnx.Sigmoid"(%y3) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %b = "onnx.Mul"(%g, %y3) : (tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %c = "onnx.Sub"(%y3, %vector) : (tensor<1x?x8xf32>, tensor<8xf32>) -> tensor<1x?x8xf32>
  %d = "onnx.Sub"(%cap, %y3) : (tensor<f32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %e = "onnx.Pow"(%y3, %two) : (tensor<1x?x8xf32>, tensor<f32>) -> tensor<1x?x8xf32>
  %f = "onnx.Pow"(%y3, %cap) : (tensor<1x?x8xf32>, tensor<f32>) -> tensor<1x?x8xf32>
  return %a, %b, %c, %d, %e, %f : tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>
}
