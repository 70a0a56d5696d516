#!/usr/bin/env python3
"""SliM-LLM (arXiv 2405.14917): segments of columns with 1, 2 and 3 bits, 2 in the mean, by salience.

Measured: better on the model itself (KLD 0.139 against 0.150 on 16 windows), worse with planted outliers (0.354 against 0.188): a quarter of the columns at one bit costs more there than
a quarter at three gains.
"""
import systems

systems.need()
SEGMENTS, UNIFORM = "-quant=i3g32@25%p|i2g32@50%|b1g32", "-quant=i2g32"
EMBED = "-quant-tensor=embed=i8g32"
with systems.Lab() as lab:
    a = lab.measure("3, 2 and 1 bits by columns", SEGMENTS, EMBED, *systems.GPTQ), lab.measure("i2g32", UNIFORM, EMBED, *systems.GPTQ)
    better = systems.lower(*a)
    worse = systems.lower(a[1], a[0])
with systems.Lab(systems.outliers()) as lab:
    b = lab.measure("planted outliers: 3, 2 and 1 bits", SEGMENTS, EMBED, *systems.GPTQ), lab.measure("planted outliers: i2g32", UNIFORM, EMBED, *systems.GPTQ)
    planted = systems.lower(*b)
systems.verdict(planted and not worse, f"mixed segments lower than uniform on outliers: {planted}; on the model itself {'lower' if better else 'worse' if worse else 'no worse'}")
