// A prompt on a CPU with a matrix unit (AMX): 32 tokens by 32 rows, activations and weights where they lie, products to memory
// and added up there. A turn of the loop has two runs of 32 columns, or two operands, or runs of 16 columns.
//
// DEFINE: %{loop} = qbc %s -q -emit=asm -target=sapphirerapids
// RUN: %{loop} -quant=i4g32 | FileCheck %s --check-prefixes=CHECK,SIGNED
// RUN: %{loop} -quant=i4g128z | FileCheck %s --check-prefixes=CHECK,SIGNED
// RUN: %{loop} -quant=q6_k | FileCheck %s --check-prefixes=CHECK,SIGNED
// RUN: %{loop} -quant=i8g32m | FileCheck %s --check-prefixes=CHECK,UNSIGNED
// RUN: %{loop} -quant=i4g32 | %inner_loops 'linear_.*' -per vcvtdq2ps | FileCheck %s --check-prefixes=SUMS
//
// One token has none of it.
// RUN: %{loop} -quant=i4g32 | %inner_loops 'linear_.*_one' | FileCheck %s --implicit-check-not=tile --check-prefixes=ONE
// ONE: vpdpbusd
//
// CHECK: ldtilecfg
// CHECK: tileloadd {{.*}}, %tmm4
// CHECK: tileloadd {{.*}}, %tmm5
// CHECK: tileloadd {{.*}}, %tmm6
// CHECK: tileloadd {{.*}}, %tmm7
// CHECK: tilezero %tmm0
// SIGNED-NOT: tdpbsud
// SIGNED: tdpbssd %tmm6, %tmm4, %tmm0
// SIGNED: tdpbssd %tmm7, %tmm4, %tmm1
// SIGNED: tdpbssd %tmm6, %tmm5, %tmm2
// SIGNED: tdpbssd %tmm7, %tmm5, %tmm3
// UNSIGNED-NOT: tdpbssd
// UNSIGNED: tdpbsud %tmm6, %tmm4, %tmm0
// UNSIGNED: tdpbsud %tmm7, %tmm4, %tmm1
// UNSIGNED: tdpbsud %tmm6, %tmm5, %tmm2
// UNSIGNED: tdpbsud %tmm7, %tmm5, %tmm3
// CHECK: tilestored %tmm0
// CHECK: tilestored %tmm3
// CHECK: tilerelease
//
// Sixteen results cost a conversion, a product of scales and a multiply-add.
// SUMS: vcvtdq2ps
// SUMS: per vcvtdq2ps: 1.0000 vcvtdq2ps
// SUMS-DAG: per vcvtdq2ps: 1.0000 vfmadd
// SUMS-DAG: per vcvtdq2ps: 1.0000 vmulps
module attributes {qb.level = "graph", qb.context = 64 : i64, qb.chunk = 64 : i64} {
  func.func @main(%tokens: tensor<?xi32>) -> tensor<?x512xf32> {
    %e = "qb.weight"() {name = "embed"} : () -> tensor<512x1024xf32>
    %x = "qb.embed"(%tokens, %e) : (tensor<?xi32>, tensor<512x1024xf32>) -> tensor<?x1024xf32>
    %w = "qb.weight"() {name = "w"} : () -> tensor<512x1024xf32>
    %y = "qb.linear"(%x, %w) : (tensor<?x1024xf32>, tensor<512x1024xf32>) -> tensor<?x512xf32>
    return %y : tensor<?x512xf32>
  }
}
