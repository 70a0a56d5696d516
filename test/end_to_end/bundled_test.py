#!/usr/bin/env python3
"""The bundled model in float computes what PyTorch computed: logits fed whole, token by token and in chunks of 7, and greedy tokens; here, and for ARM
under an emulator where there is one. Needs nothing outside of the tree."""
import pathlib
import sys
import tempfile

import numpy as np

import tools

TOLERANCE = 1e-5  # of the largest absolute logit; float sums in another order


def check(name, artifact, runner):
    tokens, want = tools.expected("tokens").ravel(), tools.expected("logits")
    good = True
    for way in ([], ["--chunk", "1"], ["--chunk", "7"]):
        got = tools.logits(artifact, tokens, *way, runner=runner)
        error = np.abs(got - want.reshape(got.shape)).max() / np.abs(want).max()
        good = bool(error < TOLERANCE) and good
        print(f"{name} {' '.join(way) or 'whole'}: {error:.1e}", flush=True)
    greedy = tools.expected("greedy").ravel()
    same = np.array_equal(tools.continued(artifact, tokens, greedy.size, runner=runner), greedy)
    print(f"{name} greedy tokens: {'equal' if same else 'differ'}")
    return good and same


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        good = check("native", tools.compile_model(work / "m.qbm"), (tools.QBRUN,))
        arm = tools.emulated()
        if arm:
            good = check("armv8", tools.compile_model(work / "a.qbm", "-target=armv8"), arm) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
