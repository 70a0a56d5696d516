// RUN: split-file %s %t
// RUN: qbc-opt -fold-branches %t/does.mlir | FileCheck %s
// RUN: not qbc-opt -fold-branches -check-graph %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

// torch's exporter where a model squeezes a dimension that may be 1; and one that asks for a single token.

//--- does.mlir
// CHECK-NOT: onnx.If
// CHECK: %[[A:.*]] = "onnx.Identity"(%arg0)
// CHECK: %[[B:.*]] = "onnx.Neg"(%[[A]])
// CHECK-NOT: onnx.If
// CHECK: return %[[B]]
func.func @main(%x: tensor<1x?x8xf32> {qb.input = "past", qb.dims = ["1", "T", "8"]}) -> tensor<1x?x8xf32> {
  %one = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
  %batch = "onnx.Shape"(%x) {start = 0 : i64, end = 1 : i64} : (tensor<1x?x8xf32>) -> tensor<1xi64>
  %rows = "onnx.Shape"(%x) {start = 1 : i64, end = 2 : i64} : (tensor<1x?x8xf32>) -> tensor<1xi64>
  %is = "onnx.Equal"(%batch, %one) : (tensor<1xi64>, tensor<1xi64>) -> tensor<1xi1>
  %y = "onnx.If"(%is) ({
    %a = "onnx.Identity"(%x) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
    "onnx.yield"(%a) : (tensor<1x?x8xf32>) -> ()
  }, {
    %b = "onnx.Neg"(%x) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
    "onnx.yield"(%b) : (tensor<1x?x8xf32>) -> ()
  }) {graphs = ["then_branch", "else_branch"]} : (tensor<1xi1>) -> tensor<1x?x8xf32>
  %alone = "onnx.Equal"(%rows, %one) : (tensor<1xi64>, tensor<1xi64>) -> tensor<1xi1>
  %z = "onnx.If"(%alone) ({
    "onnx.yield"(%y) : (tensor<1x?x8xf32>) -> ()
  }, {
    %inner = "onnx.If"(%is) ({
      %c = "onnx.Neg"(%y) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
      "onnx.yield"(%c) : (tensor<1x?x8xf32>) -> ()
    }, {
      "onnx.yield"(%x) : (tensor<1x?x8xf32>) -> ()
    }) {graphs = ["then_branch", "else_branch"]} : (tensor<1xi1>) -> tensor<1x?x8xf32>
    "onnx.yield"(%inner) : (tensor<1x?x8xf32>) -> ()
  }) {graphs = ["then_branch", "else_branch"]} : (tensor<1xi1>) -> tensor<1x?x8xf32>
  return %z : tensor<1x?x8xf32>
}

//--- complains.mlir
// COMPLAINS: error: If is not understood: its condition is not known before the model runs
func.func @main(%x: tensor<1x?x8xf32> {qb.input = "past", qb.dims = ["1", "T", "8"]}, %c: tensor<1xi1> {qb.input = "other", qb.dims = ["1"]}) -> tensor<1x?x8xf32> {
  %y = "onnx.If"(%c) ({
    "onnx.yield"(%x) : (tensor<1x?x8xf32>) -> ()
  }, {
    %b = "onnx.Neg"(%x) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
    "onnx.yield"(%b) : (tensor<1x?x8xf32>) -> ()
  }) {graphs = ["then_branch", "else_branch"]} : (tensor<1xi1>) -> tensor<1x?x8xf32>
  return %y : tensor<1x?x8xf32>
}
