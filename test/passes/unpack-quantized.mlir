// RUN: split-file %s %t
// RUN: %onnx_write %t/model.txt %t/model.onnx
// RUN: qbc-opt -weights=%t/model.onnx -unpack-quantized %t/does.mlir | FileCheck %s
// RUN: qbc-opt -weights=%t/model.onnx -unpack-quantized -recognise-linear -merge-weights -name-blocks %t/tied.mlir | FileCheck %s --check-prefix=TIED
// RUN: qbc-opt -weights=%t/model.onnx -unpack-quantized -recognise-linear -merge-weights -name-blocks -assign-formats %t/tied.mlir | FileCheck %s --check-prefix=KEPT
// RUN: qbc-opt -weights=%t/model.onnx -unpack-quantized %t/experts.mlir | FileCheck %s --check-prefix=EXPERTS
// RUN: qbc-opt -weights=%t/model.onnx -unpack-quantized %t/leaves.mlir | FileCheck %s --check-prefix=LEAVES
// RUN: not qbc-opt -weights=%t/model.onnx -unpack-quantized -check-graph %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

//--- model.txt
opset 21
input x f32 1
weight codes ui8 6,2,16 zeros
weight scales f32 12 zeros
weight short f32 4 zeros
weight bytes ui8 6,1 zeros
weight zeros f32 12 zeros
weight plain i8 16,6 zeros
weight by_column f32 6 zeros
weight order i32 40 raw 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1
weight other i32 40 raw 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1
weight bias f32 6 zeros
weight halves f4 6,16 raw 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
weight eighths f8e4m3fn 6,2 raw 56 57 58 59 60 61 62 63 64 65 66 67
weight of_all f32 - raw 0.5
node Sum codes,scales,short,bytes,zeros,plain,by_column,order,other,bias,halves,eighths,of_all -> y
output y f32 1

