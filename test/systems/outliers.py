"""TM-out: a model with outliers planted, of the same function. In each block four channels of each norm's gain times 64, and the columns of the products behind
over 64; four rows of the up projection times 64, and the columns of the down projection over 64. Powers of two: floats do not change by it.

What is multiplied is found by what the compiler says of the graph: names, sources and strides of weights."""
import re
import sys
import pathlib

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "end_to_end"))
import onnx_file
import tools

FACTOR, CHANNELS = 64, 4
EDGES = [("attn_norm", ("attn_q", "attn_k", "attn_v")), ("ffn_norm", ("ffn_gate", "ffn_up")), ("ffn_up", ("ffn_down",))]
WEIGHT = re.compile(r'"qb\.weight"\(\) \{(.*?)\} : \(\) -> tensor<([\dx]+)xf32>')


def weights_of(model):
    """{name: (source, dims, strides)}"""
    found = {}
    for attributes, dims in WEIGHT.findall(tools.run(tools.QBC, model, "-emit=graph", "-o", "-").stdout):
        text = dict(re.findall(r'(\w+) = "([^"]*)"', attributes))
        strides = [int(s) for s in re.search(r"strides = array<i64: ([^>]*)>", attributes)[1].split(",")]
        found[text["name"]] = text["source"], [int(d) for d in dims.split("x")], strides
    return found


class Tensors:
    """Initializers of a model that are float32 inside the file, changed in place."""

    def __init__(self, data):
        self.model = onnx_file.parse(data)
        self.graph = onnx_file.parse(onnx_file.get(self.model, onnx_file.MODEL_GRAPH))
        self.at = {}
        for i, (number, value) in enumerate(self.graph):
            if number == onnx_file.GRAPH_INITIALIZER:
                self.at[onnx_file.get(onnx_file.parse(value), onnx_file.TENSOR_NAME).decode()] = i
        self.values = {}

    def view(self, weight):
        source, dims, strides = weight
        if source not in self.values:
            fields = onnx_file.parse(self.graph[self.at[source]][1])
            self.values[source] = np.frombuffer(onnx_file.get(fields, onnx_file.TENSOR_RAW), np.float32).copy()
        flat = self.values[source]
        return np.lib.stride_tricks.as_strided(flat, dims, [4 * s for s in strides])

    def bytes(self):
        for source, values in self.values.items():
            number, tensor = self.graph[self.at[source]]
            self.graph[self.at[source]] = number, onnx_file.write(onnx_file.put(onnx_file.parse(tensor), onnx_file.TENSOR_RAW, values.tobytes()))
        return onnx_file.write(onnx_file.put(self.model, onnx_file.MODEL_GRAPH, onnx_file.write(self.graph)))


def plant(model, output, seed=1):
    """TM-out of a model, written to `output`, which is given back."""
    numbers, weights, tensors = np.random.default_rng(seed), weights_of(model), Tensors(model.read_bytes())
    blocks = {name.split(".")[0] for name in weights if name[0].isdigit()}
    for block in sorted(blocks, key=int):
        for before, behind in EDGES:
            first = tensors.view(weights[f"{block}.{before}"])
            channels = numbers.choice(len(first), CHANNELS, replace=False)
            first[channels] *= FACTOR
            for name in behind:
                tensors.view(weights[f"{block}.{name}"])[:, channels] /= FACTOR
    output.write_bytes(tensors.bytes())
    for name in ("tokenizer.json", "config.json"):
        if (tools.FAMILY / name).exists():
            (output.parent / name).write_bytes((tools.FAMILY / name).read_bytes())
    return output
