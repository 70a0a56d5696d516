// RUN: split-file %s %t
// RUN: qbc-opt -recognise-rope %t/does.mlir | FileCheck %s
// RUN: qbc-opt -recognise-rope %t/adjacent.mlir | FileCheck %s --check-prefix=ADJACENT
// RUN: qbc-opt -recognise-rope %t/latent.mlir | FileCheck %s --check-prefix=LATENT
// RUN: sed 's/"onnx.Neg"/"onnx.Abs"/' %t/latent.mlir | not qbc-opt -recognise-rope -check-graph - 2>&1 | FileCheck %s --check-prefix=ABS
// RUN: qbc-opt -recognise-rope %t/keeps.mlir | FileCheck %s --check-prefix=KEEPS
// RUN: qbc-opt -recognise-rope %t/table.mlir | FileCheck %s --check-prefix=TABLE
// RUN: sed 's/\[4.425697988e-03, /[0.1, /' %t/table.mlir | not qbc-opt -recognise-rope -check-graph - 2>&1 | FileCheck %s --check-prefix=BROKEN
// RUN: sed 's/"onnx.Neg"/"onnx.Abs"/' %t/does.mlir | not qbc-opt -recognise-rope -check-graph - 2>&1 | FileCheck %s --check-prefix=COMPLAINS

// Half pairing, theta 100, one key head repeated for two query heads, half of the scale on the keys, a past.

