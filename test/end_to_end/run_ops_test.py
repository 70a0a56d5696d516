#!/usr/bin/env python3
"""Operations of models that are no language models, of sizes and attributes of our own, compared with numpy: sound (DFT, STFT, windows, mel
weights), arithmetic of ai.onnx.ml, steps of optimizers, regions; and errors of what asks for chance."""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import tools

KINDS = {"float32": "f32", "float64": "f64", "int64": "i64", "bool": "bool"}
random = np.random.default_rng(5)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def build(folder, lines, inputs, n_results=1):
    ports = [f"input x{i} {KINDS[x.dtype.name]} {' '.join(map(str, x.shape))}" for i, x in enumerate(inputs)]
    text = ["opset 20", "opset ai.onnx.ml 5", "opset ai.onnx.preview.training 1", *ports, *(f"output y{i} f32 none" for i in range(n_results)), *lines]
    tools.write_model(folder, "\n".join(text) + "\n")
    tools.run(tools.QBC, folder / "model.onnx", "-q", "-o", folder / "m.qbm")
    for i, x in enumerate(inputs):
        np.save(folder / f"x{i}.npy", x)
    return [str(tools.QBRUN), str(folder / "m.qbm"), *(w for i in range(len(inputs)) for w in ("--input", f"x{i}={folder}/x{i}.npy")), "-o", str(folder / "out")]


def results(lines, inputs, n_results=1):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        tools.run(*build(folder, lines, inputs, n_results))
        return [np.load(folder / f"out/y{i}.npy") for i in range(n_results)]


def check(name, lines, inputs, *wanted):
    for have, want in zip(results(lines, inputs, len(wanted)), wanted):
        assert have.shape == want.shape, f"{name}: {have.shape}, not {want.shape}"
        error = np.abs(have - want).max()
        assert error <= 2e-5 * max(1, np.abs(want).max()), f"{name}: {error}\n{have}\n{want}"
    print("ok", name)


def parts(x):
    return np.stack([x.real, x.imag], -1)


def test_transforms():
    x = normal(2, 7, 3, 2)
    whole = x[..., 0] + 1j * x[..., 1]
    check("DFT", ["weight a i64 - list -3", "node DFT x0,,a -> y0"], [x], parts(np.fft.fft(whole, axis=1)))
    check("DFT, longer", ["weight n i64 - list 9", "weight a i64 - list 2", "node DFT x0,n,a -> y0 inverse=1"], [x], parts(np.fft.ifft(whole, 9, axis=2)))
    for axis in (0, -3, 2):
        want = parts(np.fft.fft(whole, axis=axis if axis >= 0 else axis + 4))
        check(f"DFT, axis {axis} of the program", ["node DFT x0,,x1 -> y0"], [x, np.array(axis)], want)
    check("DFT, one side", ["node DFT x0,x1 -> y0 onesided=1"], [x[:, :, 0, :1], np.array(5)], parts(np.fft.rfft(x[:, :, 0, 0], 5, axis=1)))
    check("DFT, of one side", ["node DFT x0,x1 -> y0 onesided=1 inverse=1"], [x[:, :4, 0], np.array(7)],
          np.fft.irfft(whole[:, :4, 0], 7, axis=1)[..., None])


def test_frames():
    x, w = normal(2, 29, 1), normal(8)
    want = np.stack([parts(np.fft.rfft(x[:, at : at + 8, 0] * w, axis=1)) for at in range(0, 29 - 7, 5)], 1)
    check("STFT", ["weight s i64 - list 5", "node STFT x0,s,x1 -> y0"], [x, w], want)
    check("STFT, step of the program", ["node STFT x0,x2,x1 -> y0"], [x, w, np.array(5)], want)
    with tempfile.TemporaryDirectory() as path:
        command = build(pathlib.Path(path), ["node STFT x0,x2,x1 -> y0"], [x, w, np.array(0)])
        p = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert p.returncode == 1 and "impossible shape" in p.stderr, f"a step of 0: {p.returncode} {p.stderr}"


def test_windows():
    for size in (1, 10):
        angle = 2 * np.pi * np.arange(size) / size
        shapes = {"Hann": 0.5 - 0.5 * np.cos(angle), "Hamming": 25 / 46 - 21 / 46 * np.cos(angle), "Blackman": 0.42 - 0.5 * np.cos(angle) + 0.08 * np.cos(2 * angle)}
        for name, want in shapes.items():
            check(f"{name}, {size}", [f"node {name}Window x0 -> y0"], [np.array(size)], want)


def tree_walk(x):
    first = (2.0 if x[0] in (1, 2) else 0.5) if x[1] <= 0.25 else -3.0
    return [first, 7.0 if not x[2] < 0 else 0.0]


