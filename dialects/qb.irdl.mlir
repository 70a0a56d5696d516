// qb: the vocabulary of the compiler. Ops print in generic form; arity is verified with locations.
// `?` in a tensor type is T, the tokens of this call. Levels: docs/map.md.
irdl.dialect @qb {
  // Elements of a quantized tensor: !qb.block<"i4g32">. The format's name, a row of formats.def;
  // for activations "i8g32".
  irdl.type @block {
    %format = irdl.any
    irdl.parameters(format: %format)
  }

  // --- L1: what the nodes mean

  // {name, source, offset, strides}: a view of a stored tensor (base/qbc.h, struct qbc_view).
  // With {format} and a tensor of blocks: the same, quantized.
  irdl.operation @weight {
    %any = irdl.any
    irdl.results(w: %any)
  }
  // ids [T], w [V, C] -> [T, C]
  irdl.operation @embed {
    %any = irdl.any
    irdl.operands(ids: %any, w: %any)
    irdl.results(y: %any)
  }
  // x [T, K], w [N, K] -> [T, N]: y = x w^T. {block, role}
  irdl.operation @linear {
    %any = irdl.any
    irdl.operands(x: %any, w: %any)
    irdl.results(y: %any)
  }
  // x [T, C], w [G] -> [T, C]: x / sqrt(mean(x^2) + eps) * w over each run of G columns. {eps}
  irdl.operation @rms_norm {
    %any = irdl.any
    irdl.operands(x: %any, w: %any)
    irdl.results(y: %any)
  }
  // x [T, heads * head_dim]: rotates pairs of each head by position.
  // {head_dim, rotary_dim, pairing = "half" | "adjacent", theta | frequencies [rotary_dim / 2],
  //  scale}: angle i of position p is p * theta^(-2i / rotary_dim), or p * frequencies[i].
  irdl.operation @rope {
    %any = irdl.any
    irdl.operands(x: %any)
    irdl.results(y: %any)
  }
  // {name = "kv.0.k", block}: memory that outlives the call, [context, C]; rows < pos are filled.
  irdl.operation @state {
    %any = irdl.any
    irdl.results(s: %any)
  }
  // The state with the rows x [T, C] put at pos.
  irdl.operation @append {
    %any = irdl.any
    irdl.operands(s: %any, x: %any)
    irdl.results(y: %any)
  }
  // q [T, heads * head_dim], k and v [context or T, kv_heads * head_dim] -> [T, heads * head_dim].
  // Token t sees rows 0 .. pos + t. {heads, kv_heads, head_dim, scale, block}
  irdl.operation @attention {
    %any = irdl.any
    irdl.operands(q: %any, k: %any, v: %any)
    irdl.results(y: %any)
  }
  // act(gate) * up, both [T, C]. {act = "silu"}
  irdl.operation @glu {
    %any = irdl.any
    irdl.operands(gate: %any, up: %any)
    irdl.results(y: %any)
  }
  // The rows of x whose logits are asked for: the last ones.
  irdl.operation @tail {
    %any = irdl.any
    irdl.operands(x: %any)
    irdl.results(y: %any)
  }

  // --- L2: quantized

  // x [T, K] f32 -> [T, K] of !qb.block<act>: int8 codes, a scale per 32 columns, dynamic. {act}
  irdl.operation @quantize {
    %any = irdl.any
    irdl.operands(x: %any)
    irdl.results(y: %any)
  }
  // blocks -> floats
  irdl.operation @dequant {
    %any = irdl.any
    irdl.operands(b: %any)
    irdl.results(y: %any)
  }
  // x * map, per channel; an activation scaling that is not folded.
  irdl.operation @scale {
    %any = irdl.any
    irdl.operands(x: %any, map: %any)
    irdl.results(y: %any)
  }
  // linear that reads blocks itself. The region is the epilogue, elementwise on f32: its arguments
  // are one output of the product and the same element of each `extra` [T, N]; it ends with yield.
  irdl.operation @fused_linear {
    %any = irdl.any
    irdl.operands(x: %any, w: %any, extra: variadic %any)
    irdl.results(y: %any)
    %body = irdl.region
    irdl.regions(epilogue: %body)
  }
  irdl.operation @silu {
    %any = irdl.any
    irdl.operands(x: %any)
    irdl.results(y: %any)
  }
  irdl.operation @yield {
    %any = irdl.any
    irdl.operands(x: %any)
  }

  // --- L3: a straight program over planned memory. Pointers are !llvm.ptr.

  // {section = "arena" | "state" | "weights" | "tokens" | "logits", ...}: a place in memory.
  // arena: {row_bytes, name, offset once planned}; state and weights: {name, offset}.
  irdl.operation @place {
    %any = irdl.any
    irdl.results(p: %any)
  }
  // Run a kernel: {kernel = "linear", callee once generated, and what the generator wants}.
  // The first `outputs` operands are written, the others read. The region is the epilogue or empty.
  irdl.operation @launch {
    %any = irdl.any
    irdl.operands(p: variadic %any)
    %body = irdl.region
    irdl.regions(epilogue: %body)
  }
  // All threads meet; what was written before is seen after.
  irdl.operation @barrier {}
}
