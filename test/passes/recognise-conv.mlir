// RUN: split-file %s %t
// RUN: qbc-opt -recognise-conv %t/step.mlir | FileCheck %s
// RUN: qbc-opt -recognise-conv %t/product.mlir | FileCheck %s --check-prefix=PRODUCT
// RUN: qbc-opt -recognise-conv %t/any.mlir | FileCheck %s --check-prefix=ANY
// RUN: sed 's/dense<-1>/dense<0>/' %t/step.mlir | not qbc-opt -recognise-conv -check-graph - 2>&1 | FileCheck %s --check-prefix=COMPLAINS
// RUN: sed 's/group = 2/group = 1/' %t/any.mlir | not qbc-opt -recognise-conv -check-graph - 2>&1 | FileCheck %s --check-prefix=GROUPS

// Mamba (transformers' exporter): the window of the last three rows goes in and out. Two columns, three taps. The first of the
// Conv's two results is that of the token before.

//--- step.mlir
// CHECK: %[[X:.*]] = "qb.linear"
// CHECK: %[[S:.*]] = "qb.state"() {name = "conv"} : () -> tensor<?x2xf32>
// CHECK: %[[W:.*]] = "qb.weight"() {{.*}} : () -> tensor<6xf32>
// CHECK: "qb.conv1d"(%[[S]], %[[X]], %[[W]], %{{.*}})
// CHECK-NOT: onnx.Conv
// COMPLAINS: error: Conv is not understood: what follows is no causal convolution of the rows with the window before them
func.func @main(%ids: tensor<1x1xi64> {qb.input = "tokens", qb.dims = ["1", "1"]},
                %past: tensor<1x2x3xf32> {qb.input = "past", qb.dims = ["1", "2", "3"]}, %r: tensor<?x4xf32>, %m: tensor<2x4xf32>)
    -> (tensor<1x2x1xf32>, tensor<1x2x3xf32> {qb.output = "present", qb.past = 1 : i64}) {
  %w = "onnx.Constant"() {value = dense<[[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]> : tensor<2x1x3xf32>, source = "w"} : () -> tensor<2x1x3xf32>
  %b = "onnx.Constant"() {value = dense<[0.5, -0.5]> : tensor<2xf32>, source = "b"} : () -> tensor<2xf32>
  %dims = "onnx.Constant"() {value = dense<[1, 2, 1]> : tensor<3xi64>} : () -> tensor<3xi64>
  %from = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %two = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %three = "onnx.Constant"() {value = dense<-3> : tensor<1xi64>} : () -> tensor<1xi64>
  %far = "onnx.Constant"() {value = dense<9223372036854775807> : tensor<1xi64>} : () -> tensor<1xi64>
  %x = "qb.linear"(%r, %m) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %column = "onnx.Reshape"(%x, %dims) : (tensor<?x2xf32>, tensor<3xi64>) -> tensor<1x2x1xf32>
  %all = "onnx.Concat"(%past, %column) {axis = -1 : i64} : (tensor<1x2x3xf32>, tensor<1x2x1xf32>) -> tensor<1x2x4xf32>
  %next = "onnx.Slice"(%all, %three, %far, %two) : (tensor<1x2x4xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<1x2x3xf32>
  %c = "onnx.Conv"(%all, %w, %b) {group = 2 : i64, kernel_shape = array<i64: 3>} : (tensor<1x2x4xf32>, tensor<2x1x3xf32>, tensor<2xf32>) -> tensor<1x2x2xf32>
  %end = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
  %ends = "onnx.Add"(%from, %end) : (tensor<1xi64>, tensor<1xi64>) -> tensor<1xi64>
  %last = "onnx.Gather"(%c, %from) {axis = 2 : i64} : (tensor<1x2x2xf32>, tensor<1xi64>) -> tensor<1x2x1xf32>
  return %last, %next : tensor<1x2x1xf32>, tensor<1x2x3xf32>
}

// Any number of tokens, zeros before them (TorchScript): padded on both sides, the first T results.

//--- any.mlir
// ANY: %[[X:.*]] = "qb.linear"
// ANY: %[[S:.*]] = "qb.state"() {name = "conv"} : () -> tensor<?x2xf32>
// ANY: %[[Y:.*]] = "qb.conv1d"(%[[S]], %[[X]], %{{[^,]*}}) : (tensor<?x2xf32>, tensor<?x2xf32>, tensor<6xf32>) -> tensor<?x2xf32>
// ANY: %[[R:.*]] = "onnx.Reshape"(%[[Y]]
// ANY: "onnx.Transpose"(%[[R]]) {perm = array<i64: 0, 2, 1>}
// GROUPS: error: Conv is not understood: a convolution of more than each column by itself
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}, %r: tensor<?x4xf32>, %m: tensor<2x4xf32>) -> tensor<1x2x?xf32> {
  %w = "onnx.Constant"() {value = dense<[[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]> : tensor<2x1x3xf32>, source = "w"} : () -> tensor<2x1x3xf32>
  %dims = "onnx.Constant"() {value = dense<[1, -1, 2]> : tensor<3xi64>} : () -> tensor<3xi64>
  %zero = "onnx.Constant"() {value = dense<0> : tensor<1xi64>} : () -> tensor<1xi64>
  %two = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %x = "qb.linear"(%r, %m) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %rows = "onnx.Reshape"(%x, %dims) : (tensor<?x2xf32>, tensor<3xi64>) -> tensor<1x?x2xf32>
  %columns = "onnx.Transpose"(%rows) {perm = array<i64: 0, 2, 1>} : (tensor<1x?x2xf32>) -> tensor<1x2x?xf32>
  %c = "onnx.Conv"(%columns, %w) {group = 2 : i64, kernel_shape = array<i64: 3>, pads = array<i64: 2, 2>} : (tensor<1x2x?xf32>, tensor<2x1x3xf32>) -> tensor<1x2x?xf32>
  %t = "onnx.Shape"(%ids) {start = 1 : i64, end = 2 : i64} : (tensor<1x?xi64>) -> tensor<1xi64>
  %y = "onnx.Slice"(%c, %zero, %t, %two) : (tensor<1x2x?xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<1x2x?xf32>
  %z = "onnx.Relu"(%y) : (tensor<1x2x?xf32>) -> tensor<1x2x?xf32>
  return %z : tensor<1x2x?xf32>
}

// LFM2: what is convolved is a product of two columns of a linear, and so is what follows, all of it across.

//--- product.mlir
// PRODUCT: %[[A:.*]] = "qb.linear"
// PRODUCT: %[[B:.*]] = "qb.linear"
// PRODUCT: %[[X:.*]] = arith.mulf %[[A]], %[[B]]
// PRODUCT: %[[Y:.*]] = "qb.conv1d"(%{{.*}}, %[[X]], %{{.*}})
// PRODUCT: arith.mulf %[[A]], %[[Y]]
// PRODUCT-NOT: onnx.Mul
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}, %r: tensor<?x4xf32>, %m: tensor<2x4xf32>, %n: tensor<2x4xf32>) -> tensor<1x?x2xf32> {
  %w = "onnx.Constant"() {value = dense<[[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]> : tensor<2x1x3xf32>, source = "w"} : () -> tensor<2x1x3xf32>
  %dims = "onnx.Constant"() {value = dense<[1, -1, 2]> : tensor<3xi64>} : () -> tensor<3xi64>
  %zero = "onnx.Constant"() {value = dense<0> : tensor<1xi64>} : () -> tensor<1xi64>
  %two = "onnx.Constant"() {value = dense<2> : tensor<1xi64>} : () -> tensor<1xi64>
  %a = "qb.linear"(%r, %m) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %b = "qb.linear"(%r, %n) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %a3 = "onnx.Reshape"(%a, %dims) : (tensor<?x2xf32>, tensor<3xi64>) -> tensor<1x?x2xf32>
  %b3 = "onnx.Reshape"(%b, %dims) : (tensor<?x2xf32>, tensor<3xi64>) -> tensor<1x?x2xf32>
  %at = "onnx.Transpose"(%a3) {perm = array<i64: 0, 2, 1>} : (tensor<1x?x2xf32>) -> tensor<1x2x?xf32>
  %bt = "onnx.Transpose"(%b3) {perm = array<i64: 0, 2, 1>} : (tensor<1x?x2xf32>) -> tensor<1x2x?xf32>
  %x = "onnx.Mul"(%at, %bt) : (tensor<1x2x?xf32>, tensor<1x2x?xf32>) -> tensor<1x2x?xf32>
  %c = "onnx.Conv"(%x, %w) {group = 2 : i64, kernel_shape = array<i64: 3>, pads = array<i64: 2, 2>} : (tensor<1x2x?xf32>, tensor<2x1x3xf32>) -> tensor<1x2x?xf32>
  %t = "onnx.Shape"(%ids) {start = 1 : i64, end = 2 : i64} : (tensor<1x?xi64>) -> tensor<1xi64>
  %y = "onnx.Slice"(%c, %zero, %t, %two) : (tensor<1x2x?xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<1x2x?xf32>
  %z = "onnx.Mul"(%at, %y) : (tensor<1x2x?xf32>, tensor<1x2x?xf32>) -> tensor<1x2x?xf32>
  %zt = "onnx.Transpose"(%z) {perm = array<i64: 0, 2, 1>} : (tensor<1x2x?xf32>) -> tensor<1x?x2xf32>
  return %zt : tensor<1x?x2xf32>
}