//--- does.mlir
// CHECK-LABEL: @main
func.func @main(%x: tensor<1x?x40xf32> {qb.input = "other", qb.dims = ["1", "T", "40"]}, %z: tensor<1x?x16xf32> {qb.input = "other", qb.dims = ["1", "T", "16"]})
    -> (tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<6x16xf32>) {
  %codes = "qb.weight"() {name = "codes", source = "codes", offset = 0 : i64, strides = array<i64: 32, 16, 1>} : () -> tensor<6x2x16xui8>
  %scales = "onnx.Constant"() {source = "scales", value = dense<0.0> : tensor<12xf32>} : () -> tensor<12xf32>
  %other = "onnx.Constant"() {source = "other", value = dense<[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1]> : tensor<40xi32>} : () -> tensor<40xi32>
  %zeros = "onnx.Constant"() {source = "zeros", value = dense<0.0> : tensor<12xf32>} : () -> tensor<12xf32>
  %bytes = "onnx.Constant"() {source = "bytes", value = dense<0> : tensor<6x1xui8>} : () -> tensor<6x1xui8>
  %order = "onnx.Constant"() {source = "order", value = dense<[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1]> : tensor<40xi32>} : () -> tensor<40xi32>
  %bias = "onnx.Constant"() {source = "bias", value = dense<0.0> : tensor<6xf32>} : () -> tensor<6xf32>
  %plain = "qb.weight"() {name = "plain", source = "plain", offset = 0 : i64, strides = array<i64: 6, 1>} : () -> tensor<16x6xi8>
  %by_column = "onnx.Constant"() {source = "by_column", value = dense<0.0> : tensor<6xf32>} : () -> tensor<6xf32>
  %none = "onnx.None"() : () -> none

  // packed zero points, columns in order, a bias
  // CHECK: %[[W:.*]] = "qb.weight"() {blocks = {bits = 4 : i64, group = 32 : i64, inner = 1 : i64, length = 40 : i64, scale_strides = array<i64: 2, 1, 0>, scales = "scales", signed = false, stored = 64 : i64, zero_bits = 4 : i64, zero_strides = array<i64: 2, 1, 0>, zeros = "bytes"}, name = "codes", offset = 0 : i64, source = "codes", strides = array<i64: 40, 1>} : () -> tensor<6x40xf32>
  // CHECK: %[[T:.*]] = "onnx.Transpose"(%[[W]]) {perm = array<i64: 1, 0>}
  // CHECK: %[[Y:.*]] = "onnx.MatMul"(%arg0, %[[T]])
  // CHECK: "onnx.Add"(%[[Y]], %{{.*}})
  %y = "onnx.com.microsoft.MatMulNBits"(%x, %codes, %scales, %bytes, %order, %bias) {K = 40 : i64, N = 6 : i64, bits = 4 : i64, block_size = 32 : i64} : (tensor<1x?x40xf32>, tensor<6x2x16xui8>, tensor<12xf32>, tensor<6x1xui8>, tensor<40xi32>, tensor<6xf32>) -> tensor<1x?x6xf32>

  // zero points that are floats
  // CHECK: "qb.weight"() {blocks = {{.*}} zero_bits = 0 : i64, zero_strides = array<i64: 2, 1, 0>, zeros = "zeros"}
  %f = "onnx.com.microsoft.MatMulNBits"(%x, %codes, %scales, %zeros) {K = 40 : i64, N = 6 : i64, bits = 4 : i64, block_size = 32 : i64} : (tensor<1x?x40xf32>, tensor<6x2x16xui8>, tensor<12xf32>, tensor<12xf32>) -> tensor<1x?x6xf32>

  // columns in another order: their groups are named
  // CHECK: "qb.weight"() {blocks = {bits = 4 : i64, group = 32 : i64, groups = "other", inner = 1 : i64, {{.*}}, zero = 8 : i64}, name = "codes"
  %g = "onnx.com.microsoft.MatMulNBits"(%x, %codes, %scales, %none, %other) {K = 40 : i64, N = 6 : i64, bits = 4 : i64, block_size = 32 : i64} : (tensor<1x?x40xf32>, tensor<6x2x16xui8>, tensor<12xf32>, none, tensor<40xi32>) -> tensor<1x?x6xf32>

  // a scale for each column
  // CHECK: %[[P:.*]] = "qb.weight"() {blocks = {bits = 8 : i64, group = 1 : i64, inner = 1 : i64, length = 6 : i64, scale_strides = array<i64: 0, 1, 0>, scales = "by_column", signed = true, stored = 6 : i64, zero = 0 : i64}, {{.*}} : () -> tensor<16x6xf32>
  // CHECK: "onnx.MatMul"(%arg1, %[[P]])
  %w = "onnx.DequantizeLinear"(%plain, %by_column) {axis = 1 : i64} : (tensor<16x6xi8>, tensor<6xf32>) -> tensor<16x6xf32>
  %v = "onnx.MatMul"(%z, %w) : (tensor<1x?x16xf32>, tensor<16x6xf32>) -> tensor<1x?x6xf32>

  // NVFP4: codes and scales are small floats, under a scale of the tensor
  // CHECK: "qb.weight"() {blocks = {bits = 4 : i64, floats = f4E2M1FN, group = 8 : i64, inner = 1 : i64, length = 16 : i64, scale_blocks = {bits = 8 : i64, floats = f8E4M3FN, {{.*}}scales = "of_all", {{.*}}}, scale_strides = array<i64: 2, 1, 1>, scales = "eighths", {{.*}}name = "halves"
  %halves = "qb.weight"() {name = "halves", source = "halves", offset = 0 : i64, strides = array<i64: 16, 1>} : () -> tensor<6x16xf4E2M1FN>
  %eighths = "qb.weight"() {name = "eighths", source = "eighths", offset = 0 : i64, strides = array<i64: 2, 1>} : () -> tensor<6x2xf8E4M3FN>
  %of_all = "onnx.Constant"() {source = "of_all", value = dense<0.5> : tensor<f32>} : () -> tensor<f32>
  %products = "onnx.DequantizeLinear"(%eighths, %of_all) : (tensor<6x2xf8E4M3FN>, tensor<f32>) -> tensor<6x2xf32>
  %small = "onnx.DequantizeLinear"(%halves, %products) {axis = -1 : i64, block_size = 8 : i64} : (tensor<6x16xf4E2M1FN>, tensor<6x2xf32>) -> tensor<6x16xf32>
  return %y, %f, %g, %v, %small : tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<6x16xf32>
}

