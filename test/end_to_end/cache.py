"""What a session keeps of keys and values with -kv: slow and obvious, in numpy. docs/kv-cache.md.

Rows are the channels of one head of one token. Numbers are rounded as docs/numerics.md says of weights, nearest: scale first, in
float32, rounded to float16. A rotation is an orthogonal matrix that is its own inverse, so rows are rotated, rounded and rotated
back here, which comes to the same as rotating queries and results.
"""
import re

import numpy as np


def hadamard(n):
    """Sylvester's, over its root."""
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h / np.sqrt(n)


def rotation(dim):
    """In runs of the largest power of two that divides a head."""
    run = dim & -dim
    return np.kron(np.eye(dim // run), hadamard(run))


def half(x):
    return x.astype(np.float16).astype(np.float32)


def group(x, bits, offset):
    """x f32 [n, group] -> what its codes stand for."""
    low, high = x.min(-1, keepdims=True), x.max(-1, keepdims=True)
    levels = 2**bits
    if offset == "m":
        scale, base, least, most = half((high - low) / np.float32(levels - 1)), half(low), 0, levels - 1
        code = np.clip(np.rint(np.divide(x - base, scale, out=np.zeros_like(x), where=scale != 0)), least, most)
        return scale * code + base
    if offset == "z":
        low, high = np.minimum(low, 0), np.maximum(high, 0)
        scale = half((high - low) / np.float32(levels - 1))
        zero = np.clip(np.rint(np.divide(-low, scale, out=np.zeros_like(low), where=scale != 0)), 0, levels - 1)
        least, most = -zero, levels - 1 - zero
    elif bits == 8:
        scale, least, most = half(np.maximum(high, -low) / np.float32(127)), -127, 127
    else:
        scale, least, most = half(np.where(-low >= high, -low, -high) / np.float32(levels // 2)), -levels // 2, levels // 2 - 1
    code = np.divide(x, scale, out=np.zeros_like(x), where=scale != 0)
    return scale * np.rint(np.clip(code, least, most))


LLOYD_MAX = {2: [0.4528, 1.5104], 3: [0.2451, 0.7560, 1.3439, 2.1519], 4: [0.1284, 0.3880, 0.6568, 0.9423, 1.2562, 1.6180, 2.0690, 2.7326]}


def turbo(x, bits):
    """x [T, heads, dim]: rotated, the norm as f16, and the nearest of a table for variance 1, whose levels are 127ths of the largest."""
    turn, half_table = rotation(x.shape[-1]), np.array(LLOYD_MAX[bits])
    y = (x @ turn).astype(np.float32)
    table = np.rint(np.concatenate([-half_table[::-1], half_table]) / half_table[-1] * 127) / 127
    scale = half(np.sqrt((y.astype(np.float64) ** 2).mean(-1, keepdims=True)).astype(np.float32) * np.float32(half_table[-1]))
    code = np.abs((y / np.where(scale == 0, 1, scale))[..., None] - table).argmin(-1)
    return (scale * table[code]) @ turn


def kept(x, name):
    """x [T, heads, dim] as a cache of format `name` keeps it."""
    if name.startswith("turbo"):
        return turbo(x, int(name[5:]))
    kind = re.fullmatch(r"(f32|f16|i([2-8])(?:g(\d+))?([zm]?))(r?)", name)
    turn = rotation(x.shape[-1]) if kind[5] else np.eye(x.shape[-1])
    y = (x @ turn).astype(np.float32)
    if kind[1] == "f16":
        y = half(y)
    elif kind[1] != "f32":
        size = int(kind[3] or x.shape[-1])
        y = np.concatenate([group(y[..., i : i + size], int(kind[2]), kind[4]) for i in range(0, x.shape[-1], size)], -1)
    return y.astype(np.float64) @ turn


BLOCK = 16  # positions that are floats together


def is_near(tokens, sink, recent):
    """bool [T, T]: where token t reads position s as f16."""
    token, position = np.arange(tokens)[:, None], np.arange(tokens)
    sink, recent = (-(-n // BLOCK) * BLOCK for n in (sink, recent))
    latest = np.maximum(token + 1 - recent, 0) // BLOCK * BLOCK
    return (position < sink) | ((position >= latest) & bool(recent))


def near(name):
    """What the f16 beside codes are rotated like."""
    return name if name[0] == "f" else "f16" + "r" * (name.endswith("r") or name.startswith("turbo"))


class Cache:
    """-kv=FORMAT, or -kv=k:FORMAT,v:FORMAT; -kv-sink=, -kv-recent="""

    def __init__(self, spec, sink=0, recent=0):
        sides = dict(part.split(":") for part in spec.split(",")) if ":" in spec else {"k": spec, "v": spec}
        self.keys, self.values = sides.get("k", "f32"), sides.get("v", "f32")
        self.sink, self.recent = sink, recent

    def keep(self, k, v):
        """What reference.attention wants behind the queries."""
        where = is_near(len(k), self.sink, self.recent)
        return kept(k, self.keys), kept(v, self.values), (kept(k, near(self.keys)), kept(v, near(self.values)), where)


class Vectors:
    """-kv=pqNx256: runs of channels as one of 256 vectors. `arrays`: of the artifact; its tables are [heads, padded channels, 256] of each block."""

    def __init__(self, arrays, heads):
        self.tables, self.blocks = [[arrays[f"{i}.{s}_vectors"].reshape(heads, -1, 256) for s in "kv"] for i in range(sum(n.endswith(".k_vectors") for n in arrays))], 0

    def codes(self, x, table, run):
        """x [T, heads, dim] -> int [T, heads, dim / run]: the nearest, the first of equals."""
        runs = x.reshape(*x.shape[:2], -1, run, 1)
        table = table[:, : x.shape[-1]].reshape(x.shape[1], -1, run, 256)
        return ((runs - table) ** 2).sum(-2).argmin(-1)

    def decode(self, codes, table, run):
        table = table[:, : codes.shape[-1] * run].reshape(codes.shape[1], -1, run, 256)
        head, part = np.ogrid[: codes.shape[1], : codes.shape[2]]
        return table[head, part, :, codes].reshape(*codes.shape[:2], -1)

    def of(self, run):
        """What reference.Model asks, block after block."""
        model = self

        class Cache:
            def keep(self, k, v):
                tables = model.tables[model.blocks % len(model.tables)]
                model.blocks += 1
                return tuple(model.decode(model.codes(x, t, run), t, run) for x, t in zip((k, v), tables))

        return Cache()
