"""A Llama forward pass, slow and obvious: what an artifact must compute.

Weights come from an artifact (decoded by qbm_dump) or from model.safetensors, by canonical names ("embed", "0.attn_q", ...);
hyper-parameters from config.json. Numbers are float64 but where the artifact rounds: the activations of linears whose weight has
integer codes become int8 per 32 columns (docs/numerics.md). Weights of composite formats are in pieces (composite.py).
"""
import json
import pathlib
import struct
import subprocess
import tempfile

import numpy as np

import composite

QUANTIZED_GROUP = 32
LINEARS = ("attn_q", "attn_k", "attn_v", "attn_o", "ffn_gate", "ffn_up", "ffn_down")
NORMS = ("attn_norm", "ffn_norm")


class Config:
    def __init__(self, path):
        c = json.loads(pathlib.Path(path).read_text())
        self.heads = c["num_attention_heads"]
        self.kv_heads = c.get("num_key_value_heads", self.heads)
        self.head_dim = c.get("head_dim") or c["hidden_size"] // self.heads
        self.blocks = c["num_hidden_layers"]
        self.eps = c["rms_norm_eps"]
        self.frequencies = frequencies(c.get("rope_theta", 10000.0), self.head_dim, c.get("rope_scaling"))
        if c["model_type"] != "llama" or c["hidden_act"] != "silu":
            raise ValueError(f"{path}: the reference knows Llama only")


def frequencies(theta, dim, scaling):
    """Radians a position, for each pair of a head; Llama 3 slows the long waves down and blends in between."""
    plain = theta ** (-np.arange(0, dim, 2) / dim)
    if not scaling:
        return plain
    if scaling["rope_type"] != "llama3":
        raise ValueError(f"unknown rope_type {scaling['rope_type']}")
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * plain / (2 * np.pi)
    blend = np.clip((turns - low) / (high - low), 0, 1)
    return plain * (blend + (1 - blend) / scaling["factor"])


class Weights:
    """Arrays by name; `codes` holds the names of those that are stored as integer codes, or of composites."""

    def __init__(self, arrays, codes=()):
        self.arrays, self.codes = arrays, set(codes)

    def __getitem__(self, name):
        return self.arrays[name]

    def head(self):
        """The output layer, or the embedding that is it too."""
        return "output" if "output" in self.arrays else "embed"


def from_artifact(qbm_dump, artifact, *plugin):
    """Decoded weights of a .qbm, perhaps in formats of a plugin."""
    with tempfile.TemporaryDirectory() as folder:
        lines = subprocess.run([qbm_dump, artifact, folder, *plugin], check=True, capture_output=True, text=True).stdout
        rows = [line.split("\t") for line in lines.splitlines()]
        arrays = {name: np.load(f"{folder}/{i}.npy").astype(np.float64) for i, name, *_ in rows}
    codes = [name for _, name, fmt, *_ in rows if fmt[0] not in "fu"]
    whole, pieces = composite.gather(arrays, codes)
    codes = [n for n in codes if n in whole] + list(pieces)
    return Weights({**{n: a[0] if len(a) == 1 else a for n, a in whole.items()}, **pieces}, codes)


def read_safetensors(path):
    """{name: float64 array} of a safetensors file with F32, F16 and BF16 tensors."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    arrays = {}
    for name, t in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + o for o in t["data_offsets"])
        raw = data[begin:end]
        if t["dtype"] == "BF16":
            flat = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            flat = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[t["dtype"]])
        arrays[name] = flat.reshape(t["shape"]).astype(np.float64)
    return arrays


def from_safetensors(path):
    """Hugging Face's names to ours."""
    theirs = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    theirs.update({f"attn_{x}": f"self_attn.{x}_proj" for x in "qkvo"})
    theirs.update({f"ffn_{x}": f"mlp.{x}_proj" for x in ("gate", "up", "down")})
    a = read_safetensors(path)
    ours = {"embed": a["model.embed_tokens.weight"], "final_norm": a["model.norm.weight"]}
    if "lm_head.weight" in a:
        ours["output"] = a["lm_head.weight"]
    block = 0
    while f"model.layers.{block}.input_layernorm.weight" in a:
        for our, their in theirs.items():
            ours[f"{block}.{our}"] = a[f"model.layers.{block}.{their}.weight"]
        block += 1
    return Weights(ours)


