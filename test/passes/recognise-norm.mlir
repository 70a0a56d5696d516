// RUN: split-file %s %t
// RUN: qbc-opt -recognise-norm %t/bare.mlir | FileCheck %s --check-prefix=BARE
// RUN: sed 's/axis = -1/axis = 1/' %t/bare.mlir | not qbc-opt -recognise-norm -check-graph - 2>&1 | FileCheck %s --check-prefix=AXIS
// RUN: qbc-opt -recognise-norm %t/does.mlir | FileCheck %s
// RUN: qbc-opt -recognise-norm %t/layer.mlir | FileCheck %s --check-prefix=LAYER
// RUN: qbc-opt -recognise-norm %t/keeps.mlir | FileCheck %s --check-prefix=KEEPS
// RUN: not qbc-opt -recognise-norm -check-graph %t/keeps.mlir 2>&1 | FileCheck %s --check-prefix=COMPLAINS

// RUN: qbc-opt -recognise-norm %t/heads.mlir | FileCheck %s --check-prefix=HEADS

// RUN: qbc-opt -recognise-norm %t/half.mlir | FileCheck %s --check-prefix=HALF

// Qwen 2 in half precision (dynamo): normalised in f32, rounded to f16, then times the gain.

//--- half.mlir
// HALF: "qb.rms_norm"(%{{.*}}, %{{.*}}) {eps = 9.99999974E-6 : f32}
// HALF-NOT: onnx.ReduceMean
func.func @main(%x: tensor<1x?x4xf16> {qb.input = "past", qb.dims = ["1", "T", "4"]}) -> tensor<1x?x4xf16> {
  %w = "onnx.Constant"() {value = dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf16>, source = "w"} : () -> tensor<4xf16>
  %two = "onnx.Constant"() {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
  %eps = "onnx.Constant"() {value = dense<1.0e-5> : tensor<f32>} : () -> tensor<f32>
  %last = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %f = "onnx.Cast"(%x) {to = 1 : i64} : (tensor<1x?x4xf16>) -> tensor<1x?x4xf32>
  %0 = "onnx.Pow"(%f, %two) : (tensor<1x?x4xf32>, tensor<f32>) -> tensor<1x?x4xf32>
  %1 = "onnx.ReduceMean"(%0, %last) {keepdims = 1 : i64} : (tensor<1x?x4xf32>, tensor<1xi64>) -> tensor<1x?x1xf32>
  %2 = "onnx.Add"(%1, %eps) : (tensor<1x?x1xf32>, tensor<f32>) -> tensor<1x?x1xf32>
  %3 = "onnx.Sqrt"(%2) : (tensor<1x?x1xf32>) -> tensor<1x?x1xf32>
  %4 = "onnx.Reciprocal"(%3) : (tensor<1x?x1xf32>) -> tensor<1x?x1xf32>
  %5 = "onnx.Mul"(%f, %4) : (tensor<1x?x4xf32>, tensor<1x?x1xf32>) -> tensor<1x?x4xf32>
  %6 = "onnx.Cast"(%5) {to = 10 : i64} : (tensor<1x?x4xf32>) -> tensor<1x?x4xf16>
  %y = "onnx.Mul"(%w, %6) : (tensor<4xf16>, tensor<1x?x4xf16>) -> tensor<1x?x4xf16>
  return %y : tensor<1x?x4xf16>
}

// Gemma 3 (dynamo): heads are transposed before they are normalised. Cohere at opset 23: an RMSNormalization of x - mean(x) is a
// layer norm. BLOOM: a norm of a norm.

//--- heads.mlir
// HEADS-LABEL: @main
// HEADS: %[[N:.*]] = "qb.rms_norm"(%{{.*}}, %{{.*}}) {eps = 9.99999974E-6 : f32} : (tensor<?x8xf32>, tensor<4xf32>) -> tensor<?x8xf32>
// HEADS: %[[R:.*]] = "onnx.Reshape"(%[[N]]
// HEADS: "onnx.Transpose"(%[[R]]) {perm = array<i64: 0, 2, 1, 3>}
// HEADS: "qb.layer_norm"(%{{[^,]*}}, %{{[^,]*}}) {eps = 9.99999974E-6 : f32} : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
// HEADS: %[[A:.*]] = "qb.layer_norm"(%{{.*}}) {eps = 9.99999974E-6 : f32} : (tensor<?x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
// HEADS: %[[B:.*]] = "qb.rms_norm"(%{{[^,]*}}, %{{.*}}) {eps = 9.99999997E-7 : f32}
// HEADS-NOT: onnx.LayerNormalization
// HEADS-NOT: onnx.RMSNormalization
func.func @main(%x: tensor<1x?x4xf32> {qb.input = "past", qb.dims = ["1", "T", "4"]},
                %h: tensor<1x?x2x4xf32> {qb.input = "past", qb.dims = ["1", "T", "2", "4"]})
    -> (tensor<1x2x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) {
  %w = "onnx.Constant"() {value = dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>, source = "w"} : () -> tensor<4xf32>
  %last = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %t = "onnx.Transpose"(%h) {perm = array<i64: 0, 2, 1, 3>} : (tensor<1x?x2x4xf32>) -> tensor<1x2x?x4xf32>
  %a = "onnx.RMSNormalization"(%t, %w) {axis = -1 : i64, epsilon = 1.0e-5 : f32} : (tensor<1x2x?x4xf32>, tensor<4xf32>) -> tensor<1x2x?x4xf32>
  %mean = "onnx.ReduceMean"(%x, %last) {keepdims = 1 : i64} : (tensor<1x?x4xf32>, tensor<1xi64>) -> tensor<1x?x1xf32>
  %centred = "onnx.Sub"(%x, %mean) : (tensor<1x?x4xf32>, tensor<1x?x1xf32>) -> tensor<1x?x4xf32>
  %b = "onnx.RMSNormalization"(%centred, %w) {axis = -1 : i64, epsilon = 1.0e-5 : f32} : (tensor<1x?x4xf32>, tensor<4xf32>) -> tensor<1x?x4xf32>
  %n = "onnx.LayerNormalization"(%x, %w, %w) {axis = -1 : i64, epsilon = 1.0e-5 : f32} : (tensor<1x?x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x?x4xf32>
  %c = "onnx.RMSNormalization"(%n, %w) {axis = -1 : i64, epsilon = 1.0e-6 : f32} : (tensor<1x?x4xf32>, tensor<4xf32>) -> tensor<1x?x4xf32>
  return %a, %b, %c : tensor<1x2x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>
}

//--- does.mlir
// CHECK-LABEL: @main
func.func @main(%x: tensor<1x?x4xf32> {qb.input = "past", qb.dims = ["1", "T", "4"]},
                %heads: tensor<1x?x2x4xf32> {qb.input = "past", qb.dims = ["1", "T", "2", "4"]})
    -> (tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x2x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) {
  %two = "onnx.Constant"() {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
  %one = "onnx.Constant"() {value = dense<1.0> : tensor<f32>} : () -> tensor<f32>
  %eps = "onnx.Constant"() {value = dense<1.0e-5> : tensor<f32>} : () -> tensor<f32>
  %last = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %w = "onnx.Constant"() {value = dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>} : () -> tensor<4xf32>
  %big = "qb.weight"() {name = "g", source = "g", offset = 0 : i64, strides = array<i64: 1>} : () -> tensor<4xf32>

  // x * (1 / sqrt(mean(x^2) + eps)) * w, the gain second
  // CHECK: %[[X:.*]] = "onnx.Reshape"(%arg0
  // CHECK: %[[W:.*]] = "qb.weight"() {name = "[[N:.*]]", offset = 0 : i64, source = "[[N]]", strides = array<i64: 1>} : () -> tensor<4xf32>
  // CHECK: "qb.rms_norm"(%[[X]], %[[W]]) {eps = 9.99999974E-6 : f32}
  %0 = "onnx.Pow"(%x, %two) : (tensor<1x?x4xf32>, tensor<f32>) -> tensor<*xf32>
  %1 = "onnx.ReduceMean"(%0, %last) {keepdims = 1 : i64} : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  %2 = "onnx.Add"(%1, %eps) : (tensor<*xf32>, tensor<f32>) -> tensor<*xf32>
  %3 = "onnx.Sqrt"(%2) : (tensor<*xf32>) -> tensor<*xf32>
  %4 = "onnx.Reciprocal"(%3) : (tensor<*xf32>) -> tensor<*xf32>
  %5 = "onnx.Mul"(%x, %4) : (tensor<1x?x4xf32>, tensor<*xf32>) -> tensor<*xf32>
  %y0 = "onnx.Mul"(%5, %w) : (tensor<*xf32>, tensor<4xf32>) -> tensor<1x?x4xf32>

  // written quite otherwise: w * (x / sqrt(eps + mean(x * x))), the gain first
  // CHECK: "qb.rms_norm"(%{{.*}}, %{{.*}}) {eps = 9.99999974E-6 : f32}
  %6 = "onnx.Mul"(%x, %x) : (tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<*xf32>
  %7 = "onnx.ReduceMean"(%6, %last) : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  %8 = "onnx.Add"(%eps, %7) : (tensor<f32>, tensor<*xf32>) -> tensor<*xf32>
  %9 = "onnx.Sqrt"(%8) : (tensor<*xf32>) -> tensor<*xf32>
  %10 = "onnx.Div"(%x, %9) : (tensor<1x?x4xf32>, tensor<*xf32>) -> tensor<*xf32>
  %y1 = "onnx.Mul"(%big, %10) : (tensor<4xf32>, tensor<*xf32>) -> tensor<1x?x4xf32>

  // the operation of opset 23, on each head: rows of 8 columns, runs of 4
  // CHECK: "qb.rms_norm"({{.*}}) {eps = 9.99999997E-7 : f32} : (tensor<?x8xf32>, tensor<4xf32>) -> tensor<?x8xf32>
  %y2 = "onnx.RMSNormalization"(%heads, %big) {axis = -1 : i64, epsilon = 1.0e-6 : f32} : (tensor<1x?x2x4xf32>, tensor<4xf32>) -> tensor<1x?x2x4xf32>

  // fused with the residual: a sum, which is a result too
  // CHECK: %[[SUM:.*]] = "onnx.Add"(%arg0, %arg0)
  // CHECK: "qb.rms_norm"
  // CHECK: return {{.*}}%[[SUM]] : tensor<1x?x4xf32>
  %none = "onnx.None"() : () -> none
  %y3:4 = "onnx.com.microsoft.SkipSimplifiedLayerNormalization"(%x, %x, %big) {epsilon = 1.0e-6 : f32} : (tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<4xf32>) -> (tensor<1x?x4xf32>, none, none, tensor<1x?x4xf32>)
  return %y0, %y1, %y2, %y3#0, %y3#3 : tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x2x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>
}

//--- layer.mlir
// LAYER-LABEL: @main
func.func @main(%x: tensor<1x?x4xf32> {qb.input = "past", qb.dims = ["1", "T", "4"]}, %skip: tensor<1x?x4xf32> {qb.input = "past", qb.dims = ["1", "T", "4"]})
    -> (tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) {
  %two = "onnx.Constant"() {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
  %eps = "onnx.Constant"() {value = dense<1.0e-12> : tensor<f32>} : () -> tensor<f32>
  %last = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %none = "onnx.None"() : () -> none
  %w = "qb.weight"() {name = "w", source = "w", offset = 0 : i64, strides = array<i64: 1>} : () -> tensor<4xf32>
  %b = "qb.weight"() {name = "b", source = "b", offset = 0 : i64, strides = array<i64: 1>} : () -> tensor<4xf32>

  // one operation, with a bias and without
  // LAYER: %[[X:.*]] = "onnx.Reshape"(%arg0
  // LAYER: %[[W:.*]] = "qb.weight"() {name = "w"
  // LAYER: %[[B:.*]] = "qb.weight"() {name = "b"
  // LAYER: "qb.layer_norm"(%[[X]], %[[W]], %[[B]]) {eps = 1.000000e-03 : f32} : (tensor<?x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  // LAYER: "qb.layer_norm"(%{{.*}}, %{{.*}}) {eps = 9.99999974E-6 : f32} : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  %y0 = "onnx.LayerNormalization"(%x, %w, %b) {axis = -1 : i64, epsilon = 1.0e-3 : f32} : (tensor<1x?x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x?x4xf32>
  %y1 = "onnx.LayerNormalization"(%x, %w) : (tensor<1x?x4xf32>, tensor<4xf32>) -> tensor<1x?x4xf32>

  // a residual and a bias first; their sum is a result too
  // LAYER: %[[BIASED:.*]] = "onnx.Add"(%arg0, %{{.*}})
  // LAYER: %[[SUM:.*]] = "onnx.Add"(%[[BIASED]], %arg1)
  // LAYER: %[[ROWS:.*]] = "onnx.Reshape"(%[[SUM]]
  // LAYER: "qb.layer_norm"(%[[ROWS]], {{.*}}) {eps = 9.99999996E-13 : f32}
  %y2, %m, %i, %y3 = "onnx.com.microsoft.SkipLayerNormalization"(%x, %skip, %w, %b, %b) : (tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> (tensor<1x?x4xf32>, none, none, tensor<1x?x4xf32>)

  // written out: b + w * ((x - mean) / sqrt(mean((x - mean)^2) + eps))
  // LAYER: %[[W4:.*]] = "qb.weight"() {name = "w"
  // LAYER: %[[B4:.*]] = "qb.weight"() {name = "b"
  // LAYER: "qb.layer_norm"(%{{.*}}, %[[W4]], %[[B4]]) {eps = 9.99999996E-13 : f32}
  // LAYER-NOT: onnx.ReduceMean
  %mean = "onnx.ReduceMean"(%x, %last) {keepdims = 1 : i64} : (tensor<1x?x4xf32>, tensor<1xi64>) -> tensor<*xf32>
  %d = "onnx.Sub"(%x, %mean) : (tensor<1x?x4xf32>, tensor<*xf32>) -> tensor<*xf32>
  %d2 = "onnx.Pow"(%d, %two) : (tensor<*xf32>, tensor<f32>) -> tensor<*xf32>
  %v = "onnx.ReduceMean"(%d2, %last) {keepdims = 1 : i64} : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  %ve = "onnx.Add"(%v, %eps) : (tensor<*xf32>, tensor<f32>) -> tensor<*xf32>
  %s = "onnx.Sqrt"(%ve) : (tensor<*xf32>) -> tensor<*xf32>
  %n = "onnx.Div"(%d, %s) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %wn = "onnx.Mul"(%w, %n) : (tensor<4xf32>, tensor<*xf32>) -> tensor<*xf32>
  %y4 = "onnx.Add"(%b, %wn) : (tensor<4xf32>, tensor<*xf32>) -> tensor<1x?x4xf32>
  return %y0, %y1, %y2, %y3, %y4 : tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>
}

//--- keeps.mlir
// a norm without its root, and one that takes the mean off: other functions
// KEEPS-NOT: qb.rms_norm
// COMPLAINS: error: ReduceMean is not understood: no norm: what follows is neither x / sqrt(mean(x^2) + eps) * w nor a layer norm
// COMPLAINS: error: ReduceSum is not understood: no norm: what follows is neither
func.func @main(%x: tensor<1x?x4xf32> {qb.input = "past", qb.dims = ["1", "T", "4"]}) -> (tensor<1x?x4xf32>, tensor<1x?x1xf32>) {
  %last = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %w = "onnx.Constant"() {value = dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>} : () -> tensor<4xf32>
  %0 = "onnx.Mul"(%x, %x) : (tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<*xf32>
  %1 = "onnx.ReduceMean"(%0, %last) : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  %2 = "onnx.Div"(%x, %1) : (tensor<1x?x4xf32>, tensor<*xf32>) -> tensor<*xf32>
  %y = "onnx.Mul"(%2, %w) : (tensor<*xf32>, tensor<4xf32>) -> tensor<1x?x4xf32>
  %z = "onnx.ReduceSum"(%x, %last) : (tensor<1x?x4xf32>, tensor<1xi64>) -> tensor<1x?x1xf32>
  return %y, %z : tensor<1x?x4xf32>, tensor<1x?x1xf32>
}

// Without a gain: the mean of squares, and a sum (keys of the delta rule), which is the same times a root of the columns.

//--- bare.mlir
// BARE: %[[W:.*]] = "qb.weight"() {{.*}} : () -> tensor<4xf32>
// BARE: "qb.rms_norm"(%{{.*}}, %[[W]]) {eps = 9.99999997E-7 : f32}
// BARE: "qb.rms_norm"(%{{.*}}, %{{.*}}) {eps = 2.500000e-07 : f32}
// BARE: "qb.rms_norm"(%{{.*}}, %{{.*}}) {eps = 1.000000e-30 : f32}
// BARE-NOT: onnx.Reduce
// AXIS: error: LpNormalization is not understood: a norm over axis 1 with p 2, not over the last with p 2
func.func @main(%x: tensor<1x?x4xf32> {qb.input = "past", qb.dims = ["1", "T", "4"]}) -> (tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) {
  %last = "onnx.Constant"() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %eps = "onnx.Constant"() {value = dense<1.0e-6> : tensor<f32>} : () -> tensor<f32>
  %0 = "onnx.Mul"(%x, %x) : (tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<*xf32>
  %1 = "onnx.ReduceMean"(%0, %last) : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  %2 = "onnx.Add"(%1, %eps) : (tensor<*xf32>, tensor<f32>) -> tensor<*xf32>
  %3 = "onnx.Sqrt"(%2) : (tensor<*xf32>) -> tensor<*xf32>
  %y = "onnx.Div"(%x, %3) : (tensor<1x?x4xf32>, tensor<*xf32>) -> tensor<1x?x4xf32>
  %4 = "onnx.ReduceSum"(%0, %last) : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  %5 = "onnx.Add"(%4, %eps) : (tensor<*xf32>, tensor<f32>) -> tensor<*xf32>
  %6 = "onnx.Sqrt"(%5) : (tensor<*xf32>) -> tensor<*xf32>
  %z = "onnx.Div"(%x, %6) : (tensor<1x?x4xf32>, tensor<*xf32>) -> tensor<1x?x4xf32>
  %u = "onnx.LpNormalization"(%x) {axis = -1 : i64} : (tensor<1x?x4xf32>) -> tensor<1x?x4xf32>
  return %y, %z, %u : tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>
}
