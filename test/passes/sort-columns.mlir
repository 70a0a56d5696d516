// RUN: split-file %s %t
// RUN: %onnx_write %t/model.txt %t/model.onnx
// RUN: qbc-opt -weights=%t/model.onnx -sort-columns %t/does.mlir | FileCheck %s
// RUN: qbc-opt -weights=%t/model.onnx -sort-columns %t/leaves.mlir | FileCheck %s --check-prefix=LEAVES
// RUN: not qbc-opt -weights=%t/model.onnx -sort-columns %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

//--- model.txt
opset 21
input x f32 1
weight codes ui8 2,2,16 zeros
weight scales f32 4 raw 1.0 1.0 1.0 1.0
weight idx i32 64 raw 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0
weight wrong i32 64 raw 7 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0
node Sum codes,scales,idx,wrong -> y
output y f32 1

//--- does.mlir
// Both products read the same columns in the same order.
// CHECK: "qb.weight"() {blocks = {{{.*}}groups = "idx",{{.*}}sorted{{.*}}}, fit = "import"
// CHECK: %[[O:.*]] = "qb.weight"() {format = "u16", name = "idx/order", offset = 0 : i64, source = "idx/order", strides = array<i64: 1, 1>} : () -> tensor<64x1xi16>
// CHECK: %[[X:.*]] = "qb.gather"(%arg0, %[[O]])
// CHECK: "qb.linear"(%[[X]], %{{.*}})
// CHECK-NOT: qb.gather
// CHECK: "qb.linear"(%[[X]], %{{.*}})
func.func @main(%x: tensor<?x64xf32>) -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %b = "qb.weight"() {name = "w", source = "codes", fit = "import", format = "i4g32", offset = 0 : i64, strides = array<i64: 64, 1>, blocks = {bits = 4 : i64, group = 32 : i64, groups = "idx", inner = 1 : i64, length = 64 : i64, scale_strides = array<i64: 2, 1, 0>, scales = "scales", signed = false, stored = 64 : i64, zero = 8 : i64}} : () -> tensor<2x64x!qb.block<"i4g32">>
  %w = "qb.dequant"(%b) : (tensor<2x64x!qb.block<"i4g32">>) -> tensor<2x64xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x64xf32>, tensor<2x64xf32>) -> tensor<?x2xf32>
  %z = "qb.linear"(%x, %w) : (tensor<?x64xf32>, tensor<2x64xf32>) -> tensor<?x2xf32>
  return %y, %z : tensor<?x2xf32>, tensor<?x2xf32>
}

//--- leaves.mlir
// What is fitted anew has its columns where they were.
// LEAVES-NOT: qb.gather
// LEAVES-NOT: sorted
// LEAVES: return
func.func @main(%x: tensor<?x64xf32>) -> tensor<?x2xf32> {
  %b = "qb.weight"() {name = "w", source = "codes", format = "i8g32", offset = 0 : i64, strides = array<i64: 64, 1>, blocks = {bits = 4 : i64, group = 32 : i64, groups = "idx", inner = 1 : i64, length = 64 : i64, scale_strides = array<i64: 2, 1, 0>, scales = "scales", signed = false, stored = 64 : i64, zero = 8 : i64}} : () -> tensor<2x64x!qb.block<"i8g32">>
  %w = "qb.dequant"(%b) : (tensor<2x64x!qb.block<"i8g32">>) -> tensor<2x64xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x64xf32>, tensor<2x64xf32>) -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}

//--- complains.mlir
// COMPLAINS: error: the blocks do not fit tensor 'codes'
func.func @main(%x: tensor<?x64xf32>) -> tensor<?x2xf32> {
  %b = "qb.weight"() {name = "w", source = "codes", fit = "import", format = "i4g32", offset = 0 : i64, strides = array<i64: 64, 1>, blocks = {bits = 4 : i64, group = 32 : i64, groups = "wrong", inner = 1 : i64, length = 64 : i64, scale_strides = array<i64: 2, 1, 0>, scales = "scales", signed = false, stored = 64 : i64, zero = 8 : i64}} : () -> tensor<2x64x!qb.block<"i4g32">>
  %w = "qb.dequant"(%b) : (tensor<2x64x!qb.block<"i4g32">>) -> tensor<2x64xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x64xf32>, tensor<2x64xf32>) -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}
