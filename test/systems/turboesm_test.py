#!/usr/bin/env python3
"""TurboQuant, TurboESM (arXiv 2603.26110): keys rotated, a Lloyd-Max table for their coordinates, 3 bits.

Against whole numbers of 3 bits with a scale for each head of a token, not rotated. The rotation is Hadamard's; cosines of scores are of the slow reference's keys.
"""
import numpy as np

import systems
import cache

systems.need(slow=False)
LLOYD = np.rint(np.array([-2.1519, -1.3439, -0.7560, -0.2451, 0.2451, 0.7560, 1.3439, 2.1519]) * 127 / 2.1519) * 2.1519 / 127
KEYS = []


class Watched:
    def keep(self, k, v):
        KEYS.append(k)
        return k, v


def lloyd(x):
    """As -kv=lm3r: the largest magnitude at the last level."""
    turn = cache.rotation(x.shape[-1])
    y = x @ turn
    scale = np.abs(y).max(-1, keepdims=True) / LLOYD[-1]
    return LLOYD[np.abs((y / scale)[..., None] - LLOYD).argmin(-1)] * scale @ turn


with systems.Lab() as lab:
    import reference

    model = reference.Model(reference.Config(systems.MODEL / "config.json"), reference.from_safetensors(systems.MODEL / "model.safetensors"), Watched())
    model.logits(lab.tokens[0])
    keys = np.concatenate([k.reshape(-1, k.shape[-1]) for k in KEYS])
    queries = np.random.default_rng(0).standard_normal((64, keys.shape[-1])) @ np.linalg.cholesky(keys.T @ keys / len(keys) + 1e-9 * np.eye(keys.shape[-1])).T
    scores = lambda k: (queries @ k.T).ravel()
    cosine = lambda a, b: float(a @ b / np.sqrt((a @ a) * (b @ b)))
    table, whole = cosine(scores(keys), scores(lloyd(keys))), cosine(scores(keys), scores(cache.kept(keys[:, None], "i3")[:, 0]))
    print(f"  cosine of scores: table, rotated {table:.4f}; whole numbers {whole:.4f}")
    turned = lab.measure("-kv=k:lm3r", "-kv=k:lm3r")
    plain = lab.measure("-kv=k:i3", "-kv=k:i3")
    systems.verdict(systems.lower(turned, plain) and table > 0.96 and table > whole, f"keys of 3 bits and a scale a head: cosine {table:.4f}")
