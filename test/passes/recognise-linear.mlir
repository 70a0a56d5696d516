// RUN: split-file %s %t
// RUN: qbc-opt -recognise-linear %t/does.mlir | FileCheck %s
// RUN: not qbc-opt -recognise-linear -check-graph %t/complains.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

// RUN: qbc-opt -recognise-linear %t/counted.mlir | FileCheck %s --check-prefix=COUNTED

// RoBERTa (TorchScript): positions count the tokens that are no padding (id 1), from row 2 on; all tokens are of segment 0.

//--- counted.mlir
// COUNTED: module attributes {qb.context = 98 : i64}
// COUNTED: "qb.embed_positions"(%{{.*}}) {first = 2 : i64}
// COUNTED: %[[ROW:.*]] = "qb.weight"() {name = "s", offset = 0 : i64, source = "s", strides = array<i64: 1>} : () -> tensor<4xf32>
// COUNTED: "qb.repeat"(%[[ROW]]) : (tensor<4xf32>) -> tensor<?x4xf32>
// COUNTED-NOT: onnx.Gather
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]}, %types: tensor<1x?xi64> {qb.input = "types", qb.dims = ["1", "T"]})
    -> (tensor<1x?x4xf32>, tensor<1x?x4xf32>) {
  %table = "qb.weight"() {name = "t", source = "t", offset = 0 : i64, strides = array<i64: 4, 1>} : () -> tensor<100x4xf32>
  %segments = "qb.weight"() {name = "s", source = "s", offset = 0 : i64, strides = array<i64: 4, 1>} : () -> tensor<2x4xf32>
  %pad = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %axis = "onnx.Constant"() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %is = "onnx.Equal"(%ids, %pad) : (tensor<1x?xi64>, tensor<i64>) -> tensor<1x?xi1>
  %not = "onnx.Not"(%is) : (tensor<1x?xi1>) -> tensor<1x?xi1>
  %ones = "onnx.Cast"(%not) {to = 7 : i64} : (tensor<1x?xi1>) -> tensor<1x?xi64>
  %count = "onnx.CumSum"(%ones, %axis) : (tensor<1x?xi64>, tensor<i64>) -> tensor<1x?xi64>
  %at = "onnx.Add"(%count, %pad) : (tensor<1x?xi64>, tensor<i64>) -> tensor<1x?xi64>
  %y = "onnx.Gather"(%table, %at) {axis = 0 : i64} : (tensor<100x4xf32>, tensor<1x?xi64>) -> tensor<1x?x4xf32>
  %z = "onnx.Gather"(%segments, %types) {axis = 0 : i64} : (tensor<2x4xf32>, tensor<1x?xi64>) -> tensor<1x?x4xf32>
  return %y, %z : tensor<1x?x4xf32>, tensor<1x?x4xf32>
}

