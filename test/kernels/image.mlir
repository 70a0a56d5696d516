// Everything that a model needs, for every target: the object has two symbols for the outside, wants none, and
// has no memory of its own. The image that it is linked to is checked again whenever it is loaded.
//
// DEFINE: %{symbols} = FileCheck %s --implicit-check-not='{{ [UTDBC] }}'
// DEFINE: %{sections} = FileCheck %s --implicit-check-not='{{\.(data|bss|tdata|tbss|init_array)}}' --check-prefix=SECTIONS
// RUN: qbc %s -q -emit=obj -target=x86-64-v3 -quant=i4g32 -o %t.o && llvm-nm %t.o | %{symbols} && llvm-readelf -SW %t.o | %{sections}
// RUN: qbc %s -q -emit=obj -target=x86-64-v2 -quant=i4g32 -o %t.o && llvm-nm %t.o | %{symbols} && llvm-readelf -SW %t.o | %{sections}
// RUN: qbc %s -q -emit=obj -target=x86-64-v2 -quant=i8g32 -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=x86-64-v2 -quant=i4g128z -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=x86-64-v2 -quant=f32 -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=x86-64-v2 -quant=f16 -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=alderlake -quant=i8g32 -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=x86-64-v4 -quant=i4g128z -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=cascadelake -quant=f32 -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=icelake-server -quant=f16 -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=armv8 -quant=i4g32 -o %t.o && llvm-nm %t.o | %{symbols} && llvm-readelf -SW %t.o | %{sections}
// RUN: qbc %s -q -emit=obj -target=armv8.2+dotprod -quant=i8g32 -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=armv8.6 -quant=i4g128z -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=rv64gcv -quant=f32 -o %t.o && llvm-nm %t.o | %{symbols} && llvm-readelf -SW %t.o | %{sections}
// RUN: qbc %s -q -emit=obj -target=rv64gcv -quant=f16 -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=rv64gcv -quant=i8g32 -o %t.o && llvm-nm %t.o | %{symbols}
// RUN: qbc %s -q -emit=obj -target=spacemit-x60 -quant=i4g128z -o %t.o && llvm-nm %t.o | %{symbols}
//
// CHECK-DAG: T model_decode
// CHECK-DAG: T model_step
// SECTIONS: {{\.text}}
module attributes {qb.level = "graph", qb.context = 256 : i64} {
  func.func @main(%tokens: tensor<?xi32>) -> tensor<?x384xf32> {
    %e = "qb.weight"() {name = "embed"} : () -> tensor<384x64xf32>
    %x = "qb.embed"(%tokens, %e) : (tensor<?xi32>, tensor<384x64xf32>) -> tensor<?x64xf32>
    %g = "qb.weight"() {name = "norm"} : () -> tensor<64xf32>
    %n = "qb.rms_norm"(%x, %g) {eps = 1.0e-6 : f32} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
    %wq = "qb.weight"() {name = "q"} : () -> tensor<64x64xf32>
    %wk = "qb.weight"() {name = "k"} : () -> tensor<64x64xf32>
    %wv = "qb.weight"() {name = "v"} : () -> tensor<64x64xf32>
    %q = "qb.linear"(%n, %wq) : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
    %k = "qb.linear"(%n, %wk) : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
    %v = "qb.linear"(%n, %wv) : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
    %g16 = "qb.weight"() {name = "q_norm"} : () -> tensor<16xf32>
    %qn = "qb.rms_norm"(%q, %g16) {eps = 1.0e-6 : f32} : (tensor<?x64xf32>, tensor<16xf32>) -> tensor<?x64xf32>
    %qr = "qb.rope"(%qn) {head_dim = 16 : i64, rotary_dim = 8 : i64, pairing = "adjacent", theta = 10000.0 : f32} : (tensor<?x64xf32>) -> tensor<?x64xf32>
    %kr = "qb.rope"(%k) {head_dim = 16 : i64, rotary_dim = 16 : i64, pairing = "half", theta = 10000.0 : f32} : (tensor<?x64xf32>) -> tensor<?x64xf32>
    %sk = "qb.state"() {name = "kv.0.k"} : () -> tensor<?x64xf32>
    %sv = "qb.state"() {name = "kv.0.v"} : () -> tensor<?x64xf32>
    %ak = "qb.append"(%sk, %kr) : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    %av = "qb.append"(%sv, %v) : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    %a = "qb.attention"(%qr, %ak, %av) {heads = 4 : i64, kv_heads = 4 : i64, head_dim = 16 : i64, scale = 0.25 : f32} : (tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    %wo = "qb.weight"() {name = "o"} : () -> tensor<64x64xf32>
    %o = "qb.linear"(%a, %wo) : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
    %x1 = arith.addf %x, %o : tensor<?x64xf32>
    %wg = "qb.weight"() {name = "gate"} : () -> tensor<160x64xf32>
    %wu = "qb.weight"() {name = "up"} : () -> tensor<160x64xf32>
    %wd = "qb.weight"() {name = "down"} : () -> tensor<64x160xf32>
    %gate = "qb.linear"(%x1, %wg) : (tensor<?x64xf32>, tensor<160x64xf32>) -> tensor<?x160xf32>
    %up = "qb.linear"(%x1, %wu) : (tensor<?x64xf32>, tensor<160x64xf32>) -> tensor<?x160xf32>
    %h = "qb.glu"(%gate, %up) {act = "silu"} : (tensor<?x160xf32>, tensor<?x160xf32>) -> tensor<?x160xf32>
    %d = "qb.linear"(%h, %wd) : (tensor<?x160xf32>, tensor<64x160xf32>) -> tensor<?x64xf32>
    %m = arith.mulf %d, %x : tensor<?x64xf32>
    %x2 = arith.addf %x1, %m : tensor<?x64xf32>
    %t = "qb.tail"(%x2) : (tensor<?x64xf32>) -> tensor<?x64xf32>
    %y = "qb.linear"(%t, %e) : (tensor<?x64xf32>, tensor<384x64xf32>) -> tensor<?x384xf32>
    return %y : tensor<?x384xf32>
  }
}
