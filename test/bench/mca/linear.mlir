module attributes {qb.level = "graph", qb.context = 64 : i64} {
  func.func @main(%tokens: tensor<?xi32>) -> tensor<?x512xf32> {
    %e = "qb.weight"() {name = "embed"} : () -> tensor<64x1024xf32>
    %x = "qb.embed"(%tokens, %e) : (tensor<?xi32>, tensor<64x1024xf32>) -> tensor<?x1024xf32>
    %w = "qb.weight"() {name = "head"} : () -> tensor<512x1024xf32>
    %y = "qb.linear"(%x, %w) : (tensor<?x1024xf32>, tensor<512x1024xf32>) -> tensor<?x512xf32>
    return %y : tensor<?x512xf32>
  }
}
