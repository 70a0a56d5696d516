// RUN: split-file %s %t
// RUN: qbc-opt -recognise-bias %t/does.mlir | FileCheck %s
// RUN: not qbc-opt -recognise-bias -recognise-add -check-graph %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

//--- does.mlir
// CHECK-LABEL: @main
func.func @main(%x: tensor<?x8xf32>, %w: tensor<6x8xf32>) -> (tensor<?x6xf32>, tensor<1x?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>) {
  %b = "qb.weight"() {name = "b", source = "b", offset = 0 : i64, strides = array<i64: 1>} : () -> tensor<6xf32>
  %packed = "qb.weight"() {name = "p", source = "p", offset = 0 : i64, strides = array<i64: 18, 18, 1>} : () -> tensor<1x1x18xf32>
  // CHECK: %[[Y:.*]] = "qb.linear"
  // CHECK: %[[B:.*]] = "qb.weight"() {name = "b"
  // CHECK: "qb.bias"(%[[Y]], %[[B]]) : (tensor<?x6xf32>, tensor<6xf32>) -> tensor<?x6xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %y0 = "onnx.Add"(%y, %b) : (tensor<?x6xf32>, tensor<6xf32>) -> tensor<?x6xf32>

  // the vector first, a part of a longer one in other dims, rows with the batch
  // CHECK: %[[Z:.*]] = "qb.linear"
  // CHECK: %[[P:.*]] = "qb.weight"() {name = "p", offset = 6 : i64, source = "p", strides = array<i64: 1>} : () -> tensor<6xf32>
  // CHECK: "qb.bias"(%[[Z]], %[[P]])
  %z = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %batch = "onnx.Constant"() {value = dense<[1, -1, 6]> : tensor<3xi64>} : () -> tensor<3xi64>
  %z3 = "onnx.Reshape"(%z, %batch) : (tensor<?x6xf32>, tensor<3xi64>) -> tensor<1x?x6xf32>
  %from = "onnx.Constant"() {value = dense<6> : tensor<1xi64>} : () -> tensor<1xi64>
  %to = "onnx.Constant"() {value = dense<12> : tensor<1xi64>} : () -> tensor<1xi64>
  %axis = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %part = "onnx.Slice"(%packed, %from, %to, %axis) : (tensor<1x1x18xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<1x1x6xf32>
  %y1 = "onnx.Add"(%part, %z3) : (tensor<1x1x6xf32>, tensor<1x?x6xf32>) -> tensor<1x?x6xf32>

  // within a gelu
  // CHECK: %[[G:.*]] = "qb.bias"(%[[Y]], %{{.*}})
  // CHECK: "onnx.Gelu"(
  // CHECK: %[[H:.*]] = "qb.bias"(%[[Y]], %{{.*}})
  // CHECK: "onnx.com.microsoft.FastGelu"(%{{[0-9]+}}) :
  %y3 = "onnx.com.microsoft.BiasGelu"(%y, %b) : (tensor<?x6xf32>, tensor<6xf32>) -> tensor<?x6xf32>
  %y4 = "onnx.com.microsoft.FastGelu"(%y, %b) : (tensor<?x6xf32>, tensor<6xf32>) -> tensor<?x6xf32>

  // left alone: rows
  // CHECK: "onnx.Add"(%[[Y]], %[[Z]])
  %y2 = "onnx.Add"(%y, %z) : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  return %y0, %y1, %y2, %y3, %y4 : tensor<?x6xf32>, tensor<1x?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>
}

//--- complains.mlir
// COMPLAINS: error: Add is not understood
func.func @main(%x: tensor<?x8xf32>, %w: tensor<6x8xf32>) -> tensor<?x2x3xf32> {
  %b = "qb.weight"() {name = "b", source = "b", offset = 0 : i64, strides = array<i64: 1>} : () -> tensor<3xf32>
  %heads = "onnx.Constant"() {value = dense<[-1, 2, 3]> : tensor<3xi64>} : () -> tensor<3xi64>
  %y = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %h = "onnx.Reshape"(%y, %heads) : (tensor<?x6xf32>, tensor<3xi64>) -> tensor<?x2x3xf32>
  %z = "onnx.Add"(%h, %b) : (tensor<?x2x3xf32>, tensor<3xf32>) -> tensor<?x2x3xf32>
  return %z : tensor<?x2x3xf32>
}
