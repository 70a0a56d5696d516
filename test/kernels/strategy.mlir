// How a product is computed, and what else could have been: strategies are compared by weights a cycle.
//
// DEFINE: %{kernels} = qbc %s -q -emit=kernels
// RUN: %{kernels} -target=neoverse-n1 -quant=i4g32 | FileCheck %s --check-prefix=INTEGERS
// RUN: %{kernels} -target=znver4 -quant=nf4g64 | FileCheck %s --check-prefix=INTEGERS
// RUN: %{kernels} -target=x86-64-v3 -quant=i8g128z | FileCheck %s --check-prefix=AS-FLOATS
// RUN: %{kernels} -target=rv64gcv -quant=i8g128z | FileCheck %s --check-prefix=ANY-LENGTH
// RUN: %{kernels} -target=znver4 -quant=lut4row | FileCheck %s --check-prefix=DECODED
// RUN: %{kernels} -target=znver4 -quant=f16 | FileCheck %s --check-prefix=FLOATS
//
// INTEGERS: kernel = "linear"{{.*}} strategy = "S2", strategy_costs = "S1 {{[0-9.]+}}, S2 as floats {{[0-9.]+}}, S2 {{[0-9.]+}}; 4 tokens: S1 {{[0-9.]+}}, S2 as floats {{[0-9.]+}}, S2 {{[0-9.]+}}"
// AS-FLOATS: kernel = "linear"{{.*}} strategy = "S2 as floats", strategy_costs = "S1 {{[0-9.]+}}, S2 as floats {{[0-9.]+}}; 4 tokens:
// ANY-LENGTH: kernel = "linear"{{.*}} strategy = "S2", strategy_costs = "S1 {{[0-9.]+}}, S2 {{[0-9.]+}};
// DECODED: kernel = "linear"{{.*}} strategy = "S1", strategy_costs = "S1 {{[0-9.]+}};
// FLOATS: kernel = "linear"
// FLOATS-NOT: strategy =
module attributes {qb.level = "graph", qb.context = 64 : i64} {
  func.func @main(%tokens: tensor<?xi32>) -> tensor<?x512xf32> {
    %e = "qb.weight"() {name = "embed"} : () -> tensor<64x1024xf32>
    %x = "qb.embed"(%tokens, %e) : (tensor<?xi32>, tensor<64x1024xf32>) -> tensor<?x1024xf32>
    %w = "qb.weight"() {name = "head"} : () -> tensor<512x1024xf32>
    %y = "qb.linear"(%x, %w) : (tensor<?x1024xf32>, tensor<512x1024xf32>) -> tensor<?x512xf32>
    return %y : tensor<?x512xf32>
  }
}
