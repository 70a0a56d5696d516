#!/usr/bin/env python3
"""EasyQuant (arXiv 2403.02775): the few weights far outside stay in full, data-free; scales of rows; on a model with planted weight outliers.

One weight in a thousand of each matrix is made ten times as large: another function, and the float model to compare with is that one.
"""
import numpy as np

import systems

systems.need(slow=False)


def planted():
    w, random, changes = systems.weights(), np.random.default_rng(3), []
    for name in systems.MATRICES:
        new = w[name].copy()
        new.reshape(-1)[random.choice(new.size, new.size // 1000, replace=False)] *= 10
        changes.append((w[name], new))
    return systems.with_changes((systems.MODEL / "optimum-past/model.onnx").read_bytes(), changes)


with systems.Lab(planted()) as lab:
    embed = "-quant-tensor=embed=i8g32"
    sparse = lab.measure("i4row+sparse1%, searched", "-quant=i4row+sparse1%", embed, "-fit=range")
    dense = lab.measure("i4row, searched", "-quant=i4row", embed, "-fit=range")
    short = lab.measure("i4g32, searched", "-quant=i4g32", embed, "-fit=range")
    holds = systems.lower(sparse, dense)
    systems.lower(sparse, short)
    systems.verdict(holds, f"far weights in full, {sparse.bits:.3f} bits; in shorter groups instead, {short.bits:.3f}: KLD {short.kld:.4f} against {sparse.kld:.4f}")
