"""Damage to ONNX files, as mutations_test.py does it: each mutation takes random numbers and the fields of a graph, and gives other fields. Which graph it is,
the model's or one inside of an If, Loop or Scan, mutated() chooses. What concerns more than a graph (operator sets, functions, types) is in model_mutations.py."""
import onnx_file as onnx

INPUT, OUTPUT, VALUE, ATTRIBUTE, SPARSE = 11, 12, 13, 5, 15
ATTRIBUTE_NAME, FLOAT, INTEGER, STRING, TENSOR, GRAPH, FLOATS, INTEGERS, STRINGS, TENSORS, GRAPHS, ATTRIBUTE_TYPE = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20
TENSOR_STRINGS, STRING_TYPE = 6, 8
ODD = (0, 1, -1, 2, 7, 1 << 20, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, -(1 << 63))
ODD_FLOATS = tuple(("fixed", bytes.fromhex(h)) for h in ("00000000", "00000080", "0000807f", "000080ff", "0000c07f", "ffff7f7f", "01000000", "000080bf"))
ODD_TEXT = (b"", b"NOTSET", b"max", b"ij,jk->ik", b"...,->", b"silu", b"%s%n", b"\xff\xfe\x80", b"a\0b", b"../x", b"\n\"'\\", b"x" * 5000)
OPERATORS = ("Add", "MatMul", "Softmax", "Reshape", "Transpose", "Gather", "Concat", "Slice", "Where", "Shape", "Expand", "Cast", "Split", "TopK", "Loop", "If", "Scan",
             "Einsum", "Pad", "Resize", "Constant", "DequantizeLinear", "StringConcat", "SequenceAt", "Nothing")
DOMAINS = (b"", b"ai.onnx", b"com.microsoft", b"ai.onnx.ml", b"ai.onnx.preview.training", b"local", b"\xff", b"com.nobody")


# --- how to reach something

def change(fields, number, pick, f):
    """The pick-th field of this number becomes f(value): a value, or None to leave it out."""
    at = [i for i, (n, _) in enumerate(fields) if n == number]
    if not at:
        return fields
    i = at[pick % len(at)]
    new = f(fields[i][1])
    return fields[:i] + ([] if new is None else [(number, new)]) + fields[i + 1 :]


def inside(f):
    """Of a message's fields, as a function of its bytes."""
    return lambda data: onnx.write(f(onnx.parse(data)))


def any_of(r):
    return r.randrange(1 << 20)


def of_node(r, graph, f):
    return change(graph, onnx.GRAPH_NODE, any_of(r), inside(f))


def of_attribute(r, graph, f, tries=20):
    """f of an attribute's fields; most nodes have none, so several are tried."""
    with_any = [i for i, (n, v) in enumerate(graph) if n == onnx.GRAPH_NODE and any(m == ATTRIBUTE for m, _ in onnx.parse(v))]
    if not with_any:
        return graph
    i = r.choice(with_any)
    return graph[:i] + [(onnx.GRAPH_NODE, inside(lambda node: change(node, ATTRIBUTE, any_of(r), inside(f)))(graph[i][1]))] + graph[i + 1 :]


def of_tensor(r, graph, f):
    """f of the fields of an initializer, or of a tensor that is an attribute."""
    if r.random() < 0.2:
        return of_attribute(r, graph, lambda a: change(a, TENSOR, 0, inside(f)))
    return change(graph, onnx.GRAPH_INITIALIZER, any_of(r), inside(f))


def subgraphs(node):
    """(index of the attribute, number of its field) of each graph that a node has."""
    fields = onnx.parse(node)
    return [(i, m) for i, (n, a) in enumerate(fields) if n == ATTRIBUTE for m, _ in onnx.parse(a) if m in (GRAPH, GRAPHS)]


def deeper(r, graph, f):
    """f of a graph inside of this one's nodes, or of a graph in that; of this one where there is none."""
    at = [i for i, (n, v) in enumerate(graph) if n == onnx.GRAPH_NODE and subgraphs(v)]
    if not at:
        return f(graph)
    i = r.choice(at)
    node = onnx.parse(graph[i][1])
    j, number = r.choice(subgraphs(graph[i][1]))
    go = f if r.random() < 0.7 else lambda g: deeper(r, g, f)
    node[j] = (ATTRIBUTE, inside(lambda a: change(a, number, any_of(r), inside(go)))(node[j][1]))
    return graph[:i] + [(onnx.GRAPH_NODE, onnx.write(node))] + graph[i + 1 :]


