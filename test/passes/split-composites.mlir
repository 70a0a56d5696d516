// RUN: split-file %s %t
// RUN: qbc-opt -split-composites %t/sum.mlir | FileCheck %t/sum.mlir
// RUN: qbc-opt -split-composites %t/split.mlir | FileCheck %t/split.mlir
// RUN: qbc-opt -split-composites %t/rest.mlir | FileCheck %t/rest.mlir
// RUN: qbc-opt -split-composites %t/embed.mlir | FileCheck %t/embed.mlir
// RUN: qbc-opt -split-composites %t/rows.mlir | FileCheck %t/rows.mlir
// RUN: not qbc-opt -split-composites %t/user.mlir 2>&1 | FileCheck %t/user.mlir
// RUN: not qbc-opt -split-composites %t/long.mlir 2>&1 | FileCheck %t/long.mlir

//--- sum.mlir
// Each part is a weight that knows what it is a part of; a leaf stays as it is.
// CHECK: %[[A:.*]] = "qb.weight"() {block = 3 : i64, composite = "i4g32+i2g64", format = "i4g32", name = "up/sum0", offset = 7 : i64, part = "sum0", shape = array<i64: 48, 64>, source = "s", strides = array<i64: 1, 48>, whole = "up"} : () -> tensor<48x64x!qb.block<"i4g32">>
// CHECK-NEXT: %[[AW:.*]] = "qb.dequant"(%[[A]])
// CHECK-NEXT: %[[B:.*]] = "qb.weight"() {{.*}}name = "up/sum1"{{.*}} -> tensor<48x64x!qb.block<"i2g64">>
// CHECK-NEXT: %[[BW:.*]] = "qb.dequant"(%[[B]])
// CHECK-NEXT: "qb.weight"() {name = "v"}
// CHECK: %[[X:.*]] = "qb.linear"(%arg0, %[[AW]]) {role = "ffn_up"}
// CHECK-NEXT: %[[Y:.*]] = "qb.linear"(%arg0, %[[BW]]) {role = "ffn_up"}
// CHECK-NEXT: %[[Z:.*]] = arith.addf %[[X]], %[[Y]] : tensor<?x48xf32>
// CHECK-NEXT: "qb.linear"(%arg0, %{{.*}})
// CHECK-NEXT: return %[[Z]]
func.func @main(%x: tensor<?x64xf32>) -> (tensor<?x48xf32>, tensor<?x48xf32>) {
  %b = "qb.weight"() {name = "up", source = "s", offset = 7 : i64, strides = array<i64: 1, 48>, block = 3 : i64} : () -> tensor<48x64x!qb.block<"i4g32+i2g64">>
  %w = "qb.dequant"(%b) : (tensor<48x64x!qb.block<"i4g32+i2g64">>) -> tensor<48x64xf32>
  %c = "qb.weight"() {name = "v"} : () -> tensor<48x64x!qb.block<"i4g32">>
  %v = "qb.dequant"(%c) : (tensor<48x64x!qb.block<"i4g32">>) -> tensor<48x64xf32>
  %y = "qb.linear"(%x, %w) {role = "ffn_up"} : (tensor<?x64xf32>, tensor<48x64xf32>) -> tensor<?x48xf32>
  %z = "qb.linear"(%x, %v) : (tensor<?x64xf32>, tensor<48x64xf32>) -> tensor<?x48xf32>
  return %y, %z : tensor<?x48xf32>, tensor<?x48xf32>
}

