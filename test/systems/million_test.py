#!/usr/bin/env python3
"""MILLION (arXiv 2504.03661): keys and values by product quantization: runs of channels as one of 256 vectors that calibration found.

Two channels a vector are 4 bits a number, four are 2. The artifact's logits are those of the slow reference that rounds by its tables; and scores looked up in
tables of a query times all vectors, as the paper has it, are those of decoded keys, which is what generated code multiplies.
"""
import numpy as np

import systems
import cache
import reference

SHOWN = 64  # tokens that the slow reference reads
KEYS = []


class Watched:
    """Remembers the keys of the float model."""

    def keep(self, k, v):
        KEYS.append(k)
        return k, v


def model_of(arrays, kept):
    return reference.Model(reference.Config(systems.MODEL / "config.json"), reference.Weights(arrays), kept)


def score_error(arrays, run):
    """The largest difference of scores of the first block, over the largest score."""
    vectors = cache.Vectors(arrays, KEYS[0].shape[1])
    keys, table = KEYS[0], vectors.tables[0][0]
    codes = vectors.codes(keys, table, run)
    query = np.random.default_rng(0).standard_normal(keys.shape[1:]).astype(np.float32)
    decoded = np.einsum("thd,hd->th", vectors.decode(codes, table, run), query)
    dim = query.shape[-1]
    sums = (table[:, :dim].astype(np.float32) * query[..., None]).reshape(len(table), dim // run, run, 256).sum(2)
    looked_up = np.array([[sums[h, np.arange(dim // run), c].sum() for h, c in enumerate(row)] for row in codes])
    return abs(looked_up - decoded).max() / abs(decoded).max()


systems.need()
with systems.Lab() as lab:
    four = lab.measure("-kv=pq2x256", "-kv=pq2x256")
    arrays = systems.decoded(lab.work / "m.qbm")
    model_of(arrays, Watched()).logits(lab.tokens[0][:SHOWN])
    slow = model_of(arrays, cache.Vectors(arrays, KEYS[0].shape[1]).of(2)).logits(lab.tokens[0][:SHOWN])
    apart = abs(slow - systems.oracle.run(systems.oracle.BUILD, lab.work / "m.qbm", lab.tokens[0][:SHOWN], lab.work)).max() / abs(slow).max()
    looked_up = score_error(arrays, 2)
    print(f"  logits apart from the slow reference's: {apart:.1e}; scores by tables from decoded ones: {looked_up:.1e}")
    two = lab.measure("-kv=pq4x256", "-kv=pq4x256")
    window = lab.measure("-kv=pq4x256, the last 128 in full", "-kv=pq4x256", "-kv-recent=128")
    worse = systems.lower(four, two)
    holds = worse and four.ratio <= 1.08 and apart < 1e-3 and looked_up < 1e-3
    systems.verdict(holds, f"perplexity times {four.ratio:.4f} at 4 bits, {two.ratio:.4f} at 2 ({window.ratio:.4f} with the last 128 tokens in full)")
