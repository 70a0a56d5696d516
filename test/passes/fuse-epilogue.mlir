// RUN: qbc-opt -fuse-dequant -fuse-epilogue %s | FileCheck %s

// residual
// CHECK-LABEL: @residual
// CHECK-SAME: %[[X:.*]]: tensor<?x32xf32>, %[[R:.*]]: tensor<?x8xf32>, %[[W:.*]]: tensor<8x32xf32>
// CHECK-NEXT: %[[Y:.*]] = "qb.fused_linear"(%[[X]], %[[W]], %[[R]]) ({
// CHECK-NEXT: ^bb0(%[[P:.*]]: f32, %[[E:.*]]: f32):
// CHECK-NEXT:   %[[S:.*]] = arith.addf %[[E]], %[[P]] : f32
// CHECK-NEXT:   llvm.return %[[S]] : f32
// CHECK-NEXT: }) {role = "ffn_down"} : (tensor<?x32xf32>, tensor<8x32xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
// CHECK-NEXT: return %[[Y]]
func.func @residual(%x: tensor<?x32xf32>, %r: tensor<?x8xf32>, %w: tensor<8x32xf32>) -> tensor<?x8xf32> {
  %p = "qb.linear"(%x, %w) {role = "ffn_down"} : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %y = arith.addf %r, %p : tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// of two products that meet the later one takes the other in, whichever side is which; then the residual
// CHECK-LABEL: @gated
// CHECK: %[[G:.*]] = "qb.fused_linear"(%arg0, %arg2) ({
// CHECK: "qb.fused_linear"(%arg0, %arg3, %[[G]], %arg1) ({
// CHECK-NEXT: ^bb0(%[[P:.*]]: f32, %[[E:.*]]: f32, %[[R:.*]]: f32):
// CHECK-NEXT:   %[[S:.*]] = "qb.act"(%[[E]]) {act = "silu"} : (f32) -> f32
// CHECK-NEXT:   %[[M:.*]] = arith.mulf %[[S]], %[[P]] : f32
// CHECK-NEXT:   %[[A:.*]] = arith.addf %[[R]], %[[M]] : f32
// CHECK-NEXT:   llvm.return %[[A]] : f32
// CHECK-NOT: "qb.glu"
func.func @gated(%x: tensor<?x32xf32>, %r: tensor<?x8xf32>, %wg: tensor<8x32xf32>, %wu: tensor<8x32xf32>) -> tensor<?x8xf32> {
  %gate = "qb.linear"(%x, %wg) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %up = "qb.linear"(%x, %wu) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %h = "qb.glu"(%gate, %up) {act = "silu"} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = arith.addf %h, %r : tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// CHECK-LABEL: @gate_last
// CHECK: ^bb0(%[[P:.*]]: f32, %[[E:.*]]: f32):
// CHECK-NEXT:   %[[S:.*]] = "qb.act"(%[[P]]) {act = "silu"} : (f32) -> f32
// CHECK-NEXT:   %[[M:.*]] = arith.mulf %[[S]], %[[E]] : f32
func.func @gate_last(%x: tensor<?x32xf32>, %up: tensor<?x8xf32>, %wg: tensor<8x32xf32>) -> tensor<?x8xf32> {
  %gate = "qb.linear"(%x, %wg) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %h = "qb.glu"(%gate, %up) {act = "silu"} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %h : tensor<?x8xf32>
}

// a product that two read, the same one twice, an activation that no epilogue knows
// CHECK-LABEL: @left_alone
// CHECK-COUNT-3: "qb.fused_linear"(%arg0, %arg1) ({
// CHECK: arith.addf
// CHECK: arith.addf
// CHECK: "qb.glu"
func.func @left_alone(%x: tensor<?x32xf32>, %w: tensor<8x32xf32>, %r: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
  %p = "qb.linear"(%x, %w) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %q = "qb.linear"(%x, %w) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %s = "qb.linear"(%x, %w) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %1 = arith.addf %p, %r : tensor<?x8xf32>
  %2 = arith.addf %q, %q : tensor<?x8xf32>
  %3 = "qb.glu"(%s, %r) {act = "unheard_of"} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %1, %2, %3, %p : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}

// a number for each column
// CHECK-LABEL: @scaled
// CHECK: %[[B:.*]] = "qb.repeat"(%arg2) : (tensor<8xf32>) -> tensor<?x8xf32>
// CHECK: "qb.fused_linear"(%arg0, %arg1, %[[B]]) ({
// CHECK-NEXT: ^bb0(%[[P:.*]]: f32, %[[E:.*]]: f32):
// CHECK-NEXT:   %[[S:.*]] = arith.mulf %[[E]], %[[P]] : f32
// CHECK-NEXT:   llvm.return %[[S]] : f32
// CHECK-NOT: "qb.scale"
func.func @scaled(%x: tensor<?x32xf32>, %w: tensor<8x32xf32>, %u: tensor<8xf32>) -> tensor<?x8xf32> {
  %p = "qb.linear"(%x, %w) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %y = "qb.scale"(%p, %u) : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// a bias, which is the same for all rows, then an activation, then a number
// CHECK-LABEL: @biased
// CHECK: %[[B:.*]] = "qb.repeat"(%arg2) : (tensor<8xf32>) -> tensor<?x8xf32>
// CHECK: "qb.fused_linear"(%arg0, %arg1, %[[B]]) ({
// CHECK-NEXT: ^bb0(%[[P:.*]]: f32, %[[E:.*]]: f32):
// CHECK-NEXT:   %[[S:.*]] = arith.addf %[[E]], %[[P]] : f32
// CHECK-NEXT:   %[[A:.*]] = "qb.act"(%[[S]]) {act = "gelu"} : (f32) -> f32
// CHECK-NEXT:   %[[T:.*]] = "qb.times"(%[[A]]) {by = 5.000000e-01 : f32} : (f32) -> f32
// CHECK-NEXT:   llvm.return %[[T]] : f32
// CHECK-NOT: "qb.bias"
func.func @biased(%x: tensor<?x32xf32>, %w: tensor<8x32xf32>, %b: tensor<8xf32>) -> tensor<?x8xf32> {
  %p = "qb.linear"(%x, %w) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %s = "qb.bias"(%p, %b) : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %a = "qb.act"(%s) {act = "gelu"} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = "qb.times"(%a) {by = 0.5 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
