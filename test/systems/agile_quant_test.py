#!/usr/bin/env python3
"""Agile-Quant (arXiv 2312.05693): weights of four bits, static activations of eight, outliers taken off by powers of two. Its pruning of tokens changes the model and is not offered.

On the model with outliers, powers of two are lower than none.
"""
import systems

STATIC = ("-quant=i4g128", "-act=i8s")

systems.need()
with systems.Lab(systems.outliers()) as lab:
    none = lab.measure("W4A8 static", *STATIC)
    pow2 = lab.measure("W4A8 static, pow2", *STATIC, "-transform=pow2")
    systems.verdict(systems.lower(pow2, none), f"powers of two: KLD {none.kld:.4f} becomes {pow2.kld:.4f}")