//--- split.mlir
// Columns are gathered once, parts see some of them. Inside a part there may be rows.
// CHECK-DAG: %[[ORDER:.*]] = "qb.weight"() {{.*}}format = "u16", name = "w/order"{{.*}} -> tensor<128x1xi16>
// CHECK-DAG: "qb.weight"() {{.*}}name = "w/columns1/rows0"{{.*}} -> tensor<12x96x!qb.block<"i8g32">>
// CHECK-DAG: "qb.weight"() {{.*}}format = "f16", name = "w/columns1/rows1"{{.*}} -> tensor<36x96xf32>
// CHECK: %[[G:.*]] = "qb.gather"(%arg0, %[[ORDER]]) : (tensor<?x128xf32>, tensor<128x1xi16>) -> tensor<?x128xf32>
// CHECK-NEXT: %[[X0:.*]] = "qb.columns"(%[[G]]) {first = 0 : i64} : (tensor<?x128xf32>) -> tensor<?x32xf32>
// CHECK-NEXT: %[[Y0:.*]] = "qb.linear"(%[[X0]],
// CHECK-NEXT: %[[X1:.*]] = "qb.columns"(%[[G]]) {first = 32 : i64} : (tensor<?x128xf32>) -> tensor<?x96xf32>
// CHECK-NEXT: %[[R0:.*]] = "qb.linear"(%[[X1]], {{.*}} -> tensor<?x12xf32>
// CHECK-NEXT: %[[R1:.*]] = "qb.linear"(%[[X1]], {{.*}} -> tensor<?x36xf32>
// CHECK-NEXT: %[[Y1:.*]] = "qb.join"(%[[R0]], %[[R1]])
// CHECK-NEXT: arith.addf %[[Y0]], %[[Y1]]
func.func @main(%x: tensor<?x128xf32>) -> tensor<?x48xf32> {
  %b = "qb.weight"() {name = "w"} : () -> tensor<48x128x!qb.block<"i4g32@25%p|(i8g32@25%r|f16)">>
  %w = "qb.dequant"(%b) : (tensor<48x128x!qb.block<"i4g32@25%p|(i8g32@25%r|f16)">>) -> tensor<48x128xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x128xf32>, tensor<48x128xf32>) -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

//--- rest.mlir
// Scales, entries, products of low rank: what is added comes before the product that takes it in.
// CHECK-DAG: %[[V:.*]] = "qb.weight"() {{.*}}name = "w/dense/rest/v"{{.*}} -> tensor<128xf32>
// CHECK-DAG: %[[U:.*]] = "qb.weight"() {{.*}}name = "w/dense/rest/u"{{.*}} -> tensor<48xf32>
// CHECK-DAG: %[[B:.*]] = "qb.weight"() {{.*}}name = "w/dense/b"{{.*}} -> tensor<512x1xf32>
// CHECK-DAG: %[[A:.*]] = "qb.weight"() {{.*}}name = "w/dense/a"{{.*}} -> tensor<48x4xf32>
// CHECK-DAG: %[[VALUES:.*]] = "qb.weight"() {{.*}}name = "w/values"{{.*}} -> tensor<48x3xf32>
// CHECK-DAG: %[[INDICES:.*]] = "qb.weight"() {{.*}}name = "w/indices"{{.*}} -> tensor<48x3xi16>
// CHECK: %[[S:.*]] = "qb.sparse"(%arg0, %[[VALUES]], %[[INDICES]])
// CHECK-NEXT: %[[IN:.*]] = "qb.project"(%arg0, %[[B]]) : {{.*}} -> tensor<?x4xf32>
// CHECK-NEXT: %[[AB:.*]] = "qb.linear"(%[[IN]], %[[A]])
// CHECK-NEXT: %[[XV:.*]] = "qb.scale"(%arg0, %[[V]])
// CHECK-NEXT: %[[P:.*]] = "qb.linear"(%[[XV]],
// CHECK-NEXT: %[[PU:.*]] = "qb.scale"(%[[P]], %[[U]])
// CHECK-NEXT: %[[R:.*]] = arith.addf %[[AB]], %[[PU]]
// CHECK-NEXT: arith.addf %[[S]], %[[R]]
func.func @main(%x: tensor<?x128xf32>) -> tensor<?x48xf32> {
  %b = "qb.weight"() {name = "w"} : () -> tensor<48x128x!qb.block<"i4g32*uv+lr4+sparse2%">>
  %w = "qb.dequant"(%b) : (tensor<48x128x!qb.block<"i4g32*uv+lr4+sparse2%">>) -> tensor<48x128xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x128xf32>, tensor<48x128xf32>) -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

