#!/usr/bin/env python3
"""ABQ-LLM (arXiv 2408.08554): five levels a row are better than four, at 2.33 bits."""
import systems

systems.need(slow=False)
with systems.Lab() as lab:
    embed = "-quant-tensor=embed=i8g32"
    five = lab.measure("l5row", "-quant=l5row", "-fit=range", embed)
    four = lab.measure("i2row", "-quant=i2row", "-fit=range", embed)
    systems.verdict(systems.lower(five, four), f"five levels a row, {five.bits - four.bits:.3f} bits more a weight than four (embedding in 8 bits)")
