#!/usr/bin/env python3
"""-kv: artifacts keep keys and values as they say, whole texts, tokens one by one and chunks agree, and memory shrinks.

Logits of the bundled model with float weights are held against the slow reference (cache.py). Codes flip where a number lies within
float error of a tie, and then all that follows is another sample of the rounding noise; so the bound is far below what the rounding
itself does to the logits (which is printed beside), and the first tokens, which few codes decide, agree nearly exactly.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import cache
import oracle
import reference

TOKENS = 96
SPECS = ("f16", "i8", "i4", "k:i4g64r,v:i4g64", "i3g32m", "k:i5g16zr,v:i2g16mr", "v:i6", "k:turbo3,v:turbo2", "i3r 4 20", "v:i2g32m 0 32")  # sink, recent
WAYS = {"whole": [], "one": ["--chunk", "1"], "chunk": ["--chunk", "7"]}
SHARE = 0.5  # of the rounding's own effect: how far a few flipped codes may lead
WRONG = {
    "i4g48x": "no format 'i4g48x'",
    "i1": "less than 4 levels",
    "q4_k": "scales other than f16",
    "i4g8": "no multiple of 16 channels",
    "k:i4,k:i8": "says twice",
    "x:i4": "k: and v: are what there is",
    "turbo7": "no format 'turbo7'",
    "": "no format ''",
    "f32 -kv-sink=0": "no number from 1 up",
}


def main():
    if not oracle.is_built() or not oracle.bundled():
        print("skipped: qbc, qbrun and qbm_dump are not built")
        return 77
    name, folder, onnx = oracle.bundled()
    tokens = np.load(folder / "expected/tokens.npy").ravel()[:TOKENS]
    good, sizes = True, {}
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        artifact = work / "m.qbm"

        def build(*options):
            return subprocess.run([oracle.BUILD / "bin/qbc", onnx, "-ctx=256", *options, "-o", artifact], capture_output=True, text=True)

        def logits(way):
            np.save(work / "t.npy", tokens)
            subprocess.run([oracle.BUILD / "bin/qbrun", artifact, "--logits", work / "t.npy", *WAYS[way], "-o", work / "l.npy"], check=True)
            return np.load(work / "l.npy").astype(np.float64)

        def state():
            return json.loads(subprocess.check_output([oracle.BUILD / "bin/qbrun", artifact, "--info=json"]))["state_bytes"]

        assert build().returncode == 0
        sizes["f32"], plain = state(), logits("whole")
        weights = reference.from_artifact(oracle.BUILD / "test/qbm_dump", artifact)
        config = reference.Config(folder / "config.json")
        for spec in SPECS:
            kv, sink, recent = (spec + " 0 0").split()[:3]
            made = build(f"-kv={kv}", *([f"-kv-sink={sink}"] if int(sink) else []), *([f"-kv-recent={recent}"] if int(recent) else []), "-chunk=32")
            if made.returncode:
                print(made.stderr)
                return 1
            want = reference.Model(config, weights, cache.Cache(kv, int(sink), int(recent))).logits(tokens)
            effect = oracle.relative_rms(plain, want)
            errors = {way: oracle.relative_rms(logits(way), want) for way in WAYS}
            first = oracle.difference(logits("whole")[:4], want[:4])
            sizes[spec] = state()
            fine = max(errors.values()) <= max(SHARE * effect, 1e-5) and first <= max(0.05 * effect, 2e-5)
            print(f"{'ok' if fine else 'FAIL':4} {spec:22} effect {effect:.1e} errors {' '.join(f'{way} {e:.1e}' for way, e in errors.items())} "
                  f"first tokens {first:.1e} state {sizes[spec]} bytes, {32 * sizes[spec] / sizes['f32']:.2f} bits", flush=True)
            good = good and fine
        for spec, text in WRONG.items():
            made = build(*f"-kv={spec}".split())
            fine = made.returncode == 1 and text in made.stderr and ("f32, f16" in made.stderr or "k:" in made.stderr or "number" in text)
            print(f"{'ok' if fine else 'FAIL':4} -kv={spec}: {made.stderr.strip()}")
            good = good and fine
    want = {"f16": 16, "i8": 8.25, "k:i4g64r,v:i4g64": 4.25}
    for spec, bits in want.items():
        good = good and 32 * sizes[spec] / sizes["f32"] == bits
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
