#!/usr/bin/env python3
"""MobileQuant (arXiv 2408.13933): static activations of eight bits, one scale a tensor, so that products are sums of integers and one factor.

The bundled model as it is stays within 3 % of its perplexity; on the one with outliers SmoothQuant's scaling is lower than none. What the paper learns end to end is
approximated by that scaling and a search of the ranges.
"""
import systems

STATIC = ("-quant=i8g128", "-act=i8s")

systems.need()
with systems.Lab() as lab:
    plain = lab.measure("W8A8 static", *STATIC)
with systems.Lab(systems.outliers()) as lab:
    none = lab.measure("W8A8 static, outliers", *STATIC)
    smooth = lab.measure("W8A8 static, outliers, smooth", *STATIC, "-transform=smooth")
    better = systems.lower(smooth, none)
    systems.verdict(better and plain.ratio <= 1.03, f"perplexity times {plain.ratio:.4f} as it is; with outliers {none.ratio:.3f}, smoothed {smooth.ratio:.4f}")
