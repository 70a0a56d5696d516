// Products where vectors are of any length: a scalar times a vector of codes, added to sums of twice the bits. The inner
// loop never sets the type of vectors, touches memory only for weights and activations, and keeps its addresses in
// a few additions; what has another type (scales, zero points, converting sums) is outside.
//
// DEFINE: %{not} = --implicit-check-not='{{vset|csrr|call|[[:space:]](sb|sh|sw|sd|ld|lw|fsw|vs[1248]r\.v|vl[1248]r\.v|vse[0-9]+\.v)[[:space:]]}}'
// DEFINE: %{loop} = qbc %s -q -emit=asm
// DEFINE: %{one} = %inner_loops 'linear_.*_one' -per
// DEFINE: %{many} = %inner_loops 'linear_[0-9]*' -per
//
// RUN: %{loop} -target=rv64gcv -quant=i4g32 | %{one} vwmaccsu.vx | FileCheck %s %{not} --check-prefixes=CODES,NIBBLES
// RUN: %{loop} -target=rv64gcv -quant=i4g128z | %{one} vwmaccsu.vx | FileCheck %s %{not} --check-prefixes=CODES,NIBBLES
// RUN: %{loop} -target=rv64gcv -quant=i8g32 | %{one} vwmaccsu.vx | FileCheck %s %{not} --check-prefixes=CODES,BYTES
// RUN: %{loop} -target=spacemit-x60 -quant=i4g32 | %{one} vwmaccsu.vx | FileCheck %s %{not} --check-prefixes=CODES,NIBBLES
// RUN: %{loop} -target=rv64gcv -quant=f32 | %{one} 'vfm(add|acc).vf' | FileCheck %s %{not} --check-prefixes=FLOAT
// RUN: %{loop} -target=rv64gcv -quant=f16 | %{one} 'vfm(add|acc).vf' | FileCheck %s %{not} --check-prefixes=FLOAT,HALF
// RUN: %{loop} -target=rv64gcv -quant=i4g32 | %{many} vwmaccsu.vx | FileCheck %s %{not} --check-prefixes=TOKENS
// RUN: %{loop} -target=rv64gcv -quant=i8g32 | %{many} vwmaccsu.vx | FileCheck %s %{not} --check-prefixes=TOKENS
// RUN: %{loop} -target=rv64gcv -quant=i4g32 | FileCheck %s --check-prefix=AROUND
//
// CODES: vwmaccsu.vx {{v[0-9]+}}, {{[a-z][0-9]+}}, {{v[0-9]+}}
// CODES: per vwmaccsu.vx: 0.0625 b
// CODES: per vwmaccsu.vx: 1.0000 lb
// NIBBLES: per vwmaccsu.vx: 0.5000 vand.vi
// NIBBLES: per vwmaccsu.vx: 0.5000 vle8.v
// NIBBLES: per vwmaccsu.vx: 0.5000 vsrl.vi
// BYTES: per vwmaccsu.vx: 1.0000 vle8.v
// BYTES: per vwmaccsu.vx: 1.0000 vzext.vf2
// FLOAT: vfm{{(add|acc)}}.vf
// FLOAT: 1.0000 vfm{{(add|acc)}}.vf
// HALF: 1.0000 vsext.vf2
//
// The first loop is for four tokens: a vector of codes is unpacked once for all of them.
// TOKENS: per vwmaccsu.vx: 0.{{1250|2500}} vle8.v
//
// Groups of two registers hold codes, of four the sums in 16 bits, of eight the floats.
// AROUND-LABEL: {{^}}linear_{{.*}}_one:
// AROUND: vsetvli {{.*}}, e32, m8
// AROUND: vsetvli zero, {{.*}}, e8, m2
// AROUND-NOT: vset
// AROUND: vwmaccsu.vx
// AROUND: b{{[a-z]+}} {{.*}}.LBB
// AROUND: vsetvli zero, zero, e16, m4
// AROUND: vfwcvt.f.x.v
// AROUND: vsetvli zero, zero, e32, m8
// AROUND: vfmacc.vv

module attributes {qb.level = "graph", qb.context = 64 : i64} {
  func.func @main(%tokens: tensor<?xi32>) -> tensor<?x512xf32> {
    %e = "qb.weight"() {name = "embed"} : () -> tensor<64x1024xf32>
    %x = "qb.embed"(%tokens, %e) : (tensor<?xi32>, tensor<64x1024xf32>) -> tensor<?x1024xf32>
    %w = "qb.weight"() {name = "head"} : () -> tensor<512x1024xf32>
    %y = "qb.linear"(%x, %w) : (tensor<?x1024xf32>, tensor<512x1024xf32>) -> tensor<?x512xf32>
    return %y : tensor<?x512xf32>
  }
}
