// qb: the vocabulary of the compiler. Ops print in generic form; arity is verified with locations.
// (In IRDL a constraint's name is a variable: what shares one must have equal types.)
// `?` in a tensor type is T, the tokens of this call. Levels: docs/map.md.
irdl.dialect @qb {
  // Elements of a quantized tensor: !qb.block<"i4g32">. The format's name, a row of formats.def;
  // for activations "i8g32".
  irdl.type @block {
    %format = irdl.any
    irdl.parameters(format: %format)
  }

  // --- L1: what the nodes mean

  // {name, source, offset, strides, block, role}: a view of a stored tensor (base/base.h, struct
  // qbc_view). Roles: passes/name_blocks.c.
  // With {format} and a tensor of blocks: the same, quantized. With {whole, composite, part, shape}: a piece of the tensor
  // `whole`, of that shape and format (split-composites); part: a path of dialects/parts.h.
  irdl.operation @weight {
    %w = irdl.any
    irdl.results(w: %w)
  }
  // ids [T], w [V, C] -> [T, C]. With {rows_before}, here and in what else reads ids: these less so many, brought into
  // range.
  irdl.operation @embed {
    %ids = irdl.any
    %w = irdl.any
    %y = irdl.any
    irdl.operands(ids: %ids, w: %w)
    irdl.results(y: %y)
  }
  // w [positions, C] -> [T, C]: row `first` + position of each token, learned positions. {first}
  irdl.operation @embed_positions {
    %w = irdl.any
    %y = irdl.any
    irdl.operands(w: %w)
    irdl.results(y: %y)
  }
  // b [N] -> [T, N], the same row for each token: a segment's embedding; a vector as an `extra` of fused_linear. Costs
  // nothing.
  irdl.operation @repeat {
    %b = irdl.any
    %y = irdl.any
    irdl.operands(b: %b)
    irdl.results(y: %y)
  }
  // x [T, K], w [N, K] -> [T, N]: y = x w^T. {block, role}
  irdl.operation @linear {
    %x = irdl.any
    %w = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, w: %w)
    irdl.results(y: %y)
  }
  // x [T, C], w [G] -> [T, C]: x / sqrt(mean(x^2) + eps) * w over each run of G columns.
  // {eps, block, role}
  irdl.operation @rms_norm {
    %x = irdl.any
    %w = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, w: %w)
    irdl.results(y: %y)
  }
  // x [T, C], w [G], b [G] or none -> [T, C]: (x - mean) / sqrt(variance + eps) * w + b over each run of
  // G columns. {eps, block, role}
  irdl.operation @layer_norm {
    %x = irdl.any
    %w = irdl.any
    %b = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, w: %w, b: variadic %b)
    irdl.results(y: %y)
  }
  // x [T, heads * head_dim]: rotates pairs of each head by position.
  // {head_dim, rotary_dim, pairing = "half" | "adjacent", theta | frequencies [rotary_dim / 2],
  //  scale}: angle i of position p is p * theta^(-2i / rotary_dim), or p * frequencies[i]. Columns
  //  that turn are also multiplied by scale; 1 when absent.
  irdl.operation @rope {
    %x = irdl.any
    %y = irdl.any
    irdl.operands(x: %x)
    irdl.results(y: %y)
  }
  // {name = "kv.0.k", block}: memory that outlives the call, [context, C]; rows < pos are filled.
  irdl.operation @state {
    %s = irdl.any
    irdl.results(s: %s)
  }
  // The state with the rows x [T, C] put at pos. With {format}: as codes of that format, a row for each head's
  // channels (passes/kernels/cache.h), with {sink, recent}: positions that are kept as f16 too, with {norm} other scales.
  // Of vectors: `table` f32 [heads * channels * 256], for each channel what it is in each of 256 vectors.
  irdl.operation @append {
    %s = irdl.any
    %x = irdl.any
    %table = irdl.any
    %y = irdl.any
    irdl.operands(s: %s, x: %x, table: optional %table)
    irdl.results(y: %y)
  }
  // a [T, C], b [T, D] or none -> [T, heads * head_dim]: heads put together of columns of the operands. {heads, head_dim, runs}: for each run
  // five numbers: which operand, its column for the first head, how many columns further for each next head, from element to
  // element, and how many elements; one after the other they fill a head.
  irdl.operation @heads {
    %a = irdl.any
    %b = irdl.any
    %y = irdl.any
    irdl.operands(a: %a, b: variadic %b)
    irdl.results(y: %y)
  }
  // q [T, heads * head_dim], k and v [context or T, kv_heads * head_dim] -> [T, heads * head_dim]; with {value_dim} heads of
  // values, and of the result, have so many columns.
  // Token t sees rows 0 .. pos + t, or with {window} the last `window` of them, its own included; with {ahead}
  // also as many later ones of the call, -1: all of them. With {cap} a score s is cap tanh(s / cap); with {slopes
  // [heads]} less by a head's slope for each position back (ALiBi). sinks [heads]: a score for each head that
  // takes part in the softmax and has no value.
  // {heads, kv_heads, head_dim, scale, block [, value_dim, window, ahead, cap, slopes]}
  irdl.operation @attention {
    %q = irdl.any
    %k = irdl.any
    %v = irdl.any
    %sinks = irdl.any
    %y = irdl.any
    irdl.operands(q: %q, k: %k, v: %v, sinks: variadic %sinks)
    irdl.results(y: %y)
  }
  // s a state, x [T, C], w [C K], b [C] or none -> [T, C]: y[t][c] = b[c] + sum of w[c K + k] x[t - K + 1 + k][c]; the state
  // keeps the rows before the call's. {block}
  irdl.operation @conv1d {
    %s = irdl.any
    %x = irdl.any
    %w = irdl.any
    %b = irdl.any
    %y = irdl.any
    irdl.operands(s: %s, x: %x, w: %w, b: variadic %b)
    irdl.results(y: %y)
  }
  // s a state, x [T, I], dt [T, D], b and c [T, G n], a [D n] or [D], d [D] -> [T, I]: the recurrence of state space models,
  // passes/kernels/ssm_scan.c. {n, block}
  irdl.operation @ssm_scan {
    %s = irdl.any
    %x = irdl.any
    %dt = irdl.any
    %b = irdl.any
    %c = irdl.any
    %a = irdl.any
    %d = irdl.any
    %y = irdl.any
    irdl.operands(s: %s, x: %x, dt: %dt, b: %b, c: %c, a: %a, d: %d)
    irdl.results(y: %y)
  }
  // s a state, q [T, Hq Dk], k [T, H Dk], v [T, H Dv] -> [T, Hq Dv]: linear attention, a recurrence over a matrix for each of H heads,
  // passes/kernels/linear_attention.c. decay [T, H] or [T, H Dk], where {decays}, else k again; beta [T, H] or [T, 1], where {betas}, else k.
  // {heads, scale [, decays, betas, delta], block}
  irdl.operation @linear_attention {
    %s = irdl.any
    %q = irdl.any
    %k = irdl.any
    %v = irdl.any
    %decay = irdl.any
    %beta = irdl.any
    %y = irdl.any
    irdl.operands(s: %s, q: %q, k: %k, v: %v, decay: %decay, beta: %beta)
    irdl.results(y: %y)
  }
  // x [T, E], bias [E] or none -> [T, 2 top]: which experts a token goes to, then how much each counts: passes/kernels/route.c.
  // {top, score, normalise, scale [, groups, kept, best], block}
  irdl.operation @route {
    %x = irdl.any
    %bias = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, bias: variadic %bias)
    irdl.results(y: %y)
  }
  // x [T, K] or, a part for each chosen expert, [T, top K], w [E N, K], route, bias [E N] or none -> [T, top N]: the products with the
  // chosen experts' matrices, of which no other is read. {experts, top, block, role}
  irdl.operation @expert_linear {
    %x = irdl.any
    %w = irdl.any
    %route = irdl.any
    %bias = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, w: %w, route: %route, bias: variadic %bias)
    irdl.results(y: %y)
  }
  // x [T, top C], route -> [T, C]: what the chosen experts gave, by their weights. {top, block} With {first}:
  // weights are columns first .. of `route`: a gate of a number for each token.
  irdl.operation @combine {
    %x = irdl.any
    %route = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, route: %route)
    irdl.results(y: %y)
  }
  // act(gate) * up, both [T, C]. {act}: a name of passes/kernels/activation.c
  irdl.operation @glu {
    %gate = irdl.any
    %up = irdl.any
    %y = irdl.any
    irdl.operands(gate: %gate, up: %up)
    irdl.results(y: %y)
  }
  // act(x), elementwise. {act}: a name of passes/kernels/activation.c. Of a scalar in an epilogue.
  irdl.operation @act {
    %x = irdl.any
    %y = irdl.any
    irdl.operands(x: %x)
    irdl.results(y: %y)
  }
  // x * by, elementwise. {by}. Of a scalar in an epilogue.
  irdl.operation @times {
    %x = irdl.any
    %y = irdl.any
    irdl.operands(x: %x)
    irdl.results(y: %y)
  }
  // x + by, elementwise. {by}. Of a scalar in an epilogue.
  irdl.operation @plus {
    %x = irdl.any
    %y = irdl.any
    irdl.operands(x: %x)
    irdl.results(y: %y)
  }
  // min(max(x, low), high), elementwise. {low, high}: maybe infinite. Of a scalar in an epilogue.
  irdl.operation @clip {
    %x = irdl.any
    %y = irdl.any
    irdl.operands(x: %x)
    irdl.results(y: %y)
  }
  // a where x > 0, else b; all [T, C]. Of scalars in an epilogue.
  irdl.operation @where {
    %x = irdl.any
    %a = irdl.any
    %b = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, a: %a, b: %b)
    irdl.results(y: %y)
  }
  // x [T, N], b [N] -> [T, N]: x + b, the bias of a linear. {block, role}
  irdl.operation @bias {
    %x = irdl.any
    %b = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, b: %b)
    irdl.results(y: %y)
  }
  // The rows of x whose logits are asked for: the last ones.
  irdl.operation @tail {
    %x = irdl.any
    %y = irdl.any
    irdl.operands(x: %x)
    irdl.results(y: %y)
  }

  // x [T, C], {name}: its rows are left in the state `name` for whoever calibrates (compiler/calibrate/).
  irdl.operation @observe {
    %x = irdl.any
    irdl.operands(x: %x)
  }

  // --- L2: quantized

  // x [T, K] f32 -> [T, K] of !qb.block<act>: int8 codes, a scale per 32 columns, dynamic. {act}
  // With a gain [K] and {eps}: of rms_norm(x, gain); without {eps}: of x * gain.
  irdl.operation @quantize {
    %x = irdl.any
    %gain = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, gain: variadic %gain)
    irdl.results(y: %y)
  }
  // blocks -> floats
  irdl.operation @dequant {
    %b = irdl.any
    %y = irdl.any
    irdl.operands(b: %b)
    irdl.results(y: %y)
  }
  // x [T, C], map [C] -> x * map, per channel.
  irdl.operation @scale {
    %x = irdl.any
    %map = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, map: %map)
    irdl.results(y: %y)
  }
  // x [T, K] -> [T, n]: columns first .. first + n - 1. {first}. Of quantized x too, where first is a multiple of 32. Costs
  // nothing.
  irdl.operation @columns {
    %x = irdl.any
    %y = irdl.any
    irdl.operands(x: %x)
    irdl.results(y: %y)
  }
  // a [T, m], b [T, n] -> [T, m + n], side by side; each is written where it belongs.
  irdl.operation @join {
    %a = irdl.any
    %b = irdl.any
    %y = irdl.any
    irdl.operands(a: %a, b: %b)
    irdl.results(y: %y)
  }
  // x [T, C] -> [T, C]: each run of `run` columns times a Hadamard matrix of that order over its root: for a power of two
  // element (i, j) is (-1)^(bits that i and j share) / sqrt(run), its own inverse; others are m 2^k (compiler/base/hadamard.h),
  // and their inverse is with {transposed}. {run}
  irdl.operation @hadamard {
    %x = irdl.any
    %y = irdl.any
    irdl.operands(x: %x)
    irdl.results(y: %y)
  }
  // x [T, K], order u16 [K, 1] -> [T, K]: column k is x's column order[k].
  irdl.operation @gather {
    %x = irdl.any
    %order = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, order: %order)
    irdl.results(y: %y)
  }
  // x [T, K], values f16 [N, n], indices u16 [N, n] -> [T, N]: the product of x with a matrix of n entries a row.
  irdl.operation @sparse {
    %x = irdl.any
    %values = irdl.any
    %indices = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, values: %values, indices: %indices)
    irdl.results(y: %y)
  }
  // x [T, K], b f16 [R, K] as [R * K, 1] -> [T, R]: the product of x with a few rows.
  irdl.operation @project {
    %x = irdl.any
    %b = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, b: %b)
    irdl.results(y: %y)
  }
  // ids [T], x [T, C], values f16 [V, n], indices u16 [V, n] -> x with the entries of the tokens' rows added.
  irdl.operation @embed_sparse {
    %ids = irdl.any
    %x = irdl.any
    %values = irdl.any
    %indices = irdl.any
    %y = irdl.any
    irdl.operands(ids: %ids, x: %x, values: %values, indices: %indices)
    irdl.results(y: %y)
  }
  // ids [T], a and b [T, C] -> row t of a where ids[t] < cut, else of b. {cut}
  irdl.operation @choose {
    %ids = irdl.any
    %a = irdl.any
    %b = irdl.any
    %y = irdl.any
    irdl.operands(ids: %ids, a: %a, b: %b)
    irdl.results(y: %y)
  }
  // ids [T], x [T, C], u [V], v [C] -> x * u[token] * v.
  irdl.operation @embed_scale {
    %ids = irdl.any
    %x = irdl.any
    %u = irdl.any
    %v = irdl.any
    %y = irdl.any
    irdl.operands(ids: %ids, x: %x, u: %u, v: %v)
    irdl.results(y: %y)
  }
  // linear that reads blocks itself. The region is the epilogue, elementwise on f32: its arguments
  // are one output of the product and the same element of each `extra` [T, N]; it ends with
  // llvm.return, as an operation of ours cannot be a terminator.
  irdl.operation @fused_linear {
    %x = irdl.any
    %w = irdl.any
    %extra = irdl.any
    %y = irdl.any
    irdl.operands(x: %x, w: %w, extra: variadic %extra)
    irdl.results(y: %y)
    %body = irdl.region
    irdl.regions(epilogue: %body)
  }

  // --- L3: a straight program over planned memory. Pointers are !llvm.ptr.

  // {section = "arena" | "state" | "weights" | "input" | "logits", ...}: a place in memory.
  // arena: {row_bytes, name, offset once planned}; state and weights: {name, offset}.
  irdl.operation @place {
    %p = irdl.any
    irdl.results(p: %p)
  }
  // Run a kernel: {kernel = "linear", callee once generated, and what the generator wants}.
  // The first `outputs` operands are written, the others read. The region is the epilogue or empty.
  irdl.operation @launch {
    %p = irdl.any
    irdl.operands(p: variadic %p)
    %body = irdl.region
    irdl.regions(epilogue: %body)
  }
  // All threads meet; what was written before is seen after.
  irdl.operation @barrier {}
}