def test_learned():
    x = random.choice([-1, 0.25, 0.5, 1, 2], (12, 3)).astype(np.float32)
    check("ArrayFeatureExtractor", ["weight p i64 2 list 2 0", "node ArrayFeatureExtractor@ai.onnx.ml x0,p -> y0"], [x], x[:, [2, 0]])
    check("Scaler", ["node Scaler@ai.onnx.ml x0 -> y0 offset=[1.0,2.0,3.0] scale=[0.5,2.0,-1.0]"], [x], (x - [1, 2, 3]) * [0.5, 2, -1])
    check("Normalizer", ["node Normalizer@ai.onnx.ml x0 -> y0 norm=L1"], [x], x / np.abs(x).sum(1, keepdims=True))
    tree = ("tree_roots=[0,2] n_targets=2 nodes_featureids=[1,0,2] nodes_modes=ui8[3]:0,6,1 nodes_splits=f32[3]:0.25,0.0,0.0 nodes_truenodeids=[1,0,3] "
            "nodes_trueleafs=[0,1,1] nodes_falsenodeids=[2,1,4] nodes_falseleafs=[1,1,1] leaf_targetids=[0,0,0,1,1] leaf_weights=f32[5]:2.0,0.5,-3.0,0.0,7.0 "
            "membership_values=f32[3]:1.0,2.0,nan")
    check("TreeEnsemble", [f"node TreeEnsemble@ai.onnx.ml x0 -> y0 {tree}"], [x], np.array([tree_walk(row) for row in x]))


def test_optimizer():
    rate, step, x, g, v, h = np.float32(0.1), 3, normal(2, 3), normal(2, 3), normal(2, 3), np.abs(normal(2, 3))
    change = 0.01 * x + g
    new_v, new_h = 0.8 * v + 0.2 * change, 0.9 * h + 0.1 * change**2
    moved = x - rate * np.sqrt(1 - 0.9**step) / (1 - 0.8**step) * new_v / (np.sqrt(new_h) + 1e-3)
    check("Adam", ["node Adam@ai.onnx.preview.training x0,x1,x2,x3,x4,x5 -> y0,y1,y2 alpha=0.8 beta=0.9 epsilon=1e-3 norm_coefficient=0.01"],
          [np.array(rate), np.array(step), x, g, v, h], moved, new_v, new_h)


def test_regions():
    x, regions = normal(2, 3, 6, 8), np.array([[1, 0, 0, 7, 5], [0, 2, 1, 5, 3], [0, 6, 4, 12, 9]], np.float32)
    want = np.zeros((3, 3, 2, 3), np.float32)
    for r, (image, left, top, right, bottom) in enumerate(regions.astype(int)):
        for i in range(2):
            for j in range(3):
                high, wide = (bottom - top + 1) / 2, (right - left + 1) / 3
                rows = slice(top + int(np.floor(i * high)), min(top + int(np.ceil((i + 1) * high)), 6))
                columns = slice(left + int(np.floor(j * wide)), min(left + int(np.ceil((j + 1) * wide)), 8))
                part = x[image, :, rows, columns]
                want[r, :, i, j] = part.max((1, 2)) if part.size else 0
    check("MaxRoiPool", ["node MaxRoiPool x0,x1 -> y0 pooled_shape=[2,3]"], [x, regions], want)


def test_chance():
    inputs, nodes = [normal(2, 3), np.float32(0.5).reshape(()), np.array(True)], ["node Dropout x0,x1,x2 -> y0"]
    check("Dropout that trains with ratio 0", nodes, [inputs[0], np.float32(0).reshape(()), inputs[2]], inputs[0])
    check("Dropout that does not train", nodes, [*inputs[:2], np.array(False)], inputs[0])
    with tempfile.TemporaryDirectory() as path:
        p = subprocess.run(build(pathlib.Path(path), nodes, inputs), capture_output=True, text=True, timeout=600)
        assert p.returncode == 1 and "at random" in p.stderr, f"Dropout that trains: {p.returncode} {p.stderr}"


def test_short_branch():
    """A branch that gives one value of the two that the If has."""
    lines = ["opset 20", "input c bool", "input x f32 2", "output a f32 2", "output b f32 2", "graph short", "output y f32 2", "node Neg x -> y", "end",
             "node If c -> a,b then_branch=graph:short else_branch=graph:short"]
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        tools.write_model(folder, "\n".join(lines) + "\n")
        told = tools.run(tools.QBC, folder / "model.onnx", "-q", "-o", folder / "m.qbm", code=1).stderr
        assert "its subgraph gives 1 values" in told, told


def main():
    if not tools.QBC.exists() or not tools.QBRUN.exists():
        print("skipped: qbc and qbrun are not built")
        return tools.SKIPPED
    for test in (test_transforms, test_frames, test_windows, test_learned, test_optimizer, test_regions, test_chance, test_short_branch):
        test()
    return 0


if __name__ == "__main__":
    sys.exit(main())
