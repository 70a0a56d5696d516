// RUN: qbc-opt -recognise-linear-attention %s | FileCheck %s
// RUN: sed 's/(%value, %read)/(%value, %value)/' %s | qbc-opt -recognise-linear-attention - | FileCheck %s --check-prefix=KEEPS
// RUN: sed 's/"onnx.ReduceSum"(%asked/"onnx.ReduceMax"(%asked/' %s | not qbc-opt -recognise-linear-attention -check-graph - 2>&1 | FileCheck %s --check-prefix=SUM

// Gated DeltaNet (transformers' recurrent rule), one token: two heads with keys of 2 and values of 3; beta is twice a sigmoid.
// CHECK-LABEL: @main
// CHECK: %[[B:.*]] = "onnx.Mul"(%{{.*}}, %{{.*}}) : (tensor<1x2x1xf32>, tensor<f32>)
// CHECK: %[[S:.*]] = "qb.state"() {name = "linear"} : () -> tensor<?x12xf32>
// CHECK: "qb.linear_attention"(%[[S]], %[[Q:[^,]*]], %[[K:[^,]*]], %[[V:[^,]*]], %[[G:[^,]*]], %[[BETA:[^,]*]]) {betas = true, decays = true, delta = true, heads = 2 : i64, scale = 0.707106769 : f32}
// CHECK-NOT: onnx.Exp
// KEEPS-NOT: qb.linear_attention
// SUM: error: Add is not understood: a state of linear attention of which no sum with queries is made
func.func @main(%ids: tensor<1x1xi64> {qb.input = "tokens", qb.dims = ["1", "1"]},
                %past: tensor<1x2x2x3xf32> {qb.input = "past", qb.dims = ["1", "2", "2", "3"]}, %r: tensor<?x4xf32>, %m: tensor<4x4xf32>, %n: tensor<6x4xf32>, %p: tensor<2x4xf32>)
    -> (tensor<1x6xf32>, tensor<1x2x2x3xf32> {qb.output = "present", qb.past = 1 : i64}) {
  %column = "onnx.Constant"() {value = dense<[1, 2, 2, 1]> : tensor<4xi64>} : () -> tensor<4xi64>
  %values = "onnx.Constant"() {value = dense<[1, 2, 3]> : tensor<3xi64>} : () -> tensor<3xi64>
  %every = "onnx.Constant"() {value = dense<[1, 2, 1, 1]> : tensor<4xi64>} : () -> tensor<4xi64>
  %one = "onnx.Constant"() {value = dense<[1, 2, 1]> : tensor<3xi64>} : () -> tensor<3xi64>
  %row = "onnx.Constant"() {value = dense<[1, 2, 1, 3]> : tensor<4xi64>} : () -> tensor<4xi64>
  %flat = "onnx.Constant"() {value = dense<[1, 6]> : tensor<2xi64>} : () -> tensor<2xi64>
  %axis = "onnx.Constant"() {value = dense<[2]> : tensor<1xi64>} : () -> tensor<1xi64>
  %two = "onnx.Constant"() {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
  %scale = "onnx.Constant"() {value = dense<0.707106769> : tensor<f32>} : () -> tensor<f32>
  %q = "qb.linear"(%r, %m) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %k = "qb.linear"(%q, %m) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %v = "qb.linear"(%r, %n) : (tensor<?x4xf32>, tensor<6x4xf32>) -> tensor<?x6xf32>
  %g = "qb.linear"(%r, %p) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %b = "qb.linear"(%k, %p) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %beta = "qb.act"(%b) {act = "sigmoid"} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %beta1 = "onnx.Reshape"(%beta, %one) : (tensor<?x2xf32>, tensor<3xi64>) -> tensor<1x2x1xf32>
  %beta2 = "onnx.Mul"(%beta1, %two) : (tensor<1x2x1xf32>, tensor<f32>) -> tensor<1x2x1xf32>
  %g1 = "onnx.Reshape"(%g, %every) : (tensor<?x2xf32>, tensor<4xi64>) -> tensor<1x2x1x1xf32>
  %decay = "onnx.Exp"(%g1) : (tensor<1x2x1x1xf32>) -> tensor<1x2x1x1xf32>
  %key = "onnx.Reshape"(%k, %column) : (tensor<?x4xf32>, tensor<4xi64>) -> tensor<1x2x2x1xf32>
  %query = "onnx.Reshape"(%q, %column) : (tensor<?x4xf32>, tensor<4xi64>) -> tensor<1x2x2x1xf32>
  %scaled = "onnx.Mul"(%query, %scale) : (tensor<1x2x2x1xf32>, tensor<f32>) -> tensor<1x2x2x1xf32>
  %value = "onnx.Reshape"(%v, %values) : (tensor<?x6xf32>, tensor<3xi64>) -> tensor<1x2x3xf32>
  %kept = "onnx.Mul"(%past, %decay) : (tensor<1x2x2x3xf32>, tensor<1x2x1x1xf32>) -> tensor<1x2x2x3xf32>
  %met = "onnx.Mul"(%kept, %key) : (tensor<1x2x2x3xf32>, tensor<1x2x2x1xf32>) -> tensor<1x2x2x3xf32>
  %read = "onnx.ReduceSum"(%met, %axis) {keepdims = 0 : i64} : (tensor<1x2x2x3xf32>, tensor<1xi64>) -> tensor<1x2x3xf32>
  %left = "onnx.Sub"(%value, %read) : (tensor<1x2x3xf32>, tensor<1x2x3xf32>) -> tensor<1x2x3xf32>
  %u = "onnx.Mul"(%left, %beta2) : (tensor<1x2x3xf32>, tensor<1x2x1xf32>) -> tensor<1x2x3xf32>
  %u1 = "onnx.Reshape"(%u, %row) : (tensor<1x2x3xf32>, tensor<4xi64>) -> tensor<1x2x1x3xf32>
  %into = "onnx.Mul"(%key, %u1) : (tensor<1x2x2x1xf32>, tensor<1x2x1x3xf32>) -> tensor<1x2x2x3xf32>
  %next = "onnx.Add"(%kept, %into) : (tensor<1x2x2x3xf32>, tensor<1x2x2x3xf32>) -> tensor<1x2x2x3xf32>
  %asked = "onnx.Mul"(%next, %scaled) : (tensor<1x2x2x3xf32>, tensor<1x2x2x1xf32>) -> tensor<1x2x2x3xf32>
  %y = "onnx.ReduceSum"(%asked, %axis) {keepdims = 0 : i64} : (tensor<1x2x2x3xf32>, tensor<1xi64>) -> tensor<1x2x3xf32>
  %out = "onnx.Reshape"(%y, %flat) : (tensor<1x2x3xf32>, tensor<2xi64>) -> tensor<1x6xf32>
  return %out, %next : tensor<1x6xf32>, tensor<1x2x2x3xf32>
}
