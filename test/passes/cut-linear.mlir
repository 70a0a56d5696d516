// RUN: qbc-opt -cut-linear %s | FileCheck %s
// RUN: sed 's/"onnx.Relu"/"qb.act"/' %s | qbc-opt -cut-linear - | FileCheck %s

// Query, key and value in one matrix, behind a reshape; the parts are views of it.
// CHECK-LABEL: @main
func.func @main(%x: tensor<?x8xf32>) -> (tensor<1x?x2x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<?x6xf32>, tensor<?x3xf32>) {
  %w = "qb.weight"() {name = "qkv", source = "qkv", offset = 0 : i64, strides = array<i64: 1, 16>} : () -> tensor<16x8xf32>
  %batch = "onnx.Constant"() {value = dense<[1, -1, 16]> : tensor<3xi64>} : () -> tensor<3xi64>
  %sizes = "onnx.Constant"() {value = dense<[8, 4, 4]> : tensor<3xi64>} : () -> tensor<3xi64>
  %heads = "onnx.Constant"() {value = dense<[1, -1, 2, 4]> : tensor<4xi64>} : () -> tensor<4xi64>
  // CHECK: %[[Q:.*]] = "qb.weight"() {name = "qkv", offset = 0 : i64, source = "qkv", strides = array<i64: 1, 16>} : () -> tensor<8x8xf32>
  // CHECK: "qb.linear"(%arg0, %[[Q]]) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  // CHECK: %[[K:.*]] = "qb.weight"() {name = "qkv", offset = 8 : i64, source = "qkv", strides = array<i64: 1, 16>} : () -> tensor<4x8xf32>
  // CHECK: "qb.linear"(%arg0, %[[K]])
  // CHECK: %[[V:.*]] = "qb.weight"() {name = "qkv", offset = 12 : i64
  // CHECK: "qb.linear"(%arg0, %[[V]])
  // CHECK-NOT: "onnx.Split"
  %y = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<16x8xf32>) -> tensor<?x16xf32>
  %y3 = "onnx.Reshape"(%y, %batch) : (tensor<?x16xf32>, tensor<3xi64>) -> tensor<1x?x16xf32>
  %q, %k, %v = "onnx.Split"(%y3, %sizes) {axis = -1 : i64} : (tensor<1x?x16xf32>, tensor<3xi64>) -> (tensor<*xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>)
  %q4 = "onnx.Reshape"(%q, %heads) : (tensor<*xf32>, tensor<4xi64>) -> tensor<1x?x2x4xf32>

  // left alone: something reads it as a whole
  // CHECK: %[[B:.*]] = "qb.weight"() {name = "b"
  // CHECK: %[[YB:.*]] = "qb.linear"(%arg0, %[[B]]) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  // CHECK: "onnx.Slice"(%[[YB]]
  %b = "qb.weight"() {name = "b", source = "b", offset = 0 : i64, strides = array<i64: 8, 1>} : () -> tensor<6x8xf32>
  %yb = "qb.linear"(%x, %b) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %from = "onnx.Constant"() {value = dense<0> : tensor<1xi64>} : () -> tensor<1xi64>
  %to = "onnx.Constant"() {value = dense<3> : tensor<1xi64>} : () -> tensor<1xi64>
  %axis = "onnx.Constant"() {value = dense<1> : tensor<1xi64>} : () -> tensor<1xi64>
  %part = "onnx.Slice"(%yb, %from, %to, %axis) : (tensor<?x6xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x3xf32>
  %whole = "onnx.Relu"(%yb) : (tensor<?x6xf32>) -> tensor<?x6xf32>
  return %q4, %k, %v, %whole, %part : tensor<1x?x2x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<?x6xf32>, tensor<?x3xf32>
}