//--- tied.mlir
// One tensor for embedding and output, in any dims; the format that keeps its codes.
// TIED: %[[W:.*]] = "qb.weight"() {blocks = {bits = 4 : i64, {{.*}}}, name = "embed", offset = 0 : i64, role = "embed", source = "codes", strides = array<i64: 64, 1>} : () -> tensor<6x64xf32>
// TIED-NOT: qb.weight
// TIED: %[[E:.*]] = "qb.embed"(%arg0, %[[W]])
// TIED: "qb.linear"(%[[E]], %[[W]])
// KEPT: "qb.weight"() {{.*}}, fit = "import", format = "i4g32", {{.*}}!qb.block<"i4g32">>
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}) -> tensor<1x?x6xf32> {
  %codes = "qb.weight"() {name = "codes", source = "codes", offset = 0 : i64, strides = array<i64: 32, 16, 1>} : () -> tensor<6x2x16xui8>
  %scales = "onnx.Constant"() {source = "scales", value = dense<0.0> : tensor<12xf32>} : () -> tensor<12xf32>
  %shape = "onnx.Constant"() {value = dense<[6, 32]> : tensor<2xi64>} : () -> tensor<2xi64>
  %two = "onnx.Constant"() {value = dense<[6, 2]> : tensor<2xi64>} : () -> tensor<2xi64>
  %flat = "onnx.Reshape"(%codes, %shape) : (tensor<6x2x16xui8>, tensor<2xi64>) -> tensor<6x32xui8>
  %by_row = "onnx.Reshape"(%scales, %two) : (tensor<12xf32>, tensor<2xi64>) -> tensor<6x2xf32>
  %e = "onnx.com.microsoft.GatherBlockQuantized"(%flat, %ids, %by_row) {bits = 4 : i64, block_size = 32 : i64, gather_axis = 0 : i64, quantize_axis = 1 : i64} : (tensor<6x32xui8>, tensor<1x?xi64>, tensor<6x2xf32>) -> tensor<1x?x64xf32>
  %y = "onnx.com.microsoft.MatMulNBits"(%e, %codes, %scales) {K = 64 : i64, N = 6 : i64, bits = 4 : i64, block_size = 32 : i64} : (tensor<1x?x64xf32>, tensor<6x2x16xui8>, tensor<12xf32>) -> tensor<1x?x6xf32>
  return %y : tensor<1x?x6xf32>
}

//--- experts.mlir
// Matrices of experts, of which a scale and a zero point belong to a row; zero points of two rows share a byte. Those of three rows do not fill bytes.
// EXPERTS: %[[W:.*]] = "qb.weight"() {blocks = {bits = 4 : i64, group = 32 : i64, inner = 1 : i64, length = 32 : i64, scale_strides = array<i64: 1, 1, 0>, scales = "scales", signed = false, stored = 32 : i64, zero_bits = 4 : i64, zero_strides = array<i64: 1, 0, 0>, zeros = "bytes"}, {{.*}} strides = array<i64: 64, 32, 1>} : () -> tensor<6x2x32xf32>
// EXPERTS: "onnx.Gather"(%[[W]], %{{.*}}) {axis = 0 : i64} : (tensor<6x2x32xf32>, {{.*}} -> tensor<*xf32>
// EXPERTS: "onnx.com.microsoft.GatherBlockQuantized"{{.*}} qb.miss = "the zero points of its 3 rows do not fill whole bytes"
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}) -> (tensor<*xf32>, tensor<*xf32>) {
  %codes = "qb.weight"() {name = "codes", source = "codes", offset = 0 : i64, strides = array<i64: 32, 16, 1>} : () -> tensor<6x2x16xui8>
  %scales = "onnx.Constant"() {source = "scales", value = dense<0.0> : tensor<12xf32>} : () -> tensor<12xf32>
  %bytes = "onnx.Constant"() {source = "bytes", value = dense<0> : tensor<6x1xui8>} : () -> tensor<6x1xui8>
  %y = "onnx.com.microsoft.GatherBlockQuantized"(%codes, %ids, %scales, %bytes) {bits = 4 : i64, block_size = 32 : i64, gather_axis = 0 : i64, quantize_axis = 2 : i64} : (tensor<6x2x16xui8>, tensor<1x?xi64>, tensor<12xf32>, tensor<6x1xui8>) -> tensor<*xf32>
  %shape = "onnx.Constant"() {value = dense<[4, 3, 16]> : tensor<3xi64>} : () -> tensor<3xi64>
  %odd = "onnx.Reshape"(%codes, %shape) : (tensor<6x2x16xui8>, tensor<3xi64>) -> tensor<4x3x16xui8>
  %z = "onnx.com.microsoft.GatherBlockQuantized"(%odd, %ids, %scales, %bytes) {bits = 4 : i64, block_size = 32 : i64, gather_axis = 0 : i64, quantize_axis = 2 : i64} : (tensor<4x3x16xui8>, tensor<1x?xi64>, tensor<12xf32>, tensor<6x1xui8>) -> tensor<*xf32>
  return %y, %z : tensor<*xf32>, tensor<*xf32>
}

