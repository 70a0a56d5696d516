#!/usr/bin/env python3
"""Second moments that calibration gathers, H = 2/T sum x^T x, against numpy and the slow reference; what GPTQ makes of them.

Windows are seen from an empty state each: two of 64 tokens are not one of 128.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import reference
import tools

DUMP = tools.BUILD / "test/hessian_dump"
TENSORS = {256: ["0.attn_q", "1.attn_o", "2.ffn_gate", "embed"], 768: ["0.ffn_down", "3.ffn_down"]}


class Watched(reference.Model):
    """Keeps what every linear reads."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen = {}

    def linear(self, x, *names):
        for name in names:
            self.seen.setdefault(name, []).append(np.asarray(x, np.float64))
        return super().linear(x, *names)


def check_moments(work, artifact):
    windows = tools.expected("tokens").reshape(2, 64)
    np.save(work / "windows.npy", windows)
    weights = reference.from_artifact(tools.BUILD / "test/qbm_dump", artifact)
    model = Watched(reference.Config(tools.FAMILY / "config.json"), weights)
    for window in windows:
        model.logits(window)
    for columns, names in TENSORS.items():
        raw = subprocess.run([DUMP, tools.MODEL, work / "windows.npy", str(columns), *names], check=True, capture_output=True).stdout
        found = np.frombuffer(raw, np.float32).reshape(len(names), columns, columns)
        for name, h in zip(names, found):
            x = np.concatenate(model.seen[name])
            want = 2 / len(x) * x.T @ x
            error = np.abs(h - want).max() / np.abs(want).max()
            print(f"H of {name}: {error:.1e}")
            assert error < 1e-4, name


def divergence(want, got):
    """KL(want || got), nats, the mean of all rows of logits"""
    def log_softmax(x):
        x = x.astype(np.float64) - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))
    a, b = log_softmax(want), log_softmax(got)
    return float((np.exp(a) * (a - b)).sum(-1).mean())


def check_fit(work, artifact):
    """Learned from a text, codes are better on another one; without one the model writes its own, which does as well."""
    text = work / "text.txt"
    text.write_text((tools.ROOT / "docs/numerics.md").read_text() + (tools.ROOT / "docs/qbm.md").read_text())
    tokens = tools.expected("tokens").ravel()
    want, found = tools.logits(artifact, tokens), {}
    for name, options in (("rtn", []), ("gptq", ["-fit=gptq", f"-calib={text}"]), ("own", ["-fit=gptq"])):
        found[name] = divergence(want, tools.logits(tools.compile_model(work / f"{name}.qbm", "-quant=i3g32", *options), tokens))
    print("KL divergence:", found)
    assert found["gptq"] < 0.7 * found["rtn"] and found["own"] < 0.7 * found["rtn"]
    told = tools.run(tools.QBC, tools.MODEL, f"-calib={work}/nothing.txt", "-o", work / "no.qbm", code=1).stderr
    assert "nothing.txt" in told and not (work / "no.qbm").exists(), told
    np.save(work / "wrong.npy", np.array([1, 2, 99999]))
    told = tools.run(tools.QBC, tools.MODEL, f"-calib={work}/wrong.npy", "-o", work / "no.qbm", code=1).stderr
    assert "99999" in told, told


def main():
    if not DUMP.exists():
        print("skipped: hessian_dump is not built")
        return tools.SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        artifact = tools.compile_model(work / "float.qbm", "-quant=f32")
        check_moments(work, artifact)
        check_fit(work, artifact)
    return 0


if __name__ == "__main__":
    sys.exit(main())
