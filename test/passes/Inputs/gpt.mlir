// Learned positions start no block; biases, and norms with one; a feed-forward part without a gate. (name-blocks.mlir)
// CHECK: name = "embed"
// CHECK: name = "positions"
// CHECK: arith.addf %{{.*}}, %{{.*}} : tensor<?x8xf32>
// CHECK: {block = 0 : i64, name = "0.attn_norm", role = "attn_norm"
// CHECK: {block = 0 : i64, name = "0.attn_norm_bias", role = "attn_norm_bias"
// CHECK: name = "0.attn_q"
// CHECK: name = "0.attn_q_bias"
// CHECK: name = "0.attn_k"
// CHECK: name = "0.attn_v"
// CHECK: name = "0.attn_o"
// CHECK: name = "0.attn_o_bias"
// CHECK: name = "0.ffn_norm"
// CHECK: name = "0.ffn_up"
// CHECK: name = "0.ffn_up_bias"
// CHECK: name = "0.ffn_down"
// CHECK: name = "0.ffn_down_bias"
// CHECK: name = "final_norm"
// CHECK: name = "final_norm_bias"
// CHECK: name = "output"
func.func @main(%ids: tensor<?xi32>) -> tensor<?x32xf32> {
  %e = "qb.weight"() {name = "a", source = "a"} : () -> tensor<32x8xf32>
  %t = "qb.weight"() {name = "b", source = "b"} : () -> tensor<16x8xf32>
  %x0 = "qb.embed"(%ids, %e) : (tensor<?xi32>, tensor<32x8xf32>) -> tensor<?x8xf32>
  %p = "qb.embed_positions"(%t) {first = 0 : i64} : (tensor<16x8xf32>) -> tensor<?x8xf32>
  %x = arith.addf %x0, %p : tensor<?x8xf32>
  %g0 = "qb.weight"() {name = "c", source = "c"} : () -> tensor<8xf32>
  %b0 = "qb.weight"() {name = "d", source = "d"} : () -> tensor<8xf32>
  %n = "qb.layer_norm"(%x, %g0, %b0) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %wq = "qb.weight"() {name = "q", source = "q"} : () -> tensor<8x8xf32>
  %bq = "qb.weight"() {name = "qb", source = "qb"} : () -> tensor<8xf32>
  %wk = "qb.weight"() {name = "k", source = "k"} : () -> tensor<8x8xf32>
  %wv = "qb.weight"() {name = "v", source = "v"} : () -> tensor<8x8xf32>
  %q0 = "qb.linear"(%n, %wq) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %q = "qb.bias"(%q0, %bq) : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %k = "qb.linear"(%n, %wk) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %v = "qb.linear"(%n, %wv) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %a = "qb.attention"(%q, %k, %v) {heads = 2 : i64, kv_heads = 2 : i64, head_dim = 4 : i64, scale = 0.5 : f32} : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %wo = "qb.weight"() {name = "o", source = "o"} : () -> tensor<8x8xf32>
  %bo = "qb.weight"() {name = "ob", source = "ob"} : () -> tensor<8xf32>
  %o0 = "qb.linear"(%a, %wo) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %o = "qb.bias"(%o0, %bo) : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %y = arith.addf %x, %o : tensor<?x8xf32>
  %g1 = "qb.weight"() {name = "e", source = "e"} : () -> tensor<8xf32>
  %m = "qb.layer_norm"(%y, %g1) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %wu = "qb.weight"() {name = "u", source = "u"} : () -> tensor<16x8xf32>
  %bu = "qb.weight"() {name = "ub", source = "ub"} : () -> tensor<16xf32>
  %u0 = "qb.linear"(%m, %wu) : (tensor<?x8xf32>, tensor<16x8xf32>) -> tensor<?x16xf32>
  %u = "qb.bias"(%u0, %bu) : (tensor<?x16xf32>, tensor<16xf32>) -> tensor<?x16xf32>
  %h = "qb.act"(%u) {act = "gelu"} : (tensor<?x16xf32>) -> tensor<?x16xf32>
  %wd = "qb.weight"() {name = "w", source = "w"} : () -> tensor<8x16xf32>
  %bd = "qb.weight"() {name = "wb", source = "wb"} : () -> tensor<8xf32>
  %d0 = "qb.linear"(%h, %wd) : (tensor<?x16xf32>, tensor<8x16xf32>) -> tensor<?x8xf32>
  %d = "qb.bias"(%d0, %bd) : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %z = arith.addf %y, %d : tensor<?x8xf32>
  %g2 = "qb.weight"() {name = "f", source = "f"} : () -> tensor<8xf32>
  %b2 = "qb.weight"() {name = "g", source = "g"} : () -> tensor<8xf32>
  %last = "qb.layer_norm"(%z, %g2, %b2) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %wl = "qb.weight"() {name = "l", source = "l"} : () -> tensor<32x8xf32>
  %logits = "qb.linear"(%last, %wl) {} : (tensor<?x8xf32>, tensor<32x8xf32>) -> tensor<?x32xf32>
  return %logits : tensor<?x32xf32>
}