// A bias is cut with its product.
// CHECK: %[[W0:.*]] = "qb.weight"() {name = "w", offset = 0 : i64, source = "w", strides = array<i64: 8, 1>} : () -> tensor<4x8xf32>
// CHECK: %[[B0:.*]] = "qb.weight"() {name = "b", offset = 0 : i64, source = "b", strides = array<i64: 1>} : () -> tensor<4xf32>
// CHECK: %[[Y0:.*]] = "qb.linear"(%arg0, %[[W0]])
// CHECK: "qb.bias"(%[[Y0]], %[[B0]])
// CHECK: %[[W1:.*]] = "qb.weight"() {name = "w", offset = 32 : i64, source = "w", strides = array<i64: 8, 1>} : () -> tensor<2x8xf32>
// CHECK: %[[B1:.*]] = "qb.weight"() {name = "b", offset = 4 : i64, source = "b", strides = array<i64: 1>} : () -> tensor<2xf32>
// CHECK: %[[Y1:.*]] = "qb.linear"(%arg0, %[[W1]])
// CHECK: "qb.bias"(%[[Y1]], %[[B1]])
// CHECK-NOT: "onnx.Split"
func.func @biased(%x: tensor<?x8xf32>) -> (tensor<?x4xf32>, tensor<?x2xf32>) {
  %w = "qb.weight"() {name = "w", source = "w", offset = 0 : i64, strides = array<i64: 8, 1>} : () -> tensor<6x8xf32>
  %b = "qb.weight"() {name = "b", source = "b", offset = 0 : i64, strides = array<i64: 1>} : () -> tensor<6xf32>
  %sizes = "onnx.Constant"() {value = dense<[4, 2]> : tensor<2xi64>} : () -> tensor<2xi64>
  %y = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<6x8xf32>) -> tensor<?x6xf32>
  %z = "qb.bias"(%y, %b) : (tensor<?x6xf32>, tensor<6xf32>) -> tensor<?x6xf32>
  %p, %r = "onnx.Split"(%z, %sizes) {axis = 1 : i64} : (tensor<?x6xf32>, tensor<2xi64>) -> (tensor<?x4xf32>, tensor<?x2xf32>)
  return %p, %r : tensor<?x4xf32>, tensor<?x2xf32>
}

// GPT-NeoX (dynamo): heads of query, key and value lie mixed, and are transposed before they are cut apart.
// CHECK-LABEL: @mixed
// CHECK: "qb.weight"() {name = "w", offset = 0 : i64, runs = array<i64: 4, 96>, source = "w", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
// CHECK: "qb.weight"() {name = "w", offset = 32 : i64, runs = array<i64: 4, 96>, source = "w", strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
// CHECK: onnx.Transpose{{.*}} : (tensor<1x?x2x4xf32>)
// CHECK-NOT: "onnx.Split"
func.func @mixed(%x: tensor<?x8xf32>) -> (tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>) {
  %w = "qb.weight"() {name = "w", source = "w", offset = 0 : i64, strides = array<i64: 8, 1>} : () -> tensor<24x8xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<24x8xf32>) -> tensor<?x24xf32>
  %heads = "onnx.Constant"() {value = dense<[1, -1, 2, 12]> : tensor<4xi64>} : () -> tensor<4xi64>
  %y4 = "onnx.Reshape"(%y, %heads) : (tensor<?x24xf32>, tensor<4xi64>) -> tensor<1x?x2x12xf32>
  %t = "onnx.Transpose"(%y4) {perm = array<i64: 0, 2, 1, 3>} : (tensor<1x?x2x12xf32>) -> tensor<1x2x?x12xf32>
  %sizes = "onnx.Constant"() {value = dense<[4, 4, 4]> : tensor<3xi64>} : () -> tensor<3xi64>
  %q, %k, %v = "onnx.Split"(%t, %sizes) {axis = -1 : i64} : (tensor<1x2x?x12xf32>, tensor<3xi64>) -> (tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>)
  %a = "onnx.Relu"(%q) : (tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32>
  %b = "onnx.Relu"(%k) : (tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32>
  return %a, %b : tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>
}

// Phi (dynamo): some columns of each head turn; what is put together again is not cut apart.
// CHECK-LABEL: @partial
// CHECK: "qb.linear"(%arg0, %{{.*}}) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
// CHECK-NOT: "qb.linear"
// CHECK: "onnx.Concat"
func.func @partial(%x: tensor<?x8xf32>) -> tensor<1x2x?x4xf32> {
  %w = "qb.weight"() {name = "w", source = "w", offset = 0 : i64, strides = array<i64: 8, 1>} : () -> tensor<8x8xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %heads = "onnx.Constant"() {value = dense<[1, -1, 2, 4]> : tensor<4xi64>} : () -> tensor<4xi64>
  %y4 = "onnx.Reshape"(%y, %heads) : (tensor<?x8xf32>, tensor<4xi64>) -> tensor<1x?x2x4xf32>
  %t = "onnx.Transpose"(%y4) {perm = array<i64: 0, 2, 1, 3>} : (tensor<1x?x2x4xf32>) -> tensor<1x2x?x4xf32>
  %sizes = "onnx.Constant"() {value = dense<[2, 2]> : tensor<2xi64>} : () -> tensor<2xi64>
  %turns, %stays = "onnx.Split"(%t, %sizes) {axis = -1 : i64} : (tensor<1x2x?x4xf32>, tensor<2xi64>) -> (tensor<1x2x?x2xf32>, tensor<1x2x?x2xf32>)
  %turned = "onnx.Neg"(%turns) : (tensor<1x2x?x2xf32>) -> tensor<1x2x?x2xf32>
  %all = "onnx.Concat"(%turned, %stays) {axis = -1 : i64} : (tensor<1x2x?x2xf32>, tensor<1x2x?x2xf32>) -> tensor<1x2x?x4xf32>
  return %all : tensor<1x2x?x4xf32>
}