//--- does.mlir
// CHECK: module attributes {qb.context = 98 : i64}
// CHECK-LABEL: @main
func.func @main(%ids: tensor<1x?xi64> {qb.input = "tokens", qb.dims = ["1", "T"]},
                %positions: tensor<1x?xi64> {qb.input = "positions", qb.dims = ["1", "T"]})
    -> (tensor<1x?x40xf32>, tensor<1x?x40xf32>, tensor<?x20xf32>, tensor<1x?x100xf32>, tensor<1x?x?xf32>, tensor<1x?x3xf32>, tensor<1x?x30xf32>) {
  %table = "qb.weight"() {name = "t", source = "t", offset = 0 : i64, strides = array<i64: 30, 1>} : () -> tensor<100x30xf32>
  %w = "qb.weight"() {name = "w", source = "w", offset = 0 : i64, strides = array<i64: 40, 1>} : () -> tensor<30x40xf32>
  %half = "qb.weight"() {name = "h", source = "h", offset = 0 : i64, strides = array<i64: 30, 1>} : () -> tensor<40x30xf16>

  // CHECK: %[[T:.*]] = "qb.weight"() {name = "t", offset = 0 : i64, source = "t", strides = array<i64: 30, 1>} : () -> tensor<100x30xf32>
  // CHECK: %[[E:.*]] = "qb.embed"(%arg0, %[[T]]) : (tensor<1x?xi64>, tensor<100x30xf32>) -> tensor<?x30xf32>
  %e = "onnx.Gather"(%table, %ids) {axis = 0 : i64} : (tensor<100x30xf32>, tensor<1x?xi64>) -> tensor<1x?x30xf32>

  // stored [in, out]: a transposed view
  // CHECK: %[[W:.*]] = "qb.weight"() {name = "w", offset = 0 : i64, source = "w", strides = array<i64: 1, 40>} : () -> tensor<40x30xf32>
  // CHECK: "qb.linear"(%[[E]], %[[W]]) : (tensor<?x30xf32>, tensor<40x30xf32>) -> tensor<?x40xf32>
  %y0 = "onnx.MatMul"(%e, %w) : (tensor<1x?x30xf32>, tensor<30x40xf32>) -> tensor<1x?x40xf32>

  // stored [out, in] in half precision, under a cast and a transpose
  // CHECK: %[[H:.*]] = "qb.weight"() {name = "h", offset = 0 : i64, source = "h", strides = array<i64: 30, 1>} : () -> tensor<40x30xf32>
  // CHECK: "qb.linear"(%[[E]], %[[H]])
  %c = "onnx.Cast"(%half) {to = 1 : i64} : (tensor<40x30xf16>) -> tensor<40x30xf32>
  %ct = "onnx.Transpose"(%c) {perm = array<i64: 1, 0>} : (tensor<40x30xf32>) -> tensor<*xf32>
  %y1 = "onnx.MatMul"(%e, %ct) : (tensor<1x?x30xf32>, tensor<*xf32>) -> tensor<1x?x40xf32>

  // a part of the columns, and rows without the batch
  // CHECK: %[[P:.*]] = "qb.weight"() {name = "w", offset = 10 : i64, source = "w", strides = array<i64: 1, 40>} : () -> tensor<20x30xf32>
  // CHECK: "qb.linear"(%[[E]], %[[P]])
  %from = "onnx.Constant"() {value = dense<10> : tensor<1xi64>} : () -> tensor<1xi64>
  %to = "onnx.Constant"() {value = dense<30> : tensor<1xi64>} : () -> tensor<1xi64>
  %axis = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
  %flat = "onnx.Constant"() {value = dense<[-1, 30]> : tensor<2xi64>} : () -> tensor<2xi64>
  %part = "onnx.Slice"(%w, %from, %to, %axis) : (tensor<30x40xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<*xf32>
  %rows = "onnx.Reshape"(%e, %flat) : (tensor<1x?x30xf32>, tensor<2xi64>) -> tensor<?x30xf32>
  %y2 = "onnx.Gemm"(%rows, %part) : (tensor<?x30xf32>, tensor<*xf32>) -> tensor<?x20xf32>

  // the table again, as the output matrix
  // CHECK: %[[T2:.*]] = "qb.weight"() {name = "t", offset = 0 : i64, source = "t", strides = array<i64: 30, 1>} : () -> tensor<100x30xf32>
  // CHECK: "qb.linear"(%[[E]], %[[T2]])
  %y3 = "onnx.com.microsoft.FusedMatMul"(%e, %table) {transB = 1 : i64} : (tensor<1x?x30xf32>, tensor<100x30xf32>) -> tensor<1x?x100xf32>

  // learned positions: rows of a table, here from its third one on; it limits the context
  // CHECK: "qb.embed_positions"(%{{.*}}) {first = 2 : i64} : (tensor<100x30xf32>) -> tensor<?x30xf32>
  %two = "onnx.Constant"() {value = dense<2> : tensor<i64>} : () -> tensor<i64>
  %after = "onnx.Add"(%positions, %two) : (tensor<1x?xi64>, tensor<i64>) -> tensor<1x?xi64>
  %y6 = "onnx.Gather"(%table, %after) {axis = 0 : i64} : (tensor<100x30xf32>, tensor<1x?xi64>) -> tensor<1x?x30xf32>

  // left alone: a product of two activations, and arithmetic on positions
  // CHECK: "onnx.MatMul"
  %et = "onnx.Transpose"(%e) {perm = array<i64: 0, 2, 1>} : (tensor<1x?x30xf32>) -> tensor<*xf32>
  %y4 = "onnx.MatMul"(%e, %et) : (tensor<1x?x30xf32>, tensor<*xf32>) -> tensor<1x?x?xf32>
  // CHECK: "onnx.MatMul"
  %f = "onnx.Constant"() {value = dense<[[1.0, 0.5, 0.25]]> : tensor<1x3xf32>} : () -> tensor<1x3xf32>
  %column = "onnx.Constant"() {value = dense<[1, -1, 1]> : tensor<3xi64>} : () -> tensor<3xi64>
  %pf = "onnx.Cast"(%positions) {to = 1 : i64} : (tensor<1x?xi64>) -> tensor<1x?xf32>
  %pc = "onnx.Reshape"(%pf, %column) : (tensor<1x?xf32>, tensor<3xi64>) -> tensor<1x?x1xf32>
  %y5 = "onnx.MatMul"(%pc, %f) : (tensor<1x?x1xf32>, tensor<1x3xf32>) -> tensor<1x?x3xf32>
  return %y0, %y1, %y2, %y3, %y4, %y5, %y6 : tensor<1x?x40xf32>, tensor<1x?x40xf32>, tensor<?x20xf32>, tensor<1x?x100xf32>, tensor<1x?x?xf32>, tensor<1x?x3xf32>, tensor<1x?x30xf32>
}

//--- complains.mlir
// COMPLAINS: error: Gather is not understood: rows of a table by other positions than those of the tokens
// COMPLAINS: error: MatMul is not understood: a product with weights that are no view of one stored matrix
// COMPLAINS: error: Gemm is not understood: a product times a number (alpha or beta is not 1)
func.func @main(%x: tensor<1x?x30xf32> {qb.input = "past", qb.dims = ["1", "T", "30"]},
                %positions: tensor<1x?xi64> {qb.input = "positions", qb.dims = ["1", "T"]})
    -> (tensor<1x?x30xf32>, tensor<1x?x30xf32>, tensor<?x30xf32>) {
  %table = "qb.weight"() {name = "t", source = "t", offset = 0 : i64, strides = array<i64: 30, 1>} : () -> tensor<30x30xf32>
  %back = "onnx.Neg"(%positions) : (tensor<1x?xi64>) -> tensor<1x?xi64>
  %y0 = "onnx.Gather"(%table, %back) : (tensor<30x30xf32>, tensor<1x?xi64>) -> tensor<1x?x30xf32>
  %twice = "onnx.Add"(%table, %table) : (tensor<30x30xf32>, tensor<30x30xf32>) -> tensor<*xf32>
  %y1 = "onnx.MatMul"(%x, %twice) : (tensor<1x?x30xf32>, tensor<*xf32>) -> tensor<1x?x30xf32>
  %flat = "onnx.Constant"() {value = dense<[-1, 30]> : tensor<2xi64>} : () -> tensor<2xi64>
  %rows = "onnx.Reshape"(%x, %flat) : (tensor<1x?x30xf32>, tensor<2xi64>) -> tensor<?x30xf32>
  %y2 = "onnx.Gemm"(%rows, %table) {alpha = 2.0 : f32} : (tensor<?x30xf32>, tensor<30x30xf32>) -> tensor<?x30xf32>
  return %y0, %y1, %y2 : tensor<1x?x30xf32>, tensor<1x?x30xf32>, tensor<?x30xf32>
}
