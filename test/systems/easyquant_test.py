#!/usr/bin/env python3
"""EasyQuant (arXiv 2403.02775): the few weights far outside stay in full, data-free; scales of rows; on the model with planted weight outliers.

Planted: of each norm two channels are made 16 times as small, so that every row of the products behind has two weights 16 times as large, and
two columns of each down projection behind rows of the up projection: the same function.
"""
import systems

systems.need(slow=False)
with systems.Lab(systems.outliers(factor=1 / 16, channels=2)) as lab:
    embed = "-quant-tensor=embed=i8g32"
    sparse = lab.measure("i4row+sparse1%, searched", "-quant=i4row+sparse1%", embed, "-fit=range")
    dense = lab.measure("i4row, searched", "-quant=i4row", embed, "-fit=range")
    short = lab.measure("i4g32, searched", "-quant=i4g32", embed, "-fit=range")
    holds = systems.lower(sparse, dense)
    systems.lower(sparse, short)
    systems.verdict(holds, f"far weights in full, {sparse.bits:.3f} bits; in shorter groups instead, {short.bits:.3f}: KLD {short.kld:.4f} against {sparse.kld:.4f}")
