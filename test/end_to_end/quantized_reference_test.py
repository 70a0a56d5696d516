#!/usr/bin/env python3
"""Quantized artifacts compute what their stored codes mean: qbrun's logits against the slow reference (oracle.py tells how).

The first model is tried with all options, the others with every third; with QBC_TEST_ALL all are.

The reference is first held against expected float logits, so that both cannot be wrong in the same way.
"""
import os
import pathlib
import sys
import tempfile

import numpy as np

import oracle
import reference

OPTIONS = (
    ["-quant=i8g32"],
    ["-quant=i4g32"],
    ["-quant=i4g128z"],
    ["-quant=i6g32"],
    ["-quant=i5g32", "-quant-tensor=attn=i7g32"],
    ["-quant=i3g64", "-fit=range"],
    ["-quant=i3g128z", "-fit=range", "-quant-tensor=ffn=i2g32z"],
    ["-quant=i4g32", "-fit=range"],
    ["-quant=i4g128z", "-fit=range", "-quant-tensor=ffn_down=f16", "-quant-tensor=^embed$=i8g32"],
)


def models():
    """(name, folder with config.json and expected/, model.onnx)"""
    if oracle.bundled():
        yield oracle.bundled()
    for family, export in (("llama", "dynamo-op18"), ("llama-scaled-rope", "dynamo-op23")):
        folder = oracle.SHARED / "models" / family
        if (folder / export / "model.onnx").exists():
            yield f"{family}/{export}", folder, folder / export / "model.onnx"


def check_reference():
    """The reference itself, in float, from the trained model's own file."""
    folder = oracle.SHARED / "models/docs-4m"
    if not (folder / "model.safetensors").exists():
        return True
    weights = reference.from_safetensors(folder / "model.safetensors")
    model = reference.Model(reference.Config(folder / "config.json"), weights)
    logits = model.logits(np.load(folder / "expected/tokens.npy").ravel())
    d = oracle.difference(logits, np.load(folder / "expected/logits.npy"))
    print(f"reference, float: {d:.1e}")
    return d < 1e-5


def main():
    if not oracle.is_built():
        print("skipped: qbc, qbrun and qbm_dump are not built")
        return 77
    good, found = check_reference(), 0
    for number, (name, folder, onnx) in enumerate(models()):
        for options in OPTIONS if number == 0 or os.environ.get("QBC_TEST_ALL") else OPTIONS[number % 3 :: 3]:
            found += 1
            with tempfile.TemporaryDirectory() as work:
                options = ["-target=native", *options]
                good = oracle.check(name, folder, onnx, options, pathlib.Path(work)) and good
    if not good:
        return 1
    return 0 if found else 77


if __name__ == "__main__":
    sys.exit(main())
