#!/usr/bin/env python3
"""A model of 6 GB is imported, and its graph recognised, with less than 300 MB beside what the system keeps of the file: weights are mapped.

The layers are those of memory_test, of the sizes that Llama 3.2 1B has, or more. The weights are a hole in a file and take no disk."""
import math
import pathlib
import subprocess
import sys

import onnx_file
import tools
from memory_test import resident_most, written

LAYERS, VOCABULARY, WIDTH, HIDDEN = 16, 128256, 2048, 12288
MOST, LEAST_OF_WEIGHTS = 300e6, 5e9


def weights(path):
    """Tensors whose numbers are in that file, one behind the other; makes it."""
    shapes = {"embed": (VOCABULARY, WIDTH), "head": (WIDTH, VOCABULARY)}
    for i in range(LAYERS):
        shapes |= {f"l{i}_w{c}": (WIDTH, WIDTH) for c in "qkvo"}
        shapes |= {f"l{i}_up": (WIDTH, HIDDEN), f"l{i}_down": (HIDDEN, WIDTH), f"l{i}_n": (WIDTH,)}
    tensors, end = [], 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        fields = [*((onnx_file.TENSOR_DIMS, d) for d in shape), (onnx_file.TENSOR_TYPE, 1), (onnx_file.TENSOR_NAME, name.encode())]
        tensors.append(onnx_file.write(onnx_file.external(fields, path.name, end, size)))
        end += size
    with open(path, "wb") as file:
        file.truncate(end)
    return tensors


def check(work):
    (work / "model.onnx").write_bytes(written(LAYERS, VOCABULARY, weights(work / "weights.bin")))
    size = (work / "weights.bin").stat().st_size
    assert size > LEAST_OF_WEIGHTS, size
    for level in ("onnx", "graph"):
        process = subprocess.Popen([tools.QBC, work / "model.onnx", "-tokenizer=none", f"-emit={level}", "-o", work / "out.mlir"])
        most = resident_most(process, "RssAnon", 0.005)
        print(f"-emit={level}: {most / 1e6:.0f} MB of its own, weights of {size / 1e9:.1f} GB")
        assert process.returncode == 0 and 0 < most < MOST, (level, process.returncode, most)
    assert (work / "out.mlir").read_text().count("qb.attention") == LAYERS


if __name__ == "__main__":
    if not pathlib.Path("/proc/self/status").exists():
        print("skipped: this system does not say how much memory a process had")
        sys.exit(tools.SKIPPED)
    sys.exit(tools.in_folder(check))
