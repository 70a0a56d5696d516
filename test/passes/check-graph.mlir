// RUN: split-file %s %t
// RUN: qbc-opt -check-graph %t/good.mlir | FileCheck %s
// RUN: not qbc-opt -check-graph %t/reasons.mlir 2>&1 | FileCheck %s --check-prefix=REASONS
// RUN: not qbc-opt -check-graph %t/none.mlir 2>&1 | FileCheck %s --check-prefix=NONE

// Level 1, in the dims of the model's output.

//--- good.mlir
// CHECK: "qb.linear"
// CHECK: "onnx.Reshape"
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> tensor<1x?x8xf32> {
  %batch = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %a = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %y = "onnx.Reshape"(%a, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  return %y : tensor<1x?x8xf32>
}

// Every reason is reported, and operations that no pattern has; what only feeds them is not.

//--- reasons.mlir
// REASONS: 7:{{.*}}error: Conv is not understood: no pattern has this operation
// REASONS: 9:{{.*}}error: Softmax is not understood: no attention: its heads are odd
// REASONS: 10:{{.*}}error: com.example.Thing is not understood: no pattern has this operation
// REASONS-NOT: Transpose
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> (tensor<*xf32>, tensor<*xf32>, tensor<*xf32>) {
  %a = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %y = "onnx.Conv"(%a, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<*xf32>
  %t = "onnx.Transpose"(%a) : (tensor<?x8xf32>) -> tensor<*xf32>
  %z = "onnx.Softmax"(%t) {qb.miss = "no attention: its heads are odd"} : (tensor<*xf32>) -> tensor<*xf32>
  %u = "onnx.com.example.Thing"(%a) : (tensor<?x8xf32>) -> tensor<*xf32>
  return %y, %z, %u : tensor<*xf32>, tensor<*xf32>, tensor<*xf32>
}

// No reason at all: the first operation that takes a level-1 value.

//--- none.mlir
// NONE: error: Tanh is not understood: no pattern has it here
// NONE-NOT: error
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> tensor<?x8xf32> {
  %a = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %t = "onnx.Tanh"(%a) : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = "onnx.Neg"(%t) : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
