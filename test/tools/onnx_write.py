#!/usr/bin/env python3
"""onnx_write.py MODEL.txt MODEL.onnx: an ONNX file from a few lines of text, also one that no exporter would write.

    opset 18                                   opset com.microsoft 1
    input x f32 1 T                            dims are numbers, names (:16 is a name), ? for nothing; `none`: no shape
    value h f32 1 4        output y f32 1 T
    weight w f32 2,2 raw 1 2 3 4               or `list`: in float_data, int32_data, ...; `zeros`, `some`: raw, as many as it takes
    weight w f32 2,2 external FILE OFFSET LENGTH
    node MatMul x,w -> y name=mm axis=-1 alpha=0.5 mode="edge" perm=[1,0] value=i64[2]:1,2 body=graph
    node RotaryEmbedding@com.microsoft x,,c -> y
    function NAME DOMAIN a,b -> y overload=X refs=alpha,beta k=1      then its nodes: body MatMul a,b -> t axis=$alpha
    graph NAME                                 then its inputs, outputs, weights, nodes; `end`. An attribute: then_branch=graph:NAME
    sparse     bytes HEX (appended to the file)     cut N (bytes from its end)

Dims of a weight are taken as written, whatever its data is, so that a file can lie. `-` stands for no dims, no inputs.
"""
import math
import re
import shlex
import struct
import sys

TYPES = {"f32": 1, "ui8": 2, "i8": 3, "ui16": 4, "i16": 5, "i32": 6, "i64": 7, "str": 8, "bool": 9, "f16": 10, "f64": 11, "ui32": 12,
         "ui64": 13, "c64": 14, "bf16": 16, "f8": 17, "f8e4m3fn": 17, "f8e4m3fnuz": 18, "f8e5m2": 19, "f8e5m2fnuz": 20, "ui4": 21, "i4": 22, "f4": 23, "f8e8m0": 24,
         "ui2": 25, "i2": 26}  # of small floats the codes are written
PACK = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "B", 10: "e", 11: "d", 12: "I", 13: "Q"}