def names(graph):
    return [v for n, node in graph if n == onnx.GRAPH_NODE for m, v in onnx.parse(node) if m in (onnx.NODE_INPUT, onnx.NODE_OUTPUT)] or [b"x"]


# --- nodes

def drop_node(r, graph):
    return change(graph, onnx.GRAPH_NODE, any_of(r), lambda _: None)


def double_node(r, graph):
    nodes = [v for n, v in graph if n == onnx.GRAPH_NODE]
    return graph + [(onnx.GRAPH_NODE, r.choice(nodes))] if nodes else graph


def swap_nodes(r, graph):
    at = [i for i, (n, _) in enumerate(graph) if n == onnx.GRAPH_NODE]
    if at:
        i, j = r.choice(at), r.choice(at)
        graph[i], graph[j] = graph[j], graph[i]
    return graph


def rewire(r, graph):
    """An input of a node becomes another value: often a later one, so that there is a circle."""
    other = r.choice(names(graph) + [b""])
    return of_node(r, graph, lambda f: change(f, onnx.NODE_INPUT, r.randrange(8), lambda _: other))


def rename_output(r, graph):
    other = r.choice(names(graph) + [b""])
    return of_node(r, graph, lambda f: change(f, onnx.NODE_OUTPUT, r.randrange(4), lambda _: other))


def other_counts(r, graph):
    """An input or output more or less."""
    number = r.choice((onnx.NODE_INPUT, onnx.NODE_OUTPUT))
    more = [(number, name) for name in r.choices(names(graph) + [b"", b"new"], k=r.choice((1, 1, 3, 40)))]
    return of_node(r, graph, lambda f: f + more if r.random() < 0.5 else change(f, number, any_of(r), lambda _: None))


def other_operator(r, graph):
    return of_node(r, graph, lambda f: change(f, onnx.NODE_OP, 0, lambda _: r.choice(OPERATORS).encode()))


def other_domain(r, graph):
    domain = r.choice(DOMAINS)
    return of_node(r, graph, lambda f: onnx.put(f, onnx.NODE_DOMAIN, domain))


def odd_name(r, graph):
    text = r.choice(ODD_TEXT)
    return of_node(r, graph, lambda f: onnx.put(f, onnx.NODE_NAME, text) if r.random() < 0.3 else change(f, r.choice((onnx.NODE_INPUT, onnx.NODE_OUTPUT)), any_of(r), lambda _: text))


# --- attributes

def drop_attribute(r, graph):
    return of_node(r, graph, lambda f: change(f, ATTRIBUTE, r.randrange(8), lambda _: None))


def odd_attribute(r, graph):
    """Integers of attributes, one or several."""
    number = lambda f: change(change(f, INTEGER, 0, lambda _: r.choice(ODD)), INTEGERS, r.randrange(8), lambda v: v if isinstance(v, bytes) else r.choice(ODD))
    for _ in range(r.choice((1, 1, 5))):
        graph = of_attribute(r, graph, number)
    return graph


def odd_value(r, graph):
    """Floats and texts of attributes."""
    text = lambda f: change(f, r.choice((STRING, STRINGS)), any_of(r), lambda _: r.choice(ODD_TEXT))
    return of_attribute(r, graph, lambda f: text(change(f, r.choice((FLOAT, FLOATS)), any_of(r), lambda v: v if isinstance(v, bytes) else r.choice(ODD_FLOATS))))


def other_attribute_type(r, graph):
    """What the attribute says it is, what it holds, or both become something else."""
    value = lambda: r.choice([(FLOAT, r.choice(ODD_FLOATS)), (INTEGER, r.choice(ODD)), (STRING, r.choice(ODD_TEXT)), (TENSOR, b""), (GRAPH, b""), (FLOATS, ODD_FLOATS[0]),
                              (INTEGERS, r.choice(ODD)), (STRINGS, b"a"), (TENSORS, b""), (GRAPHS, b""), (22, b""), (14, b""), (21, b"nothing")])

    def other(f):
        kept = [x for x in f if x[0] in (ATTRIBUTE_NAME, ATTRIBUTE_TYPE)]
        f = kept + [value() for _ in range(r.choice((0, 1, 1, 3)))] if r.random() < 0.7 else f
        return onnx.put(f, ATTRIBUTE_TYPE, r.randrange(17)) if r.random() < 0.7 else f
    return of_attribute(r, graph, other)


def longer_attribute(r, graph):
    """Lists of attributes longer or shorter than what they go with."""
    def other(f):
        number = r.choice([n for n, _ in f if n in (INTEGERS, FLOATS, STRINGS)] or [INTEGERS])
        values = [x for x in f if x[0] == number] or [(INTEGERS, 1)]
        return f + values * r.choice((1, 3, 100)) if r.random() < 0.5 else change(f, number, any_of(r), lambda _: None)
    return of_attribute(r, graph, other)


