// RUN: split-file %s %t
// RUN: qbc-opt -recognise-attention %t/does.mlir | FileCheck %s
// RUN: qbc-opt -recognise-attention %t/window.mlir | FileCheck %s --check-prefix=WINDOW
// RUN: not qbc-opt -recognise-attention -check-graph %t/window.mlir 2>&1 | FileCheck %s --check-prefix=OPERANDS
// RUN: sed 's/onnx.LessOrEqual/onnx.Less/' %t/does.mlir | not qbc-opt -recognise-attention -check-graph - 2>&1 | FileCheck %s --check-prefix=NOT-CAUSAL
// RUN: sed 's/onnx.Softmax/onnx.Sigmoid/' %t/does.mlir | qbc-opt -recognise-attention - | FileCheck %s --check-prefix=KEEPS

// Eight times the scores, an additive mask of -10000, four heads; keys and values have two, repeated by broadcasting.

//--- does.mlir
// CHECK-LABEL: @main
// CHECK: %[[Q:.*]] = "qb.linear"({{.*}}) -> tensor<?x16xf32>
// CHECK: %[[K:.*]] = "qb.linear"({{.*}}) -> tensor<?x8xf32>
// CHECK: %[[Y:.*]] = "qb.attention"(%[[Q]], %[[K]], %[[K]]) {head_dim = 4 : i64, heads = 4 : i64, kv_heads = 2 : i64, scale = 8.000000e+00 : f32}
// CHECK-NEXT: "qb.linear"(%[[Y]]
// CHECK-NOT: onnx.Softmax
// NOT-CAUSAL: error: Softmax is not understood: no attention: its mask: position 1 does not see position 1 (5 tokens after 0)
// KEEPS-NOT: qb.attention
func.func @main(%x: tensor<?x16xf32>, %w: tensor<16x16xf32>, %kw: tensor<8x16xf32>) -> tensor<?x16xf32> {
  %q = "qb.linear"(%x, %w) : (tensor<?x16xf32>, tensor<16x16xf32>) -> tensor<?x16xf32>
  %k = "qb.linear"(%x, %kw) : (tensor<?x16xf32>, tensor<8x16xf32>) -> tensor<?x8xf32>
  %q_heads = "onnx.Constant"() {value = dense<[-1, 2, 2, 4]> : tensor<4xi64>} : () -> tensor<4xi64>
  %k_heads = "onnx.Constant"() {value = dense<[-1, 2, 1, 4]> : tensor<4xi64>} : () -> tensor<4xi64>
  %q4 = "onnx.Reshape"(%q, %q_heads) : (tensor<?x16xf32>, tensor<4xi64>) -> tensor<*xf32>
  %qh = "onnx.Transpose"(%q4) {perm = array<i64: 1, 2, 0, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %k4 = "onnx.Reshape"(%k, %k_heads) : (tensor<?x8xf32>, tensor<4xi64>) -> tensor<*xf32>
  %kt = "onnx.Transpose"(%k4) {perm = array<i64: 1, 2, 3, 0>} : (tensor<*xf32>) -> tensor<*xf32>
  %vh = "onnx.Transpose"(%k4) {perm = array<i64: 1, 2, 0, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %s = "onnx.MatMul"(%qh, %kt) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>

  %zero = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %one = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %sizes = "onnx.Shape"(%x) {start = 0 : i64, end = 1 : i64} : (tensor<?x16xf32>) -> tensor<1xi64>
  %t = "onnx.Squeeze"(%sizes) : (tensor<1xi64>) -> tensor<i64>
  %row = "onnx.Range"(%zero, %t, %one) : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %at = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
  %column = "onnx.Unsqueeze"(%row, %at) : (tensor<?xi64>, tensor<1xi64>) -> tensor<?x1xi64>
  %seen = "onnx.LessOrEqual"(%row, %column) : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %no = "onnx.Constant"() {value = dense<-10000.0> : tensor<f32>} : () -> tensor<f32>
  %yes = "onnx.Constant"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
  %mask = "onnx.Where"(%seen, %yes, %no) : (tensor<?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<?x?xf32>
  %eighth = "onnx.Constant"() {value = dense<0.125> : tensor<f32>} : () -> tensor<f32>
  %scaled = "onnx.Div"(%s, %eighth) : (tensor<*xf32>, tensor<f32>) -> tensor<*xf32>
  %masked = "onnx.Add"(%scaled, %mask) : (tensor<*xf32>, tensor<?x?xf32>) -> tensor<*xf32>
  %p = "onnx.Softmax"(%masked) {axis = -1 : i64} : (tensor<*xf32>) -> tensor<*xf32>

  %o = "onnx.MatMul"(%p, %vh) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %ot = "onnx.Transpose"(%o) {perm = array<i64: 2, 0, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %flat = "onnx.Constant"() {value = dense<[-1, 16]> : tensor<2xi64>} : () -> tensor<2xi64>
  %y = "onnx.Reshape"(%ot, %flat) : (tensor<*xf32>, tensor<2xi64>) -> tensor<?x16xf32>
  %z = "qb.linear"(%y, %w) : (tensor<?x16xf32>, tensor<16x16xf32>) -> tensor<?x16xf32>
  return %z : tensor<?x16xf32>
}

// A boolean mask with a past and a window of 20: longer than the short samples. NaN of fully masked rows is zeroed.

//--- window.mlir
// WINDOW: "qb.attention"({{.*}}) {head_dim = 8 : i64, heads = 1 : i64, kv_heads = 1 : i64, scale = 1.000000e+00 : f32, window = 20 : i64}
// OPERANDS-NOT: Softmax is not understood
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %positions: tensor<1x?xi64> {qb.input = "positions", qb.dims = ["1", "T"]},
                %past: tensor<1x?x8xf32> {qb.input = "past", qb.dims = ["1", "P", "8"]}) -> tensor<1x?x8xf32> {
  %q = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %batch = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %q3 = "onnx.Reshape"(%q, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %k = "onnx.Concat"(%past, %q3) {axis = 1 : i64} : (tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %kt = "onnx.Transpose"(%k) {perm = array<i64: 0, 2, 1>} : (tensor<1x?x8xf32>) -> tensor<1x8x?xf32>
  %s = "onnx.MatMul"(%q3, %kt) : (tensor<1x?x8xf32>, tensor<1x8x?xf32>) -> tensor<1x?x?xf32>

  %sizes = "onnx.Shape"(%k) {start = 1 : i64, end = 2 : i64} : (tensor<1x?x8xf32>) -> tensor<1xi64>
  %all = "onnx.Squeeze"(%sizes) : (tensor<1xi64>) -> tensor<i64>
  %zero = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %one = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %range = "onnx.Range"(%zero, %all, %one) : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %two = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %column = "onnx.Unsqueeze"(%positions, %two) : (tensor<1x?xi64>, tensor<1xi64>) -> tensor<1x?x1xi64>
  %window = "onnx.Constant"() {value = dense<20> : tensor<i64>} : () -> tensor<i64>
  %first = "onnx.Sub"(%column, %window) : (tensor<1x?x1xi64>, tensor<i64>) -> tensor<1x?x1xi64>
  %past_first = "onnx.Greater"(%range, %first) : (tensor<?xi64>, tensor<1x?x1xi64>) -> tensor<1x?x?xi1>
  %not_later = "onnx.LessOrEqual"(%range, %column) : (tensor<?xi64>, tensor<1x?x1xi64>) -> tensor<1x?x?xi1>
  %mask = "onnx.And"(%past_first, %not_later) : (tensor<1x?x?xi1>, tensor<1x?x?xi1>) -> tensor<1x?x?xi1>
  %no = "onnx.Constant"() {value = dense<0xFF800000> : tensor<f32>} : () -> tensor<f32>
  %masked = "onnx.Where"(%mask, %s, %no) : (tensor<1x?x?xi1>, tensor<1x?x?xf32>, tensor<f32>) -> tensor<1x?x?xf32>
  %p = "onnx.Softmax"(%masked) {axis = -1 : i64} : (tensor<1x?x?xf32>) -> tensor<1x?x?xf32>
  %nan = "onnx.IsNaN"(%p) : (tensor<1x?x?xf32>) -> tensor<1x?x?xi1>
  %nothing = "onnx.Constant"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
  %clean = "onnx.Where"(%nan, %nothing, %p) : (tensor<1x?x?xi1>, tensor<f32>, tensor<1x?x?xf32>) -> tensor<1x?x?xf32>
  %y = "onnx.MatMul"(%clean, %k) : (tensor<1x?x?xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  return %y : tensor<1x?x8xf32>
}
