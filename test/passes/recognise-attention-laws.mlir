// RUN: split-file %s %t
// RUN: qbc-opt -recognise-attention %t/capped.mlir | FileCheck %s --check-prefix=CAPPED
// RUN: qbc-opt -recognise-attention %t/slopes.mlir | FileCheck %s --check-prefix=SLOPES
// RUN: qbc-opt -recognise-attention %t/sinks.mlir | FileCheck %s --check-prefix=SINKS
// RUN: qbc-opt -recognise-attention %t/encoder.mlir | FileCheck %s --check-prefix=ENCODER
// RUN: sed 's/dense<1000>/dense<3>/' %t/encoder.mlir | qbc-opt -recognise-attention - | FileCheck %s --check-prefix=NEAR
// RUN: sed 's/onnx.Tanh/onnx.Erf/' %t/capped.mlir | not qbc-opt -recognise-attention -check-graph - 2>&1 | FileCheck %s --check-prefix=COMPLAINS
// RUN: sed 's/onnx.Tanh/onnx.Identity/' %t/capped.mlir | qbc-opt -recognise-attention - | FileCheck %s --check-prefix=PLAIN

// What is made of the scores between the two products, besides scale and mask (base/law.c).

// Gemma 2 (dynamo): scores times 1/4, through 2 tanh(. / 2), then the mask. A cap so wide that small scores do not show it.