def other_attribute_name(r, graph):
    name = r.choice((b"axis", b"axes", b"value", b"body", b"then_branch", b"k", b"block_size", b"bits", b"to", b"equation", b"", b"\xff"))
    return of_attribute(r, graph, lambda f: onnx.put(f, ATTRIBUTE_NAME, name))


# --- tensors

def drop_tensor(r, graph):
    return change(graph, onnx.GRAPH_INITIALIZER, any_of(r), lambda _: None)


def double_tensor(r, graph):
    """A name twice, or two tensors under each other's names."""
    tensors = [v for n, v in graph if n == onnx.GRAPH_INITIALIZER]
    if not tensors:
        return graph
    name = onnx.get(onnx.parse(r.choice(tensors)), onnx.TENSOR_NAME)
    return of_tensor(r, graph, lambda t: onnx.put(t, onnx.TENSOR_NAME, r.choice((name, name, b"", *ODD_TEXT))))


def odd_dims(r, graph):
    return of_tensor(r, graph, lambda t: change(t, onnx.TENSOR_DIMS, r.randrange(4), lambda d: r.choice(ODD) if isinstance(d, int) else d))


def other_dims(r, graph):
    """As many elements, in other dims; or a little more or less; or other ranks."""
    def other(t):
        if r.random() < 0.3:
            return [(onnx.TENSOR_DIMS, r.choice((1, 1, 0, -1, 2))) for _ in range(r.choice((1, 2, 9, 70)))] + t
        return change(t, onnx.TENSOR_DIMS, r.randrange(4), lambda d: d + r.choice((-1, 1)) if isinstance(d, int) else d)
    return of_tensor(r, graph, other)


def other_type(r, graph):
    return of_tensor(r, graph, lambda t: change(t, onnx.TENSOR_TYPE, 0, lambda _: r.randrange(30)))


def odd_numbers(r, graph):
    """Bytes of a tensor's data: shapes, axes and indices are tensors."""
    def bytes_of(data):
        data = bytearray(data if isinstance(data, bytes) else b"")
        for _ in range(r.choice((1, 8))):
            if data:
                data[r.randrange(len(data))] = r.choice((0, 1, 127, 128, 255))
        return bytes(data)
    return of_tensor(r, graph, lambda t: change(t, r.choice((onnx.TENSOR_RAW, onnx.TENSOR_RAW, 4, 5, 7)), 0, lambda v: bytes_of(v) if isinstance(v, bytes) else r.choice(ODD)))


