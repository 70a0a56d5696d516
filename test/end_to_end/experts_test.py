#!/usr/bin/env python3
"""Mixtures of experts, in the forms that exporters write: models of an embedding, one such layer and an output matrix, run whole and token by token, on this
machine and on emulated ones, and compared with numpy. Weights of experts that no token chose do not matter, whatever they are."""
import pathlib
import shutil
import sys
import tempfile

import numpy as np

import tools
from encoder_test import runner_of
from imported_codes_test import weight

VOCABULARY, WIDTH, INNER, EXPERTS, TOP, TOKENS = 40, 32, 96, 8, 3, 11
WIDE = 2 * INNER
FIRST = ["node MatMul x,router -> r", "node Reshape r,flat -> l"]  # [T, E]
# transformers' batched experts (dynamo): matrices [E, N, K] are gathered by the choice, one for each token and choice
GATHERED = ["node Reshape x,rows -> x2", "node Unsqueeze x2,one -> x3", "node Shape l -> t end=1", "node Concat t,top,width -> all axis=0",
            "node Expand x3,all -> x4", "node Reshape x4,column -> xs", "node Reshape ids,slots -> choice", "node GatherND up,choice -> ups",
            "node MatMul ups,xs -> u3", "node Squeeze u3,last -> u", "node Split u,sizes -> gate,value axis=1", "node Sigmoid gate -> s",
            "node Mul gate,s -> silu", "node Mul silu,value -> h", "node Unsqueeze h,last -> h3", "node GatherND down,choice -> downs",
            "node MatMul downs,h3 -> y3", "node Squeeze y3,last -> ys", "node Reshape w,slots -> w1", "node Mul ys,w1 -> weighted",
            "node Reshape weighted,each -> parts", "node ReduceSum parts,one -> sum keepdims=0"]
# GPT-OSS: [E, K, N], gate and value are every second column, each expert has vectors that are added; the value is kept within bounds
TURNED = ["node Reshape x,rows -> x2", "node Unsqueeze x2,one -> x3", "node Shape l -> t end=1", "node Concat t,top,width -> all axis=0",
          "node Expand x3,all -> x4", "node Reshape x4,row -> xs", "node Reshape ids,slots -> choice", "node GatherND up_t,choice -> ups",
          "node MatMul xs,ups -> u3", "node Squeeze u3,one -> u0", "node GatherND up_bias,choice -> ub", "node Add u0,ub -> u",
          "node Slice u,zero,many,one,two -> gate", "node Slice u,one,many,one,two -> value0", "node Clip value0,low,high -> value",
          "node Sigmoid gate -> s", "node Mul gate,s -> silu", "node Mul silu,value -> h", "node Unsqueeze h,one -> h3",
          "node Gather down_t,choice1 -> downs axis=0", "node Reshape ids,line -> choice1", "node MatMul h3,downs -> y3", "node Squeeze y3,one -> ys",
          "node Reshape w,slots -> w1", "node Mul ys,w1 -> weighted", "node Reshape weighted,each -> parts", "node ReduceSum parts,one -> sum keepdims=0"]
MIXTRAL = ["node Softmax l -> p axis=-1", "node TopK p,top -> w0,ids", "node ReduceSum w0,last -> total keepdims=1", "node Div w0,total -> w"]
QWEN2 = ["node Softmax l -> p axis=-1", "node TopK p,top -> w,ids"]
GPT_OSS = ["node TopK l,top -> w0,ids", "node Softmax w0 -> w axis=-1"]
DEEPSEEK = ["node Sigmoid l -> p", "node Add p,correction -> c", "node Reshape c,groups -> g3", "node TopK g3,best -> g2,unused", "node ReduceSum g2,last -> g keepdims=0",
            "node TopK g,kept -> unused2,gi", "node ConstantOfShape gs -> zeros value=f32[1]:0", "node Shape g -> gs", "node Shape gi -> gis",
            "node ConstantOfShape gis -> ones value=f32[1]:1", "node ScatterElements zeros,gi,ones -> gm axis=1", "node Unsqueeze gm,last -> gm3",
            "node Shape g3 -> g3s", "node Expand gm3,g3s -> gme", "node Reshape gme,flat -> mask", "node Cast mask -> maskb to=9", "node Where maskb,c,minus -> cm",
            "node TopK cm,top -> unused3,ids", "node GatherElements p,ids -> w0 axis=1", "node ReduceSum w0,last -> total keepdims=1", "node Div w0,total -> w2",
            "node Mul w2,factor -> w"]
