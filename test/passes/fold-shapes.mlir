// RUN: qbc-opt -fold-shapes %s 2>%t.err | FileCheck %s
// RUN: FileCheck --check-prefix=WARN %s < %t.err
// RUN: echo 'module {}' | not qbc-opt -fold-shapes - 2>&1 | FileCheck --check-prefix=ERROR %s
//
// ERROR: error: there is no function @main

module attributes {qb.level = "onnx", qb.opset = ["=18"]} {
  // CHECK: func.func @main
  // CHECK-SAME: -> (tensor<1x4x?x16xf32> {{.*}}, tensor<1x1x?x?xi1>, tensor<1x2x?x16xf32>, tensor<*xf32>)
  func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]},
                  %mask: tensor<1x?xi64> {qb.input = "mask", qb.dims = ["1", "P + T"]},
                  %past: tensor<1x2x?x16xf32> {qb.input = "past", qb.dims = ["1", "2", "P", "16"]},
                  %x: tensor<*xf32> {qb.input = "past", qb.dims = ["1", "T", "64"]})
      -> (tensor<*xf32> {qb.output = "logits"}, tensor<*xi1>, tensor<*xf32>, tensor<*xf32>) {
    %zero = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
    %one = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
    %two = "onnx.Constant"() {value = dense<2> : tensor<i64>} : () -> tensor<i64>
    %axis = "onnx.Constant"() {value = dense<0> : tensor<1xi64>} : () -> tensor<1xi64>
    %last = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>

    // A chain that computes a shape becomes an attribute; what does nothing goes.
    // CHECK-NOT: onnx.Cast
    // CHECK-NOT: onnx.Shape
    // CHECK: %[[R:.*]] = "onnx.Reshape"(%arg3) {shape = ["1", "T", "4", "16"]} : (tensor<1x?x64xf32>) -> tensor<1x?x4x16xf32>
    // CHECK: %[[Y:.*]] = "onnx.Transpose"(%[[R]]) {{.*}} -> tensor<1x4x?x16xf32>
    %x32 = "onnx.Cast"(%x) {to = 1 : i64} : (tensor<*xf32>) -> tensor<*xf32>
    %shape = "onnx.Shape"(%x32) : (tensor<*xf32>) -> tensor<3xi64>
    %tokens = "onnx.Gather"(%shape, %one) {axis = 0 : i64} : (tensor<3xi64>, tensor<i64>) -> tensor<*xi64>
    %tokens1 = "onnx.Unsqueeze"(%tokens, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
    %head = "onnx.Constant"() {value = dense<16> : tensor<1xi64>} : () -> tensor<1xi64>
    %batch = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
    %to = "onnx.Concat"(%batch, %tokens1, %last, %head) {axis = 0 : i64} : (tensor<1xi64>, tensor<*xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<4xi64>
    %heads = "onnx.Reshape"(%x32, %to) : (tensor<*xf32>, tensor<4xi64>) -> tensor<*xf32>
    %y = "onnx.Transpose"(%heads) {perm = array<i64: 0, 2, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>

    // A mask depends on T: it stays, with bounds as sums of P and T.
    // CHECK: %[[ALL:.*]] = "onnx.Range"() {delta = "1", limit = "P + T", start = "0"} : () -> tensor<?xi64>
    // CHECK: "onnx.LessOrEqual"(%[[ALL]], %{{.*}}) {{.*}} -> tensor<?x?xi1>
    // CHECK: "onnx.Reshape"({{.*}}shape = ["1", "1", "T", "P + T"]
    %past_shape = "onnx.Shape"(%past) : (tensor<1x2x?x16xf32>) -> tensor<4xi64>
    %n_past = "onnx.Gather"(%past_shape, %two) {axis = 0 : i64} : (tensor<4xi64>, tensor<i64>) -> tensor<i64>
    %total = "onnx.Add"(%n_past, %tokens) : (tensor<i64>, tensor<*xi64>) -> tensor<*xi64>
    %columns = "onnx.Range"(%zero, %total, %one) : (tensor<i64>, tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
    %rows = "onnx.Range"(%n_past, %total, %one) : (tensor<i64>, tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
    %rows1 = "onnx.Unsqueeze"(%rows, %last) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
    %sees = "onnx.LessOrEqual"(%columns, %rows1) : (tensor<*xi64>, tensor<*xi64>) -> tensor<*xi1>
    %mask_shape = "onnx.Concat"(%batch, %batch, %tokens1, %last) {axis = 0 : i64} : (tensor<1xi64>, tensor<1xi64>, tensor<*xi64>, tensor<1xi64>) -> tensor<4xi64>
    %visible = "onnx.Reshape"(%sees, %mask_shape) : (tensor<*xi1>, tensor<4xi64>) -> tensor<*xi1>

    // Numbers that are the same for every T and P are a constant: 1 / sqrt(head size).
    // CHECK: %[[SCALE:.*]] = "onnx.Constant"() {value = dense<2.500000e-01> : tensor<f32>}
    // CHECK: "onnx.Mul"(%arg2, %[[SCALE]])
    %three = "onnx.Constant"() {value = dense<3> : tensor<i64>} : () -> tensor<i64>
    %size = "onnx.Gather"(%past_shape, %three) : (tensor<4xi64>, tensor<i64>) -> tensor<i64>
    %size32 = "onnx.Cast"(%size) {to = 1 : i64} : (tensor<i64>) -> tensor<*xf32>
    %root = "onnx.Sqrt"(%size32) : (tensor<*xf32>) -> tensor<*xf32>
    %scale = "onnx.Reciprocal"(%root) : (tensor<*xf32>) -> tensor<*xf32>
    %scaled = "onnx.Mul"(%past, %scale) : (tensor<1x2x?x16xf32>, tensor<*xf32>) -> tensor<*xf32>

    // Slices: bounds from the front and inside; a Slice of everything goes.
    // CHECK: %[[HALF:.*]] = "onnx.Slice"(%{{.*}}) {axes = ["3"], ends = ["16"], starts = ["8"], steps = ["1"]} {{.*}} -> tensor<1x2x?x8xf32>
    // CHECK-NOT: onnx.Slice
    // CHECK: "onnx.Concat"(%[[HALF]], %[[HALF]])
    %middle = "onnx.Constant"() {value = dense<-8> : tensor<1xi64>} : () -> tensor<1xi64>
    %far = "onnx.Constant"() {value = dense<9223372036854775807> : tensor<1xi64>} : () -> tensor<1xi64>
    %half = "onnx.Slice"(%scaled, %middle, %far, %last) : (tensor<*xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<*xf32>
    %whole = "onnx.Slice"(%half, %axis, %far, %last) : (tensor<*xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<*xf32>
    %pair = "onnx.Concat"(%whole, %half) {axis = -1 : i64} : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>

    // What cannot be evaluated stays as it is, and the first of its kind is told.
    // CHECK: %[[ODD:.*]] = "onnx.Mystery"(%arg3) : (tensor<1x?x64xf32>) -> tensor<*xf32>
    // CHECK: "onnx.Neg"(%[[ODD]]) : (tensor<*xf32>) -> tensor<*xf32>
    // WARN: fold-shapes.mlir:[[#@LINE+2]]:12: warning: Mystery: the shape of its result cannot be told: the operation is not known to the evaluator
    // WARN-NOT: warning
    %odd = "onnx.Mystery"(%x) : (tensor<*xf32>) -> tensor<*xf32>
    %neg = "onnx.Neg"(%odd) : (tensor<*xf32>) -> tensor<*xf32>
    return %y, %visible, %pair, %neg : tensor<*xf32>, tensor<*xi1>, tensor<*xf32>, tensor<*xf32>
  }
}
