#!/usr/bin/env python3
"""LUT-GEMM (arXiv 2206.09557): planes of -1 and 1, a scale each: every plane counts in bytes and in error.

That kernels and the slow decoder agree is held by kernel_walk_test; here: bytes rise evenly with planes, the error falls with each.
"""
import systems

systems.need()
with systems.Lab() as lab:
    planes = [lab.measure(f"bcq{n}g128", f"-quant=bcq{n}g128", "-quant-tensor=embed=i8g32", "-fit=range") for n in (1, 2, 3, 4)]
    steps = [b.bits - a.bits for a, b in zip(planes, planes[1:])]
    falls = all([systems.lower(b, a) for a, b in zip(planes, planes[1:])])
    even = max(steps) - min(steps) < 0.02
    print("  bits for a plane: " + ", ".join(f"{s:.3f}" for s in steps))
    systems.verdict(falls and even, "each plane costs the same and lowers the error")
