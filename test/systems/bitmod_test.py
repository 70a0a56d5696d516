#!/usr/bin/env python3
"""BitMoD (arXiv 2411.11745): one of four tables for each group of 128, 3.14 bits, against whole numbers, 3.125 bits."""
import systems

systems.need(slow=False)
with systems.Lab() as lab:
    tables = lab.measure("bitmod3g128", "-quant=bitmod3g128", "-quant-tensor=embed=i8g32", "-fit=range")
    whole = lab.measure("i3g128", "-quant=i3g128", "-quant-tensor=embed=i8g32", "-fit=range")
    nearest = [lab.measure(f"{f}, nearest", f"-quant={f}", "-quant-tensor=embed=i8g32") for f in ("bitmod3g128", "i3g128")]
    holds = systems.lower(tables, whole)
    systems.lower(*nearest)
    systems.verdict(holds, f"four tables, scales searched; to nearest KLD {nearest[0].kld:.4f} against {nearest[1].kld:.4f}")
