// RUN: %onnx_write %S/Inputs/stack-experts.txt %t.onnx
// RUN: qbc %t.onnx -tokenizer=none -print-after=stack-experts -o %t.qbm 2>&1 | FileCheck %s
// RUN: sed 's/node Relu u1/node Sigmoid u1/' %S/Inputs/stack-experts.txt > %t.txt && %onnx_write %t.txt %t.onnx
// RUN: not qbc %t.onnx -tokenizer=none -o %t.qbm 2>&1 | FileCheck %s --check-prefix=KEEPS

// A mixture whose four experts are all computed, as tracing exporters write it: the weights of a token's two largest are scattered among zeros, and
// the sum is taken expert by expert, here the third one first. Of each four products one with the chosen experts' matrices is left, in the router's
// order. Experts that are not computed alike stay, with a reason.
// CHECK: %[[R:.*]] = "qb.linear"(%[[X:.*]], %{{.*}}) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
// CHECK: %[[C:.*]] = "qb.route"(%[[R]]) {normalise = true, scale = 1.000000e+00 : f32, score = "softmax", top = 2 : i64}
// CHECK: %[[W:.*]] = "qb.weight"() {name = "up0 and 3 more", offset = 0 : i64, {{.*}}strides = array<i64: 4, 1>} : () -> tensor<12x4xf32>
// CHECK: %[[H:.*]] = "qb.expert_linear"(%[[X]], %[[W]], %[[C]]) {experts = 4 : i64, top = 2 : i64} : {{.*}} -> tensor<?x6xf32>
// CHECK: %[[A:.*]] = "qb.act"(%[[H]]) {act = "relu"} : (tensor<?x6xf32>) -> tensor<?x6xf32>
// CHECK: %[[V:.*]] = "qb.weight"() {name = "down0 and 3 more"{{.*}} -> tensor<16x3xf32>
// CHECK: %[[Z:.*]] = "qb.expert_linear"(%[[A]], %[[V]], %[[C]])
// CHECK: "qb.combine"(%[[Z]], %[[C]]) {top = 2 : i64} : (tensor<?x8xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
// CHECK-NOT: onnx.TopK
// KEEPS: Add is not understood: {{.*}}the 4 experts that it sums up are not computed alike
