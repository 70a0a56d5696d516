// RUN: qbc-opt -quantize-cache -kv=k:i4g64r,v:f16 %s | FileCheck %s
// RUN: qbc-opt -quantize-cache -kv=v:i4mr %s | FileCheck %s --check-prefix=VALUES
// RUN: qbc-opt -quantize-cache %s | FileCheck %s --check-prefix=WITHOUT
// RUN: not qbc-opt -quantize-cache -kv=trellis2g256 %s 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: not qbc-opt -quantize-cache -kv=k:i8,v:pq2x256 %s 2>&1 | FileCheck %s --check-prefix=TABLES
// RUN: sed 's|new_v) : (tensor<?x24xf32>, tensor<?x24xf32>)|new_v, %w) : (tensor<?x24xf32>, tensor<?x24xf32>, tensor<8192xf32>)|; s|%new_v: tensor<?x24xf32>|&, %w: tensor<8192xf32>|' %s | qbc-opt -quantize-cache -kv=k:i8,v:pq2x256 - | FileCheck %s --check-prefix=VECTORS
// RUN: sed '/= "qb.a/d; s/return %y/return %q/' %s | not qbc-opt -quantize-cache -kv=i8 - 2>&1 | FileCheck %s --check-prefix=NOTHING

// keys: rotated and so are the queries, in runs of 8, which divide 24
// CHECK: %[[K:.*]] = "qb.hadamard"(%arg1) {run = 8 : i64}
// CHECK: "qb.append"(%{{.*}}, %[[K]]) {format = "i4g64"}
// CHECK: "qb.append"(%{{.*}}, %arg2) {format = "f16"}
// CHECK: %[[Q:.*]] = "qb.hadamard"(%arg0) {run = 8 : i64}
// CHECK: %[[Y:.*]] = "qb.attention"(%[[Q]],
// CHECK: return %[[Y]]

// values: rotated, and back; the longest group stands for a whole head
// VALUES-NOT: qb.hadamard
// VALUES: "qb.append"(%{{.*}}, %arg1) : (
// VALUES: %[[V:.*]] = "qb.hadamard"(%arg2) {run = 8 : i64}
// VALUES: "qb.append"(%{{.*}}, %[[V]]) {format = "i4g1024m"}
// VALUES: %[[Z:.*]] = "qb.attention"(%arg0,
// VALUES: %[[BACK:.*]] = "qb.hadamard"(%[[Z]]) {run = 8 : i64}
// VALUES: return %[[BACK]]

// WITHOUT-NOT: format
// WITHOUT-NOT: qb.hadamard

// FORMAT: -kv=trellis2g256: error: a cache cannot be of codes that are no whole numbers and no table's entries ('trellis2g256'); there are f32, f16,
// TABLES: error: there are no tables of vectors

// vectors: of the table that is there already
// VECTORS: "qb.append"(%{{.*}}, %arg2, %arg3) {format = "vq2x256row"}

// NOTHING: -kv=i8: error: the model has no attention

func.func @main(%q: tensor<?x48xf32>, %new_k: tensor<?x24xf32>, %new_v: tensor<?x24xf32>) -> tensor<?x48xf32> {
  %s = "qb.state"() {name = "kv.0.k"} : () -> tensor<?x24xf32>
  %k = "qb.append"(%s, %new_k) : (tensor<?x24xf32>, tensor<?x24xf32>) -> tensor<?x24xf32>
  %t = "qb.state"() {name = "kv.0.v"} : () -> tensor<?x24xf32>
  %v = "qb.append"(%t, %new_v) : (tensor<?x24xf32>, tensor<?x24xf32>) -> tensor<?x24xf32>
  %y = "qb.attention"(%q, %k, %v) {heads = 2 : i64, kv_heads = 1 : i64, head_dim = 24 : i64, scale = 1.0 : f32} : (tensor<?x48xf32>, tensor<?x24xf32>, tensor<?x24xf32>) -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}
