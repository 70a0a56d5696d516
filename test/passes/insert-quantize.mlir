// RUN: qbc-opt -insert-quantize %s | FileCheck %s
// RUN: sed 's/tensor<48x32xf32>/tensor<48x40xf32>/; s/48x32x!qb/48x40x!qb/' %s | not qbc-opt -insert-quantize - 2>&1 | FileCheck %s --check-prefix=COLUMNS
// RUN: sed -n '/^func.func @static/,$p' %s | qbc-opt -insert-quantize -act=i8s - | FileCheck %s --check-prefix=ACT
// RUN: sed -n '/^func.func @static/,$p' %s | qbc-opt -insert-quantize -act=i4tz - | FileCheck %s --check-prefix=CLIP
// RUN: not qbc-opt -insert-quantize -act=i8s %s 2>&1 | FileCheck %s --check-prefix=UNSEEN

// linears on one input share one quantize, placed before the first of them
// CHECK-LABEL: @shared
// CHECK-COUNT-2: "qb.dequant"
// CHECK-NEXT: %[[A:.*]] = "qb.quantize"(%arg0) {act = "i8g32"} : (tensor<?x32xf32>) -> tensor<?x32x!qb.block<"i8g32">>
// CHECK-NEXT: "qb.linear"(%[[A]], %{{.*}}) {role = "ffn_gate"} : (tensor<?x32x!qb.block<"i8g32">>, tensor<48x32xf32>) -> tensor<?x48xf32>
// CHECK-NEXT: "qb.linear"(%[[A]],
// CHECK-NOT: "qb.quantize"
// COLUMNS: error: the input has 32 columns, the weight 40
func.func @shared(%x: tensor<?x32xf32>) -> (tensor<?x48xf32>, tensor<?x48xf32>) {
  %0 = "qb.weight"() {name = "gate"} : () -> tensor<48x32x!qb.block<"i4g32">>
  %gate = "qb.dequant"(%0) : (tensor<48x32x!qb.block<"i4g32">>) -> tensor<48x32xf32>
  %1 = "qb.weight"() {name = "up"} : () -> tensor<48x32x!qb.block<"i8g32">>
  %up = "qb.dequant"(%1) : (tensor<48x32x!qb.block<"i8g32">>) -> tensor<48x32xf32>
  %g = "qb.linear"(%x, %gate) {role = "ffn_gate"} : (tensor<?x32xf32>, tensor<48x32xf32>) -> tensor<?x48xf32>
  %u = "qb.linear"(%x, %up) : (tensor<?x32xf32>, tensor<48x32xf32>) -> tensor<?x48xf32>
  return %g, %u : tensor<?x48xf32>, tensor<?x48xf32>
}

// equal scalings of one input share as well; the second goes away. Another scaling does not.
// CHECK-LABEL: @scaled
// CHECK: %[[S:.*]] = "qb.scale"(%arg0, %arg1)
// CHECK-NEXT: "qb.scale"(%arg0, %arg2)
// CHECK-NEXT: %[[B:.*]] = "qb.quantize"(%[[S]])
// CHECK-NEXT: "qb.linear"(%[[B]],
// CHECK-NEXT: "qb.linear"(%[[B]],
// CHECK-NEXT: %[[C:.*]] = "qb.quantize"
// CHECK-NEXT: "qb.linear"(%[[C]],
func.func @scaled(%x: tensor<?x32xf32>, %map: tensor<32xf32>, %other: tensor<32xf32>) -> tensor<?x8xf32> {
  %b = "qb.weight"() {name = "v"} : () -> tensor<8x32x!qb.block<"i4g32">>
  %w = "qb.dequant"(%b) : (tensor<8x32x!qb.block<"i4g32">>) -> tensor<8x32xf32>
  %s = "qb.scale"(%x, %map) : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
  %t = "qb.scale"(%x, %map) : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
  %o = "qb.scale"(%x, %other) : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
  %1 = "qb.linear"(%s, %w) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %2 = "qb.linear"(%t, %w) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %3 = "qb.linear"(%o, %w) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  return %2 : tensor<?x8xf32>
}

