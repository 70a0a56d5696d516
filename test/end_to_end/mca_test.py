#!/usr/bin/env python3
"""Weights per cycle of the inner loops, by llvm-mca's models of CPUs: no fewer than they were built for."""
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
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
