#!/usr/bin/env python3
"""Memory of a compilation that learns, measures, chooses and fits does not grow with the number of layers: a model of 3
layers takes hardly more than one of 1, although what is known of each layer (weights, second moments) is many megabytes."""
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
import onnx_file
import tools
from onnx_write import node, value_info

VOCABULARY, WIDTH, HIDDEN, HEADS = 96, 512, 2048, 8
FEW, MANY, MOST_GROWTH = 1, 3, 0.25  # layers; of what is known of one


def layer(i):
    p = f"l{i}_"
    lines = [("RMSNormalization", f"x{i},{p}n", f"{p}a"), *[("MatMul", f"{p}a,{p}w{c}", f"{p}{c}") for c in "qkv"],
             ("Attention", f"{p}q,{p}k,{p}v", f"{p}y", f"q_num_heads={HEADS}", f"kv_num_heads={HEADS}", "is_causal=1"),
             ("MatMul", f"{p}y,{p}wo", f"{p}o"), ("Add", f"x{i},{p}o", f"{p}m"), ("RMSNormalization", f"{p}m,{p}n", f"{p}b"),
             ("MatMul", f"{p}b,{p}up", f"{p}h"), ("Relu", f"{p}h", f"{p}r"), ("MatMul", f"{p}r,{p}down", f"{p}d"),
             ("Add", f"{p}m,{p}d", f"x{i + 1}")]
    return [node(op, inputs, "->", output, f"name={output}", *more) for op, inputs, output, *more in lines]


def model(layers):
    """Also what is known of a layer, in bytes: its weights, and H of the four products' inputs."""
    random = np.random.default_rng(1)
    matrices = {**{f"w{c}": (WIDTH, WIDTH) for c in "qkvo"}, "up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH)}
    tensors = [onnx_file.tensor("embed", random.standard_normal((VOCABULARY, WIDTH))),
               onnx_file.tensor("head", random.standard_normal((WIDTH, VOCABULARY)))]
    for i in range(layers):
        tensors += [onnx_file.tensor(f"l{i}_{n}", random.standard_normal(s) / s[0]) for n, s in matrices.items()]
        tensors.append(onnx_file.tensor(f"l{i}_n", np.ones(WIDTH)))
    known = 4 * (sum(a * b for a, b in matrices.values()) + 3 * WIDTH**2 + HIDDEN**2)
    return written(layers, VOCABULARY, tensors), known


def written(layers, vocabulary, tensors):
    """The file of a language model of such layers."""
    nodes = [node("Gather", "embed,input_ids", "->", "x0", "name=gather"), *(n for i in range(layers) for n in layer(i)),
             node("MatMul", f"x{layers},head", "->", "logits", "name=head")]
    graph = onnx_file.write([*((onnx_file.GRAPH_NODE, n) for n in nodes), (2, b"layers"),
                             *((onnx_file.GRAPH_INITIALIZER, t) for t in tensors),
                             (11, value_info("input_ids", "i64", "1", "sequence")),
                             (12, value_info("logits", "f32", "1", "sequence", str(vocabulary)))])
    opset = onnx_file.write([(1, b""), (onnx_file.OPSET_VERSION, 23)])
    return onnx_file.write([(1, 10), (2, b"test"), (onnx_file.MODEL_GRAPH, graph), (onnx_file.MODEL_OPSET, opset)])


def resident_most(process, which="VmHWM", pause=0.02):
    """Bytes. What wait4 says is at least what this process had when it began the other, which is more than what is measured here."""
    most = 0
    while process.poll() is None:
        try:
            found = re.search(which + r":\s*(\d+) kB", pathlib.Path(f"/proc/{process.pid}/status").read_text())
        except OSError:
            found = None
        most = max(most, int(found[1]) * 1024 if found else 0)
        time.sleep(pause)
    return most


def most_memory(work, layers):
    path = work / f"{layers}.onnx"
    bytes_of_model, known = model(layers)
    path.write_bytes(bytes_of_model)
    np.save(work / "tokens.npy", np.random.default_rng(2).integers(0, VOCABULARY, 1024))
    process = subprocess.Popen([tools.QBC, path, "-tokenizer=none", "-target=native", "-fit=gptq", "-bpw=4.25", "-formats=i3g64,i4g64,i5g64,i6g64",
                                "-quant-tensor=attn_[kvo]|ffn_up|embed|output=i4g64", f"-calib={work}/tokens.npy", "-ctx=256", "-threads=2",
                                "-o", work / "out.qbm"])
    most = resident_most(process)
    assert process.returncode == 0 and most, (process.returncode, most)
    return most, known


def main():
    if not tools.QBC.exists():
        print("skipped: qbc is not built")
        return tools.SKIPPED
    if not pathlib.Path("/proc/self/status").exists():
        print("skipped: this system does not say how much memory a process had")
        return tools.SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        few, known = most_memory(pathlib.Path(folder), FEW)
        many, _ = most_memory(pathlib.Path(folder), MANY)
    more = (many - few) / (MANY - FEW)
    print(f"{FEW} layers: {few / 1e6:.0f} MB, {MANY}: {many / 1e6:.0f} MB; {more / 1e6:.1f} MB more a layer, of which {known / 1e6:.0f} MB are known")
    assert more < MOST_GROWTH * known
    return 0


if __name__ == "__main__":
    sys.exit(main())
