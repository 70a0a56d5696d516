#!/usr/bin/env python3
"""Fast 2-bit (arXiv 2311.16442): two bits, scales in 4 bits under an f16, and four bits for the columns that weigh most.

An eighth of the columns instead of a tenth, so that groups and super-blocks (of seven groups of 32) divide 256 and 768 columns. Columns weigh what their
squares do times what an error in them costs where others make good for it. Against as many columns that nobody chose.
"""
import systems

systems.need()
EMBED = "-quant-tensor=embed=i8g32"
with systems.Lab() as lab:
    widest = lab.measure("4 bits for the columns that weigh most", "-quant=i4g32@12.5%p|i2g32m.u4x7", EMBED, *systems.GPTQ)
    first = lab.measure("4 bits for the first columns", "-quant=i4g32@12.5%|i2g32m.u4x7", EMBED, *systems.GPTQ)
    systems.verdict(systems.lower(widest, first), f"{widest.bits:.3f} bits against {first.bits:.3f}, which has no permutation to store: KLD {widest.kld:.4f} against {first.kld:.4f}")
