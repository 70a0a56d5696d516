// RUN: split-file %s %t
// RUN: qbc-opt -drop-outputs %t/encoder.mlir 2>%t/warnings | FileCheck %s
// RUN: FileCheck %s --check-prefix=WARNS --input-file %t/warnings
// RUN: qbc-opt -drop-outputs %t/decoder.mlir 2>&1 | FileCheck %s --check-prefix=KEEPS

// An encoder as exporters write it: hidden states and what a pooler makes of the first one.

//--- encoder.mlir
// CHECK: return %[[H:.*]] : tensor<1x?x8xf32>
// CHECK-NOT: onnx.Tanh
// WARNS: warning: its output 'pooler_output' is left out: a compiled model gives one result, here 'last_hidden_state'
func.func @main(%x: tensor<1x?x8xf32>) -> (tensor<1x8xf32> {qb.output = "logits", qb.name = "pooler_output", qb.dims = ["1", "8"]},
    tensor<1x?x8xf32> {qb.output = "hidden", qb.name = "last_hidden_state", qb.dims = ["1", "T", "8"]}) {
  %zero = "onnx.Constant"() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %h = "onnx.Relu"(%x) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %first = "onnx.Gather"(%h, %zero) {axis = 1 : i64} : (tensor<1x?x8xf32>, tensor<i64>) -> tensor<1x8xf32>
  %pooled = "onnx.Tanh"(%first) : (tensor<1x8xf32>) -> tensor<1x8xf32>
  return %pooled, %h : tensor<1x8xf32>, tensor<1x?x8xf32>
}

// Logits and a cache are all there is.

//--- decoder.mlir
// KEEPS-NOT: warning
// KEEPS: return %{{.*}}, %{{.*}} : tensor<1x?x8xf32>, tensor<1x?x8xf32>
func.func @main(%x: tensor<1x?x8xf32>) -> (tensor<1x?x8xf32> {qb.output = "present", qb.name = "present.0", qb.dims = ["1", "P + T", "8"]},
    tensor<1x?x8xf32> {qb.output = "logits", qb.name = "logits", qb.dims = ["1", "T", "8"]}) {
  %h = "onnx.Relu"(%x) : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  return %x, %h : tensor<1x?x8xf32>, tensor<1x?x8xf32>
}
