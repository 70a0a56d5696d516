// RUN: qbc-opt -recognise-join %s | FileCheck %s
// RUN: sed 's/axis = -1/axis = 1/; s/tensor<1x?x20xf32>/tensor<1x?x8xf32>/' %s | not qbc-opt -recognise-join -check-graph - 2>&1 | FileCheck %s --check-prefix=KEEPS

// The residual stream and the embedding (Zamba 2): an attention block reads both. Tokens behind tokens are no such thing.
// CHECK: %[[A:.*]] = "qb.linear"
// CHECK: %[[B:.*]] = "qb.linear"
// CHECK: %[[Y:.*]] = "qb.heads"(%[[A]], %[[B]]) {head_dim = 20 : i64, heads = 1 : i64, runs = array<i64: 0, 0, 0, 1, 8, 1, 0, 0, 1, 12>}
// CHECK-NOT: onnx.Concat
// KEEPS: error: Concat is not understood: no pattern has it here
func.func @main(%x: tensor<?x8xf32>, %v: tensor<8x8xf32>, %w: tensor<12x8xf32>) -> tensor<1x?x20xf32> {
  %batch = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %wide = "onnx.Constant"() {value = dense<[1, -1, 12]> : tensor<3xi64>} : () -> tensor<3xi64>
  %a = "qb.linear"(%x, %v) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %b = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<12x8xf32>) -> tensor<?x12xf32>
  %a3 = "onnx.Reshape"(%a, %batch) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %b3 = "onnx.Reshape"(%b, %wide) : (tensor<?x12xf32>, tensor<3xi64>) -> tensor<1x?x12xf32>
  %y = "onnx.Concat"(%a3, %b3) {axis = -1 : i64} : (tensor<1x?x8xf32>, tensor<1x?x12xf32>) -> tensor<1x?x20xf32>
  return %y : tensor<1x?x20xf32>
}
