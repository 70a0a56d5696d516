// RUN: split-file %s %t
// RUN: qbc-opt -outline-kernels -target=cascadelake -ctx=48 %t/block.mlir | FileCheck %t/block.mlir
// RUN: qbc-opt -outline-kernels -target=armv8 %t/block.mlir | FileCheck %t/block.mlir --check-prefix=ARM
// RUN: qbc-opt -outline-kernels %t/head.mlir | FileCheck %t/head.mlir
// RUN: qbc-opt -outline-kernels %t/gpt.mlir | FileCheck %t/gpt.mlir
// RUN: qbc-opt -outline-kernels %t/part.mlir | FileCheck %t/part.mlir
// RUN: qbc-opt -outline-kernels -target=cascadelake %t/columns.mlir | FileCheck %t/columns.mlir
// RUN: not qbc-opt -outline-kernels %t/unknown.mlir 2>&1 | FileCheck %t/unknown.mlir
// RUN: not qbc-opt -outline-kernels %t/no_main.mlir 2>&1 | FileCheck %t/no_main.mlir

//--- block.mlir
// What a launch says: the kernel, its sizes, the distance between rows of each operand. 40 columns
// are padded to 128; 40 columns of activations are two records of 40 bytes, padded to 64. Context
// from -ctx; no more tokens in a step than that.
// CHECK: module attributes {{.*}}qb.chunk = 48 : i64, qb.context = 48 : i64, qb.vocab = 24 : i64
// ARM: module attributes {{.*}}qb.chunk = 64 : i64, qb.context = 64 : i64
// CHECK-LABEL: func.func @weights()
// CHECK-NEXT: "qb.weight"() {format = "f16", lookup = true, name = "embed", role = "embed"}
// CHECK-NEXT: "qb.weight"() {block = 0 : i64, lookup = false, name = "q", role = "attn_q"}
// CHECK-NEXT: "qb.weight"() {name = "rope.[[N:.*]]", role = "rope", source = "rope.[[N]]", strides = array<i64: 1>} : () -> tensor<4xf32>
// CHECK-LABEL: func.func @step()
// CHECK: %[[X:.*]] = "qb.place"() {name = "0", row_bytes = 512 : i64, rows = "all", section = "arena"}
// CHECK: "qb.launch"(%[[X]], %{{.*}}) ({
// CHECK-NEXT: }) {format = "f16", k = 40 : i64, kernel = "embed", n = 64 : i64, panel = 64 : i64, row_bytes = array<i64: 512, 0>, rows = "all"}
// CHECK: %[[A:.*]] = "qb.place"() {multiplier = 8 : i64, name = "1", row_bytes = 128 : i64
// CHECK: "qb.launch"(%[[A]], %[[X]]) ({
// CHECK-NEXT: }) {c = 40 : i64, kernel = "quantize", multiplier = 8 : i64, records = 2 : i64, row_bytes = array<i64: 128, 512>, rows = "all"}
// CHECK: %[[Q:.*]] = "qb.place"() {name = "2", row_bytes = 512
// CHECK: "qb.launch"(%[[Q]], %[[A]], %{{.*}}) ({
// CHECK-NEXT: ^bb0
// CHECK: }) {format = "i4g32", k = 40 : i64, kernel = "linear", multiplier = 8 : i64, n = 24 : i64, panel = 32 : i64, row_bytes = array<i64: 512, 128, 0>, rows = "all", strategy = "S2", strategy_costs = "{{[^"]+}}"}
// ARM: kernel = "linear", multiplier = 8 : i64, n = 24 : i64, panel = 8 : i64
// CHECK: "qb.launch"(%[[T:.*]], %{{.*}}) ({
// CHECK-NEXT: }) {kernel = "angles", pairs = 4 : i64, row_bytes = array<i64: 512, 0>, rows = "all", scale = 1.000000e+00 : f32}
// CHECK: "qb.launch"(%{{.*}}, %[[Q]], %[[T]]) ({
// CHECK-NEXT: }) {head_dim = 8 : i64, heads = 3 : i64, kernel = "rope", pairing = "adjacent", {{.*}}rotary_dim = 8 : i64
// CHECK: %[[K:.*]] = "qb.place"() {bytes = 4608 : i64, name = "kv.0.k", section = "state"}
// CHECK: "qb.launch"(%[[K]], %{{.*}}) ({
// CHECK-NEXT: }) {context = 48 : i64, head_dim = 8 : i64, kernel = "append_keys", kv_heads = 3 : i64
// CHECK: %[[V:.*]] = "qb.place"() {bytes = 9216 : i64, name = "kv.0.v", section = "state"}
// CHECK: kernel = "append_values"
// CHECK: %[[Y:.*]] = "qb.place"() {name = "[[YN:.*]]", row_bytes = 512 : i64, rows = "all", section = "arena"}
// CHECK: "qb.launch"(%[[Y]], %{{.*}}, %[[K]], %[[V]]) ({
// CHECK-NEXT: }) {context = 48 : i64, head_dim = 8 : i64, heads = 3 : i64, kernel = "attention", kv_heads = 3 : i64, {{.*}}scale = 5.000000e-01 : f32, window = 16 : i64}
// The result has all rows; the host gets those that it asked for.
// CHECK: %[[T:.*]] = "qb.place"() {name = "[[YN]]", row_bytes = 512 : i64, rows = "tail", section = "arena", skip = true}
// CHECK: %[[L:.*]] = "qb.place"() {row_bytes = 96 : i64, rows = "tail", section = "logits"}
// CHECK: "qb.launch"(%[[L]], %[[T]]) ({
// CHECK-NEXT: }) {c = 24 : i64, kernel = "elementwise", row_bytes = array<i64: 96, 512>, rows = "tail"}
// CHECK-NOT: func.func @main
module attributes {qb.context = 64 : i64} {
  func.func @main(%ids: tensor<?xi32>) -> tensor<?x24xf32> {
    %e = "qb.weight"() {name = "embed", format = "f16"} : () -> tensor<64x40xf32>
    %x = "qb.embed"(%ids, %e) : (tensor<?xi32>, tensor<64x40xf32>) -> tensor<?x40xf32>
    %a = "qb.quantize"(%x) {act = "i8g32"} : (tensor<?x40xf32>) -> tensor<?x40x!qb.block<"i8g32">>
    %w = "qb.weight"() {name = "q"} : () -> tensor<24x40x!qb.block<"i4g32">>
    %q = "qb.fused_linear"(%a, %w) ({
    ^bb0(%p: f32):
      llvm.return %p : f32
    }) {block = 0 : i64, role = "attn_q"} : (tensor<?x40x!qb.block<"i8g32">>, tensor<24x40x!qb.block<"i4g32">>) -> tensor<?x24xf32>
    %r = "qb.rope"(%q) {head_dim = 8 : i64, pairing = "adjacent", theta = 100.0 : f32} : (tensor<?x24xf32>) -> tensor<?x24xf32>
    %sk = "qb.state"() {name = "kv.0.k"} : () -> tensor<?x24xf32>
    %k = "qb.append"(%sk, %r) : (tensor<?x24xf32>, tensor<?x24xf32>) -> tensor<?x24xf32>
    %sv = "qb.state"() {name = "kv.0.v"} : () -> tensor<?x24xf32>
    %v = "qb.append"(%sv, %q) : (tensor<?x24xf32>, tensor<?x24xf32>) -> tensor<?x24xf32>
    %y = "qb.attention"(%r, %k, %v) {heads = 3 : i64, kv_heads = 3 : i64, head_dim = 8 : i64, scale = 0.5 : f32, window = 16 : i64} : (tensor<?x24xf32>, tensor<?x24xf32>, tensor<?x24xf32>) -> tensor<?x24xf32>
    return %y : tensor<?x24xf32>
  }
}

