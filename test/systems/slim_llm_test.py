#!/usr/bin/env python3
"""SliM-LLM (arXiv 2405.14917): segments of columns with 1, 2 and 3 bits, 2 in the mean, by salience; ranges by salience as well.

`swap_pairs` takes bits from the segments that weigh least for those that weigh most; a segment is a quarter of a tensor's columns.
"""
import systems

systems.need()
EMBED = "-quant-tensor=embed=i8g32"
MORE = 0.03  # bits a weight for the order of columns, without which 2 bits everywhere do not fit


def compare(lab, what):
    uniform = lab.measure(f"{what}i2g32", "-quant=i2g32", EMBED, *systems.GPTQ)
    mixed = lab.measure(f"{what}1, 2 and 3 bits", f"-bpw={uniform.bits + MORE:.6f}", "-granularity=segment", "-allocator=swap_pairs", "-formats=b1g32,i2g32,i3g32", EMBED, "-fit=gptq-sqc")
    return mixed, uniform


with systems.Lab() as lab:
    mixed, uniform = compare(lab, "")
    better, worse = systems.lower(mixed, uniform), systems.lower(uniform, mixed)
with systems.Lab(systems.outliers()) as lab:
    mixed, uniform = compare(lab, "planted outliers: ")
    planted = systems.lower(mixed, uniform)
systems.verdict(planted and not worse, f"mixed segments lower than uniform on outliers: {planted} (KLD {mixed.kld:.4f}, {uniform.kld:.4f}); on the model itself {'lower' if better else 'worse' if worse else 'no worse'}")
