// RUN: qbc-opt -recognise-add %s | FileCheck %s
// RUN: sed "s/sizes) {axis = -1/sizes) {axis = 1/" %s | not qbc-opt -recognise-add -check-graph - 2>&1 | FileCheck %s --check-prefix=KEEPS

// A product and its adapter's (Zamba 2), gate and up side by side: the sum is taken apart again. Tokens are not.
// CHECK: %[[SUM:.*]] = arith.addf
// CHECK: "qb.columns"(%[[SUM]]) {first = 0 : i64} : (tensor<?x8xf32>) -> tensor<?x4xf32>
// CHECK: "qb.columns"(%[[SUM]]) {first = 4 : i64} : (tensor<?x8xf32>) -> tensor<?x4xf32>
// CHECK-NOT: onnx.Split
// KEEPS: error: Split is not understood: no pattern has it here
func.func @main(%x: tensor<?x8xf32>, %v: tensor<8x8xf32>, %w: tensor<8x8xf32>) -> (tensor<1x?x4xf32>, tensor<1x?x4xf32>) {
  %batch = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %sizes = "onnx.Constant"() {value = dense<[4, 4]> : tensor<2xi64>} : () -> tensor<2xi64>
  %a = "qb.linear"(%x, %v) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %b = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %a3 = "onnx.Reshape"(%a, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %b3 = "onnx.Reshape"(%b, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %sum3 = "onnx.Add"(%a3, %b3) : (tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %y, %z = "onnx.Split"(%sum3, %sizes) {axis = -1 : i64} : (tensor<1x?x8xf32>, tensor<2xi64>) -> (tensor<1x?x4xf32>, tensor<1x?x4xf32>)
  return %y, %z : tensor<1x?x4xf32>, tensor<1x?x4xf32>
}