//--- head.mlir
// The tail is the same buffer from the first row whose logits are wanted; what follows has those rows only.
// Zero-point blocks want the plain sum, and rows of whole groups: 128 columns, four records. Where
// biases differ the sum stays plain too.
// CHECK: %[[X:.*]] = "qb.place"() {name = "0"
// CHECK: %[[T:.*]] = "qb.place"() {name = "0", row_bytes = 512 : i64, rows = "tail", section = "arena", skip = true}
// CHECK: "qb.launch"(%{{.*}}, %[[T]], %{{.*}}) ({
// CHECK-NEXT: }) {c = 40 : i64, eps = 5.000000e-01 : f32, kernel = "quantize", multiplier = 1 : i64, records = 4 : i64, row_bytes = array<i64: 192, 512, 0>, rows = "tail"}
// CHECK: "qb.launch"(%[[G:.*]], %{{.*}}, %{{.*}}) ({
// CHECK: }) {format = "i4g128z", {{.*}}multiplier = 1 : i64, {{.*}}rows = "tail", strategy = "S2", strategy_costs = "{{[^"]+}}"}
// CHECK: %[[L:.*]] = "qb.place"() {row_bytes = 28 : i64, rows = "tail", section = "logits"}
// CHECK: "qb.launch"(%[[L]], %{{.*}}, %{{.*}}, %[[G]]) ({
// CHECK: }) {exact = true, format = "i4g32", {{.*}}multiplier = 1 : i64, {{.*}}rows = "tail", strategy = "S2", strategy_costs = "{{[^"]+}}"}
func.func @main(%ids: tensor<?xi32>) -> tensor<?x7xf32> {
  %e = "qb.weight"() {name = "embed"} : () -> tensor<64x40xf32>
  %g = "qb.weight"() {name = "gain"} : () -> tensor<40xf32>
  %w = "qb.weight"() {name = "gate"} : () -> tensor<7x40x!qb.block<"i4g128z">>
  %u = "qb.weight"() {name = "up"} : () -> tensor<7x40x!qb.block<"i4g32">>
  %x = "qb.embed"(%ids, %e) : (tensor<?xi32>, tensor<64x40xf32>) -> tensor<?x40xf32>
  %t = "qb.tail"(%x) : (tensor<?x40xf32>) -> tensor<?x40xf32>
  %a = "qb.quantize"(%t, %g) {act = "i8g32", eps = 0.5 : f32} : (tensor<?x40xf32>, tensor<40xf32>) -> tensor<?x40x!qb.block<"i8g32">>
  %gate = "qb.fused_linear"(%a, %w) ({
  ^bb0(%p: f32):
    llvm.return %p : f32
  }) : (tensor<?x40x!qb.block<"i8g32">>, tensor<7x40x!qb.block<"i4g128z">>) -> tensor<?x7xf32>
  %y = "qb.fused_linear"(%a, %u, %gate) ({
  ^bb0(%p: f32, %o: f32):
    %s = arith.mulf %p, %o : f32
    llvm.return %s : f32
  }) : (tensor<?x40x!qb.block<"i8g32">>, tensor<7x40x!qb.block<"i4g32">>, tensor<?x7xf32>) -> tensor<?x7xf32>
  return %y : tensor<?x7xf32>
}

