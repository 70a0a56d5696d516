// RUN: qbc-opt -sink-expand %s | FileCheck %s

// Falcon-H1 (transformers' exporter): a step size a head is written for all its columns before a bias, the same for each of these, is
// added. What differs along the columns stays behind the repetition.
// CHECK-LABEL: @main
// CHECK: %[[DT:.*]] = "onnx.Reshape"
// CHECK: %[[B:.*]] = "onnx.Constant"() {value = dense<{{\[\[}}1.000000e+00], [2.000000e+00]]> : tensor<2x1xf32>}
// CHECK: %[[SUM:.*]] = "onnx.Add"(%[[DT]], %[[B]]) {{.*}} -> tensor<1x2x1xf32>
// CHECK: %[[Y:.*]] = "onnx.Softplus"(%[[SUM]]) {{.*}} -> tensor<1x2x1xf32>
// CHECK: %[[ALL:.*]] = "onnx.Expand"(%[[Y]], %{{.*}}) {{.*}} -> tensor<1x2x3xf32>
// CHECK: "onnx.Mul"(%[[ALL]], %{{.*}}) {{.*}} -> tensor<1x2x3xf32>
func.func @main(%ids: tensor<1x1xi64> {qb.input = "tokens", qb.dims = ["1", "1"]}, %w: tensor<9x2xf32>) -> tensor<1x2x3xf32> {
  %dims = "onnx.Constant"() {value = dense<[1, 2, 1]> : tensor<3xi64>} : () -> tensor<3xi64>
  %wide = "onnx.Constant"() {value = dense<[1, 2, 3]> : tensor<3xi64>} : () -> tensor<3xi64>
  %bias = "onnx.Constant"() {value = dense<[[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]> : tensor<2x3xf32>} : () -> tensor<2x3xf32>
  %each = "onnx.Constant"() {value = dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>} : () -> tensor<2x3xf32>
  %x = "onnx.Gather"(%w, %ids) {axis = 0 : i64} : (tensor<9x2xf32>, tensor<1x1xi64>) -> tensor<1x1x2xf32>
  %dt = "onnx.Reshape"(%x, %dims) : (tensor<1x1x2xf32>, tensor<3xi64>) -> tensor<1x2x1xf32>
  %e = "onnx.Expand"(%dt, %wide) : (tensor<1x2x1xf32>, tensor<3xi64>) -> tensor<1x2x3xf32>
  %sum = "onnx.Add"(%e, %bias) : (tensor<1x2x3xf32>, tensor<2x3xf32>) -> tensor<1x2x3xf32>
  %y = "onnx.Softplus"(%sum) : (tensor<1x2x3xf32>) -> tensor<1x2x3xf32>
  %z = "onnx.Mul"(%y, %each) : (tensor<1x2x3xf32>, tensor<2x3xf32>) -> tensor<1x2x3xf32>
  return %z : tensor<1x2x3xf32>
}
