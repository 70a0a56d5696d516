#!/usr/bin/env python3
"""Models whose tokens do not see each other, in the parts that families differ in: norms, positions, biases, activations, multipliers. Written as exporters
write them, compiled, run whole and token by token, and compared with numpy."""
import math
import pathlib
import sys
import tempfile

import numpy as np

import tools
from imported_codes_test import weight

VOCABULARY, WIDTH, HIDDEN, CONTEXT, TOKENS = 40, 48, 96, 16, 12
ERF = np.vectorize(math.erf)
HEADS = 4
SHAPE = np.linspace(0.5, 2, HIDDEN).astype(np.float32)
ACTIVATIONS = {
    "Gelu": (["node Gelu up -> h"], lambda x: x * (1 + ERF(x / 2**0.5)) / 2),
    "erf": (["weight r f32 - raw 1.41421356", "weight one f32 - raw 1.0", "weight half f32 - raw 0.5", "node Div up,r -> u0", "node Erf u0 -> u1",
             "node Add u1,one -> u2", "node Mul up,u2 -> u3", "node Mul u3,half -> h"], lambda x: x * (1 + ERF(x / 2**0.5)) / 2),
    "FastGelu": (["node FastGelu@com.microsoft up -> h"], lambda x: x * (1 + np.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2),
    "QuickGelu": (["node QuickGelu@com.microsoft up -> h alpha=1.702"], lambda x: x / (1 + np.exp(-1.702 * x))),
    "Relu": (["node Relu up -> h"], lambda x: np.maximum(x, 0)),
    "squared": (["node Relu up -> u0", "node Mul u0,u0 -> h"], lambda x: np.maximum(x, 0) ** 2),
    "Sigmoid": (["node Sigmoid up -> h"], lambda x: 1 / (1 + np.exp(-x))),
    "Tanh": (["node Tanh up -> h"], np.tanh),
    "Softplus": (["node Softplus up -> h"], lambda x: np.log1p(np.exp(x))),
    "clipped": (["weight low f32 - raw -0.5", "weight high f32 - raw 0.25", "node Clip up,low,high -> u0", "node Tanh u0 -> u1",
                 "node Mul u1,up -> u2", "node Sub high,u2 -> h"], lambda x: 0.25 - np.tanh(np.clip(x, -0.5, 0.25)) * x),
    "stored": (["node Div up,shape -> u0", "node Exp u0 -> u1", "node Sub u1,shape -> h"], lambda x: np.exp(x / SHAPE) - SHAPE),
    "silu": (["node Sigmoid up -> u0", "node Mul up,u0 -> h"], lambda x: x / (1 + np.exp(-x))),
}


def norm(kind, x, gain, bias):
    if kind == "rms":
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * gain
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gain + bias


def norm_lines(kind):
    if kind == "rms":
        return ["node SimplifiedLayerNormalization s,gain -> n epsilon=0.00001 axis=-1"]
    return ["node LayerNormalization s,gain,bias -> n epsilon=0.00001 axis=-1"]


def model(random, activation, kind):
    """The text of a model, and what it computes from ids [T]"""
    w = {name: random.standard_normal(shape).astype(np.float32) / 4 for name, shape in {
        "embed": (VOCABULARY, WIDTH), "table": (CONTEXT + 2, WIDTH), "gain": (WIDTH,), "bias": (WIDTH,), "wu": (WIDTH, HIDDEN), "bu": (HIDDEN,),
        "wd": (HIDDEN, WIDTH), "bd": (WIDTH,), "head": (WIDTH, VOCABULARY)}.items()} | {"shape": SHAPE}
    act_lines, act = ACTIVATIONS[activation]
    lines = ["opset 20", "opset com.microsoft 1", "input ids i64 1 T", "input position_ids i64 1 T", f"output logits f32 1 T {VOCABULARY}",
             *(weight(name, "f32", value) for name, value in w.items()), "weight eight f32 - raw 8.0", "weight part f32 - raw 0.22", "weight two i64 - raw 2",
             "node Gather embed,ids -> e0", "node Mul e0,eight -> e", "node Add position_ids,two -> at", "node Gather table,at -> p", "node Add e,p -> s",
             *norm_lines(kind), "node MatMul n,wu -> up0", "node Add up0,bu -> up", *act_lines, "node MatMul h,wd -> d0", "node Add bd,d0 -> d1",
             "node Mul d1,part -> d", "node Add s,d -> y", "node MatMul y,head -> l", "node Div l,eight -> logits"]

    def compute(ids):
        s = w["embed"][ids] * 8 + w["table"][np.arange(len(ids)) + 2]
        up = norm(kind, s.astype(np.float64), w["gain"], w["bias"]) @ w["wu"] + w["bu"]
        y = s + (act(up) @ w["wd"] + w["bd"]) * np.float32(0.22)
        return y @ w["head"] / 8

    return "\n".join(lines) + "\n", compute


def mixed_model(random, transposed):
    """Three products in one matrix, head by head [HEADS, 3, HIDDEN / HEADS], as some families keep queries, keys and values."""
    w = {name: random.standard_normal(shape).astype(np.float32) / 4 for name, shape in {
        "embed": (VOCABULARY, WIDTH), "wm": (WIDTH, 3 * HIDDEN), "bm": (3 * HIDDEN,), "wd": (HIDDEN, VOCABULARY)}.items()}
    size = HIDDEN // HEADS
    flat = [f"node {'Transpose' if transposed else 'Identity'} {x}0 -> {x}1" + " perm=[0,2,1,3]" * transposed for x in "abc"]
    dims, axis = ("1 -1 4 72", -1) if transposed else (f"1 -1 4 3 {size}", 3)
    cut = ["node Transpose m4 -> m5 perm=[0,2,1,3]", "node Split m5,sizes -> a0,b0,c0 axis=-1"] if transposed else \
        ["node Split m4,ones -> a0,b0,c0 axis=3"]
    lines = ["opset 20", "input ids i64 1 T", f"output logits f32 1 T {VOCABULARY}", *(weight(name, "f32", value) for name, value in w.items()),
             f"weight dims i64 {len(dims.split())} raw {dims}", f"weight sizes i64 3 raw {size} {size} {size}", "weight ones i64 3 raw 1 1 1",
             f"weight rows i64 3 raw 1 -1 {HIDDEN}", "node Gather embed,ids -> x", "node MatMul x,wm -> m", "node Add m,bm -> mb", "node Reshape mb,dims -> m4",
             *cut, *flat, *(f"node Reshape {x}1,rows -> {x}" for x in "abc"), "node Sub a,b -> d", "node Mul d,c -> h", "node MatMul h,wd -> logits"]

    def compute(ids):
        parts = (w["embed"][ids].astype(np.float64) @ w["wm"] + w["bm"]).reshape(-1, HEADS, 3, size)
        a, b, c = (parts[:, :, i].reshape(-1, HIDDEN) for i in range(3))
        return ((a - b) * c) @ w["wd"]

    return "\n".join(lines) + "\n", compute


def check_mixed(random, transposed, quant):
    text, compute = mixed_model(random, transposed)
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        tools.write_model(folder, text)
        graph = tools.run(tools.QBC, folder / "model.onnx", "-emit=graph", "-o", "-").stdout
        assert "onnx." not in graph and graph.count(f"runs = array<i64: {HIDDEN // HEADS}, ") == 6, graph
        tools.compile_model(folder / "m.qbm", "-tokenizer=none", f"-quant={quant}", model=folder / "model.onnx")
        ids = random.integers(0, VOCABULARY, TOKENS)
        want = compute(ids)
        error = tools.error_of(folder / "m.qbm", ids, want)
        assert error < {"f32": 2e-6, "i8g32": 2e-2}[quant], f"mixed, {transposed}, {quant}: {error}"


def check(random, activation, kind):
    text, compute = model(random, activation, kind)
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        tools.write_model(folder, text)
        graph = tools.run(tools.QBC, folder / "model.onnx", "-emit=graph", "-o", "-").stdout
        assert "onnx." not in graph and graph.count('"qb.times"') >= 3 and graph.count('"qb.bias"') == 2, graph
        tools.compile_model(folder / "m.qbm", "-tokenizer=none", model=folder / "model.onnx")
        ids = random.integers(0, VOCABULARY, TOKENS)
        want = compute(ids)
        for options in ((), ("--chunk", "1")):
            error = tools.error_of(folder / "m.qbm", ids, want, *options)
            assert error < 2e-6, f"{activation}, {kind}, {options}: {error}"
        p = tools.run(tools.QBRUN, folder / "m.qbm", "--info").stdout
        assert str(CONTEXT) in p, p


def main():
    if not tools.QBC.exists() or not tools.QBRUN.exists():
        print("skipped: qbc and qbrun are not built")
        return tools.SKIPPED
    random = np.random.default_rng(1)
    for i, activation in enumerate(ACTIVATIONS):
        check(random, activation, ("rms", "layer")[i % 2])
        print("ok", activation)
    for transposed in (False, True):
        for quant in ("f32", "i8g32"):
            check_mixed(random, transposed, quant)
    print("ok mixed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