//--- gpt.mlir
// Rows of a table by position; a norm with a bias; a vector has no rows, in an epilogue or alone.
// CHECK: "qb.launch"(%[[P:.*]], %{{.*}}) ({
// CHECK-NEXT: }) {first = 2 : i64, format = "f32", k = 40 : i64, kernel = "embed_positions", n = 64 : i64, {{.*}}row_bytes = array<i64: 512, 0>
// CHECK: "qb.launch"(%{{.*}}, %[[P]], %{{.*}}, %{{.*}}) ({
// CHECK-NEXT: }) {c = 40 : i64, eps = 5.000000e-01 : f32, kernel = "layer_norm", row_bytes = array<i64: 512, 512, 0, 0>, rows = "all", run = 40 : i64}
// CHECK: kernel = "linear", n = 40 : i64, {{.*}}row_bytes = array<i64: 512, 512, 0, 0>
// CHECK: ^bb0(%[[X:.*]]: f32, %[[Y:.*]]: f32):
// CHECK-NEXT: arith.addf %[[X]], %[[Y]]
// CHECK: kernel = "elementwise", row_bytes = array<i64: 512, 512, 0>
// CHECK: "qb.act"(%{{.*}}) {act = "gelu"} : (f32) -> f32
// CHECK: kernel = "elementwise", row_bytes = array<i64: 512, 512>
func.func @main(%ids: tensor<?xi32>) -> tensor<?x40xf32> {
  %e = "qb.weight"() {name = "table"} : () -> tensor<64x40xf32>
  %g = "qb.weight"() {name = "gain"} : () -> tensor<40xf32>
  %b = "qb.weight"() {name = "bias"} : () -> tensor<40xf32>
  %w = "qb.weight"() {name = "w"} : () -> tensor<40x40xf32>
  %x = "qb.embed_positions"(%e) {first = 2 : i64} : (tensor<64x40xf32>) -> tensor<?x40xf32>
  %n = "qb.layer_norm"(%x, %g, %b) {eps = 0.5 : f32} : (tensor<?x40xf32>, tensor<40xf32>, tensor<40xf32>) -> tensor<?x40xf32>
  %r = "qb.repeat"(%b) : (tensor<40xf32>) -> tensor<?x40xf32>
  %y = "qb.fused_linear"(%n, %w, %r) ({
  ^bb0(%p: f32, %o: f32):
    %s = arith.addf %p, %o : f32
    llvm.return %s : f32
  }) : (tensor<?x40xf32>, tensor<40x40xf32>, tensor<?x40xf32>) -> tensor<?x40xf32>
  %z = "qb.bias"(%y, %b) : (tensor<?x40xf32>, tensor<40xf32>) -> tensor<?x40xf32>
  %a = "qb.act"(%z) {act = "gelu"} : (tensor<?x40xf32>) -> tensor<?x40xf32>
  return %a : tensor<?x40xf32>
}

