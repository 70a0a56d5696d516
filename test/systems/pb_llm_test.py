#!/usr/bin/env python3
"""PB-LLM (arXiv 2310.00034): one bit for most weights, the salient tenth in full beside them.

Salient by w^2 / d^2, as the sweep ranks them; counted with their columns. Two bits in super-blocks cost less and are better, which is
recorded.
"""
import systems

systems.need()
with systems.Lab() as lab:
    embed = "-quant-tensor=embed=i8g32"
    partly = lab.measure("b1g128+sparse10%, by salience", "-quant=b1g128+sparse10%", embed, *systems.GPTQ)
    plain = lab.measure("b1g128", "-quant=b1g128", embed, *systems.GPTQ)
    blocks = lab.measure("q2_k", "-quant=q2_k", embed, *systems.GPTQ)
    holds = systems.lower(partly, plain)
    systems.lower(blocks, partly)
    systems.verdict(holds, f"salient weights in full beside one bit, {partly.bits:.2f} bits; q2_k at {blocks.bits:.2f}: KLD {blocks.kld:.4f} against {partly.kld:.4f}")
