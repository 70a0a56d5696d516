#!/usr/bin/env python3
"""QuEST (arXiv 2502.05003): activations of 4 bits behind a Hadamard matrix, their grid from the root of the mean square instead of the ends.

Weights of 8 bits, so that activations decide. On the model with outliers: lower than the ends without Hadamard, and within 1 % of the ends with it.
"""
import systems

systems.need()
with systems.Lab(systems.outliers()) as lab:
    weights = "-quant=i8g32"
    ends = lab.measure("A4 from the ends", weights, "-act=i4g128z")
    both = lab.measure("A4 from the ends, hadamard", weights, "-act=i4g128z", "-transform=hadamard")
    rms = lab.measure("A4 by rms, hadamard", weights, "-act=i4g128q", "-transform=hadamard")
    holds = systems.lower(rms, ends)
    systems.verdict(holds and rms.ratio <= 1.01 * both.ratio, f"perplexity times {ends.ratio:.3f} from the ends, {both.ratio:.4f} with hadamard, {rms.ratio:.4f} with the grid by rms (KLD {both.kld:.4f}, {rms.kld:.4f})")