//--- columns.mlir
// Some columns are a place in a place: floats by fours, quantized ones by records. What is joined is written where it belongs,
// and not a column too many; blocks that are looked up write whole groups, for which there is room.
// CHECK: "qb.place"() {name = "0", row_bytes = 1024 : i64, rows = "all", section = "arena"}
// CHECK: %[[E0:.*]] = "qb.place"() {name = "0", row_bytes = 1024 : i64, {{.*}}shift = 0 : i64, width = 128 : i64}
// CHECK: "qb.launch"(%[[E0]], %{{.*}}) ({
// CHECK-NEXT: }) {format = "f16"
// CHECK: %[[E1:.*]] = "qb.place"() {name = "0", row_bytes = 1024 : i64, {{.*}}shift = 128 : i64, width = 256 : i64}
// CHECK: "qb.launch"(%[[E1]], %{{.*}}) ({
// CHECK-NEXT: }) {format = "i4g128z"
// CHECK: kernel = "quantize", multiplier = 8 : i64, records = 3 : i64
// CHECK: %[[A1:.*]] = "qb.place"() {multiplier = 8 : i64, name = "1", row_bytes = 192 : i64, rows = "all", section = "arena", shift = 44 : i64, width = 88 : i64}
// CHECK: "qb.place"() {name = "2", row_bytes = 1024
// CHECK: "qb.launch"(%{{.*}}, %[[A1]], %{{.*}}) ({
// CHECK: exact = true, format = "i4g64", k = 64 : i64
func.func @main(%ids: tensor<?xi32>) -> tensor<?x200xf32> {
  %e0 = "qb.weight"() {name = "e0", format = "f16"} : () -> tensor<64x32xf32>
  %e1 = "qb.weight"() {name = "e1"} : () -> tensor<64x64x!qb.block<"i4g128z">>
  %w = "qb.weight"() {name = "w"} : () -> tensor<100x64x!qb.block<"i4g64">>
  %x0 = "qb.embed"(%ids, %e0) : (tensor<?xi32>, tensor<64x32xf32>) -> tensor<?x32xf32>
  %x1 = "qb.embed"(%ids, %e1) : (tensor<?xi32>, tensor<64x64x!qb.block<"i4g128z">>) -> tensor<?x64xf32>
  %x = "qb.join"(%x0, %x1) : (tensor<?x32xf32>, tensor<?x64xf32>) -> tensor<?x96xf32>
  %a = "qb.quantize"(%x) {act = "i8g32"} : (tensor<?x96xf32>) -> tensor<?x96x!qb.block<"i8g32">>
  %a1 = "qb.columns"(%a) {first = 32 : i64} : (tensor<?x96x!qb.block<"i8g32">>) -> tensor<?x64x!qb.block<"i8g32">>
  %y0 = "qb.fused_linear"(%a1, %w) ({
  ^bb0(%p: f32):
    llvm.return %p : f32
  }) : (tensor<?x64x!qb.block<"i8g32">>, tensor<100x64x!qb.block<"i4g64">>) -> tensor<?x100xf32>
  %y1 = "qb.fused_linear"(%a1, %w) ({
  ^bb0(%p: f32):
    llvm.return %p : f32
  }) : (tensor<?x64x!qb.block<"i8g32">>, tensor<100x64x!qb.block<"i4g64">>) -> tensor<?x100xf32>
  %y = "qb.join"(%y0, %y1) : (tensor<?x100xf32>, tensor<?x100xf32>) -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}