def other_data(r, graph):
    """Data in another field than its type has, twice, or cut."""
    def other(t):
        number = r.choice((onnx.TENSOR_RAW, 4, 5, 7, 10, 11))
        data = onnx.get(t, onnx.TENSOR_RAW)
        data = data if isinstance(data, bytes) else b""
        return [f for f in t if f[0] != onnx.TENSOR_RAW or r.random() < 0.3] + [(number, data[: r.choice((0, 1, 3, len(data) // 2, len(data)))])]
    return of_tensor(r, graph, other)


def texts(r, graph):
    """A tensor of texts."""
    def other(t):
        kept = [f for f in t if f[0] != onnx.TENSOR_RAW or r.random() < 0.2]
        return onnx.put(kept, onnx.TENSOR_TYPE, STRING_TYPE) + [(TENSOR_STRINGS, s) for s in r.choices(ODD_TEXT, k=r.choice((0, 1, 4)))]
    return of_tensor(r, graph, other)


def sparse(r, graph):
    """A tensor given by those elements that are not zero: SparseTensor 1 values, 2 indices, 3 dims; as it should be, and not."""
    tensors = [onnx.parse(v) for n, v in graph if n == onnx.GRAPH_INITIALIZER]
    name = onnx.get(r.choice(tensors), onnx.TENSOR_NAME, b"s") if tensors else b"s"
    count, dims = r.choice((0, 1, 3)), [r.choice((4, 4, 2, *ODD)) for _ in range(r.choice((1, 2, 2, 5)))]
    at = b"".join(r.choice((0, 1, 3, 3, *ODD)).to_bytes(8, "little", signed=True) for _ in range(count))
    values = onnx.write([(onnx.TENSOR_DIMS, r.choice((count, count, 7))), (onnx.TENSOR_TYPE, r.choice((1, 1, 8, 10))), (onnx.TENSOR_NAME, name), (onnx.TENSOR_RAW, bytes(4 * count))])
    indices = onnx.write([(onnx.TENSOR_DIMS, count), (onnx.TENSOR_TYPE, r.choice((7, 7, 6))), (onnx.TENSOR_RAW, at)])
    message = onnx.write([f for f in [(1, values), (2, indices), *((3, d) for d in dims)] if r.random() < 0.9])
    if r.random() < 0.3:  # or as a constant's
        constant = onnx.write([(ATTRIBUTE_NAME, b"sparse_value"), (22, message), (ATTRIBUTE_TYPE, 11)])
        graph = [(onnx.GRAPH_NODE, onnx.write([(onnx.NODE_OUTPUT, name), (onnx.NODE_OP, b"Constant"), (ATTRIBUTE, constant)]))] + graph
    else:
        graph = graph + [(SPARSE, message)]
    return drop_named(graph, name) if r.random() < 0.7 else graph


def drop_named(graph, name):
    return [(n, v) for n, v in graph if n != onnx.GRAPH_INITIALIZER or onnx.get(onnx.parse(v), onnx.TENSOR_NAME) != name]


def dangling(r, graph):
    """Data that is outside of the file: nowhere, behind the end, or outside of the folder."""
    where = r.choice((b"missing.bin", b"model.onnx", b"../model.onnx", b"/etc/passwd", b"../../../../etc/passwd", b"/dev/zero", b".", b"", b"link/passwd", b"a\0b", b"x" * 5000))
    entries = [(b"location", where), (b"offset", r.choice(ODD)), (b"length", r.choice(ODD)), (b"checksum", b"0"), (r.choice(ODD_TEXT), b"1")]
    entries = [(k, str(v).encode() if isinstance(v, int) else v) for k, v in entries if r.random() < 0.8]
    entries += [(k, r.choice((b"", b"1e3", b"0x10", b" 4", b"4x", b"9" * 40))) for k, _ in entries if r.random() < 0.1]
    messages = [(onnx.TENSOR_EXTERNAL, onnx.write([(onnx.ENTRY_KEY, k), (onnx.ENTRY_VALUE, v)])) for k, v in entries]
    return of_tensor(r, graph, lambda t: [f for f in t if f[0] != onnx.TENSOR_RAW] + [(onnx.TENSOR_LOCATION, 1), *messages])


# --- the interface

def odd_interface(r, graph):
    """Dims of inputs, outputs and values: ValueInfo 2 > Type 1 > Tensor 2 > Shape 1 > Dimension."""
    dim = lambda _: onnx.write([r.choice([(1, r.choice(ODD)), (2, r.choice((b"T", b"sequence", b"", b"past")))])])
    shape = lambda f: change(f, 1, r.randrange(4), dim) if r.random() < 0.8 else change(f, 1, r.randrange(4), lambda _: None)
    tensor = lambda f: change(f, 2, 0, inside(shape)) if r.random() < 0.8 else change(f, 1, 0, lambda _: r.randrange(30))
    info = inside(lambda f: change(f, 2, 0, inside(lambda g: change(g, 1, 0, inside(tensor)))))
    return change(graph, r.choice((INPUT, OUTPUT, VALUE)), any_of(r), info)


def other_kind(r, graph):
    """An input or output that is a sequence (4), map (5), sparse tensor (8) or optional (9), or of texts."""
    element = onnx.write([(1, onnx.write([(1, r.choice((1, 7, STRING_TYPE)))]))])
    kinds = [(4, onnx.write([(1, element)])), (5, onnx.write([(1, 7), (2, element)])), (8, onnx.write([(1, 1)])), (9, onnx.write([(1, element)])), (1, onnx.write([(1, STRING_TYPE)])),
             (4, b""), (9, b"")]
    return change(graph, r.choice((INPUT, OUTPUT, VALUE)), any_of(r), inside(lambda f: onnx.put(f, 2, onnx.write([r.choice(kinds)]))))


def drop_interface(r, graph):
    return change(graph, r.choice((INPUT, OUTPUT)), any_of(r), lambda _: None)


def double_interface(r, graph):
    fields = [f for f in graph if f[0] in (INPUT, OUTPUT)]
    return graph + [r.choice(fields)] if fields else graph


OF_A_GRAPH = (drop_node, double_node, swap_nodes, rewire, rename_output, other_counts, other_operator, other_domain, odd_name, drop_attribute, odd_attribute, odd_value,
              other_attribute_type, longer_attribute, other_attribute_name, drop_tensor, double_tensor, odd_dims, other_dims, other_type, odd_numbers, other_data, texts, sparse,
              dangling, odd_interface, other_kind, drop_interface, double_interface)
