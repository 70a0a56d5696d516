#!/usr/bin/env python3
"""QuEST (arXiv 2502.05003): activations of 4 bits behind a Hadamard matrix, their grid from the root of the mean square instead of the ends.

Weights of 8 bits, so that activations decide. On the model with outliers: lower than the ends without Hadamard, and within 1 % of the ends with it.

Measured: the first holds (perplexity times 1.165 of 16 windows), the second does not (1.064 from the ends with Hadamard; without planted outliers 1.044 and 1.039, within 1 %).
Four planted channels stay when a row of the down projection's input is turned: it is no normal distribution afterwards, which is what the factor of the root mean square is for.
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
