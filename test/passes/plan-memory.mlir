// RUN: qbc-opt -plan-memory -target=cascadelake %s | FileCheck %s
// RUN: sed 's/@step/@stop/' %s | not qbc-opt -plan-memory - 2>&1 | FileCheck %s --check-prefix=NO-STEP

// Rows of the longest step: 4. Buffer 2 may lie where 0 was, as nothing reads 0 any more; buffer 1 lives
// until the end. The tail of a buffer is that buffer.
// CHECK: module attributes {qb.arena_bytes = 4608 : i64, qb.chunk = 4 : i64
// CHECK-SAME: qb.state_bytes = 192 : i64, qb.state_names = ["k", "v"], qb.state_offsets = array<i64: 0, 128>, qb.state_sizes = array<i64: 128, 64>
// CHECK-SAME: qb.weights_bytes = 3328 : i64
// NO-STEP: error: there is no function @step; run outline-kernels first
module attributes {qb.chunk = 4 : i64} {
  // A matrix of 16 rows and two groups is a panel of 32: 2 * 32 * 18 bytes; a vector is f32; each begins at 64
  // CHECK: name = "w", place = 0 : i64
  // CHECK: name = "g", place = 1152 : i64
  // CHECK: name = "t", place = 1216 : i64
  // CHECK: name = "unused", place = 3264 : i64
  func.func @weights() {
    %0 = "qb.weight"() {name = "w"} : () -> tensor<16x40x!qb.block<"i4g32">>
    %1 = "qb.weight"() {name = "g"} : () -> tensor<5xf32>
    %2 = "qb.weight"() {name = "t", format = "f16"} : () -> tensor<7x16xf32>
    %3 = "qb.weight"() {name = "unused"} : () -> tensor<1xf32>
    return
  }
  func.func @step() {
    // CHECK: name = "0", offset = 0 : i64
    %x = "qb.place"() {section = "arena", name = "0", row_bytes = 512 : i64} : () -> !llvm.ptr
    // CHECK: name = "1", offset = 2048 : i64
    %a = "qb.place"() {section = "arena", name = "1", row_bytes = 128 : i64} : () -> !llvm.ptr
    // CHECK: name = "2", offset = 0 : i64
    %b = "qb.place"() {section = "arena", name = "2", row_bytes = 64 : i64} : () -> !llvm.ptr
    // CHECK: name = "3", offset = 2560 : i64
    %c = "qb.place"() {section = "arena", name = "3", row_bytes = 512 : i64} : () -> !llvm.ptr
    // CHECK: name = "1", offset = 2048 : i64, {{.*}}skip
    %tail = "qb.place"() {section = "arena", name = "1", row_bytes = 128 : i64, skip = true} : () -> !llvm.ptr
    // CHECK: name = "g", offset = 1152 : i64
    %g = "qb.place"() {section = "weights", name = "g"} : () -> !llvm.ptr
    // CHECK: name = "t", offset = 1216 : i64
    %t = "qb.place"() {section = "weights", name = "t"} : () -> !llvm.ptr
    // CHECK: bytes = 100 : i64, name = "k", offset = 0 : i64
    %k = "qb.place"() {section = "state", name = "k", bytes = 100 : i64} : () -> !llvm.ptr
    // CHECK: bytes = 64 : i64, name = "v", offset = 128 : i64
    %v = "qb.place"() {section = "state", name = "v", bytes = 64 : i64} : () -> !llvm.ptr
    // left alone: the host's
    // CHECK: "qb.place"() {section = "logits"}
    %l = "qb.place"() {section = "logits"} : () -> !llvm.ptr
    "qb.launch"(%x, %t) ({}) {kernel = "embed"} : (!llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%a, %x, %g) ({}) {kernel = "rms_norm"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%b, %a) ({}) {kernel = "quantize"} : (!llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%c, %b) ({}) {kernel = "linear"} : (!llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%l, %c, %tail) ({}) {kernel = "elementwise"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    return
  }
}
