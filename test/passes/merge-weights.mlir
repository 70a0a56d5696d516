// RUN: qbc-opt -merge-weights %s | FileCheck %s

// Two views of one tensor that are the same, and one that is another.
// CHECK-LABEL: @views
// CHECK: %[[W:.*]] = "qb.weight"() {name = "a"
// CHECK: %[[V:.*]] = "qb.weight"() {name = "c"
// CHECK: "qb.linear"(%arg0, %[[W]])
// CHECK: "qb.linear"(%arg0, %[[W]])
// CHECK: "qb.linear"(%arg0, %[[V]])
func.func @views(%x: tensor<?x4xf32>) -> (tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>) {
  %0 = "qb.weight"() {name = "a", source = "w", offset = 0 : i64, strides = array<i64: 4, 1>} : () -> tensor<2x4xf32>
  %1 = "qb.weight"() {name = "b", source = "w", offset = 0 : i64, strides = array<i64: 4, 1>} : () -> tensor<2x4xf32>
  %2 = "qb.weight"() {name = "c", source = "w", offset = 8 : i64, strides = array<i64: 4, 1>} : () -> tensor<2x4xf32>
  %3 = "qb.linear"(%x, %0) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %4 = "qb.linear"(%x, %1) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %5 = "qb.linear"(%x, %2) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  return %3, %4, %5 : tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>
}
