// RUN: qbc-opt -recognise-scan-rows %s | FileCheck %s
// RUN: sed 's/"onnx.Exp"/"onnx.Tanh"/' %s | qbc-opt -recognise-scan-rows - | FileCheck %s --check-prefix=KEEPS
// RUN: sed 's/\["1", "4"\]/["1", "T"]/' %s | qbc-opt -recognise-scan-rows - | FileCheck %s --check-prefix=KEEPS

// Mamba-2's chunk (falcon-h1, TorchScript): four tokens of one head with two columns and two states, as a product with all pairs of
// tokens, which sums of rates weigh. Where the number of tokens is not the one that the graph was made for there is nothing to compute.
// CHECK-LABEL: @main
// CHECK: %[[X:.*]] = "qb.linear"
// CHECK: %[[B:.*]] = "qb.linear"
// CHECK: %[[C:.*]] = "qb.linear"
// CHECK: %[[DT:.*]] = "qb.act"
// CHECK: %[[S:.*]] = "qb.state"() {name = "ssm"} : () -> tensor<?x4xf32>
// CHECK: %[[A:.*]] = "qb.weight"() {{.*}} : () -> tensor<1xf32>
// CHECK: %[[D:.*]] = "qb.weight"() {{.*}} : () -> tensor<1xf32>
// CHECK: "qb.ssm_scan"(%[[S]], %[[X]], %[[DT]], %[[B]], %[[C]], %[[A]], %[[D]]) {n = 2 : i64}
// CHECK-NOT: onnx.CumSum
// KEEPS-NOT: qb.ssm_scan
func.func @main(%ids: tensor<1x4xi64> {qb.input = "tokens", qb.dims = ["1", "4"]}, %r: tensor<?x4xf32>, %m: tensor<2x4xf32>, %o: tensor<1x4xf32>) -> tensor<4x2xf32> {
  %a = "onnx.Constant"() {value = dense<-0.5> : tensor<f32>} : () -> tensor<f32>
  %d = "onnx.Constant"() {value = dense<1.5> : tensor<f32>} : () -> tensor<f32>
  %never = "onnx.Constant"() {value = dense<0xFF800000> : tensor<f32>} : () -> tensor<f32>
  %before = "onnx.Constant"() {value = dense<[[true, false, false, false], [true, true, false, false], [true, true, true, false], [true, true, true, true]]> : tensor<4x4xi1>} : () -> tensor<4x4xi1>
  %axis = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %two = "onnx.Constant"() {value = dense<[4, 2]> : tensor<2xi64>} : () -> tensor<2xi64>
  %one = "onnx.Constant"() {value = dense<[4, 1]> : tensor<2xi64>} : () -> tensor<2xi64>
  %x = "qb.linear"(%r, %m) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %b = "qb.linear"(%r, %m) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %c = "qb.linear"(%r, %m) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %raw = "qb.linear"(%r, %o) : (tensor<?x4xf32>, tensor<1x4xf32>) -> tensor<?x1xf32>
  %dt = "qb.act"(%raw) {act = "softplus"} : (tensor<?x1xf32>) -> tensor<?x1xf32>
  %x0 = "onnx.Reshape"(%x, %two) : (tensor<?x2xf32>, tensor<2xi64>) -> tensor<4x2xf32>
  %b0 = "onnx.Reshape"(%b, %two) : (tensor<?x2xf32>, tensor<2xi64>) -> tensor<4x2xf32>
  %c0 = "onnx.Reshape"(%c, %two) : (tensor<?x2xf32>, tensor<2xi64>) -> tensor<4x2xf32>
  %dt0 = "onnx.Reshape"(%dt, %one) : (tensor<?x1xf32>, tensor<2xi64>) -> tensor<4x1xf32>
  %rates = "onnx.Mul"(%dt0, %a) : (tensor<4x1xf32>, tensor<f32>) -> tensor<4x1xf32>
  %sums = "onnx.CumSum"(%rates, %axis) : (tensor<4x1xf32>, tensor<i64>) -> tensor<4x1xf32>
  %across = "onnx.Transpose"(%sums) {perm = array<i64: 1, 0>} : (tensor<4x1xf32>) -> tensor<1x4xf32>
  %between = "onnx.Sub"(%sums, %across) : (tensor<4x1xf32>, tensor<1x4xf32>) -> tensor<4x4xf32>
  %causal = "onnx.Where"(%before, %between, %never) : (tensor<4x4xi1>, tensor<4x4xf32>, tensor<f32>) -> tensor<4x4xf32>
  %decay = "onnx.Exp"(%causal) : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %bt = "onnx.Transpose"(%b0) {perm = array<i64: 1, 0>} : (tensor<4x2xf32>) -> tensor<2x4xf32>
  %pairs = "onnx.MatMul"(%c0, %bt) : (tensor<4x2xf32>, tensor<2x4xf32>) -> tensor<4x4xf32>
  %weighed = "onnx.Mul"(%pairs, %decay) : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %into = "onnx.Mul"(%x0, %dt0) : (tensor<4x2xf32>, tensor<4x1xf32>) -> tensor<4x2xf32>
  %seen = "onnx.MatMul"(%weighed, %into) : (tensor<4x4xf32>, tensor<4x2xf32>) -> tensor<4x2xf32>
  %skip = "onnx.Mul"(%x0, %d) : (tensor<4x2xf32>, tensor<f32>) -> tensor<4x2xf32>
  %y = "onnx.Add"(%seen, %skip) : (tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}
