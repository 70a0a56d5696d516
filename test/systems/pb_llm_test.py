#!/usr/bin/env python3
"""PB-LLM (arXiv 2310.00034): one bit for most weights, the salient tenth in full beside them.

Salient by w^2 / d^2, as the sweep ranks them; against as many at random. Each is stored as an f16 and its column, which the bits count; with a mask and
eight bits, as the paper counts, it is 2.7 bits. Two bits in super-blocks cost less and are better, which is recorded.
"""
import systems

systems.need()
with systems.Lab() as lab:
    embed = "-quant-tensor=embed=i8g32"
    salient = lab.measure("b1g128+sparse10%, by salience", "-quant=b1g128+sparse10%", embed, *systems.GPTQ)
    random = lab.measure("b1g128+sparse10%x, at random", "-quant=b1g128+sparse10%x", embed, *systems.GPTQ)
    blocks = lab.measure("q2_k", "-quant=q2_k", embed, *systems.GPTQ)
    holds = systems.lower(salient, random)
    systems.lower(blocks, salient)
    systems.verdict(holds, f"salient weights in full beside one bit, {salient.bits:.2f} bits: KLD {salient.kld:.4f}, at random {random.kld:.4f}; q2_k at {blocks.bits:.2f}: {blocks.kld:.4f}")
