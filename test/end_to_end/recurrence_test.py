#!/usr/bin/env python3
"""Recurrences in the forms that exporters write: models of an embedding, the recurrence and an output matrix, run whole and in pieces (so that the
state is kept), and compared with numpy."""
import pathlib
import sys
import tempfile

import numpy as np

import tools
from imported_codes_test import weight

VOCABULARY, WIDTH, TOKENS, TAPS = 40, 32, 17, 4
HEADS, KEY_HEADS, KEYS, VALUES = 4, 2, 8, 4  # heads of values; of keys and queries
K, V = KEY_HEADS * KEYS, HEADS * VALUES
sigmoid = lambda x: 1 / (1 + np.exp(-x))


def linear_attention(q, k, v, decay, beta, scale):
    """q, k [T, H, K], v [T, H, V], decay [T, H, K or 1], beta [T, H] or None -> [T, H V]"""
    state, out = np.zeros((v.shape[1], k.shape[2], v.shape[2])), []
    for t in range(len(q)):
        state = state * np.exp(decay[t])[:, :, None]
        u = v[t] if beta is None else beta[t][:, None] * (v[t] - np.einsum("hk,hkv->hv", k[t], state))
        state = state + k[t][:, :, None] * u[:, None, :]
        out.append(np.einsum("hk,hkv->hv", q[t], state) * scale)
    return np.array(out).reshape(len(q), -1)


def unit(x):
    return x / np.sqrt((x * x).sum(-1, keepdims=True))


