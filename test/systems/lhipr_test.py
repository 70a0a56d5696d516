#!/usr/bin/env python3
"""LHIPR (arXiv 2511.17801): two bits, and three for the most salient 2, 5, 10, 15 or 20 % of a tensor's input channels; how many each gets
by what pairs of a block's tensors cost together.

2.3 bits in the mean, as the paper has it: against a tenth of the channels everywhere, with as many bytes. Its rounding and clipping are learned by
gradients; GPTQ with searched ranges stands for them here.
"""
import systems

SHARES = (2, 5, 10, 15, 20)  # percent
EQUAL = 10

systems.need()
with systems.Lab() as lab:
    embed, formats = "-quant-tensor=embed=i8g32", {s: f"i3g32@{s}%p|i2g64" for s in SHARES}
    equal = lab.measure(f"{EQUAL} % everywhere", f"-quant={formats[EQUAL]}", embed, *systems.GPTQ)
    budget = (f"-bpw={equal.bits:.5f}", f"-formats={','.join(formats.values())}", embed, *systems.GPTQ)
    chosen = lab.measure("quad_block: 2 to 20 %", "-allocator=quad_block", *budget)
    systems.verdict(systems.lower(chosen, equal) and chosen.bits <= equal.bits, f"shares by blocks, {chosen.bits:.3f} bits: KLD {chosen.kld:.4f}; {equal.bits:.3f} alike: {equal.kld:.4f}")
