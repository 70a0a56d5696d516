#!/usr/bin/env python3
"""Damaged copies of real exports: qbc answers each with an artifact or with errors, and never with a crash, a hang or a GiB.

    mutations_test.py [ROUNDS [SEED]]

Beside bytes that are changed, what the file means is: nodes left out, doubled, put into a circle or turned into other operators; dims of inputs, values and tensors
that are 0, negative or huge; other element types; tensors that are missing, or outside of the file where nothing is, or outside of the folder. Rounds: a
minute's worth; 2,000 with QBC_TEST_ALL. QBC names another compiler, for example one with sanitizers; what fails is kept in the folder printed first.
"""
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import onnx_file as onnx
import tools

QBC = pathlib.Path(os.environ.get("QBC", tools.QBC))
MOST_SECONDS, MOST_BYTES, LARGEST = 120, 1 << 30, 1_500_000
INPUT, OUTPUT, VALUE, ATTRIBUTE = 11, 12, 13, 5
ODD = (0, 1, -1, 2, 7, 1 << 20, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, -(1 << 63))
OPERATORS = ("Add", "MatMul", "Softmax", "Reshape", "Transpose", "Gather", "Concat", "Slice", "Where", "Shape", "Expand", "Cast", "Split", "TopK", "Loop", "If", "Nothing")
LEFT_IN_PLACE = ("model.onnx.data",)


def exports():
    """Those that are small enough; the bundled one is not."""
    models = tools.SHARED / "models"
    return sorted(p for p in models.glob("*/*/model.onnx") if p.stat().st_size < LARGEST and "docs-4m" not in str(p))


# --- what a mutation does: fields of a graph in, other fields out

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


def drop_node(r, graph):
    return change(graph, onnx.GRAPH_NODE, r.randrange(1 << 20), lambda _: None)


def double_node(r, graph):
    nodes = [v for n, v in graph if n == onnx.GRAPH_NODE]
    return graph + [(onnx.GRAPH_NODE, r.choice(nodes))]


def swap_nodes(r, graph):
    at = [i for i, (n, _) in enumerate(graph) if n == onnx.GRAPH_NODE]
    i, j = r.choice(at), r.choice(at)
    graph[i], graph[j] = graph[j], graph[i]
    return graph


def names(graph):
    return [v for n, node in graph if n == onnx.GRAPH_NODE for m, v in onnx.parse(node) if m in (onnx.NODE_INPUT, onnx.NODE_OUTPUT)]


def rewire(r, graph):
    """An input of a node becomes another value: often a later one, so that there is a circle."""
    other = r.choice(names(graph))
    return change(graph, onnx.GRAPH_NODE, r.randrange(1 << 20), inside(lambda f: change(f, onnx.NODE_INPUT, r.randrange(8), lambda _: other)))


def rename_output(r, graph):
    other = r.choice(names(graph))
    return change(graph, onnx.GRAPH_NODE, r.randrange(1 << 20), inside(lambda f: change(f, onnx.NODE_OUTPUT, r.randrange(4), lambda _: other)))


def other_operator(r, graph):
    return change(graph, onnx.GRAPH_NODE, r.randrange(1 << 20), inside(lambda f: change(f, onnx.NODE_OP, 0, lambda _: r.choice(OPERATORS).encode())))


def drop_attribute(r, graph):
    return change(graph, onnx.GRAPH_NODE, r.randrange(1 << 20), inside(lambda f: change(f, ATTRIBUTE, r.randrange(8), lambda _: None)))


def odd_attribute(r, graph):
    """Integers of attributes: field 3 is one, 8 are several."""
    number = lambda f: change(change(f, 3, 0, lambda _: r.choice(ODD)), 8, r.randrange(8), lambda v: v if isinstance(v, bytes) else r.choice(ODD))
    for _ in range(20):
        graph = change(graph, onnx.GRAPH_NODE, r.randrange(1 << 20), inside(lambda f: change(f, ATTRIBUTE, r.randrange(8), inside(number))))
    return graph


def drop_tensor(r, graph):
    return change(graph, onnx.GRAPH_INITIALIZER, r.randrange(1 << 20), lambda _: None)


def of_tensor(r, graph, f):
    return change(graph, onnx.GRAPH_INITIALIZER, r.randrange(1 << 20), inside(f))


def odd_dims(r, graph):
    return of_tensor(r, graph, lambda t: change(t, onnx.TENSOR_DIMS, r.randrange(4), lambda d: r.choice(ODD) if isinstance(d, int) else d))


def other_dims(r, graph):
    """As many elements, in other dims; or a little more or less."""
    return of_tensor(r, graph, lambda t: change(t, onnx.TENSOR_DIMS, r.randrange(4), lambda d: d + r.choice((-1, 1)) if isinstance(d, int) else d))


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
    return of_tensor(r, graph, lambda t: change(t, onnx.TENSOR_RAW, 0, bytes_of))


def dangling(r, graph):
    """Data that is outside of the file: nowhere, behind the end, or outside of the folder."""
    where = r.choice((b"missing.bin", b"model.onnx", b"../model.onnx", b"/etc/passwd", b"../../../../etc/passwd", b"/dev/zero", b"."))
    offset, length = r.choice(ODD), r.choice(ODD)
    entries = [(onnx.TENSOR_EXTERNAL, onnx.write([(onnx.ENTRY_KEY, k), (onnx.ENTRY_VALUE, str(v).encode() if isinstance(v, int) else v)]))
               for k, v in ((b"location", where), (b"offset", offset), (b"length", length)) if r.random() < 0.9]
    return of_tensor(r, graph, lambda t: [f for f in t if f[0] != onnx.TENSOR_RAW] + [(onnx.TENSOR_LOCATION, 1), *entries])


