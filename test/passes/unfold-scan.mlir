// RUN: split-file %s %t
// RUN: qbc-opt -unfold-scan %t/does.mlir | FileCheck %s
// RUN: sed 's/num_scan_inputs = 1/num_scan_inputs = 1 : i64, scan_input_directions = array<i64: 1>, was = 1/' %t/does.mlir | not qbc-opt -unfold-scan -check-graph - 2>&1 | FileCheck %s --check-prefix=BACKWARDS
// RUN: sed 's/Scan"(.past,/Scan"(%anew,/' %t/does.mlir | not qbc-opt -unfold-scan -check-graph - 2>&1 | FileCheck %s --check-prefix=ANEW
// RUN: sed 's/scan_input_axes = array<i64: 1>/scan_input_axes = array<i64: 2>/' %t/does.mlir | not qbc-opt -unfold-scan -check-graph - 2>&1 | FileCheck %s --check-prefix=OFTEN

// A decaying sum over tokens: its last state goes out, and what is left of each token.

//--- does.mlir
// CHECK: @main(%arg0: tensor<1x?xi64> {qb.dims = ["1", "1"], qb.input = "tokens"}, %[[PAST:.*]]: tensor<1x4xf32>
// CHECK: %[[X:.*]] = "onnx.Mul"
// CHECK: %[[ONE:.*]] = "onnx.Squeeze"(%[[X]], %{{.*}})
// CHECK: %[[NEXT:.*]] = "onnx.Add"(%[[PAST]], %[[ONE]])
// CHECK: %[[Y:.*]] = "onnx.Neg"(%[[NEXT]])
// CHECK: %[[YS:.*]] = "onnx.Unsqueeze"(%[[Y]], %{{.*}})
// CHECK: return %[[YS]], %[[NEXT]]
// BACKWARDS: error: Scan is not understood: it runs from the last token to the first
// ANEW: error: Scan is not understood: its state begins anew in each call; export the model with its cache, or for one token
// OFTEN: error: Scan is not understood: it does not run once for each token
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}, %past: tensor<1x4xf32> {qb.input = "past", qb.dims = ["1", "4"]},
                %rows: tensor<1x?x4xf32> {qb.input = "other", qb.dims = ["1", "T", "4"]}) -> (tensor<?x1x4xf32>, tensor<1x4xf32> {qb.output = "present", qb.past = 1 : i64}) {
  %anew = "onnx.Constant"() {value = dense<0.0> : tensor<1x4xf32>} : () -> tensor<1x4xf32>
  %x = "onnx.Mul"(%rows, %rows) : (tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x4xf32>
  %last, %ys = "onnx.Scan"(%past, %x) ({
  ^bb0(%s: tensor<1x4xf32>, %now: tensor<1x4xf32>):
    %next = "onnx.Add"(%s, %now) : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<1x4xf32>
    %y = "onnx.Neg"(%next) : (tensor<1x4xf32>) -> tensor<1x4xf32>
    "onnx.yield"(%next, %y) : (tensor<1x4xf32>, tensor<1x4xf32>) -> ()
  }) {graphs = ["body"], num_scan_inputs = 1 : i64, scan_input_axes = array<i64: 1>} : (tensor<1x4xf32>, tensor<1x?x4xf32>) -> (tensor<1x4xf32>, tensor<?x1x4xf32>)
  return %ys, %last : tensor<?x1x4xf32>, tensor<1x4xf32>
}
