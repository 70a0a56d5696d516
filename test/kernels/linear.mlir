// The inner loop of a product, for one token: what reads a weight, and how often it is computed with.
// "per X" counts instructions for each X, whatever the loop is unrolled by.
//
// DEFINE: %{not} = --implicit-check-not=call --implicit-check-not=memcpy \
// DEFINE:   --implicit-check-not='{{v[a-z0-9]+[[:space:]]%[xyz]mm[0-9]+, -?[0-9]*\(}}' \
// DEFINE:   --implicit-check-not='{{mov[bwlq][[:space:]][$%][a-z0-9]+, -?[0-9]*\(}}' \
// DEFINE:   --implicit-check-not='{{st[rpu][a-z]*[[:space:]]}}'
// DEFINE: %{codes} = %{not} --implicit-check-not=vpmovzx --implicit-check-not=vpmovsx
// DEFINE: %{sse} = --implicit-check-not=call --implicit-check-not=pmovzx --implicit-check-not=pinsr --implicit-check-not=pextr \
// DEFINE:   --implicit-check-not='{{mov[a-z]+[[:space:]]%xmm[0-9]+, -?[0-9]*\(}}'
// DEFINE: %{arm} = %{not} --implicit-check-not=ucvtf --implicit-check-not='{{[us]xtl}}'
// DEFINE: %{loop} = qbc %s -q -emit=asm
//
// RUN: %{loop} -target=icelake-server -quant=i4g32 | %inner_loops 'linear_.*_one' -per vpdpbusd | FileCheck %s %{codes} --check-prefixes=DOT512,CODES,NIBBLES
// RUN: %{loop} -target=cascadelake -quant=i4g32 | %inner_loops 'linear_.*_one' -per vpdpbusd | FileCheck %s %{codes} --check-prefixes=DOT512,CODES,NIBBLES
// RUN: %{loop} -target=icelake-server -quant=i8g32 | %inner_loops 'linear_.*_one' -per vpdpbusd | FileCheck %s %{codes} --check-prefixes=DOT512,CODES
// RUN: %{loop} -target=alderlake -quant=i4g32 | %inner_loops 'linear_.*_one' -per vpdpbusd | FileCheck %s %{codes} --check-prefixes=DOT256,CODES
// RUN: %{loop} -target=alderlake -quant=i8g32 | %inner_loops 'linear_.*_one' -per vpdpbusd | FileCheck %s %{codes} --check-prefixes=DOT256,CODES
// RUN: %{loop} -target=icelake-server -quant=i4g128z | %inner_loops 'linear_.*_one' -per vpdpbusd | FileCheck %s %{not} --check-prefixes=DOT512,ZERO
// RUN: %{loop} -target=x86-64-v4 -quant=i4g32 | %inner_loops 'linear_.*_one' -per vpmaddubsw | FileCheck %s %{codes} --check-prefixes=PAIR,PAIR512,PAIRS,CODES
// RUN: %{loop} -target=x86-64-v3 -quant=i4g32 | %inner_loops 'linear_.*_one' -per vpmaddubsw | FileCheck %s %{codes} --check-prefixes=PAIR,PAIR256,PAIRS,CODES
// RUN: %{loop} -target=x86-64-v3 -quant=i8g32 | %inner_loops 'linear_.*_one' -per vpmaddubsw | FileCheck %s %{codes} --check-prefixes=PAIR,PAIR256,CODES
// RUN: %{loop} -target=x86-64-v3 -quant=i4g128z | %inner_loops 'linear_.*_one' -per vpmaddubsw | FileCheck %s --check-prefixes=PAIR,PAIR256,ZERO
// RUN: %{loop} -target=x86-64-v2 -quant=i4g32 | %inner_loops 'linear_.*_one' -per pmaddubsw | FileCheck %s %{sse} --check-prefixes=SSE,SSE-CODES,SSE-NIBBLES
// RUN: %{loop} -target=x86-64-v2 -quant=i8g32 | %inner_loops 'linear_.*_one' -per pmaddubsw | FileCheck %s %{sse} --check-prefixes=SSE,SSE-CODES
// RUN: %{loop} -target=x86-64-v2 -quant=i4g128z | %inner_loops 'linear_.*_one' -per pmaddubsw | FileCheck %s --check-prefixes=SSE,SSE-ZERO
// RUN: %{loop} -target=x86-64-v2 -quant=f16 | %inner_loops 'linear_.*_one' -per pmovsxwd | FileCheck %s %{sse} --check-prefixes=SSE-HALF
// RUN: %{loop} -target=x86-64-v3 -quant=f32 | %inner_loops 'linear_.*_one' -per 'vfmadd.*' | FileCheck %s %{not} --check-prefixes=FLOAT
// RUN: %{loop} -target=icelake-server -quant=f16 | %inner_loops 'linear_.*_one' -per 'vfmadd.*' | FileCheck %s %{not} --check-prefixes=FLOAT,HALF
// RUN: %{loop} -target=armv8 -quant=f32 | %inner_loops 'linear_.*_one' -per fmla | FileCheck %s %{not} --check-prefixes=ARM
// RUN: %{loop} -target=armv8 -quant=f16 | %inner_loops 'linear_.*_one' -per fmla | FileCheck %s %{not} --check-prefixes=ARM,ARM-HALF
// RUN: %{loop} -target=armv8 -quant=i4g32 | %inner_loops 'linear_.*_one' -per 'smu?la?l2?' | FileCheck %s %{arm} --check-prefixes=MULL,MULL-NIBBLES
// RUN: %{loop} -target=armv8 -quant=i8g32 | %inner_loops 'linear_.*_one' -per 'smu?la?l2?' | FileCheck %s %{arm} --check-prefixes=MULL
// RUN: %{loop} -target=armv8.2+dotprod -quant=i4g32 | %inner_loops 'linear_.*_one' -per sdot | FileCheck %s %{arm} --implicit-check-not='{{(dup|ld1r)[[:space:]].*16b}}' --check-prefixes=SDOT,SDOT-NIBBLES
// RUN: %{loop} -target=apple-m1 -quant=i8g32 | %inner_loops 'linear_.*_one' -per sdot | FileCheck %s %{arm} --check-prefixes=SDOT
// RUN: %{loop} -target=armv8.6 -quant=i4g32 | %inner_loops 'linear_.*_one' -per sdot | FileCheck %s %{arm} --check-prefixes=FOLD
// RUN: %{loop} -target=neoverse-v1 -quant=i8g32 | %inner_loops 'linear_.*_one' -per sdot | FileCheck %s %{arm} --check-prefixes=FOLD
//
// And for several tokens: each block of weights is unpacked once for all of them, without spilling.
// RUN: %{loop} -target=icelake-server -quant=i4g32 | %inner_loops 'linear_[0-9]*' -per vpdpbusd | FileCheck %s --check-prefixes=TOKENS
// RUN: %{loop} -target=icelake-server -quant=i8g32 | %inner_loops 'linear_[0-9]*' -per vpdpbusd | FileCheck %s --check-prefixes=TOKENS
// RUN: %{loop} -target=armv8.2+dotprod -quant=i4g32 | %inner_loops 'linear_[0-9]*' -per sdot | FileCheck %s --check-prefixes=SDOT-TOKENS
// RUN: %{loop} -target=armv8.6 -quant=i4g32 | %inner_loops 'linear_[0-9]*' -per smmla | FileCheck %s --check-prefixes=SMMLA-TOKENS

