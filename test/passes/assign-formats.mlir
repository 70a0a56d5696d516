// RUN: qbc-opt -assign-formats -quant=i4g32 %s | FileCheck %s
// RUN: qbc-opt -assign-formats -quant=i4g32 -quant-tensor=down=i8g32 -quant-tensor='^0\.ffn_(up|down)$=f16' %s | FileCheck %s --check-prefix=RULES
// RUN: qbc-opt -assign-formats -quant=f32 %s | FileCheck %s --check-prefix=DENSE
// RUN: not qbc-opt -assign-formats -quant=i4q32 %s 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: not qbc-opt -assign-formats -quant=bf16 %s 2>&1 | FileCheck %s --check-prefix=LACKS
// RUN: not qbc-opt -assign-formats -quant-tensor=down=q4 %s 2>&1 | FileCheck %s --check-prefix=RULE-FORMAT
// RUN: not qbc-opt -assign-formats -quant-tensor='ffn_(down=f16' %s 2>&1 | FileCheck %s --check-prefix=REGEX
// RUN: not qbc-opt -assign-formats -quant-tensor=down %s 2>&1 | FileCheck %s --check-prefix=SYNTAX
// RUN: not qbc-opt -assign-formats -quant-tensor=nrom=f16 -quant-tensor=up=f16 %s 2>&1 | FileCheck %s --check-prefix=UNUSED

func.func @step(%ids: tensor<?xi64>) -> tensor<?x64xf32> {
  // one weight, two users: blocks once, read by both
  // CHECK: %[[B:.*]] = "qb.weight"() {format = "i4g32", name = "embed"} : () -> tensor<64x32x!qb.block<"i4g32">>
  // CHECK-NEXT: %[[W:.*]] = "qb.dequant"(%[[B]]) : (tensor<64x32x!qb.block<"i4g32">>) -> tensor<64x32xf32>
  // RULES: {format = "i4g32", name = "embed"}
  // DENSE: "qb.weight"() {format = "f32", name = "embed"} : () -> tensor<64x32xf32>
  %embed = "qb.weight"() {name = "embed"} : () -> tensor<64x32xf32>
  // CHECK: "qb.embed"(%{{.*}}, %[[W]])
  %x = "qb.embed"(%ids, %embed) : (tensor<?xi64>, tensor<64x32xf32>) -> tensor<?x32xf32>

  // not to be rounded more than this
  // CHECK: "qb.weight"() {format = "f16", keep = "f16", name = "turn"} : () -> tensor<32x32xf32>
  // DENSE: "qb.weight"() {format = "f32", keep = "f16", name = "turn"} : () -> tensor<32x32xf32>
  %turn = "qb.weight"() {keep = "f16", name = "turn"} : () -> tensor<32x32xf32>
  %t = "qb.linear"(%x, %turn) : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>

  // a vector is left alone
  // CHECK: "qb.weight"() {name = "0.ffn_norm"} : () -> tensor<32xf32>
  %gain = "qb.weight"() {name = "0.ffn_norm"} : () -> tensor<32xf32>
  %n = "qb.rms_norm"(%x, %gain) {eps = 1.0e-5 : f32} : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>

  // rules: later ones win, and a float format keeps the weight dense
  // RULES: "qb.weight"() {format = "f16", name = "0.ffn_up"} : () -> tensor<48x32xf32>
  // RULES: "qb.linear"
  %up = "qb.weight"() {name = "0.ffn_up"} : () -> tensor<48x32xf32>
  %u = "qb.linear"(%n, %up) : (tensor<?x32xf32>, tensor<48x32xf32>) -> tensor<?x48xf32>
  // RULES: "qb.weight"() {format = "f16", name = "0.ffn_down"} : () -> tensor<32x48xf32>
  %down = "qb.weight"() {name = "0.ffn_down"} : () -> tensor<32x48xf32>
  %d = "qb.linear"(%u, %down) : (tensor<?x48xf32>, tensor<32x48xf32>) -> tensor<?x32xf32>
  // RULES: "qb.weight"() {format = "i8g32", name = "1.ffn_down"} : () -> tensor<32x32x!qb.block<"i8g32">>
  %next = "qb.weight"() {name = "1.ffn_down"} : () -> tensor<32x32xf32>
  %e = "qb.linear"(%d, %next) : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>

  // what came as blocks keeps its format
  // CHECK: "qb.weight"() {name = "imported"} : () -> tensor<32x32x!qb.block<"i8g32">>
  %blocks = "qb.weight"() {name = "imported"} : () -> tensor<32x32x!qb.block<"i8g32">>
  %dense = "qb.dequant"(%blocks) : (tensor<32x32x!qb.block<"i8g32">>) -> tensor<32x32xf32>
  %f = "qb.linear"(%e, %dense) : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
  // CHECK: "qb.linear"(%{{.*}}, %[[W]])
  %y = "qb.linear"(%f, %embed) : (tensor<?x32xf32>, tensor<64x32xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// FORMAT: -quant=i4q32: error: no format 'i4q32': character 3: say who shares a scale: g32 (32 columns), {{.*}}; did you mean 'i4g32'?
// LACKS: -quant=bf16: error: there are no kernels for bf16 yet (format 'bf16')
// RULE-FORMAT: -quant-tensor=down=q4: error: no format 'q4'
// REGEX: -quant-tensor=ffn_(down=f16: error: 'ffn_(down' is no regular expression:
// SYNTAX: -quant-tensor=down: error: write REGEX=FORMAT
// UNUSED: -quant-tensor=nrom=f16: error: no tensor's name matches 'nrom'; the 5 tensors are embed, turn, 0.ffn_up, 0.ffn_down, 1.ffn_down
// UNUSED-NOT: -quant-tensor=up
