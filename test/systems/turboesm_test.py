#!/usr/bin/env python3
"""TurboQuant, TurboESM (arXiv 2603.26110): keys rotated, a Lloyd-Max table for their coordinates, 3 bits.

The norm of a head of a token is kept as f16. Against whole numbers of 3 bits with a scale for each head of a token, not rotated. The rotation is Hadamard's; cosines of scores are of the slow reference's keys.
"""
import numpy as np

import systems
import cache

systems.need(slow=False)
KEYS = []


class Watched:
    def keep(self, k, v):
        KEYS.append(k)
        return k, v


with systems.Lab() as lab:
    import reference

    model = reference.Model(reference.Config(systems.MODEL / "config.json"), reference.from_safetensors(systems.MODEL / "model.safetensors"), Watched())
    model.logits(lab.tokens[0])
    keys = np.concatenate([k.reshape(-1, k.shape[-1]) for k in KEYS])
    queries = np.random.default_rng(0).standard_normal((64, keys.shape[-1])) @ np.linalg.cholesky(keys.T @ keys / len(keys) + 1e-9 * np.eye(keys.shape[-1])).T
    scores = lambda k: (queries @ k.T).ravel()
    cosine = lambda a, b: float(a @ b / np.sqrt((a @ a) * (b @ b)))
    table, whole = (cosine(scores(keys), scores(cache.kept(keys[:, None], f)[:, 0])) for f in ("turbo3", "i3"))
    print(f"  cosine of scores: table, rotated {table:.4f}; whole numbers {whole:.4f}")
    turned = lab.measure("-kv=k:turbo3", "-kv=k:turbo3")
    plain = lab.measure("-kv=k:i3", "-kv=k:i3")
    systems.verdict(systems.lower(turned, plain) and table > 0.96 and table > whole, f"keys of 3 bits and a scale a head: cosine {table:.4f}")
