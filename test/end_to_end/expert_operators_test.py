#!/usr/bin/env python3
"""Mixtures of experts as operations of ONNX Runtime, MoE and QMoE: models of an embedding, a router, one such operation and an output matrix, whole and in
pieces, compared with numpy. The formulas are those of ONNX Runtime's kernels for CPUs; where it is installed, they are compared with it too (--onnxruntime).
QMoE's codes are in the artifact as they are: without -quant the logits are those of -quant=f32 too."""
import pathlib
import sys
import tempfile

import numpy as np

import tools
from experts_test import EXPERTS, TOKENS, TOP, VOCABULARY, WIDTH, softmax, weight
from imported_codes_test import pack_rows

INNER = 96
ALPHA, BETA, LIMIT = 1.25, 0.5, 0.75


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def activate(how, fusion, u, v):
    if how == "swiglu":
        g, l = (u, v) if fusion == 0 else (u[::2], u[1::2]) if fusion == 1 else np.split(u, 2)
        g, l = np.minimum(g, LIMIT), np.clip(l, -LIMIT, LIMIT)
        return g * sigmoid(ALPHA * g) * (l + BETA)
    y = {"relu": lambda: np.maximum(u, 0), "silu": lambda: u * sigmoid(u), "identity": lambda: u,
         "gelu": lambda: u / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u ** 3)))}[how]()
    return y if v is None else y * v


def mixture(case, x, router, t):
    """[T, WIDTH]; router [T, EXPERTS]"""
    y = np.zeros_like(x)
    for token, row in enumerate(x):
        p, scores = softmax(router[token]), t["own"](row) if case.get("own") else None
        ids = np.argsort(-p, kind="stable")[:TOP]
        w = p[ids] if scores is None else scores[ids]
        w = w / w.sum() if case.get("normalize", 1) or (case["op"] == "QMoE" and scores is None) else w
        for e, share in zip(ids, w):
            u = t["up"][e] @ row + t["up_bias"][e]
            v = t["value"][e] @ row if "value" in t else None
            y[token] += share * (t["down"][e] @ activate(case["how"], case.get("fusion", 0), u, v) + t["down_bias"][e])
    return y


def coded(random, name, shape, bits, block, zeros):
    """The lines of codes, scales and zero points, and the floats."""
    experts, rows, columns = shape
    groups = columns // (block or columns)
    codes = random.integers(1 if bits == 8 else 0, 1 << bits, shape)
    scales = random.uniform(0.02, 0.06, (experts, rows, groups)).astype(np.float16).astype(np.float32) * (16 / (1 << bits))
    zero = random.integers(1, 1 << bits, scales.shape) if zeros else np.full(scales.shape, 1 << bits - 1)
    each, stored = columns // groups, (lambda a: a) if block else (lambda a: a[..., 0])
    lines = [weight(name, "ui8", pack_rows(codes, bits)), weight(name + "_scales", "f32", stored(scales))]
    lines += [weight(name + "_zeros", "ui8", pack_rows(stored(zero), bits))] if zeros else []
    return lines, (codes - np.repeat(zero, each, -1)).astype(np.float32) * np.repeat(scales, each, -1)


