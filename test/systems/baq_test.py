#!/usr/bin/env python3
"""BAQ (arXiv 2506.05664): bits to segments of columns by their losses, 2.5 in the mean, against GPTQ with 2.5 bits everywhere.

Segments are the quarters of a tensor's columns, those that weigh most first. `waterfill` shares the bits out by the logarithms of their losses; `mckp`, the best choice by
the same losses, has to be no worse.
"""
import systems

systems.need()
EMBED = "-quant-tensor=embed=i8g32"
with systems.Lab(systems.outliers()) as lab:
    uniform = lab.measure("planted outliers: i2g32", "-quant=i2g32", EMBED, *systems.GPTQ)
    options = (f"-bpw={uniform.bits:.6f}", "-granularity=segment", "-formats=i2g64,i3g64", EMBED, *systems.GPTQ)
    water = lab.measure("planted outliers: waterfill", "-allocator=waterfill", *options)
    best = lab.measure("planted outliers: mckp", "-allocator=mckp", *options)
    holds = systems.lower(water, uniform) and not systems.lower(water, best)
    systems.verdict(holds, f"KLD {water.kld:.4f} in segments by waterfill at {water.bits:.3f} bits, {best.kld:.4f} by mckp; {uniform.kld:.4f} alike at {uniform.bits:.3f}")
