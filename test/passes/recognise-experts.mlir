// RUN: qbc-opt -recognise-experts %s | FileCheck %s
// RUN: sed 's/onnx.Softmax/onnx.Sin/' %s | qbc-opt -recognise-experts - | FileCheck %s --check-prefix=KEEPS

// Mixtral (transformers' batched experts, dynamo): 2 of 4 experts, whose matrices [N, K] are gathered for each token and choice. Gate and
// value are rows of one matrix. Experts chosen by something else than the largest scores stay, with a reason.
// CHECK-LABEL: @main
// CHECK: %[[X:.*]] = "qb.linear"(%arg1
// CHECK: %[[L:.*]] = "qb.linear"(%[[X]], %{{.*}}) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
// CHECK: %[[R:.*]] = "qb.route"(%[[L]]) {normalise = true, scale = 1.000000e+00 : f32, score = "softmax", top = 2 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
// CHECK: %[[G:.*]] = "qb.weight"() {name = "up", offset = 0 : i64, runs = array<i64: 3, 24>, source = "up", strides = array<i64: 4, 1>} : () -> tensor<12x4xf32>
// CHECK: "qb.expert_linear"(%[[X]], %[[G]], %[[R]]) {experts = 4 : i64, top = 2 : i64} : (tensor<?x4xf32>, tensor<12x4xf32>, tensor<?x4xf32>) -> tensor<?x6xf32>
// CHECK: %[[V:.*]] = "qb.weight"() {name = "up", offset = 12 : i64, runs = array<i64: 3, 24>, source = "up", strides = array<i64: 4, 1>} : () -> tensor<12x4xf32>
// CHECK: "qb.expert_linear"(%[[X]], %[[V]], %[[R]])
// CHECK: %[[D:.*]] = "qb.weight"() {name = "down", offset = 0 : i64, source = "down", strides = array<i64: 3, 1>} : () -> tensor<16x3xf32>
// CHECK: %[[Y:.*]] = "qb.expert_linear"(%{{.*}}, %[[D]], %[[R]]) {{.*}} -> tensor<?x8xf32>
// CHECK: "qb.combine"(%[[Y]], %[[R]]) {top = 2 : i64} : (tensor<?x8xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
// CHECK-NOT: onnx.TopK
// KEEPS-NOT: qb.expert_linear
// KEEPS: onnx.MatMul{{.*}}qb.miss = "the experts are not those of the largest softmax or sigmoid of a router's logits"
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}, %r: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %square = "qb.weight"() {name = "a", source = "a", offset = 0 : i64, strides = array<i64: 4, 1>} : () -> tensor<4x4xf32>
  %router = "qb.weight"() {name = "router", source = "router", offset = 0 : i64, strides = array<i64: 4, 1>} : () -> tensor<4x4xf32>
  %up = "qb.weight"() {name = "up", source = "up", offset = 0 : i64, strides = array<i64: 24, 4, 1>} : () -> tensor<4x6x4xf32>
  %down = "qb.weight"() {name = "down", source = "down", offset = 0 : i64, strides = array<i64: 12, 3, 1>} : () -> tensor<4x4x3xf32>
  %top = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %one = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
  %last = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %twice = "onnx.Constant"() {value = dense<[1, 2, 1]> : tensor<3xi64>} : () -> tensor<3xi64>
  %column = "onnx.Constant"() {value = dense<[-1, 4, 1]> : tensor<3xi64>} : () -> tensor<3xi64>
  %slots = "onnx.Constant"() {value = dense<[-1, 1]> : tensor<2xi64>} : () -> tensor<2xi64>
  %halves = "onnx.Constant"() {value = dense<[3, 3]> : tensor<2xi64>} : () -> tensor<2xi64>
  %each = "onnx.Constant"() {value = dense<[-1, 2, 4]> : tensor<3xi64>} : () -> tensor<3xi64>
  %x = "qb.linear"(%r, %square) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %l = "qb.linear"(%x, %router) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %p = "onnx.Softmax"(%l) {axis = -1 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %w0, %i = "onnx.TopK"(%p, %top) {axis = -1 : i64} : (tensor<?x4xf32>, tensor<1xi64>) -> (tensor<?x2xf32>, tensor<?x2xi64>)
  %total = "onnx.ReduceSum"(%w0, %last) {keepdims = 1 : i64} : (tensor<?x2xf32>, tensor<1xi64>) -> tensor<?x1xf32>
  %w = "onnx.Div"(%w0, %total) : (tensor<?x2xf32>, tensor<?x1xf32>) -> tensor<?x2xf32>
  %x3 = "onnx.Unsqueeze"(%x, %one) : (tensor<?x4xf32>, tensor<1xi64>) -> tensor<?x1x4xf32>
  %xx = "onnx.Expand"(%x3, %twice) : (tensor<?x1x4xf32>, tensor<3xi64>) -> tensor<?x2x4xf32>
  %xs = "onnx.Reshape"(%xx, %column) : (tensor<?x2x4xf32>, tensor<3xi64>) -> tensor<?x4x1xf32>
  %choice = "onnx.Reshape"(%i, %slots) : (tensor<?x2xi64>, tensor<2xi64>) -> tensor<?x1xi64>
  %ups = "onnx.GatherND"(%up, %choice) {batch_dims = 0 : i64} : (tensor<4x6x4xf32>, tensor<?x1xi64>) -> tensor<?x6x4xf32>
  %u3 = "onnx.MatMul"(%ups, %xs) : (tensor<?x6x4xf32>, tensor<?x4x1xf32>) -> tensor<?x6x1xf32>
  %u = "onnx.Squeeze"(%u3, %last) : (tensor<?x6x1xf32>, tensor<1xi64>) -> tensor<?x6xf32>
  %g, %v = "onnx.Split"(%u, %halves) {axis = 1 : i64} : (tensor<?x6xf32>, tensor<2xi64>) -> (tensor<?x3xf32>, tensor<?x3xf32>)
  %s = "onnx.Sigmoid"(%g) : (tensor<?x3xf32>) -> tensor<?x3xf32>
  %gs = "onnx.Mul"(%g, %s) : (tensor<?x3xf32>, tensor<?x3xf32>) -> tensor<?x3xf32>
  %h = "onnx.Mul"(%gs, %v) : (tensor<?x3xf32>, tensor<?x3xf32>) -> tensor<?x3xf32>
  %h3 = "onnx.Unsqueeze"(%h, %last) : (tensor<?x3xf32>, tensor<1xi64>) -> tensor<?x3x1xf32>
  %downs = "onnx.GatherND"(%down, %choice) {batch_dims = 0 : i64} : (tensor<4x4x3xf32>, tensor<?x1xi64>) -> tensor<?x4x3xf32>
  %y3 = "onnx.MatMul"(%downs, %h3) : (tensor<?x4x3xf32>, tensor<?x3x1xf32>) -> tensor<?x4x1xf32>
  %w1 = "onnx.Reshape"(%w, %slots) : (tensor<?x2xf32>, tensor<2xi64>) -> tensor<?x1xf32>
  %ys = "onnx.Squeeze"(%y3, %last) : (tensor<?x4x1xf32>, tensor<1xi64>) -> tensor<?x4xf32>
  %weighted = "onnx.Mul"(%ys, %w1) : (tensor<?x4xf32>, tensor<?x1xf32>) -> tensor<?x4xf32>
  %parts = "onnx.Reshape"(%weighted, %each) : (tensor<?x4xf32>, tensor<3xi64>) -> tensor<?x2x4xf32>
  %sum = "onnx.ReduceSum"(%parts, %one) {keepdims = 0 : i64} : (tensor<?x2x4xf32>, tensor<1xi64>) -> tensor<?x4xf32>
  return %sum : tensor<?x4xf32>
}