// Four bytes of activations are broadcast, for two registers of rows where there are 32.
// DOT512: vpbroadcastd
// DOT512: vpdpbusd {{.*}}, %zmm{{[0-9]+}}, %zmm
// DOT256: vpdpbusd {{.*}}, %ymm{{[0-9]+}}, %ymm
// PAIR512: vpmaddubsw {{.*}}%zmm
// PAIR256: vpmaddubsw {{.*}}%ymm
// PAIRS: vpaddw
// PAIR: vpmaddwd
//
// Eight dots are 32 columns: they share one conversion of the sums and one of the scales. No code of
// a weight becomes a float.
// CODES: per vp{{.*}}: 0.1250 vcvtdq2ps
// CODES: per vp{{.*}}: 0.1250 vcvtph2ps
// CODES: per vp{{.*}}: 0.1250 vfmadd
// NIBBLES: per vpdpbusd: 0.5000 vmovdqu64
//
// With a zero point, a group is four runs of sums, its scales and its zeros: 32 dots.
// ZERO-NOT: vcvtph2ps
// ZERO-NOT: vpmovzx
// ZERO: per vp{{.*}}: 0.{{2500|1875}} vcvtdq2ps
// ZERO-NOT: vcvtph2ps
// ZERO-NOT: vpmovzx
//
// Without AVX the same, half as wide; an f16 scale is spread, shifted, masked and multiplied.
// SSE: pmaddubsw %xmm{{[0-9]+}}, %xmm
// SSE-CODES: per pmaddubsw: 0.1250 cvtdq2ps
// SSE-NIBBLES: per pmaddubsw: 0.1250 pmaddwd
// SSE-CODES: per pmaddubsw: 0.1250 pmovsxwd
// SSE-ZERO: per pmaddubsw: 0.1875 cvtdq2ps
// SSE-HALF: per pmovsxwd: 2.0000 mulps
// SSE-HALF: per pmovsxwd: 1.0000 pslld
//
// FLOAT: vfmadd{{.*}}ps
// HALF: per vfmadd.*: 1.0000 vcvtph2ps
// ARM: fmla v{{[0-9]+}}.4s
// ARM-HALF: per fmla: 0.5000 fcvtl{{$}}
// ARM-HALF: per fmla: 0.5000 fcvtl2
//
// Both halves of a register at once: 32 products of eight bytes are 32 columns of eight rows, whose sums are two registers,
// added to the start by sadalp. A vector of 32 nibbles takes one shift and one mask.
// MULL: smlal2 v{{[0-9]+}}.8h
// MULL: sadalp
// MULL-NIBBLES: per {{.*}}: 0.2500 and
// MULL: per {{.*}}: 0.0625 scvtf
// MULL-NIBBLES: per {{.*}}: 0.2500 ushr
//
// One load of activations serves four chunks by its lanes; eight scales are converted by two instructions.
// SDOT: sdot v{{[0-9]+}}.4s, v{{[0-9]+}}.16b, v{{[0-9]+}}.4b[{{[0-3]}}]
// SDOT-NIBBLES: per sdot: 0.5000 and
// SDOT: per sdot: 0.0625 fcvtl{{$}}
// SDOT: per sdot: 0.0625 fcvtl2
// SDOT: per sdot: 0.1250 scvtf
// SDOT-NIBBLES: per sdot: 0.5000 ushr
//
// Two sums of a row, which one addp of two registers adds.
// FOLD: sdot v{{[0-9]+}}.4s, v{{[0-9]+}}.16b, v{{[0-9]+}}.16b
// FOLD: per sdot: 0.1250 addp
// FOLD: per sdot: 0.1250 scvtf
//
// Four tokens: two scales' conversions, two registers of sums for each token.
// SDOT-TOKENS: sdot {{.*}}.4b[
// SDOT-TOKENS: per sdot: 0.1250 and
// SDOT-TOKENS: per sdot: 0.0156 fcvtl{{$}}
// SMMLA-TOKENS: smmla v{{[0-9]+}}.4s, v{{[0-9]+}}.16b, v{{[0-9]+}}.16b
// SMMLA-TOKENS: per smmla: 0.2500 and
// SMMLA-TOKENS: per smmla: 0.0312 fcvtl{{$}}
//
// The first loop is for eight tokens.
// TOKENS-NOT: {{vmov[a-z0-9]+[[:space:]]%[xyz]mm[0-9]+, -?[0-9]*\(}}
// TOKENS: vpdpbusd {{.*}}{1to16}
// TOKENS-NOT: {{vmov[a-z0-9]+[[:space:]]%[xyz]mm[0-9]+, -?[0-9]*\(}}
// TOKENS: per vpdpbusd: 0.1250 vcvtdq2ps
// TOKENS: per vpdpbusd: 0.0156 vcvtph2ps

module attributes {qb.level = "graph", qb.context = 64 : i64} {
  func.func @main(%tokens: tensor<?xi32>) -> tensor<?x512xf32> {
    %e = "qb.weight"() {name = "embed"} : () -> tensor<64x1024xf32>
    %x = "qb.embed"(%tokens, %e) : (tensor<?xi32>, tensor<64x1024xf32>) -> tensor<?x1024xf32>
    %w = "qb.weight"() {name = "head"} : () -> tensor<512x1024xf32>
    %y = "qb.linear"(%x, %w) : (tensor<?x1024xf32>, tensor<512x1024xf32>) -> tensor<?x512xf32>
    return %y : tensor<?x512xf32>
  }
}
