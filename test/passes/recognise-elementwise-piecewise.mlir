// RUN: qbc-opt -recognise-elementwise %s | FileCheck %s
// RUN: sed 's/"onnx.Greater"(%y3/"onnx.Equal"(%y3/' %s | not qbc-opt -recognise-elementwise -check-graph - 2>&1 | FileCheck %s --check-prefix=COMPLAINS

// Activations of several pieces: xIELU's choice (Apertus), the same turned around, and those that are one operation of ONNX.
// CHECK-LABEL: @main
// CHECK: %[[Y:.*]] = "qb.linear"
// CHECK: %[[SQUARE:.*]] = arith.mulf %[[Y]], %[[Y]]
// CHECK: %[[HALF:.*]] = "qb.times"(%[[Y]]) {by = 5.000000e-01 : f32}
// CHECK: %[[BOUND:.*]] = "qb.clip"(%[[Y]]) {high = 3.000000e+00 : f32, low = 3.000000e+00 : f32}
// CHECK: %[[OVER:.*]] = arith.subf %[[Y]], %[[BOUND]]
// CHECK: "qb.where"(%[[OVER]], %[[SQUARE]], %[[HALF]])
// CHECK: %[[OVER2:.*]] = arith.subf %[[Y]], %{{.*}}
// CHECK: "qb.where"(%[[OVER2]], %[[HALF]], %[[SQUARE]])
// CHECK: %[[POSITIVE:.*]] = "qb.act"(%[[Y]]) {act = "relu"}
// CHECK: %[[NEGATIVE:.*]] = "qb.clip"(%[[Y]]) {high = 0.000000e+00 : f32, low = 0xFF800000 : f32}
// CHECK: %[[LESS:.*]] = "qb.times"(%[[NEGATIVE]]) {by = 2.000000e-01 : f32}
// CHECK: arith.addf %[[POSITIVE]], %[[LESS]]
// CHECK: %[[SOFT:.*]] = "qb.act"(%[[Y]]) {act = "softplus"}
// CHECK: %[[TANH:.*]] = "qb.act"(%[[SOFT]]) {act = "tanh"}
// CHECK: arith.mulf %[[Y]], %[[TANH]]
// CHECK-NOT: onnx.Where
// COMPLAINS: error: Equal is not understood: no pattern has it here
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> (tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>) {
  %batch = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %three = "onnx.Constant"() {value = dense<3.0> : tensor<f32>} : () -> tensor<f32>
  %half = "onnx.Constant"() {value = dense<0.5> : tensor<f32>} : () -> tensor<f32>
  %y = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %y3 = "onnx.Reshape"(%y, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %square = "onnx.Mul"(%y3, %y3) : (tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %part = "onnx.Mul"(%y3, %half) : (tensor<1x?x8xf32>, tensor<f32>) -> tensor<1x?x8xf32>
  %more = "onnx.Greater"(%y3, %three) : (tensor<1x?x8xf32>, tensor<f32>) -> tensor<1x?x8xi1>
  %a = "onnx.Where"(%more, %square, %part) : (tensor<1x?x8xi1>, tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %most = "onnx.LessOrEqual"(%y3, %three) : (tensor<1x?x8xf32>, tensor<f32>) -> tensor<1x?x8xi1>
  %b = "onnx.Where"(%most, %square, %part) : (tensor<1x?x8xi1>, tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %c = "onnx.LeakyRelu"(%y3) {alpha = 0.2 : f32} : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %d = "onnx.Mish"(%y3) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  return %a, %b, %c, %d : tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>
}