def quantize_activations(x):
    """int8 in [-127, 127] per 32 columns, half to even, in float32 as docs/numerics.md says; decoded. Tails are padded with zeros."""
    rows, cols = x.shape
    groups = -(-cols // QUANTIZED_GROUP)
    padded = np.zeros((rows, groups * QUANTIZED_GROUP), np.float32)
    padded[:, :cols] = x
    padded = padded.reshape(rows, groups, QUANTIZED_GROUP)
    amax = np.abs(padded).max(-1, keepdims=True)
    amax[amax < np.float32(2.0**-100)] = 0
    inverse = np.divide(np.float32(127), amax, out=np.zeros_like(amax), where=amax > 0)
    codes = np.rint(padded * inverse)
    decoded = codes.astype(np.float64) * (amax * (np.float32(1) / np.float32(127)))
    return decoded.reshape(rows, -1)[:, :cols]


def rms_norm(x, gain, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gain


def rope(x, frequencies):
    """x [T, heads, head_dim]: element i is rotated with element i + head_dim / 2."""
    tokens, _, dim = x.shape
    angle = np.arange(tokens)[:, None] * frequencies
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    low, high = x[..., : dim // 2], x[..., dim // 2 :]
    return np.concatenate([low * cos - high * sin, high * cos + low * sin], -1)


def attention(q, k, v, near=None):
    """q [T, heads, d], k and v [T, kv_heads, d], causal -> [T, heads * d]. `near`: other k and v, and where [T, T] they are read."""
    tokens, heads, dim = q.shape
    pairs = [(k, v, np.ones((tokens, tokens), bool))] if near is None else [(k, v, ~near[2]), near]
    pairs = [(*(np.repeat(x, heads // x.shape[1], 1) for x in (k, v)), here) for k, v, here in pairs]
    scores = sum(np.einsum("thd,shd->hts", q, k) * here for k, _, here in pairs) / np.sqrt(dim)
    scores = np.where(np.tril(np.ones((tokens, tokens), bool)), scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return sum(np.einsum("hts,shd->thd", p * here, v) for _, v, here in pairs).reshape(tokens, heads * dim)


class Model:
    """`cache`: what the session keeps of keys and values (cache.py); everything unless given."""

    def __init__(self, config, weights, cache=None):
        self.config, self.weights, self.cache = config, weights, cache

    def linear(self, x, *names):
        """x through several weights; quantized once where a weight has codes."""
        w = self.weights
        rounded = quantize_activations(x) if any(n in w.codes for n in names) else None
        results = [w[n].multiply(x, quantize_activations) if isinstance(w[n], composite.Piece)
                   else (rounded if n in w.codes else x) @ w[n].T for n in names]
        return results[0] if len(names) == 1 else results

    def block(self, x, i):
        c, w = self.config, self.weights
        n = rms_norm(x, w[f"{i}.attn_norm"], c.eps)
        q, k, v = self.linear(n, f"{i}.attn_q", f"{i}.attn_k", f"{i}.attn_v")
        shape = (len(x), -1, c.head_dim)
        q, k, v = rope(q.reshape(shape), c.frequencies), rope(k.reshape(shape), c.frequencies), v.reshape(shape)
        a = attention(q, *self.cache.keep(k, v)) if self.cache else attention(q, k, v)
        x = x + self.linear(a, f"{i}.attn_o")
        n = rms_norm(x, w[f"{i}.ffn_norm"], c.eps)
        gate, up = self.linear(n, f"{i}.ffn_gate", f"{i}.ffn_up")
        return x + self.linear(gate / (1 + np.exp(-gate)) * up, f"{i}.ffn_down")

    def logits(self, tokens):
        """int [T] -> float64 [T, V]: the logits after each token, from an empty cache"""
        embed = self.weights["embed"]
        x = embed.rows(tokens) if isinstance(embed, composite.Piece) else embed[np.asarray(tokens)]
        for i in range(self.config.blocks):
            x = self.block(x, i)
        return self.linear(rms_norm(x, self.weights["final_norm"], self.config.eps), self.weights.head())
