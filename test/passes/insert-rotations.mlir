// RUN: split-file %s %t
// RUN: qbc-opt -insert-rotations %t/heads.mlir | FileCheck %t/heads.mlir
// RUN: qbc-opt -insert-rotations %t/gate.mlir | FileCheck %t/gate.mlir
// RUN: qbc-opt -insert-rotations %t/tied.mlir | FileCheck %t/tied.mlir
// RUN: not qbc-opt -insert-rotations %t/centred.mlir 2>&1 | FileCheck %t/centred.mlir
// RUN: not qbc-opt -insert-rotations %t/strange.mlir 2>&1 | FileCheck %t/strange.mlir

//--- heads.mlir
// Two heads of queries, one of values: rows of the values' product, columns of the one behind. Left alone: values that are no product.
module attributes {qb.rotations = "r2"} {
  // CHECK-NOT: qb.rotations
  // CHECK-LABEL: @does
  // CHECK: "qb.weight"() {changes = [{along = "rows", rotate = 4 : i64}], name = "v"}
  // CHECK: "qb.weight"() {changes = [{rotate = 4 : i64}], name = "o"}
  func.func @does(%q: tensor<?x8xf32>, %k: tensor<?x4xf32>, %x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %wv = "qb.weight"() {name = "v"} : () -> tensor<4x8xf32>
    %wo = "qb.weight"() {name = "o"} : () -> tensor<8x8xf32>
    %v = "qb.linear"(%x, %wv) : (tensor<?x8xf32>, tensor<4x8xf32>) -> tensor<?x4xf32>
    %y = "qb.attention"(%q, %k, %v) {heads = 2 : i64, kv_heads = 1 : i64, head_dim = 4 : i64, scale = 1.0 : f32} : (tensor<?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x8xf32>
    %o = "qb.linear"(%y, %wo) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
    return %o : tensor<?x8xf32>
  }
  // CHECK-LABEL: @alone
  // CHECK-NOT: changes
  func.func @alone(%q: tensor<?x8xf32>, %k: tensor<?x4xf32>, %v: tensor<?x4xf32>) -> tensor<?x8xf32> {
    %wo = "qb.weight"() {name = "o"} : () -> tensor<8x8xf32>
    %y = "qb.attention"(%q, %k, %v) {heads = 2 : i64, kv_heads = 1 : i64, head_dim = 4 : i64, scale = 1.0 : f32} : (tensor<?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x8xf32>
    %o = "qb.linear"(%y, %wo) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
    return %o : tensor<?x8xf32>
  }
}

//--- gate.mlir
// 12 columns have a matrix of their order, 22 one of order 2 in each pair.
module attributes {qb.rotations = "r4"} {
  // CHECK-LABEL: @does
  // CHECK: "qb.weight"() {changes = [{rotate = 12 : i64}], name = "down"}
  // CHECK: %[[T:.*]] = "qb.hadamard"({{.*}}) {block = 3 : i64, run = 12 : i64}
  // CHECK: "qb.linear"(%[[T]]
  // CHECK: "qb.hadamard"({{.*}}) {run = 2 : i64}
  func.func @does(%g: tensor<?x12xf32>, %u: tensor<?x12xf32>, %a: tensor<?x22xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
    %w = "qb.weight"() {name = "down"} : () -> tensor<8x12xf32>
    %w2 = "qb.weight"() {name = "down2"} : () -> tensor<8x22xf32>
    %x = "qb.glu"(%g, %u) {act = "silu"} : (tensor<?x12xf32>, tensor<?x12xf32>) -> tensor<?x12xf32>
    %y = "qb.linear"(%x, %w) {block = 3 : i64} : (tensor<?x12xf32>, tensor<8x12xf32>) -> tensor<?x8xf32>
    %z = "qb.act"(%a) {act = "silu"} : (tensor<?x22xf32>) -> tensor<?x22xf32>
    %y2 = "qb.linear"(%z, %w2) : (tensor<?x22xf32>, tensor<8x22xf32>) -> tensor<?x8xf32>
    return %y, %y2 : tensor<?x8xf32>, tensor<?x8xf32>
  }
}

//--- tied.mlir
// A stored matrix Q, which is in the module: the embedding is turned, and stays the output matrix behind Q^T g Q, g the diagonal of the gain.
module attributes {qb.rotations = "r1", qb.r1_matrix = "m", qb.r1_order = 2 : i64, qb.matrices = {m = array<f32: 0.5, 1.0, -1.0, 0.5>}} {
  // CHECK: qb.matrices = {m = array<f32: 5.000000e-01, 1.000000e+00, -1.000000e+00, 5.000000e-01>}
  // CHECK: %[[E:.*]] = "qb.weight"() {changes = [{matrix = "m", rotate = 2 : i64}], name = "embed"}
  // CHECK: %[[N:.*]] = "qb.rms_norm"
  // CHECK: %[[T:.*]] = "qb.weight"() {keep = "f16", name = "output_turn", {{.*}}values = array<f32: 3.000000e+00, 1.000000e+00, 1.000000e+00, 4.500000e+00>} : () -> tensor<2x2xf32>
  // CHECK: %[[X:.*]] = "qb.linear"(%[[N]], %[[T]])
  // CHECK: "qb.linear"(%[[X]], %[[E]])
  func.func @tied(%ids: tensor<?xi64>) -> tensor<?x16xf32> {
    %embed = "qb.weight"() {name = "embed"} : () -> tensor<16x2xf32>
    %gain = "qb.weight"() {name = "final_norm", source = "", offset = 0 : i64, strides = array<i64: 1>, values = array<f32: 4.0, 2.0>} : () -> tensor<2xf32>
    %h = "qb.embed"(%ids, %embed) : (tensor<?xi64>, tensor<16x2xf32>) -> tensor<?x2xf32>
    %n = "qb.rms_norm"(%h, %gain) {eps = 1.0e-5 : f32} : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
    %y = "qb.linear"(%n, %embed) : (tensor<?x2xf32>, tensor<16x2xf32>) -> tensor<?x16xf32>
    return %y : tensor<?x16xf32>
  }
}

//--- centred.mlir
module attributes {qb.rotations = "r1"} {
  // CHECK: error: the residual stream cannot be turned: this norm takes off the mean of its columns
  func.func @main(%ids: tensor<?xi32>) -> tensor<?x8xf32> {
    %e = "qb.weight"() {name = "embed"} : () -> tensor<16x8xf32>
    %g = "qb.weight"() {name = "g"} : () -> tensor<8xf32>
    %h = "qb.embed"(%ids, %e) : (tensor<?xi32>, tensor<16x8xf32>) -> tensor<?x8xf32>
    %n = "qb.layer_norm"(%h, %g) {eps = 1.0e-5 : f32} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    return %n : tensor<?x8xf32>
  }
}

//--- strange.mlir
module attributes {qb.rotations = "r1"} {
  // CHECK: error: the residual stream cannot be turned: what is added to it here is no product with a matrix of its own
  func.func @main(%ids: tensor<?xi32>, %x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %e = "qb.weight"() {name = "embed"} : () -> tensor<16x8xf32>
    %h = "qb.embed"(%ids, %e) : (tensor<?xi32>, tensor<16x8xf32>) -> tensor<?x8xf32>
    %s = arith.addf %h, %x : tensor<?x8xf32>
    return %s : tensor<?x8xf32>
  }
}