//--- part.mlir
// A part of a model, as calibration runs it: rows come in place of tokens, and those that are observed stay in the state.
// CHECK: %[[X:.*]] = "qb.place"() {row_bytes = 512 : i64, rows = "all", section = "input"}
// CHECK: %[[N:.*]] = "qb.place"() {name = "0", row_bytes = 512 : i64, rows = "tail", section = "arena"}
// CHECK: "qb.launch"(%[[N]], %[[T:.*]], %{{.*}}) ({
// CHECK: %[[S:.*]] = "qb.place"() {bytes = 24576 : i64, name = "observe.0", row_bytes = 512 : i64, section = "state"}
// CHECK: "qb.launch"(%[[S]], %[[N]]) ({
// CHECK-NEXT: }) {c = 40 : i64, kernel = "elementwise", row_bytes = array<i64: 512, 512>, rows = "tail"}
module attributes {qb.context = 48 : i64} {
  func.func @main(%ids: tensor<?xi32>, %x: tensor<?x40xf32>) -> tensor<?x40xf32> {
    %t = "qb.tail"(%x) : (tensor<?x40xf32>) -> tensor<?x40xf32>
    %g = "qb.weight"() {name = "g"} : () -> tensor<40xf32>
    %n = "qb.rms_norm"(%t, %g) {eps = 1.0e-5 : f32} : (tensor<?x40xf32>, tensor<40xf32>) -> tensor<?x40xf32>
    "qb.observe"(%n) {name = "observe.0"} : (tensor<?x40xf32>) -> ()
    %y = arith.addf %n, %n : tensor<?x40xf32>
    return %y : tensor<?x40xf32>
  }
}

//--- unknown.mlir
// CHECK: unknown.mlir:[[#@LINE+3]]:{{.*}}: error: no kernel does math.exp here
func.func @main(%ids: tensor<?xi32>, %x: tensor<?x7xf32>) -> tensor<?x7xf32> {
  %w = "qb.weight"() {name = "gain"} : () -> tensor<7xf32>
  %y = math.exp %x : tensor<?x7xf32>
  %z = "qb.act"(%y) {act = "relu"} : (tensor<?x7xf32>) -> tensor<?x7xf32> // has nothing to work on, which is no other error
  return %z : tensor<?x7xf32>
}

//--- no_main.mlir
// CHECK: error: there is no function @main
func.func @step() {
  return
}
