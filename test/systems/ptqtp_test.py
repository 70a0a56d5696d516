#!/usr/bin/env python3
"""PTQTP (arXiv 2509.16989): two ternary planes of 128 columns, 3.45 bits, against whole numbers of 3 bits in 32 columns, nearest, 3.5 bits.

That the alternating fit's error never rises is held by fit_test.
"""
import systems

systems.need()
with systems.Lab() as lab:
    embed = "-quant-tensor=embed=i8g32"
    planes = lab.measure("p9g128, alternating", "-quant=p9g128", embed, "-fit=range")
    nearest = lab.measure("i3g32, nearest", "-quant=i3g32", embed)
    systems.verdict(systems.lower(planes, nearest) and planes.bits < nearest.bits, "two ternary planes in fewer bits")
