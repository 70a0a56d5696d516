#!/usr/bin/env python3
"""LIM and ZD (arXiv 2406.17415): half of the blocks take two bits, the others four, in the order of a measure that needs no quantized model.

LIM: the less a block turns what goes through it, the less it matters (cosine of what comes in and goes out). ZD: the more of its weights are a standard
deviation above the mean, the less it matters. The order by LIM is lower than its reverse; the order by the rise of the loss with each block alone in two
bits (delta_ce) is no worse than LIM's. What ZD does is recorded.
"""
import numpy as np

import systems

systems.need()
HALF = systems.BLOCKS // 2


def cosine(a, b):
    return float(((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))).mean())


def far_weights(w, block):
    values = np.concatenate([w[name].ravel() for name in systems.MATRICES if name.startswith(f"{block}.")])
    return float((values > values.mean() + values.std()).mean())


with systems.Lab() as lab:
    rows, w = systems.stream(lab.tokens[:8]), systems.weights()

    def measure(name, blocks):
        blocks = "".join(map(str, sorted(int(b) for b in blocks)))
        return lab.measure(f"{name}: two bits for blocks {blocks}", "-quant=i4g64", "-quant-tensor=embed=i8g32", f"-quant-tensor=^[{blocks}]\\.=i2g64", *systems.GPTQ)

    lim = np.argsort([-cosine(a, b) for a, b in zip(rows, rows[1:])])  # the least important first
    zd = np.argsort([-far_weights(w, i) for i in range(systems.BLOCKS)])
    print(f"  least important first: LIM {lim}, ZD {zd}")
    ordered, reverse = measure("LIM", lim[:HALF]), measure("LIM, reverse", lim[HALF:])
    holds = systems.lower(ordered, reverse)
    alone = [measure("alone", [i]) for i in range(systems.BLOCKS)]
    by_loss = measure("delta_ce", np.argsort([a.nll.mean() for a in alone])[:HALF])
    far = measure("ZD", zd[:HALF])
    worse = by_loss is not ordered and systems.lower(ordered, by_loss)
    systems.verdict(holds and not worse, f"KLD {ordered.kld:.4f} in the order of LIM, {reverse.kld:.4f} in its reverse, {by_loss.kld:.4f} by the loss, {far.kld:.4f} by ZD")
