// A step for one token: no kernel computes floats one at a time in its inner loops. A norm has a root for each row, the
// quantizer a division for each 32 columns, angles their position: these loops may have those and no others. Sizes are
// those of a small model, so that LLVM does not unroll a row.
//
// DEFINE: %{asm} = qbc %s -q -emit=asm -ctx=256
// DEFINE: %{most} = %inner_loops '(?!(quantize|angles)_).*_one' | FileCheck %s
// DEFINE: %{few} = %inner_loops 'quantize_.*_one' | FileCheck %s
// DEFINE: %{angles} = %inner_loops 'angles_.*_one' | FileCheck %s
// DEFINE: %{arm} = --implicit-check-not='{{f(add|sub|madd|msub|nmsub|max|min|maxnm|minnm|cmp)[[:space:]]+[sd][0-9]}}' --implicit-check-not='{{[[:space:]]bl[[:space:]]}}'
// DEFINE: %{arm-all} = %{arm} --implicit-check-not='{{(f(mul|div|sqrt)|[su]cvtf)[[:space:]]+[sd][0-9]}}'
// DEFINE: %{x86} = --implicit-check-not='{{[[:space:]]v?(add|sub|max|min|fn?m(add|sub)[0-9]+|u?comi|cvtt)s[sd][[:space:]]}}' --implicit-check-not=call
// DEFINE: %{x86-all} = %{x86} --implicit-check-not='{{[[:space:]]v?(mul|div|sqrt|cvtsi2)s[sd][[:space:]]}}'
//
// RUN: %{asm} -target=armv8 -quant=i4g32 | %{most} %{arm-all} --check-prefix=ARM
// RUN: %{asm} -target=armv8 -quant=f16 | %{most} %{arm-all} --check-prefix=ARM
// RUN: %{asm} -target=armv8.2+dotprod -quant=i8g32 | %{most} %{arm-all} --check-prefix=ARM
// RUN: %{asm} -target=armv8.6 -quant=f32 | %{most} %{arm-all} --check-prefix=ARM
// RUN: %{asm} -target=x86-64-v3 -quant=i4g32 | %{most} %{x86-all} --check-prefix=X86
// RUN: %{asm} -target=x86-64-v3 -quant=f16 | %{most} %{x86-all} --check-prefix=X86
// RUN: %{asm} -target=icelake-server -quant=i8g32 | %{most} %{x86-all} --check-prefix=X86
// RUN: %{asm} -target=armv8 -quant=i4g32 | %{few} %{arm} --implicit-check-not=strb --check-prefix=ARM-ROUND
// RUN: %{asm} -target=x86-64-v3 -quant=i4g32 | %{few} %{x86} --implicit-check-not="{{movb[[:space:]]%}}" --check-prefix=X86-ROUND
// RUN: %{asm} -target=armv8 -quant=i4g32 | %{angles} %{arm} --check-prefix=ARM-ANGLES
// RUN: %{asm} -target=x86-64-v3 -quant=i4g32 | %{angles} %{x86} --check-prefix=X86-ANGLES
//
// ARM: fm{{(la|ul)}} v{{[0-9]+}}.4s
// X86: vf{{n?}}m{{.*}}ps
// ARM-ROUND: fmul v{{[0-9]+}}.4s
// ARM-ROUND: uzp1 v{{[0-9]+}}.16b
// X86-ROUND: vmulps
// X86-ROUND: vaddps
// ARM-ANGLES: fmla v{{[0-9]+}}.2d
// X86-ANGLES: vfmadd{{.*}}pd
module attributes {qb.level = "graph", qb.context = 256 : i64} {
  func.func @main(%tokens: tensor<?xi32>) -> tensor<?x512xf32> {
    %e = "qb.weight"() {name = "embed"} : () -> tensor<512x1024xf32>
    %x = "qb.embed"(%tokens, %e) : (tensor<?xi32>, tensor<512x1024xf32>) -> tensor<?x1024xf32>
    %g = "qb.weight"() {name = "norm"} : () -> tensor<1024xf32>
    %n = "qb.rms_norm"(%x, %g) {eps = 1.0e-6 : f32} : (tensor<?x1024xf32>, tensor<1024xf32>) -> tensor<?x1024xf32>
    %wq = "qb.weight"() {name = "q"} : () -> tensor<1024x1024xf32>
    %wk = "qb.weight"() {name = "k"} : () -> tensor<128x1024xf32>
    %wv = "qb.weight"() {name = "v"} : () -> tensor<128x1024xf32>
    %q = "qb.linear"(%n, %wq) : (tensor<?x1024xf32>, tensor<1024x1024xf32>) -> tensor<?x1024xf32>
    %k = "qb.linear"(%n, %wk) : (tensor<?x1024xf32>, tensor<128x1024xf32>) -> tensor<?x128xf32>
    %v = "qb.linear"(%n, %wv) : (tensor<?x1024xf32>, tensor<128x1024xf32>) -> tensor<?x128xf32>
    %qr = "qb.rope"(%q) {head_dim = 64 : i64, rotary_dim = 32 : i64, pairing = "adjacent", theta = 10000.0 : f32} : (tensor<?x1024xf32>) -> tensor<?x1024xf32>
    %kr = "qb.rope"(%k) {head_dim = 64 : i64, rotary_dim = 64 : i64, pairing = "half", theta = 10000.0 : f32} : (tensor<?x128xf32>) -> tensor<?x128xf32>
    %sk = "qb.state"() {name = "kv.0.k"} : () -> tensor<?x128xf32>
    %sv = "qb.state"() {name = "kv.0.v"} : () -> tensor<?x128xf32>
    %ak = "qb.append"(%sk, %kr) : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
    %av = "qb.append"(%sv, %v) : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
    %a = "qb.attention"(%qr, %ak, %av) {heads = 16 : i64, kv_heads = 2 : i64, head_dim = 64 : i64, scale = 0.125 : f32} : (tensor<?x1024xf32>, tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x1024xf32>
    %wo = "qb.weight"() {name = "o"} : () -> tensor<1024x1024xf32>
    %o = "qb.linear"(%a, %wo) : (tensor<?x1024xf32>, tensor<1024x1024xf32>) -> tensor<?x1024xf32>
    %x1 = arith.addf %x, %o : tensor<?x1024xf32>
    %wg = "qb.weight"() {name = "gate"} : () -> tensor<512x1024xf32>
    %wu = "qb.weight"() {name = "up"} : () -> tensor<512x1024xf32>
    %wd = "qb.weight"() {name = "down"} : () -> tensor<1024x512xf32>
    %gate = "qb.linear"(%x1, %wg) : (tensor<?x1024xf32>, tensor<512x1024xf32>) -> tensor<?x512xf32>
    %up = "qb.linear"(%x1, %wu) : (tensor<?x1024xf32>, tensor<512x1024xf32>) -> tensor<?x512xf32>
    %h = "qb.glu"(%gate, %up) {act = "silu"} : (tensor<?x512xf32>, tensor<?x512xf32>) -> tensor<?x512xf32>
    %d = "qb.linear"(%h, %wd) : (tensor<?x512xf32>, tensor<1024x512xf32>) -> tensor<?x1024xf32>
    %x2 = arith.addf %x1, %d : tensor<?x1024xf32>
    %t = "qb.tail"(%x2) : (tensor<?x1024xf32>) -> tensor<?x1024xf32>
    %y = "qb.linear"(%t, %e) : (tensor<?x1024xf32>, tensor<512x1024xf32>) -> tensor<?x512xf32>
    return %y : tensor<?x512xf32>
  }
}
