"""Compile every export below a folder that export.py wrote, and compare logits with PyTorch's.

    check.py DIR [--bin build/bin] [--target T] [--emulator COMMAND --qbrun FILE] [--how whole,7,1] [FAMILY ...]

A row an export: the largest difference, or at which node and why it did not compile; then how many of each. Exit status 1 where something that
was exported differs or does not compile. Needs numpy.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLERANCE = 2e-3


def run(command):
    try:
        p = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=300)
    except subprocess.TimeoutExpired:
        return "over 300 s"
    lines = [line for line in p.stdout.splitlines() if "error" in line] or p.stdout.splitlines()[-1:] or [f"exit status {p.returncode}"]
    return None if p.returncode == 0 else lines[0]


def compare(args, onnx, expected, folder):
    """(largest difference or None, problem or None)"""
    tokens, want = np.load(expected / "tokens.npy"), np.load(expected / "logits.npy")
    problem = run([args.bin / "qbc", onnx, f"-target={args.target}", "-quant=f32", "-tokenizer=none", "-o", folder / "m.qbm"])
    if problem:
        return None, problem
    np.save(folder / "tokens.npy", tokens)
    worst = 0.0
    for how in args.how.split(","):
        chunk = [] if how == "whole" else ["--chunk", how]
        problem = run([*args.emulator.split(), args.qbrun or args.bin / "qbrun", folder / "m.qbm", "--logits", folder / "tokens.npy", *chunk,
                       "-o", folder / "logits.npy"])
        if problem:
            return None, problem
        got = np.load(folder / "logits.npy")
        difference = float(np.abs(got - want).max()) if got.shape == want.shape else float("inf")
        if not difference <= TOLERANCE:
            return difference, f"{how}: differs from PyTorch"
        worst = max(worst, difference)
    return worst, None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/bin")
    parser.add_argument("--target", default="native")
    parser.add_argument("--emulator", default="")
    parser.add_argument("--qbrun", type=pathlib.Path)
    parser.add_argument("--how", default="whole,7,1")
    parser.add_argument("family", nargs="*")
    args = parser.parse_args()
    good = bad = none = 0
    for base in sorted(p for p in args.dir.iterdir() if (p / "expected/logits.npy").exists() and (not args.family or p.name in args.family)):
        for folder in sorted(p for p in base.iterdir() if p.is_dir() and p.name != "expected"):
            name = f"{base.name}/{folder.name}"
            if (folder / "problem.txt").exists():
                none += 1
                print(f"none  {name:32} {(folder / 'problem.txt').read_text().strip().splitlines()[-1][:150]}", flush=True)
                continue
            if not (folder / "model.onnx").exists():
                continue
            with tempfile.TemporaryDirectory(prefix="families-") as work:
                difference, problem = compare(args, folder / "model.onnx", base / "expected", pathlib.Path(work))
            good, bad = good + (not problem), bad + bool(problem)
            print(f"{'FAIL' if problem else 'ok':5} {name:32} {'' if difference is None else format(difference, '.1e'):8} {problem or ''}"[:400], flush=True)
    print(f"{good} agree, {bad} do not, {none} could not be exported")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
