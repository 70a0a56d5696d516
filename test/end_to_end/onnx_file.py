"""Change ONNX files without a library (test/tools/onnx_write.py makes them): protobuf messages as lists of (field number, value); see onnx.proto for the numbers.

A value is an int (varint), bytes (length-delimited: a message, text or data), or ("fixed", bytes)."""
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
from onnx_write import field, node, value_info, varint

MODEL_GRAPH, MODEL_OPSET = 7, 8
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_DOMAIN = 1, 2, 3, 4, 7
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW, TENSOR_EXTERNAL, TENSOR_LOCATION = 1, 2, 8, 9, 13, 14
OPSET_VERSION = 2
ENTRY_KEY, ENTRY_VALUE = 1, 2


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def parse(data):
    fields, at = [], 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
        elif key & 7 == 2:
            size, at = read_varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            size = {1: 8, 5: 4}[key & 7]
            value, at = ("fixed", data[at : at + size]), at + size
        fields.append((key >> 3, value))
    return fields


def write(fields):
    out = []
    for number, value in fields:
        if isinstance(value, tuple):
            out.append(varint(number << 3 | {8: 1, 4: 5}[len(value[1])]) + value[1])
        else:
            out.append(field(number, value))
    return b"".join(out)


def get(fields, number, default=b""):
    return next((value for n, value in fields if n == number), default)


def put(fields, number, *values):
    """The fields with those of this number replaced."""
    return [f for f in fields if f[0] != number] + [(number, value) for value in values]


def inside(data, number, change, where=lambda fields: True):
    """The message `data` with its first submessage `number` for which where(fields) holds replaced by change(fields)."""
    fields = parse(data)
    for i, (n, value) in enumerate(fields):
        if n == number and where(parse(value)):
            fields[i] = (n, write(change(parse(value))))
            return write(fields)
    raise AssertionError(f"no field {number} to change")


def change_graph(model, number, change, where=lambda fields: True):
    return inside(model, MODEL_GRAPH, lambda graph: parse(inside(write(graph), number, change, where)))


def change_node(model, op, change):
    return change_graph(model, GRAPH_NODE, change, lambda node: get(node, NODE_OP) == op.encode())


def change_tensor(model, change, bytes_at_least=100_000):
    """The first initializer of that size."""
    return change_graph(model, GRAPH_INITIALIZER, change, lambda tensor: len(get(tensor, TENSOR_RAW)) >= bytes_at_least)


def external(tensor, location, offset=None, length=None):
    """The tensor with its data in another file."""
    entries = [("location", location), ("offset", offset), ("length", length)]
    entries = [write([(ENTRY_KEY, k.encode()), (ENTRY_VALUE, str(v).encode())]) for k, v in entries if v is not None]
    return put(put(put(tensor, TENSOR_RAW), TENSOR_EXTERNAL, *entries), TENSOR_LOCATION, 1)


def tensor(name, values):
    """float32 only"""
    dims = [(TENSOR_DIMS, d) for d in values.shape]
    return write([*dims, (TENSOR_TYPE, 1), (TENSOR_NAME, name.encode()), (TENSOR_RAW, values.astype("<f4").tobytes())])


def tiny_model(vocab=96, width=64, opset=18):
    """A language model of two tensors: what follows a token depends on that token alone."""
    numbers = np.random.default_rng(1)
    embed, head = numbers.standard_normal((vocab, width)), numbers.standard_normal((width, vocab))
    graph = write([
        (GRAPH_NODE, node("Gather", "embed,input_ids", "->", "x", "name=gather")),
        (GRAPH_NODE, node("MatMul", "x,head", "->", "logits", "name=head")),
        (2, b"tiny"),
        (GRAPH_INITIALIZER, tensor("embed", embed)),
        (GRAPH_INITIALIZER, tensor("head", head)),
        (11, value_info("input_ids", "i64", "1", "sequence")),
        (12, value_info("logits", "f32", "1", "sequence", str(vocab))),
    ])
    return write([(1, 8), (2, b"test"), (MODEL_GRAPH, graph), (MODEL_OPSET, write([(1, b""), (OPSET_VERSION, opset)]))])