//--- does.mlir
// CHECK-LABEL: @main
// CHECK: %[[X:.*]] = "qb.linear"
// CHECK: %[[K:.*]] = "qb.linear"
// CHECK: %[[QR:.*]] = "qb.rope"(%[[X]]) {head_dim = 4 : i64, pairing = "half", rotary_dim = 4 : i64, theta = 1.000000e+02 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
// CHECK: %[[KR:.*]] = "qb.rope"(%[[K]]) {head_dim = 4 : i64, pairing = "half", rotary_dim = 4 : i64, theta = 1.000000e+02 : f32} : (tensor<?x4xf32>) -> tensor<?x4xf32>
// CHECK: %[[KC:.*]] = "qb.append"(%arg1, %[[KR]]) : (tensor<1x1x?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
// CHECK: %[[VC:.*]] = "qb.append"(%arg2, %[[K]])
// CHECK: %[[Y:.*]] = "qb.attention"(%[[QR]], %[[KC]], %[[VC]]) {head_dim = 4 : i64, heads = 2 : i64, kv_heads = 1 : i64, scale = 5.000000e-01 : f32}
// CHECK: return %[[Y]], %[[KC]], %[[VC]] : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32>
// COMPLAINS: error: qb.attention is not understood: an operand is no rotation of each head by its position
func.func @main(%x: tensor<?x8xf32>, %past_k: tensor<1x1x?x4xf32> {qb.input = "past", qb.dims = ["1", "1", "P", "4"]},
                %past_v: tensor<1x1x?x4xf32> {qb.input = "past", qb.dims = ["1", "1", "P", "4"]},
                %positions: tensor<1x?xi64> {qb.input = "positions", qb.dims = ["1", "T"]}, %w: tensor<8x8xf32>, %kw: tensor<4x8xf32>)
    -> (tensor<?x8xf32>, tensor<1x1x?x4xf32> {qb.output = "present", qb.past = 1 : i64}, tensor<1x1x?x4xf32> {qb.output = "present", qb.past = 2 : i64}) {
  %q = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %k = "qb.linear"(%x, %kw) : (tensor<?x8xf32>, tensor<4x8xf32>) -> tensor<?x4xf32>
  %frequencies = "onnx.Constant"() {value = dense<[1.0, 0.1]> : tensor<2xf32>} : () -> tensor<2xf32>
  %two = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %column = "onnx.Unsqueeze"(%positions, %two) : (tensor<1x?xi64>, tensor<1xi64>) -> tensor<1x?x1xi64>
  %float = "onnx.Cast"(%column) {to = 1 : i64} : (tensor<1x?x1xi64>) -> tensor<1x?x1xf32>
  %angle = "onnx.Mul"(%float, %frequencies) : (tensor<1x?x1xf32>, tensor<2xf32>) -> tensor<1x?x2xf32>
  %angles = "onnx.Concat"(%angle, %angle) {axis = -1 : i64} : (tensor<1x?x2xf32>, tensor<1x?x2xf32>) -> tensor<1x?x4xf32>
  %cos = "onnx.Cos"(%angles) : (tensor<1x?x4xf32>) -> tensor<1x?x4xf32>
  %sin = "onnx.Sin"(%angles) : (tensor<1x?x4xf32>) -> tensor<1x?x4xf32>

  %heads = "onnx.Constant"() {value = dense<[1, -1, 2, 4]> : tensor<4xi64>} : () -> tensor<4xi64>
  %head = "onnx.Constant"() {value = dense<[1, -1, 1, 4]> : tensor<4xi64>} : () -> tensor<4xi64>
  %q4 = "onnx.Reshape"(%q, %heads) : (tensor<?x8xf32>, tensor<4xi64>) -> tensor<1x?x2x4xf32>
  %qh = "onnx.Transpose"(%q4) {perm = array<i64: 0, 2, 1, 3>} : (tensor<1x?x2x4xf32>) -> tensor<1x2x?x4xf32>
  %k4 = "onnx.Reshape"(%k, %head) : (tensor<?x4xf32>, tensor<4xi64>) -> tensor<1x?x1x4xf32>
  %kh = "onnx.Transpose"(%k4) {perm = array<i64: 0, 2, 1, 3>} : (tensor<1x?x1x4xf32>) -> tensor<1x1x?x4xf32>

  %q1, %q2 = "onnx.Split"(%qh) {axis = -1 : i64, num_outputs = 2 : i64} : (tensor<1x2x?x4xf32>) -> (tensor<1x2x?x2xf32>, tensor<1x2x?x2xf32>)
  %qn = "onnx.Neg"(%q2) : (tensor<1x2x?x2xf32>) -> tensor<1x2x?x2xf32>
  %qt = "onnx.Concat"(%qn, %q1) {axis = -1 : i64} : (tensor<1x2x?x2xf32>, tensor<1x2x?x2xf32>) -> tensor<1x2x?x4xf32>
  %qc = "onnx.Mul"(%qh, %cos) : (tensor<1x2x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x2x?x4xf32>
  %qs = "onnx.Mul"(%qt, %sin) : (tensor<1x2x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x2x?x4xf32>
  %qr = "onnx.Add"(%qc, %qs) : (tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32>

  %k1, %k2 = "onnx.Split"(%kh) {axis = -1 : i64, num_outputs = 2 : i64} : (tensor<1x1x?x4xf32>) -> (tensor<1x1x?x2xf32>, tensor<1x1x?x2xf32>)
  %kn = "onnx.Neg"(%k2) : (tensor<1x1x?x2xf32>) -> tensor<1x1x?x2xf32>
  %kt = "onnx.Concat"(%kn, %k1) {axis = -1 : i64} : (tensor<1x1x?x2xf32>, tensor<1x1x?x2xf32>) -> tensor<1x1x?x4xf32>
  %kc = "onnx.Mul"(%kh, %cos) : (tensor<1x1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x1x?x4xf32>
  %ks = "onnx.Mul"(%kt, %sin) : (tensor<1x1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x1x?x4xf32>
  %kr = "onnx.Add"(%kc, %ks) : (tensor<1x1x?x4xf32>, tensor<1x1x?x4xf32>) -> tensor<1x1x?x4xf32>

  %all_k = "onnx.Concat"(%past_k, %kr) {axis = 2 : i64} : (tensor<1x1x?x4xf32>, tensor<1x1x?x4xf32>) -> tensor<1x1x?x4xf32>
  %all_v = "onnx.Concat"(%past_v, %kh) {axis = 2 : i64} : (tensor<1x1x?x4xf32>, tensor<1x1x?x4xf32>) -> tensor<1x1x?x4xf32>
  %half = "onnx.Constant"() {value = dense<0.5> : tensor<f32>} : () -> tensor<f32>
  %scaled = "onnx.Mul"(%all_k, %half) : (tensor<1x1x?x4xf32>, tensor<f32>) -> tensor<1x1x?x4xf32>
  %kk = "onnx.Concat"(%scaled, %scaled) {axis = 1 : i64} : (tensor<1x1x?x4xf32>, tensor<1x1x?x4xf32>) -> tensor<1x2x?x4xf32>
  %vv = "onnx.Concat"(%all_v, %all_v) {axis = 1 : i64} : (tensor<1x1x?x4xf32>, tensor<1x1x?x4xf32>) -> tensor<1x2x?x4xf32>

  %flat = "onnx.Constant"() {value = dense<[-1, 8]> : tensor<2xi64>} : () -> tensor<2xi64>
  %qrt = "onnx.Transpose"(%qr) {perm = array<i64: 2, 0, 1, 3>} : (tensor<1x2x?x4xf32>) -> tensor<*xf32>
  %kkt = "onnx.Transpose"(%kk) {perm = array<i64: 2, 0, 1, 3>} : (tensor<1x2x?x4xf32>) -> tensor<*xf32>
  %vvt = "onnx.Transpose"(%vv) {perm = array<i64: 2, 0, 1, 3>} : (tensor<1x2x?x4xf32>) -> tensor<*xf32>
  %qf = "onnx.Reshape"(%qrt, %flat) : (tensor<*xf32>, tensor<2xi64>) -> tensor<?x8xf32>
  %kf = "onnx.Reshape"(%kkt, %flat) : (tensor<*xf32>, tensor<2xi64>) -> tensor<?x8xf32>
  %vf = "onnx.Reshape"(%vvt, %flat) : (tensor<*xf32>, tensor<2xi64>) -> tensor<?x8xf32>
  %y = "qb.attention"(%qf, %kf, %vf) {heads = 2 : i64, kv_heads = 2 : i64, head_dim = 4 : i64, scale = 1.0 : f32} : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y, %all_k, %all_v : tensor<?x8xf32>, tensor<1x1x?x4xf32>, tensor<1x1x?x4xf32>
}

// Neighbouring columns turn, only four of six; frequencies that follow no theta; the cosines are half as large again, which
// the columns that do not turn are not. No past.

//--- adjacent.mlir
// ADJACENT: "qb.rope"(%{{.*}}) {frequencies = array<f32: 1.250000e-01, 2.000000e-01>, head_dim = 6 : i64, pairing = "adjacent", rotary_dim = 4 : i64, scale = 1.500000e+00 : f32}
// ADJACENT: "qb.attention"({{.*}}) {head_dim = 6 : i64, heads = 1 : i64, kv_heads = 1 : i64, scale = 1.000000e+00 : f32}
func.func @main(%x: tensor<?x6xf32>, %w: tensor<6x6xf32>, %positions: tensor<1x?xi64> {qb.input = "positions", qb.dims = ["1", "T"]}) -> tensor<?x6xf32> {
  %q = "qb.linear"(%x, %w) : (tensor<?x6xf32>, tensor<6x6xf32>) -> tensor<?x6xf32>
  %frequencies = "onnx.Constant"() {value = dense<[0.125, 0.2]> : tensor<2xf32>} : () -> tensor<2xf32>
  %up = "onnx.Constant"() {value = dense<1.5> : tensor<f32>} : () -> tensor<f32>
  %column_shape = "onnx.Constant"() {value = dense<[-1, 1]> : tensor<2xi64>} : () -> tensor<2xi64>
  %column = "onnx.Reshape"(%positions, %column_shape) : (tensor<1x?xi64>, tensor<2xi64>) -> tensor<?x1xi64>
  %float = "onnx.Cast"(%column) {to = 1 : i64} : (tensor<?x1xi64>) -> tensor<?x1xf32>
  %angle = "onnx.Mul"(%float, %frequencies) : (tensor<?x1xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  %cos1 = "onnx.Cos"(%angle) : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %sin1 = "onnx.Sin"(%angle) : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %cos = "onnx.Mul"(%cos1, %up) : (tensor<?x2xf32>, tensor<f32>) -> tensor<?x2xf32>
  %sin = "onnx.Mul"(%sin1, %up) : (tensor<?x2xf32>, tensor<f32>) -> tensor<?x2xf32>
  %sizes = "onnx.Constant"() {value = dense<[4, 2]> : tensor<2xi64>} : () -> tensor<2xi64>
  %pairs = "onnx.Constant"() {value = dense<[-1, 2, 2]> : tensor<3xi64>} : () -> tensor<3xi64>
  %turning, %still = "onnx.Split"(%q, %sizes) {axis = 1 : i64} : (tensor<?x6xf32>, tensor<2xi64>) -> (tensor<?x4xf32>, tensor<?x2xf32>)
  %p = "onnx.Reshape"(%turning, %pairs) : (tensor<?x4xf32>, tensor<3xi64>) -> tensor<?x2x2xf32>
  %first = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %second = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %a = "onnx.Gather"(%p, %first) {axis = 2 : i64} : (tensor<?x2x2xf32>, tensor<i64>) -> tensor<?x2xf32>
  %b = "onnx.Gather"(%p, %second) {axis = 2 : i64} : (tensor<?x2x2xf32>, tensor<i64>) -> tensor<?x2xf32>
  %ac = "onnx.Mul"(%a, %cos) : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %as = "onnx.Mul"(%a, %sin) : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %bc = "onnx.Mul"(%b, %cos) : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %bs = "onnx.Mul"(%b, %sin) : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %new_a = "onnx.Sub"(%ac, %bs) : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %new_b = "onnx.Add"(%bc, %as) : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %last = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %ua = "onnx.Unsqueeze"(%new_a, %last) : (tensor<?x2xf32>, tensor<1xi64>) -> tensor<?x2x1xf32>
  %ub = "onnx.Unsqueeze"(%new_b, %last) : (tensor<?x2xf32>, tensor<1xi64>) -> tensor<?x2x1xf32>
  %pair = "onnx.Concat"(%ua, %ub) {axis = 2 : i64} : (tensor<?x2x1xf32>, tensor<?x2x1xf32>) -> tensor<?x2x2xf32>
  %four = "onnx.Constant"() {value = dense<[-1, 4]> : tensor<2xi64>} : () -> tensor<2xi64>
  %turned = "onnx.Reshape"(%pair, %four) : (tensor<?x2x2xf32>, tensor<2xi64>) -> tensor<?x4xf32>
  %r = "onnx.Concat"(%turned, %still) {axis = 1 : i64} : (tensor<?x4xf32>, tensor<?x2xf32>) -> tensor<?x6xf32>
  %y = "qb.attention"(%r, %r, %q) {heads = 1 : i64, kv_heads = 1 : i64, head_dim = 6 : i64, scale = 1.0 : f32} : (tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}

// Operands that are level 1 already.

//--- keeps.mlir
// KEEPS: %[[Q:.*]] = "qb.linear"
// KEEPS-NEXT: "qb.attention"(%[[Q]], %[[Q]], %[[Q]]) {head_dim = 8 : i64, heads = 1 : i64, kv_heads = 1 : i64, scale = 3.000000e-01 : f32}
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> tensor<?x8xf32> {
  %q = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %y = "qb.attention"(%q, %q, %q) {heads = 1 : i64, kv_heads = 1 : i64, head_dim = 8 : i64, scale = 0.3 : f32} : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// Cosines and sines of 12 positions from tables, looked up by position; so the model knows no more positions.

//--- table.mlir
// TABLE: module attributes {qb.context = 12 : i64}
// TABLE: "qb.rope"(%{{.*}}) {head_dim = 4 : i64, pairing = "half", rotary_dim = 4 : i64, theta = 1.000000e+04 : f32}
// BROKEN: error: qb.attention is not understood: an operand is no rotation of each head by its position
func.func @main(%x: tensor<?x4xf32>, %w: tensor<4x4xf32>, %positions: tensor<1x?xi64> {qb.input = "positions", qb.dims = ["1", "T"]}) -> tensor<?x4xf32> {
  %q = "qb.linear"(%x, %w) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %cos = "onnx.Constant"() {value = dense<[[1.000000000e+00, 1.000000000e+00], [5.403023059e-01, 9.999500004e-01], [-4.161468365e-01, 9.998000067e-01], [-9.899924966e-01, 9.995500337e-01], [-6.536436209e-01, 9.992001067e-01], [2.836621855e-01, 9.987502604e-01], [9.601702867e-01, 9.982005399e-01], [7.539022543e-01, 9.975510003e-01], [-1.455000338e-01, 9.968017063e-01], [-9.111302619e-01, 9.959527330e-01], [-8.390715291e-01, 9.950041653e-01], [4.425697988e-03, 9.939560980e-01]]> : tensor<12x2xf32>} : () -> tensor<12x2xf32>
  %sin = "onnx.Constant"() {value = dense<[[0.000000000e+00, 0.000000000e+00], [8.414709848e-01, 9.999833334e-03], [9.092974268e-01, 1.999866669e-02], [1.411200081e-01, 2.999550020e-02], [-7.568024953e-01, 3.998933419e-02], [-9.589242747e-01, 4.997916927e-02], [-2.794154982e-01, 5.996400648e-02], [6.569865987e-01, 6.994284734e-02], [9.893582466e-01, 7.991469397e-02], [4.121184852e-01, 8.987854920e-02], [-5.440211109e-01, 9.983341665e-02], [-9.999902066e-01, 1.097783008e-01]]> : tensor<12x2xf32>} : () -> tensor<12x2xf32>
  %batch = "onnx.Constant"() {value = dense<[1, -1, 4]> : tensor<3xi64>} : () -> tensor<3xi64>
  %q3 = "onnx.Reshape"(%q, %batch) : (tensor<?x4xf32>, tensor<3xi64>) -> tensor<1x?x4xf32>
  %r = "onnx.com.microsoft.RotaryEmbedding"(%q3, %positions, %cos, %sin) {num_heads = 1 : i64, interleaved = 0 : i64} : (tensor<1x?x4xf32>, tensor<1x?xi64>, tensor<12x2xf32>, tensor<12x2xf32>) -> tensor<1x?x4xf32>
  %flat = "onnx.Constant"() {value = dense<[-1, 4]> : tensor<2xi64>} : () -> tensor<2xi64>
  %rf = "onnx.Reshape"(%r, %flat) : (tensor<1x?x4xf32>, tensor<2xi64>) -> tensor<?x4xf32>
  %y = "qb.attention"(%rf, %rf, %q) {heads = 1 : i64, kv_heads = 1 : i64, head_dim = 4 : i64, scale = 1.0 : f32} : (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// Multi-head latent attention: of a head's columns the last two turn; those of keys are the same for both heads. Values have heads of 3.

//--- latent.mlir
// LATENT: %[[Q:.*]] = "qb.heads"(%{{.*}}) {head_dim = 4 : i64, heads = 2 : i64, runs = array<i64: 0, 2, 4, 1, 2, 0, 0, 4, 1, 2>} : (tensor<?x8xf32>) -> tensor<?x8xf32>
// LATENT: %[[QR:.*]] = "qb.rope"(%[[Q]]) {frequencies = array<f32: 1.000000e+00>, head_dim = 4 : i64, pairing = "half", rotary_dim = 2 : i64
// LATENT: %[[K:.*]] = "qb.heads"(%[[NOPE:.*]], %[[PE:.*]]) {head_dim = 4 : i64, heads = 2 : i64, runs = array<i64: 1, 0, 0, 1, 2, 0, 0, 2, 1, 2>} : (tensor<?x4xf32>, tensor<?x2xf32>) -> tensor<?x8xf32>
// LATENT: %[[KR:.*]] = "qb.rope"(%[[K]])
// LATENT: "qb.attention"(%[[QR]], %[[KR]], %{{.*}}) {head_dim = 4 : i64, heads = 2 : i64, kv_heads = 2 : i64, scale = 5.000000e-01 : f32, value_dim = 3 : i64}
// ABS: error: qb.attention is not understood: an operand is no rotation of each head by its position
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}, %positions: tensor<1x?xi64> {qb.input = "positions", qb.dims = ["1", "T"]},
                %x: tensor<?x8xf32>, %qw: tensor<8x8xf32>, %nw: tensor<4x8xf32>, %pw: tensor<2x8xf32>, %vw: tensor<6x8xf32>) -> tensor<?x6xf32> {
  %q = "qb.linear"(%x, %qw) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %nope = "qb.linear"(%x, %nw) : (tensor<?x8xf32>, tensor<4x8xf32>) -> tensor<?x4xf32>
  %pe = "qb.linear"(%x, %pw) : (tensor<?x8xf32>, tensor<2x8xf32>) -> tensor<?x2xf32>
  %v = "qb.linear"(%x, %vw) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %two = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %column = "onnx.Unsqueeze"(%positions, %two) : (tensor<1x?xi64>, tensor<1xi64>) -> tensor<1x?x1xi64>
  %float = "onnx.Cast"(%column) {to = 1 : i64} : (tensor<1x?x1xi64>) -> tensor<1x?x1xf32>
  %cos = "onnx.Cos"(%float) : (tensor<1x?x1xf32>) -> tensor<1x?x1xf32>
  %sin = "onnx.Sin"(%float) : (tensor<1x?x1xf32>) -> tensor<1x?x1xf32>
  %d4 = "onnx.Constant"() {value = dense<[1, -1, 2, 4]> : tensor<4xi64>} : () -> tensor<4xi64>
  %d2 = "onnx.Constant"() {value = dense<[1, -1, 2, 2]> : tensor<4xi64>} : () -> tensor<4xi64>
  %d3 = "onnx.Constant"() {value = dense<[1, -1, 2, 3]> : tensor<4xi64>} : () -> tensor<4xi64>
  %d1 = "onnx.Constant"() {value = dense<[1, -1, 1, 2]> : tensor<4xi64>} : () -> tensor<4xi64>
  %q4 = "onnx.Reshape"(%q, %d4) : (tensor<?x8xf32>, tensor<4xi64>) -> tensor<*xf32>
  %qh = "onnx.Transpose"(%q4) {perm = array<i64: 0, 2, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %qn, %qp = "onnx.Split"(%qh) {axis = -1 : i64, num_outputs = 2 : i64} : (tensor<*xf32>) -> (tensor<*xf32>, tensor<*xf32>)
  %q1, %q2 = "onnx.Split"(%qp) {axis = -1 : i64, num_outputs = 2 : i64} : (tensor<*xf32>) -> (tensor<*xf32>, tensor<*xf32>)
  %qm = "onnx.Neg"(%q2) : (tensor<*xf32>) -> tensor<*xf32>
  %qt = "onnx.Concat"(%qm, %q1) {axis = -1 : i64} : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %qc = "onnx.Mul"(%qp, %cos) : (tensor<*xf32>, tensor<1x?x1xf32>) -> tensor<*xf32>
  %qs = "onnx.Mul"(%qt, %sin) : (tensor<*xf32>, tensor<1x?x1xf32>) -> tensor<*xf32>
  %qr = "onnx.Add"(%qc, %qs) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %qa = "onnx.Concat"(%qn, %qr) {axis = -1 : i64} : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %p4 = "onnx.Reshape"(%pe, %d1) : (tensor<?x2xf32>, tensor<4xi64>) -> tensor<*xf32>
  %ph = "onnx.Transpose"(%p4) {perm = array<i64: 0, 2, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %p1, %p2 = "onnx.Split"(%ph) {axis = -1 : i64, num_outputs = 2 : i64} : (tensor<*xf32>) -> (tensor<*xf32>, tensor<*xf32>)
  %pm = "onnx.Neg"(%p2) : (tensor<*xf32>) -> tensor<*xf32>
  %pt = "onnx.Concat"(%pm, %p1) {axis = -1 : i64} : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %pc = "onnx.Mul"(%ph, %cos) : (tensor<*xf32>, tensor<1x?x1xf32>) -> tensor<*xf32>
  %ps = "onnx.Mul"(%pt, %sin) : (tensor<*xf32>, tensor<1x?x1xf32>) -> tensor<*xf32>
  %pr = "onnx.Add"(%pc, %ps) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %both = "onnx.Concat"(%pr, %pr) {axis = 1 : i64} : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %n4 = "onnx.Reshape"(%nope, %d2) : (tensor<?x4xf32>, tensor<4xi64>) -> tensor<*xf32>
  %nh = "onnx.Transpose"(%n4) {perm = array<i64: 0, 2, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %ka = "onnx.Concat"(%nh, %both) {axis = -1 : i64} : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %v4 = "onnx.Reshape"(%v, %d3) : (tensor<?x6xf32>, tensor<4xi64>) -> tensor<*xf32>
  %va = "onnx.Transpose"(%v4) {perm = array<i64: 0, 2, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %across = "onnx.Constant"() {value = dense<[-1, 8]> : tensor<2xi64>} : () -> tensor<2xi64>
  %across6 = "onnx.Constant"() {value = dense<[-1, 6]> : tensor<2xi64>} : () -> tensor<2xi64>
  %qb = "onnx.Transpose"(%qa) {perm = array<i64: 2, 0, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %kb = "onnx.Transpose"(%ka) {perm = array<i64: 2, 0, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %vb = "onnx.Transpose"(%va) {perm = array<i64: 2, 0, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  %qrow = "onnx.Reshape"(%qb, %across) : (tensor<*xf32>, tensor<2xi64>) -> tensor<?x8xf32>
  %krow = "onnx.Reshape"(%kb, %across) : (tensor<*xf32>, tensor<2xi64>) -> tensor<?x8xf32>
  %vrow = "onnx.Reshape"(%vb, %across6) : (tensor<*xf32>, tensor<2xi64>) -> tensor<?x6xf32>
  %y = "qb.attention"(%qrow, %krow, %vrow) {heads = 2 : i64, kv_heads = 2 : i64, head_dim = 4 : i64, value_dim = 3 : i64, scale = 0.5 : f32} : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}
