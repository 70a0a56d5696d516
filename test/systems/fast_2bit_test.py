#!/usr/bin/env python3
"""Fast 2-bit (arXiv 2311.16442): two bits, four for the tenth of columns that weigh most, scales in 4 bits.

Columns weigh what their squares do times what calibration saw of the input.
"""
import systems

systems.need()
EMBED = "-quant-tensor=embed=i8g32"
with systems.Lab() as lab:
    widest = lab.measure("4 bits for the columns that weigh most", "-quant=i4g32.u4x16@10%p|i2g32.u4x16", EMBED, *systems.GPTQ)
    first = lab.measure("4 bits for the first columns", "-quant=i4g32.u4x16@10%|i2g32.u4x16", EMBED, *systems.GPTQ)
    systems.verdict(systems.lower(widest, first), f"{widest.bits:.3f} bits against {first.bits:.3f}, which has no permutation to store")
