"""The built tools and the bundled model, as tests call them. Needs nothing outside of the tree."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("QBC_BUILD", ROOT / "build"))
SHARED = pathlib.Path(os.environ.get("QBC_SHARED", ROOT.parent / "shared"))
QBC, QBRUN = BUILD / "bin/qbc", BUILD / "bin/qbrun"
FAMILY = ROOT / "test/models/docs-4m"
MODEL = FAMILY / "optimum-past/model.onnx"
SKIPPED = 77


def expected(name):
    return np.load(FAMILY / "expected" / f"{name}.npy")


def run(*command, code=0, **more):
    """The finished process; raises when its exit status is not `code`."""
    p = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, **more)
    if p.returncode != code:
        words = " ".join(map(str, command))
        raise AssertionError(f"exit status {p.returncode}, not {code}: {words}\n{p.stdout[-2000:]}{p.stderr[-2000:]}")
    return p


def write_model(folder, text):
    """folder/model.onnx of what test/tools/onnx_write.py reads."""
    (folder / "model.txt").write_text(text)
    run(sys.executable, ROOT / "test/tools/onnx_write.py", folder / "model.txt", folder / "model.onnx")


def compile_model(output, *options, model=MODEL):
    run(QBC, model, *options, "-o", output)
    return output


def in_folder(body):
    """All of a test that needs qbc and a folder: body(folder), which raises. The exit status."""
    if not QBC.exists():
        print("skipped: qbc is not built")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        body(pathlib.Path(folder))
    return 0


def check_refused(work, cases):
    """cases: (options of qbc, a word that the error has)"""
    for options, word in cases:
        told = run(QBC, MODEL, *options, "-o", work / "none.qbm", code=1).stderr
        assert word in told and not (work / "none.qbm").exists(), (options, told)


def logits(artifact, tokens, *options, runner=(QBRUN,)):
    """float32 [T, V]"""
    folder = artifact.parent
    np.save(folder / "tokens.npy", tokens)
    run(*runner, artifact, "--logits", folder / "tokens.npy", "-o", folder / "logits.npy", *options)
    return np.load(folder / "logits.npy")


def error_of(artifact, tokens, want, *options, runner=(QBRUN,)):
    """The largest error of logits, as a share of the largest one wanted; inf where one is not finite."""
    got = logits(artifact, tokens, *options, runner=runner)
    return np.abs(got - want).max() / np.abs(want).max() if np.isfinite(got).all() else np.inf


def continued(artifact, tokens, n, *options, runner=(QBRUN,)):
    """int64 [n], greedily"""
    folder = artifact.parent
    np.save(folder / "tokens.npy", tokens)
    run(*runner, artifact, "--tokens", folder / "tokens.npy", "-n", n, "--temp", 0, "-o", folder / "new.npy", *options)
    return np.load(folder / "new.npy")


def emulated():
    """How to run the ARM runtime here, or None."""
    emulator, qbrun = shutil.which("qemu-aarch64-static"), BUILD / "aarch64/bin/qbrun"
    return (emulator, qbrun) if emulator and qbrun.exists() else None
