// RUN: qbc-opt -recognise-gqa %s | FileCheck %s
// RUN: sed 's/0.540302306, 0.877582562/0.540302306, 0.9/' %s | not qbc-opt -recognise-gqa -check-graph - 2>&1 | FileCheck %s --check-prefix=TABLE
// RUN: sed 's/do_rotary = 1/do_rotary = 1 : i64, softcap = 5.0 : f32, x = 1/' %s | not qbc-opt -recognise-gqa -check-graph - 2>&1 | FileCheck %s --check-prefix=CAP
// RUN: sed 's/"onnx.Sub"/"onnx.Add"/' %s | not qbc-opt -recognise-gqa -check-graph - 2>&1 | FileCheck %s --check-prefix=LENGTHS

// The tables hold cosines and sines of p and of p / 2, for three positions.
// CHECK: module attributes {qb.context = 3 : i64}
// CHECK-LABEL: @main
// CHECK: %[[X:.*]] = "qb.linear"
// CHECK: %[[KV:.*]] = "qb.linear"
// CHECK: %[[Q:.*]] = "qb.rope"(%[[X]]) {head_dim = 4 : i64, pairing = "half", rotary_dim = 4 : i64, theta = 4.000000e+00 : f32}
// CHECK: %[[R:.*]] = "qb.rope"(%[[KV]]) {{.*}}theta = 4.000000e+00 : f32}
// CHECK: %[[K:.*]] = "qb.append"(%arg1, %[[R]])
// CHECK: %[[V:.*]] = "qb.append"(%arg2, %[[KV]])
// CHECK: %[[Y:.*]] = "qb.attention"(%[[Q]], %[[K]], %[[V]]) {head_dim = 4 : i64, heads = 2 : i64, kv_heads = 1 : i64, scale = 5.000000e-01 : f32, window = 7 : i64}
// CHECK: %[[OUT:.*]] = "onnx.Reshape"(%[[Y]]
// CHECK: return %[[OUT]], %[[K]], %[[V]]
// TABLE: error: com.microsoft.GroupQueryAttention is not understood: its rotary tables hold no rotation
// CAP: error: com.microsoft.GroupQueryAttention is not understood: a soft cap or smooth softmax is not supported
// LENGTHS: error: com.microsoft.GroupQueryAttention is not understood: its sequence lengths or positions are not those of unpadded tokens
func.func @main(%x: tensor<?x8xf32>, %past_k: tensor<1x1x?x4xf32> {qb.input = "past", qb.dims = ["1", "1", "P", "4"]},
                %past_v: tensor<1x1x?x4xf32> {qb.input = "past", qb.dims = ["1", "1", "P", "4"]},
                %mask: tensor<1x?xi64> {qb.input = "mask", qb.dims = ["1", "P + T"]}, %w: tensor<8x8xf32>, %kw: tensor<4x8xf32>)
    -> (tensor<1x?x8xf32>, tensor<1x1x?x4xf32> {qb.output = "present", qb.past = 1 : i64}, tensor<1x1x?x4xf32> {qb.output = "present", qb.past = 2 : i64}) {
  %q = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %kv = "qb.linear"(%x, %kw) : (tensor<?x8xf32>, tensor<4x8xf32>) -> tensor<?x4xf32>
  %q_shape = "onnx.Constant"() {value = dense<[1, -1, 8]> : tensor<3xi64>} : () -> tensor<3xi64>
  %kv_shape = "onnx.Constant"() {value = dense<[1, -1, 4]> : tensor<3xi64>} : () -> tensor<3xi64>
  %q3 = "onnx.Reshape"(%q, %q_shape) : (tensor<?x8xf32>, tensor<3xi64>) -> tensor<1x?x8xf32>
  %kv3 = "onnx.Reshape"(%kv, %kv_shape) : (tensor<?x4xf32>, tensor<3xi64>) -> tensor<1x?x4xf32>
  %one = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
  %sum = "onnx.ReduceSum"(%mask, %one) {keepdims = 0 : i64} : (tensor<1x?xi64>, tensor<1xi64>) -> tensor<1xi64>
  %last = "onnx.Sub"(%sum, %one) : (tensor<1xi64>, tensor<1xi64>) -> tensor<1xi64>
  %cos = "onnx.Constant"() {value = dense<[[1.0, 1.0], [0.540302306, 0.877582562], [-0.416146837, 0.540302306]]> : tensor<3x2xf32>} : () -> tensor<3x2xf32>
  %sin = "onnx.Constant"() {value = dense<[[0.0, 0.0], [0.841470985, 0.479425539], [0.909297427, 0.841470985]]> : tensor<3x2xf32>} : () -> tensor<3x2xf32>
  %y, %k, %v = "onnx.com.microsoft.GroupQueryAttention"(%q3, %kv3, %kv3, %past_k, %past_v, %last, %sum, %cos, %sin) {num_heads = 2 : i64, kv_num_heads = 1 : i64, do_rotary = 1 : i64, local_window_size = 7 : i64}
      : (tensor<1x?x8xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x1x?x4xf32>, tensor<1x1x?x4xf32>, tensor<1xi64>, tensor<1xi64>, tensor<3x2xf32>, tensor<3x2xf32>) -> (tensor<1x?x8xf32>, tensor<1x1x?x4xf32>, tensor<1x1x?x4xf32>)
  return %y, %k, %v : tensor<1x?x8xf32>, tensor<1x1x?x4xf32>, tensor<1x1x?x4xf32>
}
