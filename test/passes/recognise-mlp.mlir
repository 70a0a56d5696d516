// RUN: split-file %s %t
// RUN: qbc-opt -recognise-mlp %t/does.mlir | FileCheck %s
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

//--- complains.mlir
// COMPLAINS: error: Sigmoid is not understood: no gate: what follows is not silu(a) * b
func.func @main(%x: tensor<?x8xf32>, %w: tensor<6x8xf32>) -> tensor<?x6xf32> {
  %g = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %u = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %s = "onnx.Sigmoid"(%g) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %y = "onnx.Mul"(%s, %u) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}