# all experts are computed, one by one, and weighed by a table of weights, most of them 0 (loops over experts, traced)
DENSE = [*(line for e in range(EXPERTS) for line in (
             f"node Gather up,at{e} -> ups{e} axis=0", f"node Transpose ups{e} -> upt{e} perm=[1,0]", f"node MatMul xr,upt{e} -> u{e}",
             f"node Split u{e},sizes -> gate{e},value{e} axis=1", f"node Sigmoid gate{e} -> s{e}", f"node Mul gate{e},s{e} -> silu{e}",
             f"node Mul silu{e},value{e} -> h{e}", f"node Gather down,at{e} -> downs{e} axis=0", f"node Transpose downs{e} -> downt{e} perm=[1,0]",
             f"node MatMul h{e},downt{e} -> z{e}", f"node Gather table,at{e} -> t{e} axis=1", f"node Unsqueeze t{e},last -> c{e}", f"node Mul z{e},c{e} -> y{e}",
             f"node Add sum{e},y{e} -> {'sum' if e == EXPERTS - 1 else f'sum{e + 1}'}")),
         "node Reshape x,rows -> xr", "node Shape xr -> xs", "node ConstantOfShape xs -> sum0 value=f32[1]:0", "node Shape l -> ls",
         "node ConstantOfShape ls -> none value=f32[1]:0", "node ScatterElements none,ids,w -> table axis=1"]
FORMS = {"Mixtral": (MIXTRAL, GATHERED), "Qwen2": (QWEN2, GATHERED), "GPT-OSS": (GPT_OSS, TURNED), "DeepSeek-V3": (DEEPSEEK, GATHERED), "dense": (MIXTRAL, DENSE),
         "DeepSeek-V3 dense": (DEEPSEEK, DENSE)}


