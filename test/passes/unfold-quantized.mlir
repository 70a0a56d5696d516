// RUN: qbc-opt -unfold-codes -unfold-quantized %s 2>%t.err | FileCheck %s
// RUN: FileCheck %s --check-prefix=WARNS < %t.err
// WARNS: warning: activations that the model rounds by fixed scales, in 2 places

// ONNX Runtime's dynamic quantization, and graphs of QuantizeLinear and DequantizeLinear: weights stay codes, activations floats. Bounds stay
// too: with a zero point of 0 nothing is negative. A product whose scales are not those of its activations stays what it is.
// CHECK-LABEL: @main
// CHECK: %[[W:.*]] = "onnx.DequantizeLinear"(%[[CODES:.*]], %[[S:.*]], %[[Z:.*]]) {axis = 1 : i64} {{.*}} -> tensor<4x6xf32>
// CHECK: "onnx.MatMul"(%arg0, %[[W]])
// CHECK: %[[V:.*]] = "onnx.DequantizeLinear"(%[[CODES]], %[[S]], %[[Z]])
// CHECK: %[[Y:.*]] = "onnx.MatMul"(%arg0, %[[V]])
// CHECK: "onnx.Add"(%[[Y]], %{{.*}})
// CHECK: %[[HIGH:.*]] = "onnx.Constant"() {value = dense<5.100000e+02> : tensor<f32>}
// CHECK: %[[X:.*]] = "onnx.Clip"(%arg0, %{{.*}}, %[[HIGH]])
// CHECK: %[[P:.*]] = "onnx.MatMul"(%[[X]], %{{.*}})
// CHECK: "onnx.Clip"(%[[P]],
// CHECK: "onnx.MatMulInteger"{{.*}}qb.miss = "it is not followed by a product with the scales of its activations
func.func @main(%x: tensor<1x?x4xf32> {qb.input = "other", qb.dims = ["1", "T", "4"]})
    -> (tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>) {
  %codes = "onnx.Constant"() {value = dense<1> : tensor<4x6xi8>, source = "codes"} : () -> tensor<4x6xi8>
  %scales = "onnx.Constant"() {value = dense<0.5> : tensor<6xf32>, source = "scales"} : () -> tensor<6xf32>
  %zeros = "onnx.Constant"() {value = dense<0> : tensor<6xi8>, source = "zeros"} : () -> tensor<6xi8>
  %bias = "onnx.Constant"() {value = dense<0.5> : tensor<6xf32>, source = "bias"} : () -> tensor<6xf32>
  %two = "onnx.Constant"() {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
  %least = "onnx.Constant"() {value = dense<0> : tensor<ui8>} : () -> tensor<ui8>
  %a, %s, %z = "onnx.DynamicQuantizeLinear"(%x) : (tensor<1x?x4xf32>) -> (tensor<1x?x4xui8>, tensor<f32>, tensor<ui8>)
  %i = "onnx.MatMulInteger"(%a, %codes, %z, %zeros) : (tensor<1x?x4xui8>, tensor<4x6xi8>, tensor<ui8>, tensor<6xi8>) -> tensor<1x?x6xi32>
  %f = "onnx.Cast"(%i) {to = 1 : i64} : (tensor<1x?x6xi32>) -> tensor<1x?x6xf32>
  %both = "onnx.Mul"(%s, %scales) : (tensor<f32>, tensor<6xf32>) -> tensor<6xf32>
  %y = "onnx.Mul"(%f, %both) : (tensor<1x?x6xf32>, tensor<6xf32>) -> tensor<1x?x6xf32>
  %d = "onnx.com.microsoft.DynamicQuantizeMatMul"(%x, %codes, %scales, %zeros, %bias) : (tensor<1x?x4xf32>, tensor<4x6xi8>, tensor<6xf32>, tensor<6xi8>, tensor<6xf32>) -> tensor<1x?x6xf32>
  %b = "onnx.QuantizeLinear"(%x, %two, %least) : (tensor<1x?x4xf32>, tensor<f32>, tensor<ui8>) -> tensor<1x?x4xui8>
  %l = "onnx.QLinearMatMul"(%b, %two, %least, %codes, %scales, %zeros, %two, %least) : (tensor<1x?x4xui8>, tensor<f32>, tensor<ui8>, tensor<4x6xi8>, tensor<6xf32>, tensor<6xi8>, tensor<f32>, tensor<ui8>) -> tensor<1x?x6xui8>
  %q = "onnx.DequantizeLinear"(%l, %two, %least) : (tensor<1x?x6xui8>, tensor<f32>, tensor<ui8>) -> tensor<1x?x6xf32>
  %j = "onnx.MatMulInteger"(%a, %codes, %z) : (tensor<1x?x4xui8>, tensor<4x6xi8>, tensor<ui8>) -> tensor<1x?x6xi32>
  %g = "onnx.Cast"(%j) {to = 1 : i64} : (tensor<1x?x6xi32>) -> tensor<1x?x6xf32>
  return %y, %d, %q, %g : tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>
}
