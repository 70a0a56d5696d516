#!/usr/bin/env python3
"""What -transform= makes of the model computes the same: float logits within 1e-4 of those of the model as it is, powers of two the same bits. Rounded, it is
not the same: a transform that did nothing would pass too easily."""
import pathlib
import sys
import tempfile

import numpy as np

import tools

EXACT = ["pow2"]
ALL = ["smooth,hadamard", "awq,map", "psot,map", *EXACT]


def check(work, want, tokens, name, text):
    options = [f"-transform={name}", f"-calib={text}"]
    got = tools.logits(tools.compile_model(work / "t.qbm", "-quant=f32", *options), tokens)
    error = np.abs(got - want).max() / np.abs(want).max()
    print(f"{name}: {error:.1e} of the largest logit", flush=True)
    assert error <= (0 if name in EXACT else 1e-4), name


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        text = work / "text.txt"
        text.write_text((tools.ROOT / "docs/numerics.md").read_text()[:6000])
        tokens = tools.expected("tokens").ravel()
        want = tools.logits(tools.compile_model(work / "f.qbm", "-quant=f32"), tokens)
        plain = tools.logits(tools.compile_model(work / "q.qbm", "-quant=i4g32"), tokens)
        for name in ALL:
            check(work, want, tokens, name, text)
        for name in EXACT:
            rounded = tools.logits(tools.compile_model(work / "t.qbm", "-quant=i4g32", f"-transform={name}", f"-calib={text}"), tokens)
            assert np.abs(rounded - plain).max() > 1e-3, f"{name} did nothing"
        info = tools.run(tools.QBRUN, work / "t.qbm", "--info").stdout
        assert ALL[-1] in info, info
        told = tools.run(tools.QBC, tools.MODEL, "-transform=smoth", "-o", work / "no.qbm", code=1).stderr
        assert "smooth" in told and not (work / "no.qbm").exists(), told
    return 0


if __name__ == "__main__":
    sys.exit(main())
