// RUN: split-file %s %t
// RUN: qbc-opt -unfold-attention %t/does.mlir | FileCheck %s
// RUN: qbc-opt -unfold-attention -unpack-attention -recognise-linear -recognise-bias -cut-linear -recognise-attention -recognise-rope %t/does.mlir | FileCheck %s --check-prefix=THEN
// RUN: not qbc-opt -unfold-attention -check-graph %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

//--- does.mlir
// CHECK-LABEL: @main
// THEN-COUNT-2: "qb.attention"({{.*}}) {head_dim = 4 : i64, heads = 2 : i64, kv_heads = 2 : i64, scale = 5.000000e-01 : f32}
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}, %padding: tensor<1x?xi32> {qb.input = "mask", qb.dims = ["1", "T"]})
    -> (tensor<1x?x8xf32>, tensor<1x?x8xf32>) {
  %none = "onnx.None"() : () -> none
  %table = "qb.weight"() {name = "t", source = "t", offset = 0 : i64, strides = array<i64: 8, 1>} : () -> tensor<32x8xf32>
  %w = "qb.weight"() {name = "w", source = "w", offset = 0 : i64, strides = array<i64: 24, 1>} : () -> tensor<8x24xf32>
  %wq = "qb.weight"() {name = "q", source = "q", offset = 0 : i64, strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %b = "qb.weight"() {name = "b", source = "b", offset = 0 : i64, strides = array<i64: 1>} : () -> tensor<24xf32>
  %x = "onnx.Gather"(%table, %ids) {axis = 0 : i64} : (tensor<32x8xf32>, tensor<1x?xi64>) -> tensor<1x?x8xf32>

  // a bias for all three, a mask of ones, causal
  // CHECK: %[[Q:.*]] = "onnx.MatMul"(%[[X:[0-9]+]], %{{.*}})
  // CHECK: %[[BQ:.*]] = "onnx.Slice"(%[[B:[0-9]+]], %{{.*}})
  // CHECK: %[[QB:.*]] = "onnx.Add"(%[[Q]], %[[BQ]])
  // CHECK: %[[KB:.*]] = "onnx.Add"(%[[Q]], %{{.*}})
  // CHECK: %[[VB:.*]] = "onnx.Add"(%[[Q]], %{{.*}})
  // CHECK: "onnx.Attention"(%[[QB]], %[[KB]], %[[VB]], %{{.*}}, %{{.*}}, %{{.*}}) {is_causal = 1 : i64, kv_num_heads = 2 : i64, q_num_heads = 2 : i64}
  %q = "onnx.MatMul"(%x, %wq) : (tensor<1x?x8xf32>, tensor<8x8xf32>) -> tensor<1x?x8xf32>
  %y0 = "onnx.com.microsoft.MultiHeadAttention"(%q, %q, %q, %b, %padding) {num_heads = 2 : i64, unidirectional = 1 : i64} : (tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<24xf32>, tensor<1x?xi32>) -> tensor<1x?x8xf32>

  // its own product
  // CHECK: %[[M:.*]] = "onnx.MatMul"(%[[X]], %{{.*}})
  // CHECK: %[[N:.*]] = "onnx.Add"(%[[M]], %[[B]])
  // CHECK: "onnx.Slice"(%[[N]]
  // CHECK: "onnx.Attention"
  %y2 = "onnx.com.microsoft.Attention"(%x, %w, %b) {num_heads = 2 : i64, unidirectional = 1 : i64} : (tensor<1x?x8xf32>, tensor<8x24xf32>, tensor<24xf32>) -> tensor<1x?x8xf32>
  return %y0, %y2 : tensor<1x?x8xf32>, tensor<1x?x8xf32>
}

//--- complains.mlir
// COMPLAINS: error: com.microsoft.MultiHeadAttention is not understood: its queries, keys and values are not those of the same tokens
// COMPLAINS: error: com.microsoft.Attention is not understood: a packed cache, rotary embedding inside
func.func @main(%x: tensor<1x?x8xf32> {qb.input = "past", qb.dims = ["1", "T", "8"]}, %other: tensor<1x7x8xf32> {qb.input = "past", qb.dims = ["1", "7", "8"]})
    -> (tensor<1x?x8xf32>, tensor<1x?x8xf32>) {
  %w = "qb.weight"() {name = "w", source = "w", offset = 0 : i64, strides = array<i64: 24, 1>} : () -> tensor<8x24xf32>
  %y0 = "onnx.com.microsoft.MultiHeadAttention"(%x, %other, %other) {num_heads = 2 : i64} : (tensor<1x?x8xf32>, tensor<1x7x8xf32>, tensor<1x7x8xf32>) -> tensor<1x?x8xf32>
  %y1 = "onnx.com.microsoft.Attention"(%x, %w) {num_heads = 2 : i64, do_rotary = 1 : i64} : (tensor<1x?x8xf32>, tensor<8x24xf32>) -> tensor<1x?x8xf32>
  return %y0, %y1 : tensor<1x?x8xf32>, tensor<1x?x8xf32>
}
