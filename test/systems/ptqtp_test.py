#!/usr/bin/env python3
"""PTQTP (arXiv 2509.16989): two ternary planes, against whole numbers of 3 bits in 32 columns, nearest, 3.5 bits.

Of 128 columns that is 3.45 bits a weight, counted as the paper does; stored it is 3.75, as kernels want five codes of each row in a number and 128
columns leave some over. Of 256 columns nothing is left over, and it is 3.375 bits as stored. Nearest is as the paper has it: the largest weight
gets the largest level of seven (pow3a1). That qbc's own nearest gives it the eighth is recorded. That the alternating fit's error never rises is
held by fit_test.
"""
import systems

systems.need()
with systems.Lab() as lab:
    embed = "-quant-tensor=embed=i8g32"
    planes = lab.measure("p9g256, alternating", "-quant=p9g256", embed, "-fit=range")
    nearest = lab.measure("3 bits of 32 columns, nearest", "-quant=pow3a1g32", embed)
    eighth = lab.measure("i3g32, nearest with eight levels", "-quant=i3g32", embed)
    paper = lab.measure("p9g128, alternating", "-quant=p9g128", embed, "-fit=range")
    holds = systems.lower(planes, nearest)
    systems.lower(planes, eighth)
    systems.lower(paper, eighth)
    systems.verdict(holds and planes.bits < nearest.bits, f"two ternary planes in {planes.bits:.3f} bits against {nearest.bits:.3f}: KLD {planes.kld:.4f} against {nearest.kld:.4f}; of 128 columns {paper.kld:.4f} (3.45 bits before padding), whole numbers of eight levels {eighth.kld:.4f}")