// columns of whole groups are quantized with the others; what begins or ends within a group is quantized alone
// CHECK-LABEL: @columns
// CHECK: %[[C:.*]] = "qb.columns"(%arg0) {first = 40 : i64}
// CHECK-NEXT: %[[D:.*]] = "qb.columns"(%arg0) {first = 32 : i64}
// CHECK-NEXT: %[[A:.*]] = "qb.quantize"(%arg0)
// CHECK-NEXT: %[[A0:.*]] = "qb.columns"(%[[A]]) {first = 0 : i64} : (tensor<?x168x!qb.block<"i8g32">>) -> tensor<?x64x!qb.block<"i8g32">>
// CHECK-NEXT: "qb.linear"(%[[A0]],
// CHECK-NEXT: %[[A1:.*]] = "qb.columns"(%[[A]]) {first = 64 : i64}
// CHECK-NEXT: "qb.linear"(%[[A1]],
// CHECK-NEXT: %[[CA:.*]] = "qb.quantize"(%[[C]])
// CHECK-NEXT: "qb.linear"(%[[CA]],
// CHECK-NEXT: %[[DA:.*]] = "qb.quantize"(%[[D]])
// CHECK-NEXT: "qb.linear"(%[[DA]],
func.func @columns(%x: tensor<?x168xf32>) -> tensor<?x8xf32> {
  %b = "qb.weight"() {name = "w"} : () -> tensor<8x64x!qb.block<"i4g64">>
  %w = "qb.dequant"(%b) : (tensor<8x64x!qb.block<"i4g64">>) -> tensor<8x64xf32>
  %d = "qb.weight"() {name = "last"} : () -> tensor<8x104x!qb.block<"i4g64">>
  %v = "qb.dequant"(%d) : (tensor<8x104x!qb.block<"i4g64">>) -> tensor<8x104xf32>
  %f = "qb.weight"() {name = "half"} : () -> tensor<8x32x!qb.block<"i4g64">>
  %h = "qb.dequant"(%f) : (tensor<8x32x!qb.block<"i4g64">>) -> tensor<8x32xf32>
  %x0 = "qb.columns"(%x) {first = 0 : i64} : (tensor<?x168xf32>) -> tensor<?x64xf32>
  %x1 = "qb.columns"(%x) {first = 64 : i64} : (tensor<?x168xf32>) -> tensor<?x104xf32>
  %x2 = "qb.columns"(%x) {first = 40 : i64} : (tensor<?x168xf32>) -> tensor<?x64xf32>
  %x3 = "qb.columns"(%x) {first = 32 : i64} : (tensor<?x168xf32>) -> tensor<?x32xf32>
  %1 = "qb.linear"(%x0, %w) : (tensor<?x64xf32>, tensor<8x64xf32>) -> tensor<?x8xf32>
  %2 = "qb.linear"(%x1, %v) : (tensor<?x104xf32>, tensor<8x104xf32>) -> tensor<?x8xf32>
  %3 = "qb.linear"(%x2, %w) : (tensor<?x64xf32>, tensor<8x64xf32>) -> tensor<?x8xf32>
  %4 = "qb.linear"(%x3, %h) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  return %2 : tensor<?x8xf32>
}

// dense weights and quantized activations are left alone
// CHECK-LABEL: @left_alone
// CHECK: "qb.linear"(%arg0,
// CHECK: %[[D:.*]] = "qb.quantize"(%arg0) {act = "i8g32"}
// CHECK-NEXT: "qb.linear"(%[[D]],
func.func @left_alone(%x: tensor<?x32xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %dense = "qb.weight"() {name = "v", format = "f16"} : () -> tensor<8x32xf32>
  %b = "qb.weight"() {name = "w"} : () -> tensor<8x32x!qb.block<"i4g32">>
  %w = "qb.dequant"(%b) : (tensor<8x32x!qb.block<"i4g32">>) -> tensor<8x32xf32>
  %1 = "qb.linear"(%x, %dense) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  %a = "qb.quantize"(%x) {act = "i8g32"} : (tensor<?x32xf32>) -> tensor<?x32x!qb.block<"i8g32">>
  %2 = "qb.linear"(%a, %w) : (tensor<?x32x!qb.block<"i8g32">>, tensor<8x32xf32>) -> tensor<?x8xf32>
  return %1, %2 : tensor<?x8xf32>, tensor<?x8xf32>
}

// a static range is the product's
// ACT-LABEL: @static
// CLIP: "qb.quantize"(%arg0) {act = "i4tz", clip_high = 8.750000e-01 : f32, clip_low = 7.500000e-01 : f32}
// ACT: "qb.quantize"(%arg0) {act = "i8s", high = 2.000000e+00 : f32, low = -1.000000e+00 : f32}
func.func @static(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %b = "qb.weight"() {name = "w", source = "w", offset = 0 : i64, strides = array<i64: 64, 1>} : () -> tensor<64x64x!qb.block<"i4g32">>
  %w = "qb.dequant"(%b) : (tensor<64x64x!qb.block<"i4g32">>) -> tensor<64x64xf32>
  %y = "qb.linear"(%x, %w) {low = -1.0 : f32, high = 2.0 : f32, clip_low = 0.75 : f32, clip_high = 0.875 : f32} : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// UNSEEN: error: nobody saw what this product reads, so there is no range for static activations
