"""Hold an artifact against the reference: compile, run, decode the weights that the file holds, compute, compare.

Rounding activations makes a model chaotic: where a value lies within float error of a tie, one code differs, the next layer sees a
slightly other input, and at the end the whole rounding noise is another sample (about 5e-3 of the logits for the trained model,
whether the first difference was 1e-7 or 1e-3). So two things are asked for. Over a long text, no more than that noise. And of short
prompts, most of which meet no tie, a good share must agree to float accuracy: a wrong scale, rounding or code would spoil them all.
"""
import os
import pathlib
import subprocess

import numpy as np

import reference

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("QBC_BUILD", SOURCE / "build"))
SHARED = pathlib.Path(os.environ.get("QBC_SHARED", SOURCE.parent / "shared"))
NOISE = 1e-2  # root mean square, relative
EXACT = 2e-5  # of the largest absolute logit
PROMPTS, LENGTHS = 16, (1, 3)
SHARE = 0.4  # of the short prompts


def is_built(build=BUILD):
    return all((build / tool).exists() for tool in ("bin/qbc", "bin/qbrun", "test/qbm_dump"))


def bundled():
    """(name, folder with config.json and expected/, model.onnx) of the model that comes with the source; None without it"""
    folder = SOURCE / "test/models/docs-4m"
    exports = sorted(folder.rglob("model.onnx")) if (folder / "config.json").exists() else []
    return ("bundled docs-4m", folder, exports[0]) if exports else None


def difference(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


def relative_rms(got, want):
    return np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))


def run(build, artifact, tokens, work):
    np.save(work / "t.npy", tokens)
    subprocess.run([build / "bin/qbrun", artifact, "--logits", work / "t.npy", "-o", work / "l.npy"], check=True)
    return np.load(work / "l.npy").astype(np.float64)


def exact_prompts(build, model, artifact, tokens, work):
    """How many of the short prompts agree to float accuracy."""
    exact = 0
    for i in range(PROMPTS):
        prompt = tokens[2 * i : 2 * i + LENGTHS[i % 2]]
        exact += difference(run(build, artifact, prompt, work), model.logits(prompt)) <= EXACT
    return int(exact)


def check(name, folder, onnx, options, work, build=BUILD, plugin=()):
    """Does the artifact that qbc makes of `onnx` with `options` compute what its weights mean? `plugin`: a shared object whose formats it has."""
    artifact = work / "m.qbm"
    tokens = np.load(folder / "expected/tokens.npy").ravel()
    subprocess.run([build / "bin/qbc", onnx, *options, "-o", artifact], check=True)
    weights = reference.from_artifact(build / "test/qbm_dump", artifact, *plugin)
    if not weights.codes:
        raise AssertionError("the artifact has no quantized tensor")
    model = reference.Model(reference.Config(folder / "config.json"), weights)
    noise = relative_rms(run(build, artifact, tokens, work), model.logits(tokens))
    exact = exact_prompts(build, model, artifact, tokens, work)
    print(f"{name} {' '.join(options)}: noise {noise:.1e}, {exact} of {PROMPTS} prompts exact", flush=True)
    return bool(noise <= NOISE and exact >= SHARE * PROMPTS)
