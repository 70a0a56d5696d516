#!/usr/bin/env python3
"""Composite formats: artifacts compute what their pieces mean (oracle.py), and what is added to a format brings it closer to the
float model.
"""
import os
import pathlib
import sys
import tempfile

import numpy as np

import oracle

FORMATS = (
    "i4g32+i2g64",
    "i4g32@25%p|i3g64",
    "i3g64+sparse1%",
    "i3g64+lr8",
    "i4g32*uv",
    "(i4g32@25%|i3g32)+sparse0.5%",
    "i4g32@25%r|f16@30%r|i3g32z+lr2",
)
# format: the plainer ones that it must beat
CLOSER = {
    "i4g32+i2g64": ("i4g32",),
    "i4g32@25%p|i3g64": ("i3g64",),
    "i3g64+sparse1%": ("i3g64",),
    "i3g64+lr8": ("i3g64",),
}


def error(folder, onnx, quant, work):
    """Of logits, root mean square, relative to the float model's."""
    artifact, tokens = work / "m.qbm", np.load(folder / "expected/tokens.npy").ravel()
    oracle.subprocess.run([oracle.BUILD / "bin/qbc", onnx, "-target=native", f"-quant={quant}", "-o", artifact], check=True)
    want = np.load(folder / "expected/logits.npy")
    return oracle.relative_rms(oracle.run(oracle.BUILD, artifact, tokens, work).reshape(want.shape), want)


FEWER = (FORMATS[-2],)


def models():
    """(name, folder, model.onnx, formats): a small llama with a head of its own; the bundled model, whose head is the embedding"""
    folder = oracle.SHARED / "models/llama"
    if (folder / "optimum-past/model.onnx").exists():
        yield "llama/optimum-past", folder, folder / "optimum-past/model.onnx", FORMATS
    if oracle.bundled():
        yield *oracle.bundled(), FEWER


def closer(name, folder, onnx, work):
    good = True
    errors = {f: error(folder, onnx, f, work) for f in {*CLOSER, *(p for plain in CLOSER.values() for p in plain)}}
    for quant, plain in CLOSER.items():
        for other in plain:
            print(f"{name} {quant}: {errors[quant]:.4f}, {other}: {errors[other]:.4f}", flush=True)
            good = good and errors[quant] < errors[other]
    return good


def main():
    if not oracle.is_built():
        print("skipped: qbc, qbrun and qbm_dump are not built")
        return 77
    good, found = True, 0
    for name, folder, onnx, formats in models():
        for quant in formats:
            with tempfile.TemporaryDirectory() as work:
                found += 1
                good = oracle.check(name, folder, onnx, ["-target=native", f"-quant={quant}"], pathlib.Path(work)) and good
        if formats == FEWER or os.environ.get("QBC_TEST_ALL"):  # a trained model
            with tempfile.TemporaryDirectory() as work:
                good = closer(name, folder, onnx, pathlib.Path(work)) and good
    if not good:
        return 1
    return 0 if found else 77


if __name__ == "__main__":
    sys.exit(main())
