#!/usr/bin/env python3
"""The number of threads changes nothing: the same bits from 1, 2 and 3 threads, the same artifact from 1 and 2 of the compiler's, and twice the
same. Nor does the place of the model's folder or of the output."""
import pathlib
import shutil
import sys
import tempfile

import numpy as np

import tools

QUANTS = (["-quant=f32"], ["-quant=i8g32"], ["-quant=i4g32", "-fit=range"])


def runs_differ(work, quant):
    artifact = tools.compile_model(work / "m.qbm", *quant)
    tokens = tools.expected("tokens").ravel()
    for way in ([], ["--chunk", "1"], ["--chunk", "7"]):
        one, *more = (tools.logits(artifact, tokens[:48], *way, "-t", str(t)).tobytes() for t in (1, 2, 3))
        if any(other != one for other in more):
            yield f"{' '.join(quant)} {' '.join(way)}: other logits with other threads"
    one, two = (tools.continued(artifact, tokens, 40, "-t", t) for t in (1, 2))
    if not np.array_equal(one, two):
        yield f"{' '.join(quant)}: another text with other threads"


def artifacts_differ(work, quant):
    copy = work / "copy"
    shutil.copytree(tools.FAMILY, copy, dirs_exist_ok=True)
    first = tools.compile_model(work / "1.qbm", *quant, "-threads=1").read_bytes()
    for name, options, model in (
        ("the same again", ["-threads=1"], tools.MODEL),
        ("two threads", ["-threads=2"], tools.MODEL),
        ("another folder", [], copy / "optimum-past/model.onnx"),
    ):
        again = tools.compile_model(work / "again.qbm", *quant, *options, model=model).read_bytes()
        if again != first:
            at = next((i for i, (a, b) in enumerate(zip(first, again)) if a != b), min(len(first), len(again)))
            yield f"{' '.join(quant)}: {name}, another artifact, from byte {at} of {len(first)}"


def main():
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for quant in QUANTS:
            found += runs_differ(pathlib.Path(folder), quant)
            found += artifacts_differ(pathlib.Path(folder), quant)
    print("\n".join(found) or "the same bits, however it is run")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
