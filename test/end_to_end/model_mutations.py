"""Damage to ONNX models beyond one graph (mutations.py): operator sets and versions, functions of the model and calls of them, branches and loops around nodes.
mutated() makes the copies that mutations_test.py compiles."""
import mutations as m
import onnx_file as onnx

MODEL_VERSION, MODEL_FUNCTION = 1, 25
FUNCTION_INPUT, FUNCTION_OUTPUT, FUNCTION_ATTRIBUTE, FUNCTION_NODE, FUNCTION_OPSET, FUNCTION_DOMAIN = 4, 5, 6, 7, 9, 10
VERSIONS = (0, 1, 6, 7, 9, 11, 13, 17, 22, 28, 1000, -1, (1 << 63) - 1)


def of_graph(model, f):
    return m.change(model, onnx.MODEL_GRAPH, 0, m.inside(f))


# --- operator sets

def other_opset(r, model):
    return m.change(model, onnx.MODEL_OPSET, m.any_of(r), m.inside(lambda o: onnx.put(o, onnx.OPSET_VERSION, r.choice(VERSIONS))))


def drop_opset(r, model):
    return m.change(model, onnx.MODEL_OPSET, m.any_of(r), lambda _: None)


def more_opsets(r, model):
    return model + [(onnx.MODEL_OPSET, onnx.write([(1, r.choice(m.DOMAINS)), (onnx.OPSET_VERSION, r.choice(VERSIONS))]))]


def other_version(r, model):
    return onnx.put(model, MODEL_VERSION, r.choice(VERSIONS))


# --- functions

def sides(node):
    """The names of a node's inputs and outputs."""
    return [[v for n, v in node if n == number] for number in (onnx.NODE_INPUT, onnx.NODE_OUTPUT)]


def call(name, inputs, outputs, op=b"F", domain=b"local"):
    return onnx.write([*((onnx.NODE_INPUT, i) for i in inputs), *((onnx.NODE_OUTPUT, o) for o in outputs), (onnx.NODE_NAME, name), (onnx.NODE_OP, op), (onnx.NODE_DOMAIN, domain)])


def call_function(r, model):
    """A node becomes the call of a function that holds it: as it should be; or the function calls itself, has other inputs, refers to attributes that nobody gives."""
    made = []

    def replace(data):
        node = onnx.parse(data)
        inputs, outputs = sides(node)
        body = [(FUNCTION_NODE, data)]
        if r.random() < 0.2:
            body = [(FUNCTION_NODE, call(b"again", inputs, outputs))]
        if r.random() < 0.2:
            body = [(n, m.inside(lambda f: m.change(f, m.ATTRIBUTE, 0, m.inside(lambda a: a + [(21, b"alpha")])))(v)) for n, v in body]
        if r.random() < 0.2:
            inputs = inputs[1:] + [b"more"] * r.randrange(3)
        opsets = [(FUNCTION_OPSET, v) for n, v in model if n == onnx.MODEL_OPSET]
        made.append(onnx.write([(1, b"F"), *((FUNCTION_INPUT, i) for i in inputs), *((FUNCTION_OUTPUT, o) for o in outputs), *body, *opsets, (FUNCTION_DOMAIN, b"local")]))
        return call(b"call", *sides(node))
    model = of_graph(model, lambda g: m.change(g, onnx.GRAPH_NODE, m.any_of(r), replace))
    return model + [(MODEL_FUNCTION, f) for f in made] + [(onnx.MODEL_OPSET, onnx.write([(1, b"local"), (onnx.OPSET_VERSION, 1)]))]


def damage_function(r, model):
    """A function's nodes take part in what is done to graphs; or its sides change."""
    def as_graph(fields):
        nodes = [(onnx.GRAPH_NODE, v) for n, v in fields if n == FUNCTION_NODE]
        nodes = r.choice(m.OF_A_GRAPH)(r, nodes) if nodes else nodes
        return onnx.put(fields, FUNCTION_NODE, *(v for n, v in nodes if n == onnx.GRAPH_NODE))
    def sides_of(fields):
        number = r.choice((FUNCTION_INPUT, FUNCTION_OUTPUT, FUNCTION_ATTRIBUTE, FUNCTION_OPSET, FUNCTION_DOMAIN, 1, 11))
        return m.change(fields, number, m.any_of(r), lambda v: r.choice((None, b"", b"other", v)))
    return m.change(model, MODEL_FUNCTION, m.any_of(r), m.inside(as_graph if r.random() < 0.6 else sides_of))


