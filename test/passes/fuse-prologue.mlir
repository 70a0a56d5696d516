// RUN: qbc-opt -fuse-prologue %s | FileCheck %s

// CHECK-LABEL: @fused
// CHECK-SAME: %[[X:.*]]: tensor<?x64xf32>, %[[G:.*]]: tensor<64xf32>
// CHECK-NEXT: %[[A:.*]] = "qb.quantize"(%[[X]], %[[G]]) {act = "i8g32", eps = 9.99999974E-6 : f32} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64x!qb.block<"i8g32">>
// CHECK-NEXT: return %[[A]]
func.func @fused(%x: tensor<?x64xf32>, %gain: tensor<64xf32>) -> tensor<?x64x!qb.block<"i8g32">> {
  %n = "qb.rms_norm"(%x, %gain) {eps = 1.0e-5 : f32} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  %a = "qb.quantize"(%n) {act = "i8g32"} : (tensor<?x64xf32>) -> tensor<?x64x!qb.block<"i8g32">>
  return %a : tensor<?x64x!qb.block<"i8g32">>
}

// a number for each column
// CHECK-LABEL: @scaled
// CHECK-NEXT: "qb.quantize"(%arg0, %arg1) {act = "i8g32"} : (tensor<?x64xf32>, tensor<64xf32>)
func.func @scaled(%x: tensor<?x64xf32>, %v: tensor<64xf32>) -> tensor<?x64x!qb.block<"i8g32">> {
  %n = "qb.scale"(%x, %v) : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  %a = "qb.quantize"(%n) {act = "i8g32"} : (tensor<?x64xf32>) -> tensor<?x64x!qb.block<"i8g32">>
  return %a : tensor<?x64x!qb.block<"i8g32">>
}

// something else reads the norm
// CHECK-LABEL: @read_twice
// CHECK-NEXT: %[[N:.*]] = "qb.rms_norm"
// CHECK-NEXT: "qb.quantize"(%[[N]]) {act = "i8g32"}
func.func @read_twice(%x: tensor<?x64xf32>, %gain: tensor<64xf32>) -> (tensor<?x64x!qb.block<"i8g32">>, tensor<?x64xf32>) {
  %n = "qb.rms_norm"(%x, %gain) {eps = 1.0e-5 : f32} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  %a = "qb.quantize"(%n) {act = "i8g32"} : (tensor<?x64xf32>) -> tensor<?x64x!qb.block<"i8g32">>
  return %a, %n : tensor<?x64x!qb.block<"i8g32">>, tensor<?x64xf32>
}

// a norm of each head, not of the row
// CHECK-LABEL: @runs
// CHECK-NEXT: %[[N:.*]] = "qb.rms_norm"
// CHECK-NEXT: "qb.quantize"(%[[N]]) {act = "i8g32"}
func.func @runs(%x: tensor<?x64xf32>, %gain: tensor<16xf32>) -> tensor<?x64x!qb.block<"i8g32">> {
  %n = "qb.rms_norm"(%x, %gain) {eps = 1.0e-5 : f32} : (tensor<?x64xf32>, tensor<16xf32>) -> tensor<?x64xf32>
  %a = "qb.quantize"(%n) {act = "i8g32"} : (tensor<?x64xf32>) -> tensor<?x64x!qb.block<"i8g32">>
  return %a : tensor<?x64x!qb.block<"i8g32">>
}

// no norm at all, or one that is fused already
// CHECK-LABEL: @left_alone
// CHECK-NEXT: "qb.quantize"(%arg0) {act = "i8g32"}
// CHECK-NEXT: %[[N:.*]] = "qb.rms_norm"
// CHECK-NEXT: "qb.quantize"(%[[N]], %arg1) {act = "i8g32", eps = 5.000000e-01 : f32}
func.func @left_alone(%x: tensor<?x64xf32>, %gain: tensor<64xf32>) -> (tensor<?x64x!qb.block<"i8g32">>, tensor<?x64x!qb.block<"i8g32">>) {
  %a = "qb.quantize"(%x) {act = "i8g32"} : (tensor<?x64xf32>) -> tensor<?x64x!qb.block<"i8g32">>
  %n = "qb.rms_norm"(%x, %gain) {eps = 1.0e-5 : f32} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  %b = "qb.quantize"(%n, %gain) {act = "i8g32", eps = 0.5 : f32} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64x!qb.block<"i8g32">>
  return %a, %b : tensor<?x64x!qb.block<"i8g32">>, tensor<?x64x!qb.block<"i8g32">>
}
