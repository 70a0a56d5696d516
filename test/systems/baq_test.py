#!/usr/bin/env python3
"""BAQ (arXiv 2506.05664): bits to segments of columns by their losses, 2.5 in the mean, against GPTQ with 2.5 bits everywhere."""
import systems

systems.need()
EMBED = "-quant-tensor=embed=i8g32"
with systems.Lab(systems.outliers()) as lab:
    segments = lab.measure("planted outliers: 3 bits for 25 % of columns", "-quant=i3g64@25%p|i2g64", EMBED, *systems.GPTQ)
    uniform = lab.measure("planted outliers: i2g32", "-quant=i2g32", EMBED, *systems.GPTQ)
    holds = systems.lower(segments, uniform)
    systems.verdict(holds, f"{segments.bits:.3f} bits in segments, KLD {segments.kld:.4f}; {uniform.bits:.3f} alike, {uniform.kld:.4f}")