# --- branches and loops

def graph_of(name, node, outputs, inputs=()):
    info = lambda n, kind=1: onnx.write([(1, n), (2, onnx.write([(1, onnx.write([(1, kind)]))]))])
    return onnx.write([(onnx.GRAPH_NODE, node), (2, name), *((m.INPUT, info(*i)) for i in inputs), *((m.OUTPUT, info(o)) for o in outputs)])


def attribute_graph(name, graph):
    return m.ATTRIBUTE, onnx.write([(m.ATTRIBUTE_NAME, name), (m.GRAPH, graph), (m.ATTRIBUTE_TYPE, 5)])


def scalar(name, kind, data):
    return onnx.GRAPH_INITIALIZER, onnx.write([(onnx.TENSOR_TYPE, kind), (onnx.TENSOR_NAME, name), (onnx.TENSOR_RAW, data)])


def into_branch(r, model):
    """A node goes into both branches of an If, whose condition is a weight, an output of another node, or nothing."""
    def replace(g):
        condition = r.choice((b"condition", b"condition", r.choice(m.names(g)), b""))
        def wrap(data):
            outputs = sides(onnx.parse(data))[1]
            branches = [attribute_graph(n, graph_of(n, data, outputs)) for n in (b"then_branch", b"else_branch") if r.random() < 0.95]
            return onnx.write([(onnx.NODE_INPUT, condition), *((onnx.NODE_OUTPUT, o) for o in outputs), (onnx.NODE_OP, b"If"), *branches])
        return m.change(g, onnx.GRAPH_NODE, m.any_of(r), wrap) + [scalar(b"condition", 9, r.choice((b"\0", b"\1", b"\2")))]
    return of_graph(model, replace)


def into_loop(r, model):
    """A node goes into a Loop of some rounds that carries its outputs; the values before the first round are other values."""
    def replace(g):
        others = m.names(g)
        def wrap(data):
            outputs = sides(onnx.parse(data))[1]
            carried = [(o + b".before",) for o in outputs]
            body = graph_of(b"body", data, [b"more", *outputs], [(b"round", 7), (b"more", 9), *carried])
            starts = [r.choice(others) for _ in outputs]
            return onnx.write([*((onnx.NODE_INPUT, i) for i in (r.choice((b"rounds", b"")), r.choice((b"go", b"")), *starts)), *((onnx.NODE_OUTPUT, o) for o in outputs),
                               (onnx.NODE_OP, b"Loop"), attribute_graph(b"body", body)])
        rounds = r.choice((0, 1, 3, -1, 1 << 40, (1 << 63) - 1)).to_bytes(8, "little", signed=True)
        return m.change(g, onnx.GRAPH_NODE, m.any_of(r), wrap) + [scalar(b"rounds", 7, rounds), scalar(b"go", 9, b"\1")]
    return of_graph(model, replace)


def nested(r, model):
    """Graphs in graphs, deeper than anybody writes."""
    def replace(g):
        graph = onnx.write(g[-1:])
        for _ in range(r.choice((3, 60, 2000))):
            graph = onnx.write([(onnx.GRAPH_NODE, onnx.write([(onnx.NODE_OP, b"If"), (onnx.NODE_OUTPUT, b"y"), attribute_graph(b"then_branch", graph)]))])
        return g + onnx.parse(graph)
    return of_graph(model, replace)


OF_A_MODEL = (other_opset, other_opset, drop_opset, more_opsets, other_version, call_function, call_function, damage_function, into_branch, into_branch, into_loop, into_loop, nested)


def flip_bytes(r, data):
    data = bytearray(data)
    for _ in range(r.choice((1, 3, 30))):
        data[r.randrange(len(data))] = r.randrange(256)
    if r.random() < 0.2:
        del data[r.randrange(len(data)) :]
    return bytes(data)


def mutated(r, data):
    """What was done, and the file."""
    if r.random() < 0.2:
        return "flip_bytes", flip_bytes(r, data)
    done, model = [], onnx.parse(data)
    for _ in range(r.choice((1, 1, 1, 1, 1, 2, 4))):
        f = r.choice(OF_A_MODEL) if r.random() < 0.2 else r.choice(m.OF_A_GRAPH)
        done.append(f.__name__)
        if f in OF_A_MODEL:
            model = f(r, model)
        else:
            model = of_graph(model, lambda graph: m.deeper(r, graph, lambda g: f(r, g)) if r.random() < 0.5 else f(r, graph))
    return "+".join(done), onnx.write(model)
