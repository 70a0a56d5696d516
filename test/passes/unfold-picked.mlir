// RUN: qbc-opt -unfold-picked %s | FileCheck %s
// RUN: sed 's/"onnx.Abs"(%rows)/"onnx.CumSum"(%rows, %axis)/; s/(tensor<?x8xf32>) -> tensor<?x8xf32>/(tensor<?x8xf32>, tensor<i64>) -> tensor<?x8xf32>/' %s | not qbc-opt -unfold-picked -check-graph - 2>&1 | FileCheck %s --check-prefix=MIXED
// RUN: sed 's/%one = \(.*\)dense<1>/%one = \1dense<3>/; s/"onnx.Equal"(%ids/"onnx.Less"(%ids/' %s | not qbc-opt -unfold-picked -check-graph - 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: sed 's/"onnx.ScatterND"(%none, %at/"onnx.ScatterND"(%none, %j2/' %s | not qbc-opt -unfold-picked - 2>&1 | FileCheck %s --check-prefix=ELSEWHERE

// Tokens that chose expert 1 of 4: its function of their rows, times the weight that they give it, added to a sum.
// CHECK: %[[IDS:[a-z0-9]+]]{{.*}} = "onnx.TopK"
// CHECK: %[[EQUAL:.*]] = "onnx.Equal"
// CHECK: %[[ANY:.*]] = "onnx.ReduceMax"(%{{.*}}) {axes = array<i64: 1>, keepdims = 0 : i64}
// CHECK: %[[SOME:.*]] = "onnx.Cast"(%[[ANY]]) {to = 9 : i64}
// CHECK: "onnx.ArgMax"(%{{.*}}) {axis = 1 : i64, keepdims = 0 : i64}
// CHECK-NOT: "onnx.NonZero"
// CHECK: %[[Y:.*]] = "onnx.Abs"(%arg1)
// CHECK: %[[W:.*]] = "onnx.GatherND"
// CHECK: %[[WEIGHED:.*]] = "onnx.Mul"(%[[Y]], %{{.*}})
// CHECK: %[[HERE:.*]] = "onnx.Reshape"(%[[SOME]], %{{.*}})
// CHECK: %[[KEPT:.*]] = "onnx.Where"(%[[HERE]], %[[WEIGHED]], %{{.*}})
// CHECK: %[[SUM:.*]] = "onnx.Add"(%{{.*}}, %[[KEPT]])
// CHECK: return %[[SUM]]
// MIXED: error: NonZero is not understood: what is picked goes into a CumSum, which may not be computed row by row
// TWICE: error: NonZero is not understood: its condition is not one on tokens that holds once at most for each
// ELSEWHERE: error: rows that a condition picks are put where it did not pick them
func.func @main(%tokens: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}, %x: tensor<?x8xf32> {qb.input = "other", qb.dims = ["T", "8"]},
                %logits: tensor<?x4xf32> {qb.input = "other", qb.dims = ["T", "4"]}) -> tensor<?x8xf32> {
  %two = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %first = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %axis = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %second = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %last = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %one = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %zero = "onnx.Constant"() {value = dense<0.0> : tensor<1xf32>} : () -> tensor<1xf32>
  %size = "onnx.Shape"(%x) : (tensor<?x8xf32>) -> tensor<2xi64>
  %none = "onnx.Expand"(%zero, %size) : (tensor<1xf32>, tensor<2xi64>) -> tensor<?x8xf32>
  %weights, %ids = "onnx.TopK"(%logits, %two) {axis = -1 : i64} : (tensor<?x4xf32>, tensor<1xi64>) -> (tensor<?x2xf32>, tensor<?x2xi64>)
  %picked = "onnx.Equal"(%ids, %one) : (tensor<?x2xi64>, tensor<i64>) -> tensor<?x2xi1>
  %places = "onnx.NonZero"(%picked) : (tensor<?x2xi1>) -> tensor<2x?xi64>
  %t = "onnx.Gather"(%places, %first) {axis = 0 : i64} : (tensor<2x?xi64>, tensor<i64>) -> tensor<?xi64>
  %j = "onnx.Gather"(%places, %second) {axis = 0 : i64} : (tensor<2x?xi64>, tensor<i64>) -> tensor<?xi64>
  %at = "onnx.Unsqueeze"(%t, %last) : (tensor<?xi64>, tensor<1xi64>) -> tensor<?x1xi64>
  %j2 = "onnx.Unsqueeze"(%j, %last) : (tensor<?xi64>, tensor<1xi64>) -> tensor<?x1xi64>
  %both = "onnx.Concat"(%at, %j2) {axis = 1 : i64} : (tensor<?x1xi64>, tensor<?x1xi64>) -> tensor<?x2xi64>
  %rows = "onnx.Gather"(%x, %t) {axis = 0 : i64} : (tensor<?x8xf32>, tensor<?xi64>) -> tensor<?x8xf32>
  %y = "onnx.Abs"(%rows) : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %w = "onnx.GatherND"(%weights, %both) : (tensor<?x2xf32>, tensor<?x2xi64>) -> tensor<?xf32>
  %w1 = "onnx.Unsqueeze"(%w, %last) : (tensor<?xf32>, tensor<1xi64>) -> tensor<?x1xf32>
  %z = "onnx.Mul"(%y, %w1) : (tensor<?x8xf32>, tensor<?x1xf32>) -> tensor<?x8xf32>
  %sum = "onnx.ScatterND"(%none, %at, %z) {reduction = "add"} : (tensor<?x8xf32>, tensor<?x1xi64>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %sum : tensor<?x8xf32>
}
