// RUN: split-file %s %t
// RUN: qbc-opt -order-graph %t/one.mlir | FileCheck %s
// RUN: qbc-opt -order-graph %t/other.mlir | FileCheck %s
// RUN: qbc-opt -order-graph %t/one.mlir > %t/1 && qbc-opt -order-graph %t/other.mlir > %t/2 && cmp %t/1 %t/2
// RUN: not qbc-opt -order-graph %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

// The same graph in two orders, with the operands of the sum exchanged.

// CHECK: %[[X:.*]] = "qb.embed"
// CHECK-NEXT: "qb.weight"() {name = "q"}
// CHECK-NEXT: %[[Q:.*]] = "qb.linear"
// CHECK-NEXT: "qb.weight"() {name = "k"}
// CHECK-NEXT: %[[K:.*]] = "qb.linear"
// CHECK-NEXT: "qb.weight"() {name = "v"}
// CHECK-NEXT: %[[V:.*]] = "qb.linear"
// CHECK-NEXT: %[[QR:.*]] = "qb.rope"(%[[Q]])
// CHECK-NEXT: %[[KR:.*]] = "qb.rope"(%[[K]])
// CHECK-NEXT: %[[A:.*]] = "qb.attention"(%[[QR]], %[[KR]], %[[V]])
// CHECK-NEXT: arith.addf %[[X]], %[[A]]

//--- one.mlir
func.func @main(%ids: tensor<?xi32>) -> tensor<?x8xf32> {
  %e = "qb.weight"() {name = "embed"} : () -> tensor<32x8xf32>
  %wq = "qb.weight"() {name = "q"} : () -> tensor<8x8xf32>
  %wk = "qb.weight"() {name = "k"} : () -> tensor<8x8xf32>
  %wv = "qb.weight"() {name = "v"} : () -> tensor<8x8xf32>
  %x = "qb.embed"(%ids, %e) : (tensor<?xi32>, tensor<32x8xf32>) -> tensor<?x8xf32>
  %v = "qb.linear"(%x, %wv) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %k = "qb.linear"(%x, %wk) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %kr = "qb.rope"(%k) {theta = 100.0 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %q = "qb.linear"(%x, %wq) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %qr = "qb.rope"(%q) {theta = 100.0 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %a = "qb.attention"(%qr, %kr, %v) : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = arith.addf %a, %x : tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

//--- other.mlir
func.func @main(%ids: tensor<?xi32>) -> tensor<?x8xf32> {
  %e = "qb.weight"() {name = "embed"} : () -> tensor<32x8xf32>
  %x = "qb.embed"(%ids, %e) : (tensor<?xi32>, tensor<32x8xf32>) -> tensor<?x8xf32>
  %wq = "qb.weight"() {name = "q"} : () -> tensor<8x8xf32>
  %q = "qb.linear"(%x, %wq) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %wk = "qb.weight"() {name = "k"} : () -> tensor<8x8xf32>
  %k = "qb.linear"(%x, %wk) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %qr = "qb.rope"(%q) {theta = 100.0 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %kr = "qb.rope"(%k) {theta = 100.0 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %wv = "qb.weight"() {name = "v"} : () -> tensor<8x8xf32>
  %v = "qb.linear"(%x, %wv) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %a = "qb.attention"(%qr, %kr, %v) : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = arith.addf %x, %a : tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

//--- complains.mlir
// COMPLAINS: error: there is no function @main
func.func @other() {
  return
}
