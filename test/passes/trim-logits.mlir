// RUN: qbc-opt -trim-logits %s | FileCheck %s
// RUN: qbc-opt -trim-logits -trim-logits %s | FileCheck %s
// RUN: sed 's/return %y/return %a/' %s | qbc-opt -trim-logits - | FileCheck %s --check-prefix=KEEPS

// CHECK-LABEL: @main
// CHECK: %[[S:.*]] = arith.addf
// CHECK: %[[T:.*]] = "qb.tail"(%[[S]]) : (tensor<?x8xf32>) -> tensor<?x8xf32>
// CHECK-NEXT: %[[N:.*]] = "qb.rms_norm"(%[[T]]
// CHECK-NEXT: "qb.linear"(%[[N]]
// CHECK-NOT: qb.tail

// left alone: the result is no operation on single rows
// KEEPS-NOT: qb.tail
func.func @main(%x: tensor<?x8xf32>, %g: tensor<8xf32>, %w: tensor<8x8xf32>) -> tensor<?x8xf32> {
  %a = arith.addf %x, %x : tensor<?x8xf32>
  %n = "qb.rms_norm"(%a, %g) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %y = "qb.linear"(%n, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
