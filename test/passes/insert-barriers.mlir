// RUN: qbc-opt -insert-barriers %s | FileCheck %s
// RUN: sed 's/"embed"/"embde"/' %s | not qbc-opt -insert-barriers - 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// UNKNOWN: error: there is no kernel 'embde'
module attributes {qb.chunk = 4 : i64} {
  // CHECK-LABEL: @step
  func.func @step() {
    %w = "qb.place"() {section = "weights", name = "w", offset = 0 : i64} : () -> !llvm.ptr
    %x = "qb.place"() {section = "arena", name = "0", offset = 0 : i64, row_bytes = 512 : i64, rows = "all"} : () -> !llvm.ptr
    %a = "qb.place"() {section = "arena", name = "1", offset = 2048 : i64, row_bytes = 512 : i64, rows = "all"} : () -> !llvm.ptr
    %b = "qb.place"() {section = "arena", name = "2", offset = 4096 : i64, row_bytes = 512 : i64, rows = "all"} : () -> !llvm.ptr
    %c = "qb.place"() {section = "arena", name = "3", offset = 6144 : i64, row_bytes = 512 : i64, rows = "all"} : () -> !llvm.ptr
    %over = "qb.place"() {section = "arena", name = "4", offset = 3072 : i64, row_bytes = 512 : i64, rows = "all"} : () -> !llvm.ptr
    %tail = "qb.place"() {section = "arena", name = "0", offset = 0 : i64, row_bytes = 512 : i64, rows = "tail", skip = true} : () -> !llvm.ptr
    %k = "qb.place"() {section = "state", name = "k", offset = 0 : i64, bytes = 1024 : i64} : () -> !llvm.ptr
    %v = "qb.place"() {section = "state", name = "v", offset = 1024 : i64, bytes = 1024 : i64} : () -> !llvm.ptr

    // rows, then the same rows: each thread reads its own
    // CHECK: kernel = "embed"
    // CHECK-NOT: "qb.barrier"
    // CHECK: kernel = "rms_norm"
    "qb.launch"(%x, %w) ({}) {kernel = "embed", rows = "all"} : (!llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%a, %x, %w) ({}) {kernel = "rms_norm", rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()

    // a product reads whole rows
    // CHECK: "qb.barrier"
    // CHECK-NEXT: "qb.launch"
    // CHECK-NEXT: kernel = "linear", n = 64
    "qb.launch"(%b, %a, %w) ({}) {kernel = "linear", n = 64 : i64, panel = 16 : i64, rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()

    // its epilogue the same panels that this thread wrote
    // CHECK-NOT: "qb.barrier"
    // CHECK: kernel = "linear", n = 64
    "qb.launch"(%c, %a, %w, %b) ({}) {kernel = "linear", n = 64 : i64, panel = 16 : i64, rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()

    // but a product of as many rows reads the panels of all threads
    // CHECK: "qb.barrier"
    // CHECK-NEXT: "qb.launch"
    // CHECK-NEXT: kernel = "linear", n = 64
    "qb.launch"(%a, %c, %w) ({}) {kernel = "linear", n = 64 : i64, panel = 16 : i64, rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()

    // other panels of the same place
    // CHECK: "qb.barrier"
    // CHECK-NEXT: "qb.launch"
    // CHECK-NEXT: panel = 32
    "qb.launch"(%b, %x, %w, %a) ({}) {kernel = "linear", n = 64 : i64, panel = 32 : i64, rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()

    // another place that shares its bytes: what was read there must not be overwritten yet
    // CHECK: "qb.barrier"
    // CHECK-NEXT: "qb.launch"
    // CHECK-NEXT: "elementwise"
    "qb.launch"(%over, %c, %c) ({}) {kernel = "elementwise", rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()

    // all rows and the last rows are not the same share
    // CHECK-NOT: "qb.barrier"
    // CHECK: "elementwise"
    // CHECK: "qb.barrier"
    // CHECK-NEXT: "qb.launch"
    // CHECK-NEXT: "quantize", rows = "tail"
    "qb.launch"(%x, %c, %c) ({}) {kernel = "elementwise", rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%a, %tail) ({}) {kernel = "quantize", rows = "tail"} : (!llvm.ptr, !llvm.ptr) -> ()

    // keys and values lie apart, and the arena is another section than the state; attention reads all
    // CHECK-NOT: "qb.barrier"
    // CHECK: "append_values"
    // CHECK: "qb.barrier"
    // CHECK-NEXT: "qb.launch"
    // CHECK-NEXT: "attention"
    // CHECK-NOT: "qb.barrier"
    "qb.launch"(%k, %c) ({}) {kernel = "append_keys", rows = "all"} : (!llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%v, %c) ({}) {kernel = "append_values", rows = "all"} : (!llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%b, %c, %k, %v) ({}) {kernel = "attention", rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    return
  }

  // Columns of one buffer: other ones do not matter, rows are rows whatever the columns, panels are not.
  // CHECK-LABEL: @columns
  func.func @columns() {
    %w = "qb.place"() {section = "weights", name = "w", offset = 0 : i64} : () -> !llvm.ptr
    %a = "qb.place"() {section = "arena", name = "1", offset = 2048 : i64, row_bytes = 512 : i64, rows = "all"} : () -> !llvm.ptr
    %x = "qb.place"() {section = "arena", name = "0", offset = 0 : i64, row_bytes = 512 : i64, rows = "all"} : () -> !llvm.ptr
    %x0 = "qb.place"() {section = "arena", name = "0", offset = 0 : i64, row_bytes = 512 : i64, rows = "all", shift = 0 : i64, width = 128 : i64} : () -> !llvm.ptr
    %x1 = "qb.place"() {section = "arena", name = "0", offset = 0 : i64, row_bytes = 512 : i64, rows = "all", shift = 128 : i64, width = 384 : i64} : () -> !llvm.ptr
    // CHECK-NOT: "qb.barrier"
    // CHECK: panel = 16
    // CHECK-NOT: "qb.barrier"
    // CHECK: panel = 32
    "qb.launch"(%x0, %a, %w) ({}) {kernel = "linear", n = 32 : i64, panel = 16 : i64, rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%x1, %a, %w) ({}) {kernel = "linear", n = 96 : i64, panel = 32 : i64, rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    // CHECK: "qb.barrier"
    // CHECK: kernel = "embed"
    // CHECK-NOT: "qb.barrier"
    // CHECK: kernel = "rms_norm"
    "qb.launch"(%x1, %w) ({}) {kernel = "embed", rows = "all"} : (!llvm.ptr, !llvm.ptr) -> ()
    "qb.launch"(%a, %x, %w) ({}) {kernel = "rms_norm", rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    // CHECK: "qb.barrier"
    // CHECK-NEXT: "qb.launch"
    // CHECK-NEXT: panel = 64
    "qb.launch"(%a, %w, %w, %x1) ({}) {kernel = "linear", n = 96 : i64, panel = 64 : i64, rows = "all"} : (!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
    return
  }
}