//--- embed.mlir
// An embedding and the head read the same pieces; a table's inverse is one more.
// CHECK: %[[P0:.*]] = "qb.weight"() {{.*}}name = "embed/columns0"
// CHECK: %[[D0:.*]] = "qb.dequant"(%[[P0]])
// CHECK: "qb.weight"() {{.*}}name = "embed/columns1"
// CHECK: %[[INVERSE:.*]] = "qb.weight"() {{.*}}name = "embed/inverse"
// CHECK: %[[ORDER:.*]] = "qb.weight"() {{.*}}name = "embed/order"
// CHECK-NOT: "qb.weight"
// CHECK: %[[E0:.*]] = "qb.embed"(%arg0, %[[D0]]) : (tensor<?xi32>, tensor<48x32xf32>) -> tensor<?x32xf32>
// CHECK-NEXT: %[[E1:.*]] = "qb.embed"(%arg0,
// CHECK-NEXT: %[[J:.*]] = "qb.join"(%[[E0]], %[[E1]])
// CHECK-NEXT: %[[E:.*]] = "qb.gather"(%[[J]], %[[INVERSE]])
// CHECK-NEXT: %[[G:.*]] = "qb.gather"(%[[E]], %[[ORDER]])
// CHECK: "qb.linear"(%{{.*}}, %[[D0]])
func.func @main(%ids: tensor<?xi32>) -> tensor<?x48xf32> {
  %b = "qb.weight"() {name = "embed"} : () -> tensor<48x128x!qb.block<"i4g32@25%p|i2g32">>
  %w = "qb.dequant"(%b) : (tensor<48x128x!qb.block<"i4g32@25%p|i2g32">>) -> tensor<48x128xf32>
  %x = "qb.embed"(%ids, %w) : (tensor<?xi32>, tensor<48x128xf32>) -> tensor<?x128xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x128xf32>, tensor<48x128xf32>) -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

//--- rows.mlir
// Rows of a token are looked up in each part, and one of them is taken.
// CHECK: %[[A:.*]] = "qb.embed"(%arg0, %{{.*}}) : (tensor<?xi32>, tensor<12x128xf32>)
// CHECK-NEXT: %[[B:.*]] = "qb.embed"(%arg0, %{{.*}}) {rows_before = 12 : i64} : (tensor<?xi32>, tensor<36x128xf32>)
// CHECK-NEXT: %[[C:.*]] = "qb.embed_sparse"(%arg0, %[[B]], %{{.*}}, %{{.*}}) {rows_before = 12 : i64}
// CHECK-NEXT: %[[Y:.*]] = "qb.choose"(%arg0, %[[A]], %[[C]]) {cut = 12 : i64}
// CHECK-NEXT: return %[[Y]]
func.func @main(%ids: tensor<?xi32>) -> tensor<?x128xf32> {
  %b = "qb.weight"() {name = "embed"} : () -> tensor<48x128x!qb.block<"i4g32@25%r|i2g32+sparse1%">>
  %w = "qb.dequant"(%b) : (tensor<48x128x!qb.block<"i4g32@25%r|i2g32+sparse1%">>) -> tensor<48x128xf32>
  %x = "qb.embed"(%ids, %w) : (tensor<?xi32>, tensor<48x128xf32>) -> tensor<?x128xf32>
  return %x : tensor<?x128xf32>
}

//--- long.mlir
// CHECK: error: 'down' has 65568 columns, and format i4g32+sparse0.5% numbers at most 65536; give this tensor another format with -quant-tensor='^down$=...'
func.func @main(%x: tensor<?x65568xf32>) -> tensor<?x2xf32> {
  %b = "qb.weight"() {name = "down"} : () -> tensor<2x65568x!qb.block<"i4g32+sparse0.5%">>
  %w = "qb.dequant"(%b) : (tensor<2x65568x!qb.block<"i4g32+sparse0.5%">>) -> tensor<2x65568xf32>
  %y = "qb.linear"(%x, %w) : (tensor<?x65568xf32>, tensor<2x65568xf32>) -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}

//--- user.mlir
// CHECK: error: only linears and embeddings read weights of format i4g32+i2g32
func.func @main() -> tensor<2x32xf32> {
  %b = "qb.weight"() {name = "w"} : () -> tensor<2x32x!qb.block<"i4g32+i2g32">>
  %w = "qb.dequant"(%b) : (tensor<2x32x!qb.block<"i4g32+i2g32">>) -> tensor<2x32xf32>
  %y = math.exp %w : tensor<2x32xf32>
  return %y : tensor<2x32xf32>
}
