// RUN: qbc-opt -recognise-scan %s | FileCheck %s
// RUN: sed 's/"onnx.Exp"/"onnx.Tanh"/' %s | qbc-opt -recognise-scan - | FileCheck %s --check-prefix=KEEPS

// Mamba (transformers' exporter), one token: a state of four columns by two numbers; rates and what goes past the state are stored.
// CHECK-LABEL: @main
// CHECK: %[[S:.*]] = "qb.state"() {name = "ssm"} : () -> tensor<?x8xf32>
// CHECK: %[[A:.*]] = "qb.weight"() {{.*}}source = "line 15"{{.*}} : () -> tensor<8xf32>
// CHECK: %[[D:.*]] = "qb.weight"() {{.*}}source = "line 16"{{.*}} : () -> tensor<4xf32>
// CHECK: "qb.ssm_scan"(%[[S]], %[[X:[^,]*]], %[[DT:[^,]*]], %[[B:[^,]*]], %[[C:[^,]*]], %[[A]], %[[D]]) {n = 2 : i64}
// CHECK-NOT: onnx.Exp
// KEEPS-NOT: qb.ssm_scan
func.func @main(%ids: tensor<1x1xi64> {qb.input = "tokens", qb.dims = ["1", "1"]},
                %past: tensor<1x4x2xf32> {qb.input = "past", qb.dims = ["1", "4", "2"]}, %r: tensor<?x4xf32>, %m: tensor<4x4xf32>, %n: tensor<2x4xf32>)
    -> (tensor<1x4xf32>, tensor<1x4x2xf32> {qb.output = "present", qb.past = 1 : i64}) {
  %a = "onnx.Constant"() {value = dense<[[-1.0, -2.0], [-0.5, -1.5], [-3.0, -0.25], [-1.0, -1.0]]> : tensor<4x2xf32>, source = "a"} : () -> tensor<4x2xf32>
  %d = "onnx.Constant"() {value = dense<[1.0, 0.5, 0.25, 2.0]> : tensor<4xf32>, source = "d"} : () -> tensor<4xf32>
  %column = "onnx.Constant"() {value = dense<[1, 4, 1]> : tensor<3xi64>} : () -> tensor<3xi64>
  %row = "onnx.Constant"() {value = dense<[1, 1, 2]> : tensor<3xi64>} : () -> tensor<3xi64>
  %turned = "onnx.Constant"() {value = dense<[1, 2, 1]> : tensor<3xi64>} : () -> tensor<3xi64>
  %flat = "onnx.Constant"() {value = dense<[1, 4]> : tensor<2xi64>} : () -> tensor<2xi64>
  %x = "qb.linear"(%r, %m) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %dt = "qb.act"(%x) {act = "softplus"} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %b = "qb.linear"(%r, %n) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %c = "qb.linear"(%x, %n) : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x2xf32>
  %x1 = "onnx.Reshape"(%x, %column) : (tensor<?x4xf32>, tensor<3xi64>) -> tensor<1x4x1xf32>
  %dt1 = "onnx.Reshape"(%dt, %column) : (tensor<?x4xf32>, tensor<3xi64>) -> tensor<1x4x1xf32>
  %b1 = "onnx.Reshape"(%b, %row) : (tensor<?x2xf32>, tensor<3xi64>) -> tensor<1x1x2xf32>
  %c1 = "onnx.Reshape"(%c, %turned) : (tensor<?x2xf32>, tensor<3xi64>) -> tensor<1x2x1xf32>
  %rate = "onnx.Mul"(%dt1, %a) : (tensor<1x4x1xf32>, tensor<4x2xf32>) -> tensor<1x4x2xf32>
  %decay = "onnx.Exp"(%rate) : (tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  %db = "onnx.Mul"(%dt1, %b1) : (tensor<1x4x1xf32>, tensor<1x1x2xf32>) -> tensor<1x4x2xf32>
  %into = "onnx.Mul"(%db, %x1) : (tensor<1x4x2xf32>, tensor<1x4x1xf32>) -> tensor<1x4x2xf32>
  %kept = "onnx.Mul"(%past, %decay) : (tensor<1x4x2xf32>, tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  %next = "onnx.Add"(%kept, %into) : (tensor<1x4x2xf32>, tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  %sum = "onnx.MatMul"(%next, %c1) : (tensor<1x4x2xf32>, tensor<1x2x1xf32>) -> tensor<1x4x1xf32>
  %sums = "onnx.Reshape"(%sum, %flat) : (tensor<1x4x1xf32>, tensor<2xi64>) -> tensor<1x4xf32>
  %x2 = "onnx.Reshape"(%x, %flat) : (tensor<?x4xf32>, tensor<2xi64>) -> tensor<1x4xf32>
  %skip = "onnx.Mul"(%x2, %d) : (tensor<1x4xf32>, tensor<4xf32>) -> tensor<1x4xf32>
  %y = "onnx.Add"(%sums, %skip) : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<1x4xf32>
  return %y, %next : tensor<1x4xf32>, tensor<1x4x2xf32>
}