def write_model(folder, case, random):
    """The model's tensors in floats."""
    matrix = lambda *shape, scale=8: random.standard_normal(shape).astype(np.float32) / np.float32(scale)
    fused = 2 if case.get("fusion") else 1
    t = {"embed": matrix(VOCABULARY, WIDTH, scale=1), "router": matrix(WIDTH, EXPERTS, scale=2), "head": matrix(WIDTH, VOCABULARY)}
    lines = [weight(n, "f32", v) for n, v in t.items()]
    t |= {"up_bias": matrix(EXPERTS, fused * INNER), "down_bias": matrix(EXPERTS, WIDTH)}
    lines += [weight(n, "f32", t[n]) for n in ("up_bias", "down_bias")]
    shapes = {"up": (EXPERTS, fused * INNER, WIDTH), "down": (EXPERTS, WIDTH, INNER)} | ({"value": (EXPERTS, INNER, WIDTH)} if case.get("third") else {})
    for name, shape in shapes.items():
        if case["op"] == "QMoE":
            more, t[name] = coded(random, name, shape, case["bits"], case.get("block", 0), case.get("zeros"))
        else:
            t[name] = matrix(*shape)
            more = [weight(name, "f32", t[name], (shape[0], shape[2], shape[1]) if case.get("old") else None)]
        lines += more
    zeros = [f"{n}_zeros" if case.get("zeros") and n in shapes else "" for n in ("up", "down", "value")]
    value = ["value", "value_scales"] if case.get("third") else ["", ""]
    if case["op"] == "QMoE":
        inputs = ["x", "r", "up", "up_scales", "up_bias", "down", "down_scales", "down_bias", *value, "", *zeros, "own" if case.get("own") else ""]
    else:
        inputs = ["x", "r", "up", "up_bias", "down", "down_bias", value[0]]
    attributes = {"k": TOP, "activation_type": f'"{case["how"]}"', "normalize_routing_weights": case.get("normalize", 1), "swiglu_fusion": case.get("fusion", 0),
                  "activation_alpha": ALPHA, "activation_beta": BETA, "swiglu_limit": LIMIT, "expert_weight_bits": case.get("bits"), "block_size": case.get("block")}
    text = " ".join(f"{n}={v}" for n, v in attributes.items() if v is not None)
    nodes = ["node Gather embed,input_ids -> x", "node Reshape x,rows -> x2", "node MatMul x2,router -> r"]
    nodes += ["node Sigmoid r -> own"] if case.get("own") else []
    nodes += [f"node {case['op']}@com.microsoft {','.join(inputs).rstrip(',')} -> moe {text}", "node Add x,moe -> y", "node MatMul y,head -> logits"]
    head = ["opset 18", "opset com.microsoft 1", "input input_ids i64 1 T", f"output logits f32 1 T {VOCABULARY}", weight("rows", "i64", np.array([-1, WIDTH]))]
    tools.write_model(folder, "\n".join([*head, *lines, *nodes]) + "\n")
    return t


CASES = (
    {"op": "MoE", "how": "swiglu", "fusion": 1},
    {"op": "MoE", "how": "gelu", "normalize": 0},
    {"op": "MoE", "how": "relu", "old": True},
    {"op": "MoE", "how": "silu", "third": True},
    {"op": "QMoE", "how": "swiglu", "fusion": 1, "bits": 4, "block": 32, "zeros": True},
    {"op": "QMoE", "how": "swiglu", "fusion": 2, "bits": 8, "block": 32},
    {"op": "QMoE", "how": "silu", "third": True, "bits": 4, "zeros": True},
    {"op": "QMoE", "how": "swiglu", "third": True, "bits": 4, "block": 32, "own": True, "normalize": 0},
)


def by_onnxruntime(folder, ids):
    """The logits; None: it cannot."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"input_ids": ids[None]})[0][0]
    except Exception as error:
        print("  ONNX Runtime:", str(error).strip().splitlines()[-1][-120:])
        return None


def check(folder, case, options):
    random = np.random.default_rng(11)
    ids = random.integers(0, VOCABULARY, TOKENS)
    t = write_model(folder, case, random)
    x = t["embed"][ids].astype(np.float64)
    r = x @ t["router"]
    if case.get("own"):
        t["own"] = lambda row: sigmoid(row @ t["router"])
    want = (x + mixture(case, x, r, t)) @ t["head"]
    other = by_onnxruntime(folder, ids) if "--onnxruntime" in options else None
    if other is not None:
        print(f"  ONNX Runtime: {np.abs(other - want).max() / np.abs(want).max():.1e}")
    kept = case["op"] == "QMoE"
    for quant in ((), ("-quant=f32",)) if kept else ((),):
        tools.compile_model(folder / "m.qbm", "-tokenizer=none", *quant, model=folder / "model.onnx")
        errors = [tools.error_of(folder / "m.qbm", ids, want, *way) for way in ((), ("--chunk", "1"), ("--chunk", "4"))]
        assert max(errors) < (2e-2 if kept and not quant else 2e-6), f"{case} {quant}: {errors}"
        print("ok", case, *quant, f"{max(errors):.1e}")


def main(options):
    if not tools.QBC.exists() or not tools.QBRUN.exists():
        print("skipped: qbc and qbrun are not built")
        return tools.SKIPPED
    with tempfile.TemporaryDirectory() as path:
        for case in CASES:
            check(pathlib.Path(path), case, options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
