#!/usr/bin/env python3
"""Attention as one operation, in the forms that tools of ONNX Runtime write: models of an embedding, the operation and an output matrix, run whole and token
by token (so that keys and values are kept), and compared with numpy."""
import pathlib
import sys
import tempfile

import numpy as np

import tools
from imported_codes_test import weight

VOCABULARY, WIDTH, HEADS, TOKENS = 40, 32, 4, 11
HEAD = WIDTH // HEADS
QKV = ["node MatMul x,wq -> q0", "node MatMul x,wk -> k0", "node MatMul x,wv -> v0", "node Add q0,bq -> q", "node Add k0,bk -> k", "node Add v0,bv -> v"]
CACHE = [f"{way} {name}.0.{part} f32 1 {HEADS} {size} {HEAD}" for way, name, size in (("input", "past_key_values", "P"), ("output", "present", "S"))
         for part in ("key", "value")]
# Optimum's merged decoders; both branches have weights of their own and the same names, and one has an If that shapes decide.
MERGED = ["input use_cache_branch bool 1", *CACHE,
          *(line for name, past in (("with_past", ",,past_key_values.0.key,past_key_values.0.value"), ("without", "")) for line in (
              f"graph {name}", f"output y1 f32 1 T {WIDTH}", f"output present.0.key f32 1 {HEADS} S {HEAD}", f"output present.0.value f32 1 {HEADS} S {HEAD}",
              "weight two f32 - raw 2.0", "weight half f32 - raw 0.5", *QKV, "node Mul k,two -> k2", "node Mul k2,half -> k3", "node Shape x -> shape end=1",
              "weight one i64 1 raw 1", "node Equal shape,one -> alone", "graph squeezed", f"output s1 f32 1 T {WIDTH}", "node Identity q -> s1", "end",
              "graph kept", f"output s2 f32 1 T {WIDTH}", "node Mul q,two -> q2", "node Mul q2,half -> s2", "end",
              "node If alone -> qs then_branch=graph:squeezed else_branch=graph:kept",
              f"node Attention qs,k3,v{past} -> y1,present.0.key,present.0.value q_num_heads={HEADS} kv_num_heads={HEADS} is_causal=1", "end")),
          "node If use_cache_branch -> y,present.0.key,present.0.value then_branch=graph:with_past else_branch=graph:without"]
FORMS = {
    "two decoders in one file": MERGED,
    "MultiHeadAttention": ["node MatMul x,wq -> q", "node MatMul x,wk -> k", "node MatMul x,wv -> v",
                           f"node MultiHeadAttention@com.microsoft q,k,v,b -> y num_heads={HEADS} unidirectional=1"],
    "with a mask of keys": ["node MatMul x,wq -> q", "node MatMul x,wk -> k", "node MatMul x,wv -> v", "node Cast attention_mask -> m to=6",
                            f"node MultiHeadAttention@com.microsoft q,k,v,b,m -> y num_heads={HEADS} unidirectional=1 scale={HEAD**-0.5}"],
    "Attention with its product": [f"node Attention@com.microsoft x,w,b -> y num_heads={HEADS} unidirectional=1"],
    "ONNX Attention": [*QKV, f"node Attention q,k,v -> y q_num_heads={HEADS} kv_num_heads={HEADS} is_causal=1"],
}


def attention(x, w, b):
    q, k, v = (part.reshape(len(x), HEADS, HEAD).transpose(1, 0, 2) for part in np.split(x @ w + b, 3, -1))
    scores = q @ k.transpose(0, 2, 1) * HEAD**-0.5 + np.triu(np.full((len(x), len(x)), -np.inf), 1)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return (p / p.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(x), WIDTH)


def check(name, nodes):
    random = np.random.default_rng(1)
    embed, w, b, head = (random.standard_normal(shape).astype(np.float32) for shape in ((VOCABULARY, WIDTH), (WIDTH, 3 * WIDTH), (3 * WIDTH,), (WIDTH, VOCABULARY)))
    w, text = w / 4, " ".join(nodes)
    tensors = {"embed": embed, "w": w, "b": b, "head": head, **{f"w{p}": w[:, i * WIDTH : (i + 1) * WIDTH] for i, p in enumerate("qkv")},
               **{f"b{p}": b[i * WIDTH : (i + 1) * WIDTH] for i, p in enumerate("qkv")}}
    lines = ["opset 23", "opset com.microsoft 1", "input input_ids i64 1 T", f"output logits f32 1 T {VOCABULARY}", "node Gather embed,input_ids -> x",
             *["input attention_mask i64 1 T"] * ("attention_mask" in text), *(weight(n, "f32", t) for n, t in tensors.items()), *nodes, "node MatMul y,head -> logits"]
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        tools.write_model(folder, "\n".join(lines) + "\n")
        tools.compile_model(folder / "m.qbm", "-tokenizer=none", model=folder / "model.onnx")
        ids = random.integers(0, VOCABULARY, TOKENS)
        want = attention(embed[ids].astype(np.float64), w, b) @ head
        for options in ((), ("--chunk", "1"), ("--chunk", "4")):
            error = tools.error_of(folder / "m.qbm", ids, want, *options)
            assert error < 2e-6, f"{name}, {options}: {error}"
    print("ok", name)


def main():
    if not tools.QBC.exists() or not tools.QBRUN.exists():
        print("skipped: qbc and qbrun are not built")
        return tools.SKIPPED
    for name, nodes in FORMS.items():
        if not sys.argv[1:] or sys.argv[1] in name:
            check(name, nodes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
