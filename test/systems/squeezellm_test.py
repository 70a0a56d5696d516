#!/usr/bin/env python3
"""SqueezeLLM (arXiv 2306.07629): a table of 8 levels for each row, by k-means weighted with what calibration saw, and 0.45 % of weights in full.

Against whole numbers of 3 bits a row, and against spending the sparse bytes on shorter groups.
"""
import systems

systems.need()
EMBED = "-quant-tensor=embed=i8g32"
with systems.Lab() as lab:
    table = lab.measure("lut3row+sparse0.45%", "-quant=lut3row+sparse0.45%", EMBED, *systems.GPTQ)
    dense = lab.measure("i3row, searched", "-quant=i3row", EMBED, "-fit=range")
    groups = lab.measure("i3g64, searched", "-quant=i3g64", EMBED, "-fit=range")
    holds = systems.lower(table, dense)
    on_groups = systems.lower(table, groups)
    systems.verdict(holds and on_groups, f"tables at {table.bits:.3f} bits; groups instead, {groups.bits:.3f} bits: KLD {groups.kld:.4f} against {table.kld:.4f}")