//--- leaves.mlir
// Activations that are quantized are no weights.
// LEAVES: "onnx.DequantizeLinear"(%arg0
func.func @main(%x: tensor<1x?x6xi8> {qb.input = "other", qb.dims = ["1", "T", "6"]}) -> tensor<1x?x6xf32> {
  %one = "onnx.Constant"() {source = "one", value = dense<1.0> : tensor<f32>} : () -> tensor<f32>
  %y = "onnx.DequantizeLinear"(%x, %one) : (tensor<1x?x6xi8>, tensor<f32>) -> tensor<1x?x6xf32>
  return %y : tensor<1x?x6xf32>
}

//--- complains.mlir
// COMPLAINS: error: com.microsoft.MatMulNBits is not understood: its g_idx, the groups of its columns, is no stored tensor
// COMPLAINS: error: com.microsoft.MatMulNBits is not understood: weights [6, 40] of 3 bits in blocks of 32: 2, 4 and 8 bits are supported
// COMPLAINS: error: com.microsoft.MatMulNBits is not understood: its codes, scales and zero points do not fit together
// COMPLAINS: error: com.microsoft.MatMulNBits is not understood: weights [6, 40] of 4 bits in blocks of 9223372036854775807
// COMPLAINS: error: DequantizeLinear is not understood: its scales fit neither the tensor, nor one axis of it, nor blocks of 9223372036854775807 along axis 0
func.func @main(%x: tensor<1x?x40xf32> {qb.input = "other", qb.dims = ["1", "T", "40"]}) -> (tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<16x6xf32>) {
  %codes = "qb.weight"() {name = "codes", source = "codes", offset = 0 : i64, strides = array<i64: 32, 16, 1>} : () -> tensor<6x2x16xui8>
  %scales = "onnx.Constant"() {source = "scales", value = dense<0.0> : tensor<12xf32>} : () -> tensor<12xf32>
  %short = "onnx.Constant"() {source = "short", value = dense<0.0> : tensor<4xf32>} : () -> tensor<4xf32>
  %other = "onnx.Constant"() {value = dense<[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1]> : tensor<40xi32>} : () -> tensor<40xi32>
  %none = "onnx.None"() : () -> none
  %a = "onnx.com.microsoft.MatMulNBits"(%x, %codes, %scales, %none, %other) {K = 40 : i64, N = 6 : i64, bits = 4 : i64, block_size = 32 : i64} : (tensor<1x?x40xf32>, tensor<6x2x16xui8>, tensor<12xf32>, none, tensor<40xi32>) -> tensor<1x?x6xf32>
  %b = "onnx.com.microsoft.MatMulNBits"(%x, %codes, %scales) {K = 40 : i64, N = 6 : i64, bits = 3 : i64, block_size = 32 : i64} : (tensor<1x?x40xf32>, tensor<6x2x16xui8>, tensor<12xf32>) -> tensor<1x?x6xf32>
  %c = "onnx.com.microsoft.MatMulNBits"(%x, %codes, %short) {K = 40 : i64, N = 6 : i64, bits = 4 : i64, block_size = 32 : i64} : (tensor<1x?x40xf32>, tensor<6x2x16xui8>, tensor<4xf32>) -> tensor<1x?x6xf32>
  %d = "onnx.com.microsoft.MatMulNBits"(%x, %codes, %scales) {K = 40 : i64, N = 6 : i64, bits = 4 : i64, block_size = 9223372036854775807 : i64} : (tensor<1x?x40xf32>, tensor<6x2x16xui8>, tensor<12xf32>) -> tensor<1x?x6xf32>
  %plain = "onnx.Constant"() {source = "plain", value = dense<0> : tensor<16x6xi8>} : () -> tensor<16x6xi8>
  %two = "onnx.Constant"() {value = dense<[2, 6]> : tensor<2xi64>} : () -> tensor<2xi64>
  %by_block = "onnx.Reshape"(%scales, %two) : (tensor<12xf32>, tensor<2xi64>) -> tensor<2x6xf32>
  %e = "onnx.DequantizeLinear"(%plain, %by_block) {axis = 0 : i64, block_size = 9223372036854775807 : i64} : (tensor<16x6xi8>, tensor<2x6xf32>) -> tensor<16x6xf32>
  return %a, %b, %c, %d, %e : tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32>, tensor<16x6xf32>
}