def sorted_nodes(lines, known):
    """In an order in which each reads what others gave before."""
    known, left, out = set(known), list(lines), []
    while left:
        line = next(l for l in left if set(l.split()[2].split(",")) <= known)
        left.remove(line)
        out.append(line)
        known |= set(line.split(" -> ")[1].split()[0].split(","))
    return out


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def choose(name, l, t):
    """ids and weights of a token."""
    p = 1 / (1 + np.exp(-l)) if "DeepSeek-V3" in name else softmax(l)
    c = p.copy()
    if "DeepSeek-V3" in name:
        c = p + t["correction"]
        groups = c.reshape(4, 2)
        kept = np.argsort(-np.sort(groups, -1).sum(-1), kind="stable")[:2]
        c = np.where(np.isin(np.arange(EXPERTS) // 2, kept), c, -np.inf)
    ids = np.argsort(-c, kind="stable")[:TOP]
    w = p[ids]
    return ids, w if name == "Qwen2" else w / w.sum() * (2.5 if "DeepSeek-V3" in name else 1)


def layer(name, x, t):
    out, chosen = np.zeros_like(x), set()
    for row, y in zip(x, out):
        ids, weights = choose(name, row @ t["router"], t)
        chosen |= set(ids)
        for e, w in zip(ids, weights):
            u = t["up"][e] @ row
            gate, value = u[:INNER], u[INNER:]
            if name == "GPT-OSS":
                u = row @ t["up_t"][e] + t["up_bias"][e]
                gate, value = u[::2], np.clip(u[1::2], -0.5, 0.5)
            h = gate / (1 + np.exp(-gate)) * value
            y += w * (h @ t["down_t"][e] if name == "GPT-OSS" else t["down"][e] @ h)
    return out, chosen


def tensors_of(random):
    shapes = {"embed": (VOCABULARY, WIDTH), "router": (WIDTH, EXPERTS), "up": (EXPERTS, WIDE, WIDTH), "down": (EXPERTS, WIDTH, INNER), "correction": (EXPERTS,),
              "head": (WIDTH, VOCABULARY), "up_t": (EXPERTS, WIDTH, WIDE), "down_t": (EXPERTS, INNER, WIDTH), "up_bias": (EXPERTS, WIDE)}
    t = {n: random.standard_normal(s).astype(np.float32) / (1 if n in ("embed", "correction") else np.float32(8)) for n, s in shapes.items()}
    t["router"] *= 4
    return t


def write_model(folder, name, t):
    route, products = FORMS[name]
    ints = {"flat": [-1, EXPERTS], "rows": [-1, WIDTH], "one": [1], "last": [-1], "top": [TOP], "width": [WIDTH], "column": [-1, WIDTH, 1], "row": [-1, 1, WIDTH],
            "slots": [-1, 1], "line": [-1], "each": [-1, TOP, WIDTH], "sizes": [INNER, INNER], "groups": [-1, 4, 2], "best": [2], "kept": [2], "zero": [0],
            "two": [2], "many": [1 << 40], "whole": [1, -1, WIDTH]}
    at = {f"at{e}": e for e in range(EXPERTS)}
    floats = {"minus": [-np.inf], "factor": [2.5], "low": [-0.5], "high": [0.5]}
    nodes = [*FIRST, *route, *products, "node Reshape sum,whole -> moe", "node Add x,moe -> y", "node MatMul y,head -> logits"]
    known = ["x", *t, *ints, *at, *floats]
    read = {word for line in [*nodes, "node Gather embed,x"] for word in line.split()[2].split(",")}
    lines = ["opset 18", "input input_ids i64 1 T", f"output logits f32 1 T {VOCABULARY}", "node Gather embed,input_ids -> x",
             *(weight(n, "f32", v) for n, v in t.items() if n in read), *(weight(n, "i64", np.array(v)) for n, v in ints.items()), *(weight(n, "i64", np.array(v)) for n, v in at.items()),
             *(f"weight {n} f32 - raw {v[0]}" for n, v in floats.items()), *sorted_nodes(nodes, known)]
    tools.write_model(folder, "\n".join(lines) + "\n")


def check(folder, name, target, quant):
    runner = runner_of(target)
    random = np.random.default_rng(5)
    t, ids = tensors_of(random), random.integers(0, VOCABULARY, TOKENS)
    x = t["embed"][ids].astype(np.float64)
    y, _ = layer(name, x, t)
    want = (x + y) @ t["head"]
    write_model(folder, name, t)
    tools.compile_model(folder / "m.qbm", "-tokenizer=none", f"-target={target}", f"-quant={quant}", model=folder / "model.onnx")
    bound = {"f32": 2e-6, "f16": 2e-3, "i8g32": 3e-2}[quant]
    ways = ((), ("--chunk", "1"), ("--chunk", "4"), ("--threads", "2"))
    errors = [tools.error_of(folder / "m.qbm", ids, want, *options, runner=runner) for options in (ways if target == "native" else ways[::2])]
    assert max(errors) < bound, f"{name}, {target}, {quant}: {errors}"
    print(f"ok {name:12} {target:8} {quant:6} {max(errors):.1e}")


def check_unread(folder, name):
    """Other, large numbers in the matrices of all experts that no token of the text chose: the logits are the same, bit for bit."""
    random = np.random.default_rng(6)
    t, ids = tensors_of(random), random.integers(0, VOCABULARY, 1)
    results = []
    for poison in (False, True):
        if poison:
            _, chosen = layer(name, t["embed"][ids].astype(np.float64), t)
            others = [e for e in range(EXPERTS) if e not in chosen]
            assert len(others) == EXPERTS - TOP
            for n in ("up", "down", "up_t", "down_t", "up_bias"):
                t[n][others] = 60000
        write_model(folder, name, t)
        tools.compile_model(folder / "m.qbm", "-tokenizer=none", "-quant=f16", model=folder / "model.onnx")
        results.append(tools.logits(folder / "m.qbm", ids))
    assert np.isfinite(results[0]).all() and np.array_equal(*results), f"{name}: experts that nobody chose matter"
    print("ok", name, "others are not read")


def main():
    if not tools.QBC.exists() or not tools.QBRUN.exists():
        print("skipped: qbc and qbrun are not built")
        return tools.SKIPPED
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        for name in FORMS:
            check(folder, name, "native", "f32")
            check_unread(folder, name)
        for target in ("native", "armv8", "rv64gcv"):
            for quant in ("f32", "f16", "i8g32"):
                if runner_of(target):
                    check(folder, "GPT-OSS", target, quant)
                else:
                    print(f"skipped: {target} does not run here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
