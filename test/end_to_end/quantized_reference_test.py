#!/usr/bin/env python3
"""Quantized artifacts compute what their stored codes mean: qbrun's logits against the slow reference.

The reference is first held against expected float logits, so that both cannot be wrong in the same way.

Rounding activations makes a model chaotic: where a value lies within float error of a tie, one code differs, the next layer sees a
slightly other input, and at the end the whole rounding noise is another sample (about 5e-3 of the logits for the trained model,
whether the first difference was 1e-7 or 1e-3). So two things are asked for. Over a long text, no more than that noise. And of short
prompts, most of which meet no tie, a good share must agree to float accuracy: a wrong scale, rounding or code would spoil them all.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import reference

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("QBC_BUILD", SOURCE / "build"))
SHARED = pathlib.Path(os.environ.get("QBC_SHARED", SOURCE.parent / "shared"))
NOISE = 1e-2  # root mean square, relative
EXACT = 2e-5  # of the largest absolute logit
PROMPTS, LENGTHS = 16, (1, 3)
SHARE = 0.2  # of the short prompts
OPTIONS = (
    ["-quant=i8g32"],
    ["-quant=i4g32"],
    ["-quant=i4g128z"],
    ["-quant=i4g32", "-fit=range"],
    ["-quant=i4g128z", "-fit=range", "-quant-tensor=ffn_down=f16", "-quant-tensor=^embed$=i8g32"],
)


def models():
    """(name, folder with config.json and expected/, model.onnx)"""
    bundled = SOURCE / "test/models/docs-4m"
    if (bundled / "config.json").exists():
        yield "bundled docs-4m", bundled, sorted(bundled.rglob("model.onnx"))[0]
    for family, export in (("llama", "dynamo-op18"), ("docs-4m", "optimum-past")):
        folder = SHARED / "models" / family
        if (folder / export / "model.onnx").exists():
            yield f"{family}/{export}", folder, folder / export / "model.onnx"


def difference(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


def check_reference():
    """The reference itself, in float, from the trained model's own file."""
    folder = SHARED / "models/docs-4m"
    if not (folder / "model.safetensors").exists():
        return True
    weights = reference.from_safetensors(folder / "model.safetensors")
    model = reference.Model(reference.Config(folder / "config.json"), weights)
    d = difference(model.logits(np.load(folder / "expected/tokens.npy").ravel()), np.load(folder / "expected/logits.npy"))
    print(f"reference, float: {d:.1e}")
    return d < 1e-5


def relative_rms(got, want):
    return np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))


def run(artifact, tokens, work):
    np.save(work / "t.npy", tokens)
    subprocess.run([BUILD / "bin/qbrun", artifact, "--logits", work / "t.npy", "-o", work / "l.npy"], check=True)
    return np.load(work / "l.npy").astype(np.float64)


def exact_prompts(model, artifact, tokens, work):
    """How many of the short prompts agree to float accuracy."""
    exact = 0
    for i in range(PROMPTS):
        prompt = tokens[2 * i : 2 * i + LENGTHS[i % 2]]
        exact += difference(run(artifact, prompt, work), model.logits(prompt)) <= EXACT
    return exact


def check(name, folder, onnx, options, work):
    artifact = work / "m.qbm"
    tokens = np.load(folder / "expected/tokens.npy").ravel()
    subprocess.run([BUILD / "bin/qbc", onnx, "-target=native", *options, "-o", artifact], check=True)
    weights = reference.from_artifact(BUILD / "test/qbm_dump", artifact)
    if not weights.codes:
        raise AssertionError("the artifact has no quantized tensor")
    model = reference.Model(reference.Config(folder / "config.json"), weights)
    noise = relative_rms(run(artifact, tokens, work), model.logits(tokens))
    exact = exact_prompts(model, artifact, tokens, work)
    print(f"{name} {' '.join(options)}: noise {noise:.1e}, {exact} of {PROMPTS} prompts exact", flush=True)
    return noise <= NOISE and exact >= SHARE * PROMPTS


def main():
    if not (BUILD / "bin/qbc").exists() or not (BUILD / "bin/qbrun").exists():
        print("skipped: qbc and qbrun are not built")
        return 77
    good, found = check_reference(), 0
    for name, folder, onnx in models():
        for options in OPTIONS:
            found += 1
            with tempfile.TemporaryDirectory() as work:
                good = check(name, folder, onnx, options, pathlib.Path(work)) and good
    if not good:
        return 1
    return 0 if found else 77


if __name__ == "__main__":
    sys.exit(main())