//--- capped.mlir
// CAPPED: "qb.attention"({{.*}}) {cap = 2.000000e+00 : f32, head_dim = 4 : i64, heads = 1 : i64, kv_heads = 1 : i64, scale = 2.500000e-01 : f32}
// PLAIN: "qb.attention"({{.*}}) {head_dim = 4 : i64, heads = 1 : i64, kv_heads = 1 : i64, scale = 2.500000e-01 : f32}
// COMPLAINS: error: Softmax is not understood: no attention: what follows the scores is not softmax(scale * scores + mask), nor
func.func @main(%q: tensor<1x?x4xf32> {qb.input = "other", qb.dims = ["1", "T", "4"]}) -> tensor<1x?x4xf32> {
  %k = "onnx.Transpose"(%q) {perm = array<i64: 0, 2, 1>} : (tensor<1x?x4xf32>) -> tensor<1x4x?xf32>
  %s = "onnx.MatMul"(%q, %k) : (tensor<1x?x4xf32>, tensor<1x4x?xf32>) -> tensor<1x?x?xf32>
  %quarter = "onnx.Constant"() {value = dense<0.25> : tensor<f32>} : () -> tensor<f32>
  %cap = "onnx.Constant"() {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
  %scaled = "onnx.Mul"(%s, %quarter) : (tensor<1x?x?xf32>, tensor<f32>) -> tensor<1x?x?xf32>
  %small = "onnx.Div"(%scaled, %cap) : (tensor<1x?x?xf32>, tensor<f32>) -> tensor<1x?x?xf32>
  %tanh = "onnx.Tanh"(%small) : (tensor<1x?x?xf32>) -> tensor<1x?x?xf32>
  %capped = "onnx.Mul"(%tanh, %cap) : (tensor<1x?x?xf32>, tensor<f32>) -> tensor<1x?x?xf32>
  %shape = "onnx.Shape"(%capped) : (tensor<1x?x?xf32>) -> tensor<3xi64>
  %low = "onnx.Constant"() {value = dense<-1.0e+30> : tensor<f32>} : () -> tensor<f32>
  %full = "onnx.Expand"(%low, %shape) : (tensor<f32>, tensor<3xi64>) -> tensor<1x?x?xf32>
  %one = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %mask = "onnx.Trilu"(%full, %one) {upper = 1 : i64} : (tensor<1x?x?xf32>, tensor<i64>) -> tensor<1x?x?xf32>
  %masked = "onnx.Add"(%capped, %mask) : (tensor<1x?x?xf32>, tensor<1x?x?xf32>) -> tensor<1x?x?xf32>
  %p = "onnx.Softmax"(%masked) {axis = -1 : i64} : (tensor<1x?x?xf32>) -> tensor<1x?x?xf32>
  %y = "onnx.MatMul"(%p, %q) : (tensor<1x?x?xf32>, tensor<1x?x4xf32>) -> tensor<1x?x4xf32>
  return %y : tensor<1x?x4xf32>
}

// BLOOM (TorchScript): each head's slope times the key's position is added; two heads.

//--- slopes.mlir
// SLOPES: "qb.attention"({{.*}}) {head_dim = 4 : i64, heads = 2 : i64, kv_heads = 2 : i64, scale = 5.000000e-01 : f32, slopes = array<f32: 2.500000e-01, 6.250000e-02>}
func.func @main(%q: tensor<2x?x4xf32> {qb.input = "other", qb.dims = ["2", "T", "4"]}, %m: tensor<1x?xi64> {qb.input = "mask", qb.dims = ["1", "T"]}) -> tensor<?x2x4xf32> {
  %k = "onnx.Transpose"(%q) {perm = array<i64: 0, 2, 1>} : (tensor<2x?x4xf32>) -> tensor<2x4x?xf32>
  %s = "onnx.MatMul"(%q, %k) : (tensor<2x?x4xf32>, tensor<2x4x?xf32>) -> tensor<2x?x?xf32>
  %half = "onnx.Constant"() {value = dense<0.5> : tensor<f32>} : () -> tensor<f32>
  %scaled = "onnx.Mul"(%s, %half) : (tensor<2x?x?xf32>, tensor<f32>) -> tensor<2x?x?xf32>
  %axis = "onnx.Constant"() {value = dense<-1> : tensor<i64>} : () -> tensor<i64>
  %count = "onnx.CumSum"(%m, %axis) : (tensor<1x?xi64>, tensor<i64>) -> tensor<1x?xi64>
  %at = "onnx.Cast"(%count) {to = 1 : i64} : (tensor<1x?xi64>) -> tensor<1x?xf32>
  %slopes = "onnx.Constant"() {value = dense<[[[0.25]], [[0.0625]]]> : tensor<2x1x1xf32>} : () -> tensor<2x1x1xf32>
  %alibi = "onnx.Mul"(%slopes, %at) : (tensor<2x1x1xf32>, tensor<1x?xf32>) -> tensor<2x1x?xf32>
  %biased = "onnx.Add"(%scaled, %alibi) : (tensor<2x?x?xf32>, tensor<2x1x?xf32>) -> tensor<2x?x?xf32>
  %shape = "onnx.Shape"(%biased) : (tensor<2x?x?xf32>) -> tensor<3xi64>
  %low = "onnx.Constant"() {value = dense<-1.0e+30> : tensor<f32>} : () -> tensor<f32>
  %full = "onnx.Expand"(%low, %shape) : (tensor<f32>, tensor<3xi64>) -> tensor<2x?x?xf32>
  %one = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %mask = "onnx.Trilu"(%full, %one) {upper = 1 : i64} : (tensor<2x?x?xf32>, tensor<i64>) -> tensor<2x?x?xf32>
  %masked = "onnx.Add"(%biased, %mask) : (tensor<2x?x?xf32>, tensor<2x?x?xf32>) -> tensor<2x?x?xf32>
  %p = "onnx.Softmax"(%masked) {axis = -1 : i64} : (tensor<2x?x?xf32>) -> tensor<2x?x?xf32>
  %o = "onnx.MatMul"(%p, %q) : (tensor<2x?x?xf32>, tensor<2x?x4xf32>) -> tensor<2x?x4xf32>
  %y = "onnx.Transpose"(%o) {perm = array<i64: 1, 0, 2>} : (tensor<2x?x4xf32>) -> tensor<?x2x4xf32>
  return %y : tensor<?x2x4xf32>
}

// gpt-oss (dynamo): a stored score for each head stands beside the others, and is cut off behind the softmax.

//--- sinks.mlir
// SINKS: %[[SINKS:.*]] = "qb.weight"() {{.*}} : () -> tensor<2xf32>
// SINKS: "qb.attention"({{[^,]*}}, {{[^,]*}}, {{[^,]*}}, %[[SINKS]]) {head_dim = 4 : i64, heads = 2 : i64, kv_heads = 2 : i64, scale = 1.000000e+00 : f32}
func.func @main(%q: tensor<1x2x?x4xf32> {qb.input = "other", qb.dims = ["1", "2", "T", "4"]}) -> tensor<1x?x2x4xf32> {
  %sinks = "onnx.Constant"() {value = dense<[0.5, -1.0]> : tensor<2xf32>, source = "sinks"} : () -> tensor<2xf32>
  %k = "onnx.Transpose"(%q) {perm = array<i64: 0, 1, 3, 2>} : (tensor<1x2x?x4xf32>) -> tensor<1x2x4x?xf32>
  %s = "onnx.MatMul"(%q, %k) : (tensor<1x2x?x4xf32>, tensor<1x2x4x?xf32>) -> tensor<1x2x?x?xf32>
  %shape = "onnx.Shape"(%s) : (tensor<1x2x?x?xf32>) -> tensor<4xi64>
  %low = "onnx.Constant"() {value = dense<-1.0e+30> : tensor<f32>} : () -> tensor<f32>
  %full = "onnx.Expand"(%low, %shape) : (tensor<f32>, tensor<4xi64>) -> tensor<1x2x?x?xf32>
  %one = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %mask = "onnx.Trilu"(%full, %one) {upper = 1 : i64} : (tensor<1x2x?x?xf32>, tensor<i64>) -> tensor<1x2x?x?xf32>
  %masked = "onnx.Add"(%s, %mask) : (tensor<1x2x?x?xf32>, tensor<1x2x?x?xf32>) -> tensor<1x2x?x?xf32>
  %to = "onnx.Constant"() {value = dense<[1, -1, 1, 1]> : tensor<4xi64>} : () -> tensor<4xi64>
  %column = "onnx.Reshape"(%sinks, %to) : (tensor<2xf32>, tensor<4xi64>) -> tensor<1x2x1x1xf32>
  %rows = "onnx.Shape"(%q) {start = 2 : i64, end = 3 : i64} : (tensor<1x2x?x4xf32>) -> tensor<1xi64>
  %ones = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
  %wide = "onnx.Concat"(%ones, %ones, %rows, %ones) {axis = 0 : i64} : (tensor<1xi64>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<4xi64>
  %all = "onnx.Expand"(%column, %wide) : (tensor<1x2x1x1xf32>, tensor<4xi64>) -> tensor<1x2x?x1xf32>
  %joined = "onnx.Concat"(%masked, %all) {axis = -1 : i64} : (tensor<1x2x?x?xf32>, tensor<1x2x?x1xf32>) -> tensor<1x2x?x?xf32>
  %p = "onnx.Softmax"(%joined) {axis = -1 : i64} : (tensor<1x2x?x?xf32>) -> tensor<1x2x?x?xf32>
  %from = "onnx.Constant"() {value = dense<0> : tensor<1xi64>} : () -> tensor<1xi64>
  %end = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %cut = "onnx.Slice"(%p, %from, %end, %end) : (tensor<1x2x?x?xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<1x2x?x?xf32>
  %o = "onnx.MatMul"(%cut, %q) : (tensor<1x2x?x?xf32>, tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32>
  %y = "onnx.Transpose"(%o) {perm = array<i64: 0, 2, 1, 3>} : (tensor<1x2x?x4xf32>) -> tensor<1x?x2x4xf32>
  return %y : tensor<1x?x2x4xf32>
}

// An encoder: tokens see all others, or those that are less than 1000 (then 3) positions away, whichever side.

//--- encoder.mlir
// ENCODER: "qb.attention"({{.*}}) {ahead = 999 : i64, head_dim = 4 : i64, heads = 1 : i64, kv_heads = 1 : i64, scale = 1.000000e+00 : f32, window = 1000 : i64}
// NEAR: "qb.attention"({{.*}}) {ahead = 2 : i64, head_dim = 4 : i64, heads = 1 : i64, kv_heads = 1 : i64, scale = 1.000000e+00 : f32, window = 3 : i64}
func.func @main(%q: tensor<1x?x4xf32> {qb.input = "other", qb.dims = ["1", "T", "4"]}) -> tensor<1x?x4xf32> {
  %k = "onnx.Transpose"(%q) {perm = array<i64: 0, 2, 1>} : (tensor<1x?x4xf32>) -> tensor<1x4x?xf32>
  %s = "onnx.MatMul"(%q, %k) : (tensor<1x?x4xf32>, tensor<1x4x?xf32>) -> tensor<1x?x?xf32>
  %rows = "onnx.Shape"(%q) {start = 1 : i64, end = 2 : i64} : (tensor<1x?x4xf32>) -> tensor<1xi64>
  %t = "onnx.Squeeze"(%rows) : (tensor<1xi64>) -> tensor<i64>
  %zero = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %one = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %row = "onnx.Range"(%zero, %t, %one) : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %axis = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
  %column = "onnx.Unsqueeze"(%row, %axis) : (tensor<?xi64>, tensor<1xi64>) -> tensor<?x1xi64>
  %distance = "onnx.Sub"(%row, %column) : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi64>
  %away = "onnx.Abs"(%distance) : (tensor<?x?xi64>) -> tensor<?x?xi64>
  %far = "onnx.Constant"() {value = dense<1000> : tensor<i64>} : () -> tensor<i64>
  %seen = "onnx.Less"(%away, %far) : (tensor<?x?xi64>, tensor<i64>) -> tensor<?x?xi1>
  %low = "onnx.Constant"() {value = dense<-1.0e+30> : tensor<f32>} : () -> tensor<f32>
  %masked = "onnx.Where"(%seen, %s, %low) : (tensor<?x?xi1>, tensor<1x?x?xf32>, tensor<f32>) -> tensor<1x?x?xf32>
  %p = "onnx.Softmax"(%masked) {axis = -1 : i64} : (tensor<1x?x?xf32>) -> tensor<1x?x?xf32>
  %y = "onnx.MatMul"(%p, %q) : (tensor<1x?x?xf32>, tensor<1x?x4xf32>) -> tensor<1x?x4xf32>
  return %y : tensor<1x?x4xf32>
}
