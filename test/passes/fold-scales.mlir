// RUN: split-file %s %t
// RUN: qbc-opt -fold-scales %t/right.mlir | FileCheck %s
// RUN: not qbc-opt -fold-scales %t/wrong.mlir 2>&1 | FileCheck %s --check-prefix=ERROR

//--- right.mlir
// CHECK-LABEL: @norm
// CHECK: %[[G:.*]] = "qb.weight"() {changes = [{scale = array<f32: 5.000000e-01, 4.000000e+00>}], name = "g"
// CHECK-NEXT: %[[N:.*]] = "qb.rms_norm"(%arg0, %[[G]])
// CHECK-NEXT: return %[[N]]
func.func @norm(%x: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %g = "qb.weight"() {name = "g", source = "g", offset = 0 : i64, strides = array<i64: 1>} : () -> tensor<2xf32>
  %map = "qb.weight"() {name = "map", values = array<f32: 0.5, 4.0>} : () -> tensor<2xf32>
  %n = "qb.rms_norm"(%x, %g) {eps = 1.0e-5 : f32} : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  %s = "qb.scale"(%n, %map) : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  return %s : tensor<?x2xf32>
}

// through the gate, and through a bias, to the rows of the product before; behind an earlier change
// CHECK-LABEL: @gated
// CHECK-DAG: "qb.weight"() {changes = [{rotate = 2 : i64}, {along = "rows", scale = array<f32: 2.000000e+00, 3.000000e+00>}], name = "up"
// CHECK-DAG: "qb.weight"() {changes = [{scale = array<f32: 2.000000e+00, 3.000000e+00>}], name = "b"
// CHECK: %[[Y:.*]] = "qb.glu"
// CHECK-NEXT: return %[[Y]]
func.func @gated(%x: tensor<?x2xf32>, %gate: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %w = "qb.weight"() {name = "up", changes = [{rotate = 2 : i64}]} : () -> tensor<2x2xf32>
  %b = "qb.weight"() {name = "b"} : () -> tensor<2xf32>
  %map = "qb.weight"() {name = "map", values = array<f32: 2.0, 3.0>} : () -> tensor<2xf32>
  %p = "qb.linear"(%x, %w) : (tensor<?x2xf32>, tensor<2x2xf32>) -> tensor<?x2xf32>
  %u = "qb.bias"(%p, %b) : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  %y = "qb.glu"(%gate, %u) {act = "silu"} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %s = "qb.scale"(%y, %map) : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  return %s : tensor<?x2xf32>
}

// two heads of queries, one of values: what the values are multiplied by
// CHECK-LABEL: @attention
// CHECK: "qb.weight"() {changes = [{along = "rows", scale = array<f32: 2.000000e+00, 3.000000e+00>}], name = "v"
// CHECK-NOT: qb.scale
// CHECK: return
func.func @attention(%q: tensor<?x4xf32>, %k: tensor<?x2xf32>, %x: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %w = "qb.weight"() {name = "v"} : () -> tensor<2x2xf32>
  %map = "qb.weight"() {name = "map", values = array<f32: 2.0, 3.0, 2.0, 3.0>} : () -> tensor<4xf32>
  %v = "qb.linear"(%x, %w) : (tensor<?x2xf32>, tensor<2x2xf32>) -> tensor<?x2xf32>
  %state = "qb.state"() {name = "kv.0.v"} : () -> tensor<?x2xf32>
  %all = "qb.append"(%state, %v) : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %y = "qb.attention"(%q, %k, %all) {heads = 2 : i64, kv_heads = 1 : i64, head_dim = 2 : i64, scale = 1.0 : f32} : (tensor<?x4xf32>, tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x4xf32>
  %s = "qb.scale"(%y, %map) : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  return %s : tensor<?x4xf32>
}

// heads that do not agree; a row that something else reads; a weight that is used twice; a function that is not linear
// CHECK-LABEL: @kept
// CHECK-COUNT-4: "qb.scale"
func.func @kept(%q: tensor<?x4xf32>, %k: tensor<?x2xf32>, %v: tensor<?x2xf32>, %g: tensor<2xf32>) -> tensor<?x2xf32> {
  %map4 = "qb.weight"() {name = "map4", values = array<f32: 2.0, 3.0, 2.0, 4.0>} : () -> tensor<4xf32>
  %map = "qb.weight"() {name = "map", values = array<f32: 2.0, 3.0>} : () -> tensor<2xf32>
  %w = "qb.weight"() {name = "w"} : () -> tensor<2x4xf32>
  %a = "qb.attention"(%q, %k, %v) {heads = 2 : i64, kv_heads = 1 : i64, head_dim = 2 : i64, scale = 1.0 : f32} : (tensor<?x4xf32>, tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x4xf32>
  %s = "qb.scale"(%a, %map4) : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  %one = "qb.linear"(%s, %w) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %t = "qb.scale"(%one, %map) : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  %two = "qb.linear"(%s, %w) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %u = "qb.scale"(%two, %map) : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  %x = "qb.act"(%u) {act = "silu"} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %y = "qb.scale"(%x, %map) : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  %sum = arith.addf %y, %t : tensor<?x2xf32>
  return %sum : tensor<?x2xf32>
}

//--- wrong.mlir
// ERROR: error: 3 numbers for rows of 2 columns
func.func @wrong(%x: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %map = "qb.weight"() {name = "map", values = array<f32: 2.0, 3.0, 4.0>} : () -> tensor<3xf32>
  %s = "qb.scale"(%x, %map) : (tensor<?x2xf32>, tensor<3xf32>) -> tensor<?x2xf32>
  return %s : tensor<?x2xf32>
}
