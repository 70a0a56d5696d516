// RUN: qbc-opt -merge-weights -name-blocks %s | FileCheck %s
// RUN: qbc-opt -name-blocks %S/Inputs/gpt.mlir | FileCheck %S/Inputs/gpt.mlir
// RUN: sed 's/"qb.glu"(%gate, %up) {act = "silu"}/"arith.addf"(%gate, %up)/' %s | qbc-opt -merge-weights -name-blocks - | FileCheck %s --check-prefix=PLAIN

// Two blocks; the second has norms on the heads of q and k, and no feed-forward part. Names of the file are not looked at: the
// first down-projection is called "attention". The output matrix is the embedding.

// CHECK-LABEL: @main
// CHECK: %[[E:.*]] = "qb.weight"() {name = "embed", role = "embed", source = "e", strides = array<i64: 8, 1>} : () -> tensor<32x8xf32>
// CHECK: "qb.embed"(%arg0, %[[E]]) {role = "embed"}
// CHECK: {block = 0 : i64, name = "0.attn_norm", role = "attn_norm", source = "g"
// CHECK: "qb.rms_norm"({{.*}}) {block = 0 : i64, eps = {{.*}}, role = "attn_norm"}
// CHECK: name = "0.attn_q"
// CHECK: "qb.linear"({{.*}}) {block = 0 : i64, role = "attn_q"}
// CHECK: name = "0.attn_k"
// CHECK: name = "0.attn_v"
// CHECK: "qb.rope"(%{{.*}}) {block = 0 : i64,
// CHECK: "qb.attention"({{.*}}) {block = 0 : i64,
// CHECK: name = "0.attn_o"
// CHECK: arith.addf {{.*}} {block = 0 : i64}
// CHECK: name = "0.ffn_norm"
// CHECK: name = "0.ffn_gate"
// CHECK: name = "0.ffn_up"
// CHECK: name = "0.ffn_down", role = "ffn_down", source = "attention"
// CHECK: arith.addf {{.*}} {block = 0 : i64}
// CHECK: name = "1.attn_norm"
// CHECK: name = "1.attn_q"
// CHECK: name = "1.attn_q_norm"
// CHECK: name = "1.attn_k_norm"
// CHECK: "qb.attention"({{.*}}) {block = 1 : i64,
// CHECK: name = "1.attn_o"
// CHECK: name = "final_norm", role = "final_norm"
// CHECK: "qb.linear"(%{{.*}}, %[[E]]) {role = "output"}

// Without a gate there is no role but the place.
// PLAIN: name = "0.linear"
// PLAIN: name = "0.linear.2"
// PLAIN: name = "0.linear.3"
func.func @main(%ids: tensor<?xi32>) -> tensor<?x32xf32> {
  %table = "qb.weight"() {name = "e", source = "e", strides = array<i64: 8, 1>} : () -> tensor<32x8xf32>
  %x0 = "qb.embed"(%ids, %table) : (tensor<?xi32>, tensor<32x8xf32>) -> tensor<?x8xf32>

  %g0 = "qb.weight"() {name = "g", source = "g", strides = array<i64: 1>} : () -> tensor<8xf32>
  %n0 = "qb.rms_norm"(%x0, %g0) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %wq = "qb.weight"() {name = "a", source = "a", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %q = "qb.linear"(%n0, %wq) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %wk = "qb.weight"() {name = "b", source = "b", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %k = "qb.linear"(%n0, %wk) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %wv = "qb.weight"() {name = "c", source = "c", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %v = "qb.linear"(%n0, %wv) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %qr = "qb.rope"(%q) {head_dim = 8 : i64, rotary_dim = 8 : i64, pairing = "half", theta = 100.0 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %kr = "qb.rope"(%k) {head_dim = 8 : i64, rotary_dim = 8 : i64, pairing = "half", theta = 100.0 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %a = "qb.attention"(%qr, %kr, %v) {heads = 1 : i64, kv_heads = 1 : i64, head_dim = 8 : i64, scale = 1.0 : f32} : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %wo = "qb.weight"() {name = "d", source = "d", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %o = "qb.linear"(%a, %wo) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %x1 = arith.addf %x0, %o : tensor<?x8xf32>

  %g1 = "qb.weight"() {name = "h", source = "h", strides = array<i64: 1>} : () -> tensor<8xf32>
  %n1 = "qb.rms_norm"(%x1, %g1) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %wg = "qb.weight"() {name = "i", source = "i", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %gate = "qb.linear"(%n1, %wg) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %wu = "qb.weight"() {name = "j", source = "j", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %up = "qb.linear"(%n1, %wu) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %f = "qb.glu"(%gate, %up) {act = "silu"} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %wd = "qb.weight"() {name = "attention", source = "attention", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %d = "qb.linear"(%f, %wd) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %x2 = arith.addf %d, %x1 : tensor<?x8xf32>

  %g2 = "qb.weight"() {name = "k", source = "k", strides = array<i64: 1>} : () -> tensor<8xf32>
  %n2 = "qb.rms_norm"(%x2, %g2) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %w2 = "qb.weight"() {name = "l", source = "l", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %q2 = "qb.linear"(%n2, %w2) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %gq = "qb.weight"() {name = "m", source = "m", strides = array<i64: 1>} : () -> tensor<8xf32>
  %gk = "qb.weight"() {name = "n", source = "n", strides = array<i64: 1>} : () -> tensor<8xf32>
  %qn = "qb.rms_norm"(%q2, %gq) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %kn = "qb.rms_norm"(%q2, %gk) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %a2 = "qb.attention"(%qn, %kn, %q2) {heads = 1 : i64, kv_heads = 1 : i64, head_dim = 8 : i64, scale = 1.0 : f32} : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %w3 = "qb.weight"() {name = "o", source = "o", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %o2 = "qb.linear"(%a2, %w3) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %x3 = arith.addf %x2, %o2 : tensor<?x8xf32>

  %g3 = "qb.weight"() {name = "p", source = "p", strides = array<i64: 1>} : () -> tensor<8xf32>
  %n3 = "qb.rms_norm"(%x3, %g3) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %again = "qb.weight"() {name = "e2", source = "e", strides = array<i64: 8, 1>} : () -> tensor<32x8xf32>
  %y = "qb.linear"(%n3, %again) : (tensor<?x8xf32>, tensor<32x8xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}
