// RUN: split-file %s %t
// RUN: qbc-opt -derive-cache %t/with.mlir | FileCheck %s
// RUN: qbc-opt -derive-cache %t/without.mlir | FileCheck %s
// RUN: not qbc-opt -derive-cache %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

// An export with a cache and one without give the same.

// CHECK: module attributes {qb.level = "graph", qb.vocab = 32 : i64}
// CHECK: func.func @main(%arg0: tensor<?xi32>) -> tensor<?x32xf32>
// CHECK: "qb.embed"(%arg0,
// CHECK-DAG: %[[SK:.*]] = "qb.state"() {block = 3 : i64, name = "kv.3.k"} : () -> tensor<?x8xf32>
// CHECK-DAG: %[[K:.*]] = "qb.append"(%[[SK]], %{{.*}}) {block = 3 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
// CHECK-DAG: %[[SV:.*]] = "qb.state"() {block = 3 : i64, name = "kv.3.v"} : () -> tensor<?x8xf32>
// CHECK-DAG: %[[V:.*]] = "qb.append"(%[[SV]], %{{.*}}) {block = 3 : i64}
// CHECK: "qb.attention"(%{{.*}}, %[[K]], %[[V]])
// CHECK: return %{{.*}} : tensor<?x32xf32>

//--- with.mlir
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.name = "input_ids"}, %mask: tensor<1x?xi64> {qb.input = "mask"},
                %past_k: tensor<1x1x?x8xf32> {qb.input = "past"}, %past_v: tensor<1x1x?x8xf32> {qb.input = "past"})
    -> (tensor<?x8xf32> {qb.output = "present", qb.past = 2 : i64}, tensor<?x8xf32> {qb.output = "present", qb.past = 3 : i64}, tensor<1x?x32xf32> {qb.output = "logits"}) {
  %w = "qb.weight"() {name = "embed"} : () -> tensor<32x8xf32>
  %x = "qb.embed"(%ids, %w) : (tensor<1x?xi64>, tensor<32x8xf32>) -> tensor<?x8xf32>
  %k = "qb.append"(%past_k, %x) {block = 3 : i64} : (tensor<1x1x?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %v = "qb.append"(%past_v, %x) {block = 3 : i64} : (tensor<1x1x?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %a = "qb.attention"(%x, %k, %v) {block = 3 : i64, heads = 1 : i64, kv_heads = 1 : i64, head_dim = 8 : i64, scale = 1.0 : f32} : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = "qb.linear"(%a, %w) : (tensor<?x8xf32>, tensor<32x8xf32>) -> tensor<?x32xf32>
  %batch = "onnx.Constant"() {value = dense<[1, -1, 32]> : tensor<3xi64>} : () -> tensor<3xi64>
  %logits = "onnx.Reshape"(%y, %batch) : (tensor<?x32xf32>, tensor<3xi64>) -> tensor<1x?x32xf32>
  return %k, %v, %logits : tensor<?x8xf32>, tensor<?x8xf32>, tensor<1x?x32xf32>
}

//--- without.mlir
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.name = "input_ids"}) -> (tensor<1x?x32xf32> {qb.output = "logits"}) {
  %w = "qb.weight"() {name = "embed"} : () -> tensor<32x8xf32>
  %x = "qb.embed"(%ids, %w) : (tensor<1x?xi64>, tensor<32x8xf32>) -> tensor<?x8xf32>
  %a = "qb.attention"(%x, %x, %x) {block = 3 : i64, heads = 1 : i64, kv_heads = 1 : i64, head_dim = 8 : i64, scale = 1.0 : f32} : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = "qb.linear"(%a, %w) : (tensor<?x8xf32>, tensor<32x8xf32>) -> tensor<?x32xf32>
  %batch = "onnx.Constant"() {value = dense<[1, -1, 32]> : tensor<3xi64>} : () -> tensor<3xi64>
  %logits = "onnx.Reshape"(%y, %batch) : (tensor<?x32xf32>, tensor<3xi64>) -> tensor<1x?x32xf32>
  return %logits : tensor<1x?x32xf32>
}

//--- complains.mlir
// COMPLAINS: error: the model's input 'pixels' still matters; only token ids can be given to a compiled model
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.name = "input_ids"}, %more: tensor<?x8xf32> {qb.name = "pixels"}) -> (tensor<?x8xf32> {qb.output = "logits"}) {
  %w = "qb.weight"() {name = "embed"} : () -> tensor<32x8xf32>
  %x = "qb.embed"(%ids, %w) : (tensor<1x?xi64>, tensor<32x8xf32>) -> tensor<?x8xf32>
  %y = arith.addf %x, %more : tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
