// RUN: split-file %s %t
// RUN: qbc-opt -unpack-attention %t/does.mlir | FileCheck %s
// RUN: qbc-opt -unpack-attention -recognise-attention %t/does.mlir | FileCheck %s --check-prefix=THEN
// RUN: not qbc-opt -unpack-attention -check-graph %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

//--- does.mlir
// CHECK-LABEL: @main
func.func @main(%q: tensor<1x4x?x8xf32> {qb.input = "past", qb.dims = ["1", "4", "T", "8"]},
                %kv: tensor<1x2x?x8xf32> {qb.input = "past", qb.dims = ["1", "2", "T", "8"]},
                %past: tensor<1x2x?x8xf32> {qb.input = "past", qb.dims = ["1", "2", "P", "8"]},
                %qkv: tensor<1x?x32xf32> {qb.input = "past", qb.dims = ["1", "T", "32"]})
    -> (tensor<1x?x4x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x?x16xf32>) {
  // With a past, causal, each key head for two query heads.
  // CHECK: %[[K:.*]] = "onnx.Concat"(%arg2, %arg1) {axis = 2 : i64}
  // CHECK: "onnx.Gather"(%[[K]], %{{.*}}) {axis = 1 : i64}
  // CHECK: %[[V:.*]] = "onnx.Concat"(%arg2, %arg1)
  // CHECK: %[[S:.*]] = "onnx.MatMul"(%arg0,
  // CHECK: "onnx.Mul"(%[[S]],
  // CHECK: "onnx.Trilu"
  // CHECK: %[[P:.*]] = "onnx.Softmax"
  // CHECK: %[[Y:.*]] = "onnx.MatMul"(%[[P]]
  // CHECK: "onnx.Transpose"(%[[Y]])
  // THEN: "qb.attention"({{.*}}) {head_dim = 8 : i64, heads = 4 : i64, kv_heads = 4 : i64, scale = 2.500000e-01 : f32}
  %none = "onnx.None"() : () -> none
  %y, %k, %v = "onnx.Attention"(%q, %kv, %kv, %none, %past, %past) {is_causal = 1 : i64, scale = 0.25 : f32}
      : (tensor<1x4x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>, none, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>) -> (tensor<1x4x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>)

  %side = "onnx.Transpose"(%y) {perm = array<i64: 0, 2, 1, 3>} : (tensor<1x4x?x8xf32>) -> tensor<1x?x4x8xf32>

  // Query, key and value in one operand.
  // CHECK: %[[SIZES:.*]] = "onnx.Constant"() {value = dense<[16, 8, 8]> : tensor<3xi64>}
  // CHECK: %[[PARTS:.*]]:3 = "onnx.Split"(%arg3, %[[SIZES]]) {axis = -1 : i64}
  // CHECK: "onnx.com.microsoft.GroupQueryAttention"(%[[PARTS]]#0, %[[PARTS]]#1, %[[PARTS]]#2)
  // CHECK: return %{{.*}}, %[[K]], %[[V]]
  %g = "onnx.com.microsoft.GroupQueryAttention"(%qkv, %none, %none) {num_heads = 4 : i64, kv_num_heads = 2 : i64} : (tensor<1x?x32xf32>, none, none) -> tensor<1x?x16xf32>
  return %side, %k, %v, %g : tensor<1x?x4x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x?x16xf32>
}

//--- complains.mlir
// COMPLAINS: error: Attention is not understood: a soft cap, lengths of valid keys, or scores as a result are not supported
// COMPLAINS: error: Attention is not understood: 3 query heads and 2 key heads do not fit
func.func @main(%q: tensor<1x3x?x8xf32> {qb.input = "past", qb.dims = ["1", "3", "T", "8"]},
                %kv: tensor<1x2x?x8xf32> {qb.input = "past", qb.dims = ["1", "2", "T", "8"]}) -> (tensor<1x3x?x8xf32>, tensor<1x3x?x8xf32>) {
  %y = "onnx.Attention"(%q, %q, %q) {softcap = 30.0 : f32} : (tensor<1x3x?x8xf32>, tensor<1x3x?x8xf32>, tensor<1x3x?x8xf32>) -> tensor<1x3x?x8xf32>
  %z = "onnx.Attention"(%q, %kv, %kv) : (tensor<1x3x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>) -> tensor<1x3x?x8xf32>
  return %y, %z : tensor<1x3x?x8xf32>, tensor<1x3x?x8xf32>
}
