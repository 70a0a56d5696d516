#!/usr/bin/env python3
"""An encoder: hidden states of a text against the stored ones, native and emulated; what an encoder cannot do is refused."""
import pathlib
import shutil
import sys
import tempfile

import numpy as np

from tools import BUILD, QBRUN, SHARED, SKIPPED, compile_model, run

FOLDER = SHARED / "models/bert"
TARGETS = {  # emulator, folder of qbrun
    "native": (None, "bin"),
    "armv8": (["qemu-aarch64-static"], "aarch64/bin"),
    "rv64gcv": (["qemu-riscv64-static", "-cpu", "rv64,v=true,vext_spec=v1.0,elen=64,vlen=256"], "riscv64/bin"),
}


def runner_of(target):
    emulator, folder = TARGETS[target]
    qbrun = BUILD / folder / "qbrun"
    if emulator and (not shutil.which(emulator[0]) or not qbrun.exists()):
        return None
    return (emulator or []) + [qbrun]


def hidden_of(folder, runner, artifact, tokens):
    np.save(folder / "tokens.npy", tokens)
    run(*runner, artifact, "--logits", folder / "tokens.npy", "-o", folder / "hidden.npy")
    return np.load(folder / "hidden.npy")


def check_target(folder, target):
    runner = runner_of(target)
    if not runner:
        print(f"skipped: {target} does not run here")
        return
    tokens, want = np.load(FOLDER / "expected/tokens.npy").ravel(), np.load(FOLDER / "expected/hidden.npy")
    artifact = compile_model(folder / f"{target}.qbm", f"-target={target}", model=FOLDER / "optimum/model.onnx")
    got = hidden_of(folder, runner, artifact, tokens)
    error = np.abs(got - want).max() / np.abs(want).max()
    print(f"{target}: {got.shape}, error {error:.1e}")
    assert got.shape == want.shape and error < 1e-4
    # each call is a text of its own; all of a text is seen, so its first row depends on the last token
    half = hidden_of(folder, runner, artifact, tokens[:5])
    assert half.shape == (5, want.shape[1]) and np.abs(half[0] - want[0]).max() > 1e-2


def check_refusals(folder):
    artifact, ids = folder / "native.qbm", folder / "tokens.npy"
    for wrong in (["--tokens", ids, "-n", 1, "-o", folder / "x.npy"], ["--logits", ids, "--chunk", 7, "-o", folder / "x.npy"], ["--ppl", ids]):
        assert "is an encoder" in run(QBRUN, artifact, *wrong, code=1).stderr, wrong


def main():
    if not (FOLDER / "optimum/model.onnx").exists():
        print(f"skipped: no {FOLDER}")
        return SKIPPED
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for target in TARGETS:
            check_target(folder, target)
        check_refusals(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