def delta_net(x, w):
    """The layer of Qwen3-Next and Qwen3.5: a convolution, unit keys, the gated delta rule, a gated norm."""
    rows = x @ w["win"]
    if "taps" in w:
        before = np.concatenate([np.zeros((TAPS - 1, rows.shape[1])), rows])
        rows = sum(before[i : i + len(x)] * w["taps"][:, 0, i] for i in range(TAPS))
        rows = rows * sigmoid(rows)
    q, k, v = np.split(rows, [K, 2 * K], -1)
    q, k = (np.repeat(unit(a.reshape(-1, KEY_HEADS, KEYS)), HEADS // KEY_HEADS, 1) for a in (q, k))
    decay = w["rate"] * np.log1p(np.exp(x @ w["wa"] + w["dt"]))
    y = linear_attention(q, k, v.reshape(-1, HEADS, VALUES), decay[:, :, None], sigmoid(x @ w["wb"]), KEYS**-0.5)
    y = y.reshape(-1, HEADS, VALUES)
    y = y / np.sqrt((y * y).mean(-1, keepdims=True) + 1e-6) * w["gain"]
    z = x @ w["wz"]
    return y.reshape(-1, V) * z * sigmoid(z)


def delta_net_weights(r):
    w = {"win": (WIDTH, 2 * K + V), "taps": (2 * K + V, 1, TAPS), "wa": (WIDTH, HEADS), "wb": (WIDTH, HEADS), "wz": (WIDTH, V), "dt": (HEADS,), "gain": (VALUES,)}
    w = {n: r.standard_normal(s).astype(np.float32) / 3 for n, s in w.items()}
    return {**w, "rate": -r.uniform(0.2, 2, HEADS).astype(np.float32), "parts": np.array([K, K, V]), "heads": np.array([1, -1, KEY_HEADS, KEYS]), "flat": np.array([1, -1, K])}


ORT_CONV = "node CausalConvWithState@com.microsoft {},taps,,past_conv.0 -> {},present_conv.0 activation=\"silu\""
ORT_REST = ["node Split c,parts -> q0,k0,v axis=-1",
            *[line for p in "qk" for line in (f"node Reshape {p}0,heads -> {p}1", f"node LpNormalization {p}1 -> {p}2 axis=-1 p=2", f"node Reshape {p}2,flat -> {p}")],
            "node MatMul x,wa -> a", "node MatMul x,wb -> b", "node LinearAttentionGate@com.microsoft a,dt,rate,b -> decay,beta",
            f"node LinearAttention@com.microsoft q,k,v,past_recurrent.0,decay,beta -> o,present_recurrent.0 q_num_heads={KEY_HEADS} kv_num_heads={HEADS} "
            "update_rule=\"gated_delta\"", "node MatMul x,wz -> z", "node GatedRMSNorm@com.microsoft o,gain,z -> y epsilon=0.000001"]
ORT_STATE = [f"past_recurrent.0 f32 1 {HEADS} {KEYS} {VALUES}"]

def written_weights(r):
    w = delta_net_weights(r)
    numbers = {"last": [-1], "before_last": [-2], "third": [2], "again": [1, KEY_HEADS, HEADS // KEY_HEADS, KEYS], "each": [1, HEADS, KEYS], "every": [1, HEADS, 1, 1],
               "one": [1, HEADS, 1], "values": [1, HEADS, VALUES], "few": [1, KEY_HEADS, KEYS], "out": [1, 1, V]}
    return {**{n: a for n, a in w.items() if n != "taps"}, **{n: np.array(a) for n, a in numbers.items()}, "scale": np.float32([KEYS**-0.5])}


WRITTEN = ["node MatMul x,win -> m", "node Split m,parts -> q0,k0,v0 axis=-1",
           *[line for p in "qk" for line in (f"node Reshape {p}0,few -> {p}1", f"node LpNormalization {p}1 -> {p}2 axis=-1 p=2", f"node Unsqueeze {p}2,third -> {p}3",
                                             f"node Expand {p}3,again -> {p}4", f"node Reshape {p}4,each -> {p}5", f"node Unsqueeze {p}5,last -> {p}")],
           "node MatMul x,wa -> a0", "node Add a0,dt -> a1", "node Softplus a1 -> a2", "node Mul a2,rate -> g0", "node Reshape g0,every -> g", "node Exp g -> decay",
           "node MatMul x,wb -> b0", "node Sigmoid b0 -> b1", "node Reshape b1,one -> beta", "node Reshape v0,values -> v",
           "node Mul past_recurrent.0,decay -> s", "node Mul s,k -> sk", "node ReduceSum sk,before_last -> kv keepdims=0", "node Sub v,kv -> d0", "node Mul d0,beta -> d1",
           "node Unsqueeze d1,before_last -> d", "node Mul k,d -> kd", "node Add s,kd -> present_recurrent.0", "node Mul q,scale -> qs",
           "node Mul present_recurrent.0,qs -> sq", "node ReduceSum sq,before_last -> o0 keepdims=0", "node Reshape o0,out -> o",
           "node MatMul x,wz -> z", "node GatedRMSNorm@com.microsoft o,gain,z -> y epsilon=0.000001"]

def loop_weights(r):
    w = written_weights(r)
    numbers = {"again": [1, 1, 1, HEADS // KEY_HEADS, 1], "each": [1, -1, HEADS, KEYS], "rows": [1, -1, HEADS, VALUES], "few": [1, -1, KEY_HEADS, KEYS], "third": [3],
               "out": [1, -1, V], "one": [1, HEADS, 1], "every": [1, HEADS, 1, 1]}
    return {**w, **{n: np.array(a) for n, a in numbers.items()}}


PARTS = {"q": f"{HEADS} {KEYS}", "k": f"{HEADS} {KEYS}", "v": f"{HEADS} {VALUES}", "g": f"{HEADS}", "b": f"{HEADS}"}
BEFORE = ["node MatMul x,win -> m", "node Split m,parts -> q0,k0,v0 axis=-1",
          *[line for p in "qk" for line in (f"node Reshape {p}0,few -> {p}1", f"node LpNormalization {p}1 -> {p}2 axis=-1 p=2", f"node Unsqueeze {p}2,third -> {p}3",
                                            f"node Expand {p}3,again -> {p}4", f"node Reshape {p}4,each -> all_{p}")],
          "node Reshape v0,rows -> all_v", "node MatMul x,wa -> a0", "node Add a0,dt -> a1", "node Softplus a1 -> a2", "node Mul a2,rate -> all_g",
          "node MatMul x,wb -> b0", "node Sigmoid b0 -> all_b"]
STEP = ["node Reshape g,every -> g1", "node Exp g1 -> decay", "node Reshape b,one -> beta", "node Unsqueeze q,last -> q9", "node Unsqueeze k,last -> k9",
        "node Mul s0,decay -> s1", "node Mul s1,k9 -> sk", "node ReduceSum sk,before_last -> kv keepdims=0", "node Sub v,kv -> d0", "node Mul d0,beta -> d1",
        "node Unsqueeze d1,before_last -> d", "node Mul k9,d -> kd", "node Add s1,kd -> s2", "node Mul q9,scale -> qs", "node Mul s2,qs -> sq",
        "node ReduceSum sq,before_last -> o1 keepdims=0"]
STATE, OUT = f"f32 1 {HEADS} {KEYS} {VALUES}", f"output o1 f32 1 {HEADS} {VALUES}"
AFTER = ["node MatMul x,wz -> z", "node GatedRMSNorm@com.microsoft o,gain,z -> y epsilon=0.000001"]
SCAN = [*BEFORE, "graph step", f"input s0 {STATE}", *(f"input {p} f32 1 {dims}" for p, dims in PARTS.items()), f"output s2 {STATE}", OUT, *STEP, "end",
        "node Scan past_recurrent.0," + ",".join("all_" + p for p in PARTS) + " -> present_recurrent.0,os body=graph:step num_scan_inputs=5 "
        "scan_input_axes=[1,1,1,1,1] scan_output_axes=[1]", "node Reshape os,out -> o", *AFTER]
LOOP = [*BEFORE, "weight go bool - raw 1", "graph step", "input i i64", "input more bool", f"input s0 {STATE}", "output more1 bool", f"output s2 {STATE}", OUT,
        *(f"node Gather all_{p},i -> {p} axis=1" for p in PARTS), *STEP, "node Identity more -> more1", "end", "node Shape x -> rows1 start=1 end=2",
        "node Squeeze rows1 -> trips", "node Loop trips,go,past_recurrent.0 -> present_recurrent.0,os body=graph:step", "node Reshape os,out -> o", *AFTER]

INNER, STATES = 12, 4


def selective(x, w):
    """Mamba's scan (arXiv 2312.00752), its exponentials and products taken over all tokens before it."""
    u, dt, b, c = x @ w["wu"], np.log1p(np.exp(x @ w["wt"])), x @ w["wb"], x @ w["wc"]
    h, out = np.zeros((INNER, STATES)), []
    for t in range(len(x)):
        h = np.exp(dt[t][:, None] * w["a"]) * h + (dt[t] * u[t])[:, None] * b[t]
        out.append(h @ c[t] + w["skip"] * u[t])
    return np.array(out)


def selective_weights(r):
    w = {"wu": INNER, "wt": INNER, "wb": STATES, "wc": STATES}
    return {**{n: r.standard_normal((WIDTH, c)).astype(np.float32) / 3 for n, c in w.items()}, "a": -r.uniform(0.2, 2, (INNER, STATES)).astype(np.float32),
            "skip": r.standard_normal(INNER).astype(np.float32), "wide": np.array([2]), "deep": np.array([3])}


SELECTIVE = ["node MatMul x,wu -> u", "node MatMul x,wt -> t0", "node Softplus t0 -> t", "node MatMul x,wb -> b", "node MatMul x,wc -> c",
             "node Unsqueeze t,deep -> t1", "node Mul t1,a -> ta", "node Exp ta -> decays", "node Unsqueeze b,wide -> b1", "node Mul t1,b1 -> tb",
             "node Unsqueeze u,deep -> u1", "node Mul tb,u1 -> intos", "graph step", *(f"input {n} f32 1 {INNER} {STATES}" for n in ("h0", "decay", "into")),
             f"input c1 f32 1 {STATES}", f"output h2 f32 1 {INNER} {STATES}", f"output o1 f32 1 {INNER}", "node Mul h0,decay -> h1", "node Add h1,into -> h2",
             "node Unsqueeze c1,wide -> c2", "node MatMul h2,c2 -> o0", "node Squeeze o0,wide -> o1", "end",
             "node Scan past_ssm.0,decays,intos,c -> present_ssm.0,os body=graph:step num_scan_inputs=3 scan_input_axes=[1,1,1]",
             "node Transpose os -> o perm=[1,0,2]", "node Mul u,skip -> us", "node Add o,us -> y"]

# name: (weights, reference, state inputs, nodes)
FORMS = {
    "delta net of ONNX Runtime": (delta_net_weights, delta_net, [f"past_conv.0 f32 1 {2 * K + V} {TAPS - 1}", *ORT_STATE],
                                  ["node MatMul x,win -> m", "node Transpose m -> mt perm=[0,2,1]", ORT_CONV.format("mt", "ct"), "node Transpose ct -> c perm=[0,2,1]", *ORT_REST]),
    "the same, channels last, a window of states": (
        delta_net_weights, delta_net, [f"past_conv.0 f32 1 {TAPS - 1} {2 * K + V}", f"past_recurrent.0 f32 3 1 {HEADS} {KEYS} {VALUES}"],
        ["node MatMul x,win -> m", ORT_CONV.format("m", "c") + " channels_last=1", *(n + " state_window=3" * ("node LinearAttention@" in n) for n in ORT_REST)]),
    "delta net written out, a step": (written_weights, delta_net, ORT_STATE, WRITTEN),
    "delta net in a Scan": (loop_weights, delta_net, ORT_STATE, SCAN),
    "Mamba's scan in a Scan": (selective_weights, selective, [f"past_ssm.0 f32 1 {INNER} {STATES}"], SELECTIVE),
    "delta net in a Loop": (loop_weights, delta_net, ORT_STATE, LOOP),
}


def present(line):
    return "output " + line.replace("past", "present", 1)


def check(name, weights, reference, states, nodes, step):
    random = np.random.default_rng(1)
    embed, w = random.standard_normal((VOCABULARY, WIDTH)).astype(np.float32), weights(random)
    ids = random.integers(0, VOCABULARY, TOKENS)
    y = reference(embed[ids].astype(np.float64), w)
    w["head"] = random.standard_normal((y.shape[1], VOCABULARY)).astype(np.float32)
    kinds = {np.dtype(np.float32): "f32", np.dtype(np.int64): "i64"}
    t = 1 if step else "T"
    lines = ["opset 22", "opset com.microsoft 1", f"input input_ids i64 1 {t}", f"output logits f32 1 {t} {VOCABULARY}", *("input " + s for s in states), *map(present, states),
             weight("embed", "f32", embed), *(weight(n, kinds[a.dtype], a) for n, a in w.items()), "node Gather embed,input_ids -> x", *nodes, "node MatMul y,head -> logits"]
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        tools.write_model(folder, "\n".join(lines) + "\n")
        tools.compile_model(folder / "m.qbm", "-tokenizer=none", model=folder / "model.onnx")
        want = y @ w["head"]
        for options in ((), ("--chunk", "1"), ("--chunk", "7")):
            error = tools.error_of(folder / "m.qbm", ids, want, *options)
            assert error < 1e-5, f"{name}, {options}: {error}"
    print("ok", name)


def main():
    if not tools.QBC.exists() or not tools.QBRUN.exists():
        print("skipped: qbc and qbrun are not built")
        return tools.SKIPPED
    for name, form in FORMS.items():
        if not sys.argv[1:] or sys.argv[1] in name:
            check(name, *form, step="step" in name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
