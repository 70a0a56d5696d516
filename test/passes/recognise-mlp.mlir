// RUN: split-file %s %t
// RUN: qbc-opt -recognise-mlp %t/does.mlir | FileCheck %s
// RUN: qbc-opt -recognise-mlp %t/plain.mlir | FileCheck %s --check-prefix=PLAIN
// RUN: not qbc-opt -recognise-mlp -check-graph %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

//--- does.mlir
// CHECK-LABEL: @main
func.func @main(%x: tensor<?x8xf32>, %w: tensor<6x8xf32>) -> (tensor<1x?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>) {
  // CHECK: %[[G:.*]] = "qb.linear"
  // CHECK: %[[U:.*]] = "qb.linear"
  %g = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %u = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>

  // sigmoid(g) * g * u, with the batch around it
  // CHECK: "qb.glu"(%[[G]], %[[U]]) {act = "silu"} : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  %batch = "onnx.Constant"() {value = dense<[1, -1, 6]> : tensor<3xi64>} : () -> tensor<3xi64>
  %g3 = "onnx.Reshape"(%g, %batch) : (tensor<?x6xf32>, tensor<3xi64>) -> tensor<1x?x6xf32>
  %u3 = "onnx.Reshape"(%u, %batch) : (tensor<?x6xf32>, tensor<3xi64>) -> tensor<1x?x6xf32>
  %s = "onnx.Sigmoid"(%g3) : (tensor<1x?x6xf32>) -> tensor<1x?x6xf32>
  %silu = "onnx.Mul"(%s, %g3) : (tensor<1x?x6xf32>, tensor<1x?x6xf32>) -> tensor<1x?x6xf32>
  %y = "onnx.Mul"(%silu, %u3) : (tensor<1x?x6xf32>, tensor<1x?x6xf32>) -> tensor<1x?x6xf32>

  // u / (1 + exp(-u)) times g: the other one is the gate
  // CHECK: "qb.glu"(%[[U]], %[[G]]) {act = "silu"}
  %one = "onnx.Constant"() {value = dense<1.0> : tensor<f32>} : () -> tensor<f32>
  %n = "onnx.Neg"(%u) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %e = "onnx.Exp"(%n) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %d = "onnx.Add"(%one, %e) : (tensor<f32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  %a = "onnx.Div"(%u, %d) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  %z = "onnx.Mul"(%g, %a) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>

  // left alone: no activation
  // CHECK: "onnx.Mul"(%[[G]], %[[U]])
  %p = "onnx.Mul"(%g, %u) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  return %y, %z, %p : tensor<1x?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>
}

//--- plain.mlir
// Not gated, in the forms that exporters write; of a gate's parts none is taken alone.
// PLAIN-LABEL: @main
func.func @main(%x: tensor<?x8xf32>, %w: tensor<6x8xf32>)
    -> (tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>) {
  // PLAIN: %[[X:.*]] = "qb.linear"
  %g = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %half = "onnx.Constant"() {value = dense<0.5> : tensor<f32>} : () -> tensor<f32>
  %one = "onnx.Constant"() {value = dense<1.0> : tensor<f32>} : () -> tensor<f32>
  %three = "onnx.Constant"() {value = dense<3.0> : tensor<f32>} : () -> tensor<f32>
  %zero = "onnx.Constant"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
  %root = "onnx.Constant"() {value = dense<1.41421354> : tensor<f32>} : () -> tensor<f32>
  %c = "onnx.Constant"() {value = dense<0.044715> : tensor<f32>} : () -> tensor<f32>
  %r = "onnx.Constant"() {value = dense<0.797884583> : tensor<f32>} : () -> tensor<f32>

  // PLAIN: "qb.act"(%[[X]]) {act = "gelu"} : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %d = "onnx.Div"(%g, %root) : (tensor<?x6xf32>, tensor<f32>) -> tensor<?x6xf32>
  %e = "onnx.Erf"(%d) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %e1 = "onnx.Add"(%e, %one) : (tensor<?x6xf32>, tensor<f32>) -> tensor<?x6xf32>
  %ge = "onnx.Mul"(%g, %e1) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  %y0 = "onnx.Mul"(%ge, %half) : (tensor<?x6xf32>, tensor<f32>) -> tensor<?x6xf32>

  // PLAIN: "qb.act"(%[[X]]) {act = "gelu_tanh"}
  %h = "onnx.Mul"(%g, %half) : (tensor<?x6xf32>, tensor<f32>) -> tensor<?x6xf32>
  %p = "onnx.Pow"(%g, %three) : (tensor<?x6xf32>, tensor<f32>) -> tensor<?x6xf32>
  %pc = "onnx.Mul"(%p, %c) : (tensor<?x6xf32>, tensor<f32>) -> tensor<?x6xf32>
  %s = "onnx.Add"(%g, %pc) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  %sr = "onnx.Mul"(%s, %r) : (tensor<?x6xf32>, tensor<f32>) -> tensor<?x6xf32>
  %t = "onnx.Tanh"(%sr) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %t1 = "onnx.Add"(%t, %one) : (tensor<?x6xf32>, tensor<f32>) -> tensor<?x6xf32>
  %y1 = "onnx.Mul"(%h, %t1) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>

  // PLAIN: "qb.act"(%[[X]]) {act = "gelu_tanh"}
  // PLAIN: "qb.act"(%[[X]]) {act = "gelu_quick"}
  // PLAIN: "qb.act"(%[[X]]) {act = "relu"}
  // PLAIN: "qb.act"(%[[X]]) {act = "relu2"}
  %y2 = "onnx.com.microsoft.FastGelu"(%g) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %y3 = "onnx.com.microsoft.QuickGelu"(%g) {alpha = 1.702 : f32} : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %y4 = "onnx.Max"(%g, %zero) : (tensor<?x6xf32>, tensor<f32>) -> tensor<?x6xf32>
  %relu = "onnx.Relu"(%g) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %y5 = "onnx.Mul"(%relu, %relu) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>

  // PLAIN: "qb.glu"(%[[X]], %[[U:.*]]) {act = "gelu"}
  // PLAIN-NOT: "qb.act"
  %u = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %gg = "onnx.Gelu"(%g) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %y6 = "onnx.Mul"(%gg, %u) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  return %y0, %y1, %y2, %y3, %y4, %y5, %y6 : tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>
}

//--- complains.mlir
// COMPLAINS: error: Exp is not understood: no activation that is known, nor one of a gate
func.func @main(%x: tensor<?x8xf32>, %w: tensor<6x8xf32>) -> tensor<?x6xf32> {
  %g = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %u = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %s = "onnx.Exp"(%g) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %y = "onnx.Mul"(%s, %u) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}
