#!/usr/bin/env python3
"""Perplexity of the bundled model on held-out text, by qbrun --ppl: in float what PyTorch computed, in 8 bits within 0.3 % of that; the other formats are
printed, and may not be beyond what rounding to nearest costs this model (5 %)."""
import os
import pathlib
import re
import sys
import tempfile

import numpy as np

import tools

TEXT = tools.SHARED / "data/text/docs-valid.npy"  # uint16 [200, 256], the first windows of ppl.json's text
WINDOWS = 200 if os.environ.get("QBC_TEST_ALL") else 80
FLOAT = 5e-4  # nats; the last token's own loss, which needs one more token, accounts for 2e-4
LIMITS = {"i8g32": 1.003, "i4g32": 1.05, "i4g128z": 1.05}


def loss(work, quant, *options):
    """Mean loss in nats."""
    artifact = tools.compile_model(work / "m.qbm", f"-quant={quant}", *options)
    page = tools.run(tools.QBRUN, artifact, "--ppl", work / "text.npy").stdout
    print(f"{quant} {' '.join(options)}: {page.splitlines()[0]}", flush=True)
    return float(re.search(r"mean loss: ([\d.]+)", page)[1])


def main():
    if not TEXT.exists():
        print(f"skipped: no {TEXT}")
        return tools.SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        np.save(work / "text.npy", np.load(TEXT)[:WINDOWS])
        real = tools.expected("valid_window_loss")[:WINDOWS].mean()
        whole = loss(work, "f32")
        good = abs(whole - real) < FLOAT
        print(f"float is {abs(whole - real):.1e} nats from PyTorch's {real:.4f}")
        for quant, limit in LIMITS.items():
            for options in ([], ["-fit=range"]):
                ratio = 2.718281828459045 ** (loss(work, quant, *options) - whole)
                print(f"{quant} {' '.join(options)}: {ratio:.4f} of float")
                good = good and ratio <= limit
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
