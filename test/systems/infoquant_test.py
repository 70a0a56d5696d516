#!/usr/bin/env python3
"""INFOQUANT (arXiv 2605.26175): weights, activations, keys and values of four bits, where everything between products is turned.

On the model with outliers: a Hadamard matrix is lower than none (nothing is learned for it, so this is tried always); one learned for all layers (PSOT) has lower
peaks and no higher KL divergence (QBC_TEST_ALL=1). That floats do not change is transform_test's. Clipping (LAC) is tried on top of that. Outlier tokens are not weighed.
"""
import systems

FOUR_BITS = ("-quant=i4g128", "-act=i4tz", "-kv=k:i4g64r,v:i4g64", *(systems.GPTQ if systems.ALL else ()))

systems.need(slow=False)
with systems.Lab(systems.outliers()) as lab:
    none = lab.measure("W4A4KV4", *FOUR_BITS)
    hadamard = lab.measure("W4A4KV4, hadamard", *FOUR_BITS, "-transform=hadamard")
    better = systems.lower(hadamard, none)
    if not systems.ALL:
        systems.verdict(better, f"KLD {none.kld:.3f} as it is, {hadamard.kld:.4f} with hadamard; psot only with QBC_TEST_ALL=1")
    psot = lab.measure("W4A4KV4, psot", *FOUR_BITS, "-transform=psot")
    peaks = float(psot.info["record"]["learned"].split()[2])
    print(f"peaks: {peaks} of Hadamard's")
    systems.lower(psot, hadamard)
    clipped = lab.measure("W4A4KV4, psot, clip", *FOUR_BITS, "-transform=psot,clip")
    systems.lower(clipped, psot)
    systems.verdict(better and peaks < 1 and psot.kld <= hadamard.kld,
                    f"KLD {none.kld:.3f} as it is, {hadamard.kld:.4f} with hadamard, {psot.kld:.4f} with psot (weights {psot.info['weight_bytes']} bytes, as its output matrix is one of its own; {hadamard.info['weight_bytes']} with hadamard)")
