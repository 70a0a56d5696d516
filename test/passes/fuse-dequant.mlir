// RUN: qbc-opt -fuse-dequant %s | FileCheck %s
// RUN: sed 's/i4g32/i4q32/' %s | not qbc-opt -fuse-dequant - 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// blocks and quantized activations: the product reads the blocks, the dequant goes away
// CHECK-LABEL: @blocks
// CHECK: %[[B:.*]] = "qb.weight"() {name = "up"} : () -> tensor<48x32x!qb.block<"i4g32">>
// CHECK-NEXT: %[[A:.*]] = "qb.quantize"
// CHECK-NEXT: %[[Y:.*]] = "qb.fused_linear"(%[[A]], %[[B]]) ({
// CHECK-NEXT: ^bb0(%[[P:.*]]: f32):
// CHECK-NEXT:   llvm.return %[[P]] : f32
// CHECK-NEXT: }) {block = 3 : i64, role = "ffn_up"} : (tensor<?x32x!qb.block<"i8g32">>, tensor<48x32x!qb.block<"i4g32">>) -> tensor<?x48xf32>
// CHECK-NEXT: return %[[Y]]
// UNKNOWN: error: unknown block format; see qbc --list-formats
func.func @blocks(%x: tensor<?x32xf32>) -> tensor<?x48xf32> {
  %b = "qb.weight"() {name = "up"} : () -> tensor<48x32x!qb.block<"i4g32">>
  %w = "qb.dequant"(%b) : (tensor<48x32x!qb.block<"i4g32">>) -> tensor<48x32xf32>
  %a = "qb.quantize"(%x) {act = "i8g32"} : (tensor<?x32xf32>) -> tensor<?x32x!qb.block<"i8g32">>
  %y = "qb.linear"(%a, %w) {block = 3 : i64, role = "ffn_up"} : (tensor<?x32x!qb.block<"i8g32">>, tensor<48x32xf32>) -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// dense weights need no activations in codes
// CHECK-LABEL: @dense
// CHECK: "qb.fused_linear"(%arg0, %{{.*}}) ({
// CHECK: }) : (tensor<?x32xf32>, tensor<48x32xf32>) -> tensor<?x48xf32>
func.func @dense(%x: tensor<?x32xf32>) -> tensor<?x48xf32> {
  %w = "qb.weight"() {name = "up", format = "f16"} : () -> tensor<48x32xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x32xf32>, tensor<48x32xf32>) -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// a table that the head reads too: one dequant, which both lose
// CHECK-LABEL: @table
// CHECK-NOT: "qb.dequant"
// CHECK: "qb.embed"(%arg0, %[[T:.*]]) : (tensor<?xi32>, tensor<64x32x!qb.block<"i8g32">>)
// CHECK: "qb.fused_linear"(%{{.*}}, %[[T]])
func.func @table(%ids: tensor<?xi32>) -> tensor<?x64xf32> {
  %b = "qb.weight"() {name = "embed"} : () -> tensor<64x32x!qb.block<"i8g32">>
  %w = "qb.dequant"(%b) : (tensor<64x32x!qb.block<"i8g32">>) -> tensor<64x32xf32>
  %x = "qb.embed"(%ids, %w) : (tensor<?xi32>, tensor<64x32xf32>) -> tensor<?x32xf32>
  %a = "qb.quantize"(%x) {act = "i8g32"} : (tensor<?x32xf32>) -> tensor<?x32x!qb.block<"i8g32">>
  %y = "qb.linear"(%a, %w) : (tensor<?x32x!qb.block<"i8g32">>, tensor<64x32xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// float activations times blocks have no kernel: left alone; so is a dequant that is read elsewhere
// CHECK-LABEL: @left_alone
// CHECK: %[[D:.*]] = "qb.dequant"
// CHECK-NEXT: %[[Y:.*]] = "qb.linear"(%arg0, %[[D]])
// CHECK-NEXT: return %[[Y]], %[[D]]
func.func @left_alone(%x: tensor<?x32xf32>) -> (tensor<?x8xf32>, tensor<8x32xf32>) {
  %b = "qb.weight"() {name = "up"} : () -> tensor<8x32x!qb.block<"i8g32">>
  %w = "qb.dequant"(%b) : (tensor<8x32x!qb.block<"i8g32">>) -> tensor<8x32xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  return %y, %w : tensor<?x8xf32>, tensor<8x32xf32>
}