GRAPHS = {}
PACKED = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}  # bits; low bits first


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, value):
    """An integer, a float, or the bytes of a string or message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def numbers(words):
    return [float(w) if re.search(r"[.einf]", w) else int(w, 0) for w in words]


def packed(kind, values):
    bits = PACKED[kind]
    each = 8 // bits
    codes = [int(v) & (1 << bits) - 1 for v in values] + [0] * (-len(values) % each)
    return bytes(sum(codes[i + k] << k * bits for k in range(each)) for i in range(0, len(codes), each))


def raw(kind, values):
    if kind in PACKED:
        return packed(kind, values)
    if kind == 16:
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    whole = PACK.get(kind, "B") in "bBhHiIqQ"
    return b"".join(struct.pack("<" + PACK.get(kind, "B"), int(v) if whole else v) for v in values)


def typed(kind, values):
    """The list that the element type uses; halves as their bits."""
    if kind == 1:
        return field(4, raw(1, values))
    if kind == 11:
        return field(10, raw(11, values))
    if kind in (10, 16):
        data = raw(kind, values)
        values = [struct.unpack_from("<H", data, 2 * i)[0] for i in range(len(values))]
    if kind in PACKED:
        values = packed(kind, values)
    number = {7: 7, 12: 11, 13: 11}.get(kind, 5)
    return field(number, b"".join(varint(int(v)) for v in values))


def tensor(kind, dims, how, words, name=""):
    out = b"".join(field(1, d) for d in dims) + field(2, kind) + (field(8, name) if name else b"")
    if how == "external":
        keys = zip(("location", "offset", "length"), words)
        return out + b"".join(field(13, field(1, k) + field(2, v)) for k, v in keys) + field(14, 1)
    if how in ("zeros", "some"):  # the latter: fractions from -1 to 1, or the codes 0 to 14, others for each name
        seed, fractions = how == "some" and sum(name.encode()), kind in (1, 10, 11, 16)
        how, values = "raw", [0 if not seed else (i * i * 7 + i * seed + seed) % 17 / 8 - 1 if fractions else i * 7 % 15 for i in range(math.prod(dims))]
    else:
        values = numbers(words)
    return out + (field(9, raw(kind, values)) if how == "raw" else typed(kind, values) if values else b"")


def dims_of(text):
    return [] if text == "-" else [int(d) for d in text.split(",")]


def value_info(name, kind, *dims):
    def dim(d):
        return b"" if d == "?" else field(1, int(d)) if re.fullmatch(r"-?\d+", d) else field(2, d.lstrip(":"))

    shape = b"".join(field(1, dim(d)) for d in dims)
    tensor_type = field(1, TYPES[kind]) + (field(2, shape) if dims != ("none",) else b"")
    return field(1, name) + field(2, field(1, tensor_type))


def attribute(name, text):
    out = field(1, name)
    match = re.fullmatch(r"(\w+)\[([\d,-]*)\]:(.*)", text)
    if match:
        kind, dims, values = match.groups()
        data = tensor(TYPES[kind], dims_of(dims or "-"), "raw", values.split(",") if values else [])
        return out + field(5, data) + field(20, 4)
    if text.startswith("$"):
        return out + field(21, text[1:])
    if text == "graph":
        return out + field(6, field(2, "body")) + field(20, 5)
    if text.startswith("graph:"):
        return out + field(6, GRAPHS[text[6:]]) + field(20, 5)
    if text.startswith("["):
        values = numbers(text[1:-1].split(",")) if text != "[]" else []
        floats = any(isinstance(v, float) for v in values)
        return out + b"".join(field(7 if floats else 8, v) for v in values) + field(20, 6 if floats else 7)
    if re.fullmatch(r"[+-]?(\d.*|inf|nan)", text):
        value = numbers([text])[0]
        return out + (field(2, value) + field(20, 1) if isinstance(value, float) else field(3, value) + field(20, 2))
    return out + field(4, text) + field(20, 3)


def node(op, inputs, arrow, outputs, *attributes):
    assert arrow == "->", arrow
    name, _, domain = op.partition("@")
    out = b"".join(field(1, i) for i in (inputs.split(",") if inputs != "-" else []))
    out += b"".join(field(2, o) for o in outputs.split(",")) + field(4, name)
    for key, value in (a.split("=", 1) for a in attributes):
        out += field({"name": 3, "overload": 8}[key], value) if key in ("name", "overload") else field(5, attribute(key, value))
    return out + (field(7, domain) if domain else b"")


def function(name, domain, inputs="-", arrow="->", outputs="-", *attributes):
    out = field(1, name) + field(10, domain)
    out += b"".join(field(4, i) for i in inputs.split(",") if i != "-") + b"".join(field(5, o) for o in outputs.split(",") if o != "-")
    for key, value in (a.split("=", 1) for a in attributes):
        if key == "refs":
            out += b"".join(field(6, a) for a in value.split(","))
        else:
            out += field(13, value) if key == "overload" else field(11, attribute(key, value))
    return out


def main():
    graph, model, tail, cut, functions, inside = field(2, "g"), field(1, 8), b"", 0, [], []
    for line in open(sys.argv[1]):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        word, rest = words[0], words[1:]
        if word == "opset":
            model += field(8, field(1, rest[0] if len(rest) > 1 else "") + field(2, int(rest[-1])))
        elif word in ("input", "output", "value"):
            graph += field({"input": 11, "output": 12, "value": 13}[word], value_info(*rest))
        elif word == "weight":
            graph += field(5, tensor(TYPES[rest[1]], dims_of(rest[2]), rest[3], rest[4:], rest[0]))
        elif word == "node":
            graph += field(1, node(*rest))
        elif word == "graph":
            inside.append((rest[0], graph))
            graph = field(2, rest[0])
        elif word == "end":
            name, outer = inside.pop()
            GRAPHS[name], graph = graph, outer
        elif word == "function":
            functions.append(function(*rest))
        elif word == "body":
            functions[-1] += field(7, node(*rest))
        elif word == "sparse":
            graph += field(15, b"")
        elif word == "bytes":
            tail += bytes.fromhex("".join(rest))
        elif word == "cut":
            cut = int(rest[0])
        else:
            sys.exit(f"{sys.argv[1]}: {line.strip()}")
    data = model + b"".join(field(25, f) for f in functions) + field(7, graph) + tail
    open(sys.argv[2], "wb").write(data[: len(data) - cut])


if __name__ == "__main__":
    main()
