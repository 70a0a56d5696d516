// RUN: qbc-opt -generate-kernels -target=cascadelake %s | FileCheck %s
// RUN: qbc-opt -generate-kernels -target=cascadelake %s | FileCheck %s --check-prefix=UPSTREAM
// RUN: sed 's/qb.arena_bytes/qb.bytes/' %s | not qbc-opt -generate-kernels - 2>&1 | FileCheck %s --check-prefix=PLAN

// PLAN: error: there is no planned @step; run outline-kernels and plan-memory first
// UPSTREAM-NOT: "qb.
// UPSTREAM-NOT: @program
module attributes {qb.arena_bytes = 8192 : i64} {
  // Two functions walk the program: one token, and any number. Launches that differ in nothing but
  // their places share a kernel; another epilogue or size is another one.
  // CHECK-LABEL: func.func @decode(%{{.*}}: !llvm.ptr, %{{.*}}: i64)
  // CHECK: call @[[NORM:rms_norm_[a-z0-9_]+]](
  // CHECK: call @[[NORM]](
  // CHECK: llvm.call %{{.*}}(%{{.*}}) : !llvm.ptr, (!llvm.ptr) -> ()
  // CHECK-NOT: llvm.call
  // CHECK: call @[[SUM:elementwise_[a-z0-9_]+]](
  // CHECK: call @[[PRODUCT:elementwise_[a-z0-9_]+]](
  // CHECK: return
  // CHECK-DAG: func.func private @[[NORM]](
  // CHECK-DAG: func.func private @[[SUM]](
  // CHECK-DAG: func.func private @[[PRODUCT]](
  // CHECK: func.func @step(%{{.*}}: !llvm.ptr, %{{.*}}: i64)
  // CHECK-COUNT-2: call @rms_norm
  // CHECK: llvm.call
  // CHECK-COUNT-2: call @elementwise
  func.func @step() {
    %g = "qb.place"() {section = "weights", name = "g", offset = 0 : i64} : () -> !llvm.ptr
    %x = "qb.place"() {section = "arena", name = "0", offset = 0 : i64, row_bytes = 512 : i64} : () -> !llvm.ptr
    %y = "qb.place"() {section = "arena", name = "1", offset = 2048 : i64, row_bytes = 512 : i64} : () -> !llvm.ptr
    %z = "qb.place"() {section = "arena", name = "2", offset = 4096 : i64, row_bytes = 512 : i64} : () -> !llvm.ptr
    "qb.launch"(%y, %x, %g) ({}) {kernel = "rms_norm", c = 16 : i64, eps = 0.5 : f32, rows = "all", row_bytes = array<i64: 512, 512, 0>} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%z, %y, %g) ({}) {kernel = "rms_norm", c = 16 : i64, eps = 0.5 : f32, rows = "all", row_bytes = array<i64: 512, 512, 0>} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    "qb.barrier"() : () -> ()
    "qb.launch"(%x, %y, %z) ({
    ^bb0(%a: f32, %b: f32):
      %s = arith.addf %a, %b : f32
      llvm.return %s : f32
    }) {kernel = "elementwise", c = 16 : i64, rows = "all", row_bytes = array<i64: 512, 512, 512>} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%x, %y, %z) ({
    ^bb0(%a: f32, %b: f32):
      %s = arith.mulf %a, %b : f32
      llvm.return %s : f32
    }) {kernel = "elementwise", c = 16 : i64, rows = "all", row_bytes = array<i64: 512, 512, 512>} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    return
  }
}
