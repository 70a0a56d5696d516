#!/usr/bin/env python3
"""LUQ (arXiv 2509.23729): blocks whose activations have least entropy take one bit.

Entropy of 64 clusters over the rows that a block reads. Two of the four blocks get one bit and their salient columns another; against the same with the two others.

Measured: entropies of the four blocks 3.51, 3.79, 3.78, 3.86; the KL divergence is 0.535 with the least entropies at one bit and 0.232 the other way round. The first block has the
least entropy and is the one that the model can least do without. With four blocks there is no middle to choose from when first and last are kept.
"""
import numpy as np

import systems

systems.need()


def entropy(x, clusters=64, rounds=10):
    """Of the frequencies of k-means clusters of rows, nats."""
    random = np.random.default_rng(0)
    centre = x[random.choice(len(x), clusters, replace=False)]
    for _ in range(rounds):
        nearest = ((x * x).sum(1)[:, None] - 2 * x @ centre.T + (centre * centre).sum(1)).argmin(1)
        centre = np.array([x[nearest == i].mean(0) if (nearest == i).any() else centre[i] for i in range(clusters)])
    p = np.bincount(nearest, minlength=clusters) / len(x)
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


with systems.Lab() as lab:
    entropies = [entropy(x) for x in systems.stream(lab.tokens[:8])[:-1]]
    order = np.argsort(entropies)
    print("  entropy of blocks: " + ", ".join(f"{i}: {e:.3f}" for i, e in enumerate(entropies)))

    def measure(name, blocks):
        return lab.measure(name, "-quant=i4g64", f"-quant-tensor=^[{''.join(map(str, blocks))}]\\.=(b1g64+b1g64)@20%p|b1g64", *systems.GPTQ)

    least, most = measure("one bit: blocks of least entropy", order[:2]), measure("one bit: blocks of most entropy", order[2:])
    systems.verdict(systems.lower(least, most), "the prefix by entropy is lower than the reversed one of equal bytes")