def odd_interface(r, graph):
    """Dims of inputs, outputs and values: ValueInfo 2 > Type 1 > Tensor 2 > Shape 1 > Dimension."""
    dim = lambda _: onnx.write([r.choice([(1, r.choice(ODD)), (2, r.choice((b"T", b"sequence", b"", b"past")))])])
    shape = lambda f: change(f, 1, r.randrange(4), dim) if r.random() < 0.8 else change(f, 1, r.randrange(4), lambda _: None)
    tensor = lambda f: change(f, 2, 0, inside(shape)) if r.random() < 0.8 else change(f, 1, 0, lambda _: r.randrange(30))
    info = inside(lambda f: change(f, 2, 0, inside(lambda g: change(g, 1, 0, inside(tensor)))))
    return change(graph, r.choice((INPUT, OUTPUT, VALUE)), r.randrange(8), info)


def drop_interface(r, graph):
    return change(graph, r.choice((INPUT, OUTPUT)), r.randrange(8), lambda _: None)


MUTATIONS = (drop_node, double_node, swap_nodes, rewire, rename_output, other_operator, drop_attribute, odd_attribute, drop_tensor, odd_dims, other_dims, other_type,
             odd_numbers, dangling, odd_interface, drop_interface)


def flip_bytes(r, data):
    data = bytearray(data)
    for _ in range(r.choice((1, 3, 30))):
        data[r.randrange(len(data))] = r.randrange(256)
    if r.random() < 0.2:
        del data[r.randrange(len(data)) :]
    return bytes(data)


def mutated(r, data):
    """What was done, and the file."""
    if r.random() < 0.25:
        return "flip_bytes", flip_bytes(r, data)
    chosen = [r.choice(MUTATIONS) for _ in range(r.choice((1, 1, 1, 2, 4)))]
    model = onnx.parse(data)
    for f in chosen:
        model = change(model, onnx.MODEL_GRAPH, 0, inside(lambda graph: f(r, graph)))
    if r.random() < 0.05:
        model = change(model, onnx.MODEL_OPSET, 0, inside(lambda o: change(o, onnx.OPSET_VERSION, 0, lambda _: r.choice((1, 6, 9, 11, 13, 28, 1000)))))
    return "+".join(f.__name__ for f in chosen), onnx.write(model)


# --- what qbc says

def compiled(model):
    """None, or what is wrong; and how it ended."""
    with tempfile.TemporaryFile() as said:
        start = time.monotonic()
        p = subprocess.Popen([QBC, model, "-quant=i4g32", "-tokenizer=none", "-o", model.parent / "m.qbm"], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        while True:
            pid, status, usage = os.wait4(p.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - start > MOST_SECONDS:
                p.kill()
                os.wait4(p.pid, 0)
                return f"over {MOST_SECONDS} s", "slow"
            time.sleep(0.01)
        p.returncode = code = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    if code not in (0, 1) or "Sanitizer" in text or "runtime error:" in text:
        return f"exit status {code}: {text[-3000:]}", "crash"
    if code == 1 and "error:" not in text:
        return f"no error was said: {text[-300:]}", "silent"
    if code == 1 and (model.parent / "m.qbm").exists():
        return "an artifact was left behind", "leftover"
    limit = MOST_BYTES * (3 if "QBC" in os.environ else 1)  # sanitizers keep what was freed
    if usage.ru_maxrss * 1024 > limit:
        return f"{usage.ru_maxrss >> 10} MiB", "large"
    return None, "compiled" if code == 0 else "refused"


def one_round(folder, number, seed, files):
    r = random.Random(f"{seed}.{number}")
    source = r.choice(files)
    what, data = mutated(r, source.read_bytes())
    (folder / "model.onnx").write_bytes(data)
    for name in LEFT_IN_PLACE:
        (folder / name).unlink(missing_ok=True)
        if (source.parent / name).exists():
            os.symlink(source.parent / name, folder / name)
    problem, end = compiled(folder / "model.onnx")
    if problem:
        kept = folder.parent / f"{number}-{end}.onnx"
        shutil.copy(folder / "model.onnx", kept)
        print(f"FAIL {kept.name} {source.parent.relative_to(source.parents[2])} {what}: {problem}", flush=True)
    (folder / "m.qbm").unlink(missing_ok=True)
    return end


def main(rounds=0, seed=1, first=0):
    files = exports()
    if not files or not QBC.exists():
        print("skipped: no exports, or no compiler")
        return tools.SKIPPED
    rounds = int(rounds) or (2000 if os.environ.get("QBC_TEST_ALL") else 60)
    ends = {}
    path = pathlib.Path(tempfile.mkdtemp(prefix="qbc-mutations-"))
    print(f"{rounds} rounds of {len(files)} exports in {path}", flush=True)
    (path / "work").mkdir()
    for number in range(int(first), int(first) + rounds):
        end = one_round(path / "work", number, seed, files)
        ends[end] = ends.get(end, 0) + 1
    print(ends)
    bad = rounds - ends.get("compiled", 0) - ends.get("refused", 0)
    if not bad:
        shutil.rmtree(path)
    return 1 if bad or not ends.get("compiled") or not ends.get("refused") else 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main(*sys.argv[1:]))
