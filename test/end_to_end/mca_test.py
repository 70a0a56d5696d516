#!/usr/bin/env python3
"""Weights per cycle of the inner loops, by llvm-mca's models of CPUs: no fewer than they were built for."""
import os
import pathlib
import shutil
import sys

import acceptance

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench/mca"))
import mca

LEAST = {
    ("neoverse-n1", "i4g32"): 8,
    ("cortex-a76", "i4g32"): 8,
    ("cortex-a53", "i4g32"): 2.5,
    ("haswell", "i4g32"): 12,
    ("znver4", "i4g32"): 20,
    ("neoverse-v1", "i4g32"): 16,
    ("apple-m1", "i4g32"): 16,
    ("neoverse-n1", "i4g128z"): 8,
    ("neoverse-n1", "i8g32"): 8,
    ("znver4", "i8g32"): 20,
}

# No leaf that is multiplied as integers falls below a third of i4g32's weights per cycle on these targets, but for those
# listed, which must be below: whoever makes one faster strikes it off. Every second leaf, unless QBC_TEST_ALL is set.
SLOWEST = 1 / 3
LAGGING = {
    "neoverse-n1": {"bcq3g128", "p9g160"},
    "znver4": {"p9g160"},
}


# What the compiler counts on (passes/kernels/strategy.c) against what is reached; not where llvm-mca's model is wrong
# (test/bench/mca/README.md).
ESTIMATED = {"neoverse-n1": (0.7, 1.8)}


def check_estimates(target, reached):
    """How many formats are estimated worse than that."""
    bad = 0
    for fmt, n in reached.items():
        low, high = ESTIMATED.get(target, (0, float("inf")))
        ratio = mca.estimate(acceptance.BUILD / "bin", target, fmt) / n
        if not low < ratio < high:
            print(f"FAIL {target:14} {fmt:16} the compiler counts on {ratio:.2f} times {n:.1f} weights a cycle")
            bad += 1
    return bad


def check_all(target):
    """How many formats are not as LAGGING says."""
    bins = acceptance.BUILD / "bin"
    names = [name for name, decoded in mca.formats(bins).items() if not decoded and name not in mca.FLOATS and not set(name) & set("+@*")]
    if not os.environ.get("QBC_TEST_ALL"):
        names = [name for i, name in enumerate(names) if i % 2 == 0 or name == "i4g32" or name in LAGGING[target]]
    reached = {fmt: row["reached"] if row else 0 for (_, fmt), row in mca.measure_all(bins, [(target, fmt) for fmt in names])}
    least, bad = reached["i4g32"] * SLOWEST, 0
    for fmt, n in reached.items():
        lags = n < least
        if lags == (fmt in LAGGING[target]):
            continue
        print(f"FAIL {target:14} {fmt:16} {n:6.1f} weights a cycle, a third of i4g32's is {least:.1f}" + ("" if lags else ": strike it off LAGGING"))
        bad += 1
    bad += check_estimates(target, reached)
    print(f"{target}: {len(reached)} formats, {len(LAGGING[target])} of them below a third of i4g32")
    return bad


def main():
    if not shutil.which(mca.MCA):
        print(f"skipped: no {mca.MCA} here (package llvm-22)")
        return acceptance.SKIPPED
    bad = 0
    for (target, fmt), least in LEAST.items():
        row = mca.measure(acceptance.BUILD / "bin", target, fmt)
        reached = row["reached"] if row else 0
        print(f"{'ok' if reached >= least else 'FAIL':4} {target:14} {fmt:8} {reached:6.1f} weights a cycle, at least {least}")
        bad += reached < least
    bad += sum(map(check_all, LAGGING))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
