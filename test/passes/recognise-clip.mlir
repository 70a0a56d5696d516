// RUN: qbc-opt -recognise-clip %s | FileCheck %s

// OLMo (dynamo): what comes from a product is kept within bounds. A bound that is left out is infinite; other arithmetic is not
// looked at, nor are bounds of numbers that are no rows.
// CHECK-LABEL: @main
// CHECK: %[[Y:.*]] = "qb.linear"
// CHECK: "qb.clip"(%[[Y]]) {high = 8.000000e+00 : f32, low = -8.000000e+00 : f32}
// CHECK: "qb.clip"(%[[Y]]) {high = 7.000000e+00 : f32, low = 0xFF800000 : f32}
// CHECK: "qb.clip"(%[[Y]]) {high = 0x7F800000 : f32, low = 0.000000e+00 : f32}
// CHECK: "onnx.Clip"(%{{.*}}) : (tensor<1x?xi64>
// CHECK: "onnx.Tanh"
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %at: tensor<1x?xi64> {qb.input = "positions", qb.dims = ["1", "T"]})
    -> (tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?xi64>, tensor<1x?x8xf32>) {
  %batch = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %low = "onnx.Constant"() {value = dense<-8.0> : tensor<f32>} : () -> tensor<f32>
  %high = "onnx.Constant"() {value = dense<8.0> : tensor<f32>} : () -> tensor<f32>
  %seven = "onnx.Constant"() {value = dense<7.0> : tensor<1xf32>} : () -> tensor<1xf32>
  %zero = "onnx.Constant"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
  %one = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %y = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %y3 = "onnx.Reshape"(%y, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %a = "onnx.Clip"(%y3, %low, %high) : (tensor<1x?x8xf32>, tensor<f32>, tensor<f32>) -> tensor<1x?x8xf32>
  %b = "onnx.Min"(%y3, %seven) : (tensor<1x?x8xf32>, tensor<1xf32>) -> tensor<1x?x8xf32>
  %none = "onnx.None"() : () -> none
  %c = "onnx.Clip"(%y3, %zero, %none) : (tensor<1x?x8xf32>, tensor<f32>, none) -> tensor<1x?x8xf32>
  %d = "onnx.Clip"(%at, %one) : (tensor<1x?xi64>, tensor<i64>) -> tensor<1x?xi64>
  %e = "onnx.Tanh"(%y3) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  return %a, %b, %c, %d, %e : tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?xi64>, tensor<1x?x8xf32>
}
