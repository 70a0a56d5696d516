#!/usr/bin/env python3
"""LLM-FP4 (arXiv 2310.16836): weights as four-bit floats, activations of four bits, channels scaled by powers of two.

On the model with outliers, powers of two are lower than none. Activations are four-bit whole numbers of a token, as there are no four-bit floats for them here. That floats do
not change by a bit is transform_test's.
"""
import systems

FP4 = ("-quant=mxfp4", "-act=i4tz")

systems.need()
with systems.Lab(systems.outliers()) as lab:
    none = lab.measure("mxfp4, four-bit activations", *FP4)
    pow2 = lab.measure("mxfp4, four-bit activations, pow2", *FP4, "-transform=pow2")
    systems.verdict(systems.lower(pow2, none), f"powers of two: KLD {none.kld:.3f} becomes {pow2.kld:.3f} at {pow2.bits:.2f} bits")
