#!/usr/bin/env python3
"""ELUTQ, HLQ (arXiv 2510.19482): two bit planes of 128 columns against whole numbers of 2 bits with ranges from their ends.

GPTQ with searched ranges on the whole numbers is recorded too: the gap that stays.
"""
import systems

systems.need()
with systems.Lab() as lab:
    embed = "-quant-tensor=embed=i8g32"
    planes = lab.measure("bp2g128, GPTQ", "-quant=bp2g128", embed, *systems.GPTQ)
    ends = [lab.measure(f"{f}, GPTQ from the ends", f"-quant={f}", embed, "-fit=gptq-plain") for f in ("i2g128m", "i2g64m")]
    searched = lab.measure("i2g128m, GPTQ with searched ranges", "-quant=i2g128m", embed, *systems.GPTQ)
    holds = all([systems.lower(planes, e) for e in ends])
    systems.lower(planes, searched)
    systems.verdict(holds, f"planes at {planes.bits:.3f} bits, KLD {planes.kld:.4f}; whole numbers {ends[0].kld:.4f} and {ends[1].kld:.4f}, searched {searched.kld:.4f}")
