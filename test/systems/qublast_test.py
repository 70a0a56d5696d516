#!/usr/bin/env python3
"""QuBLAST (arXiv 2606.04620): bits by what they cost, a scaling map for activations, and a bound on perplexity instead of a budget.

-max-ppl=5% gives an artifact whose perplexity, as measured here, is within the bound, in fewer bytes than the smallest format for all tensors that is.
"""
import numpy as np

import systems

UNIFORM = ("i2g32", "i3g128", "i3g64", "i3g32", "i4g128", "i4g64", "i4g32")  # by bytes

systems.need()
with systems.Lab() as lab:
    held_out = lab.work / "held-out.npy"
    np.save(held_out, lab.tokens)
    bounded = lab.measure("-max-ppl=5%, map", "-max-ppl=5%", f"-eval={held_out}", "-transform=map")
    for name in UNIFORM:
        uniform = lab.measure(name, f"-quant={name}", "-transform=map", *systems.GPTQ)
        if uniform.ratio <= 1.05:
            break
    holds = bounded.ratio <= 1.05 and uniform.ratio <= 1.05 and bounded.bits < uniform.bits
    systems.verdict(holds, f"perplexity times {bounded.ratio:.4f} at {bounded.bits:.3f} bits; {name} for all tensors needs {uniform.bits:.3f} (times {uniform.ratio:.4f})")
