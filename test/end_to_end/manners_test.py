#!/usr/bin/env python3
"""What goes wrong is said well, on the real command line: where, what, what to do; exit status 1; and no file is left or changed.

Damaged models are edits of a tiny model (onnx_file.py), and of the bundled one where it must be a real one."""
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from onnx_file import *
from tools import MODEL, QBC, run

failures = []


def check(condition, what):
    if not condition:
        failures.append(what)
        print(f"not so: {what}", flush=True)


def files_in(work):
    """Every file, and when it was changed."""
    return {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}


def complains(work, what, words, *options, model="model.onnx", output="out.qbm", prefix=(), **more):
    """qbc in folder `work` fails with exit status 1, an error that has all of `words`, and leaves no other files than were there."""
    before = files_in(work)
    command = [*prefix, QBC, *([model] if model else []), *options, *(["-o", output] if output else [])]
    p = subprocess.run([str(c) for c in command], cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, **more)
    check(p.returncode == 1, f"{what}: exit status 1, not {p.returncode}: {p.stderr[-300:]}")
    check("error: " in p.stderr, f"{what}: says error: {p.stderr[-300:]}")
    for word in words:
        check(word in p.stderr, f"{what}: names {word!r}: {p.stderr[-300:]}")
    after = files_in(work)
    check(before == after, f"{what}: leaves {sorted(p.name for p in after if before.get(p) != after[p])}")


# --- the command line


def test_options(work):
    (work / "model.onnx").write_bytes(tiny_model())
    for option, *words in (
        ("-qunat=i8g32", "unknown option '-qunat=i8g32'", "did you mean '-quant='?"),
        ("--lits-targets", "did you mean '--list-targets'?"),
        ("-frobnicate", "unknown option", "qbc -h"),
        ("-target=x86-64-v33", "unknown target", "did you mean 'x86-64-v3'?"),
        ("-target=pdp11", "unknown target 'pdp11'", "--list-targets"),
        ("-target=", "unknown target"),
        ("-quant=i4q32", "no format 'i4q32'", "did you mean 'i4g32'?"),
        ("-quant=float", "no format 'float'", "see qbc --list-formats"),
        ("-quant-tensor=ffn", "REGEX=FORMAT"),
        ("-quant-tensor=[=i8g32", "regular expression"),
        ("-quant-tensor=ffn=i8q32", "did you mean 'i8g32'?"),
        ("-emit=grpah", "did you mean 'graph'?"),
        ("-emit=elephant", "qbc -h"),
        ("-emit=shraed", "did you mean 'shared'?"),
        ("-prefix=model", "-emit=qbm has none"),
        ("-fit=rnage", "did you mean 'range'?"),
        ("-ctx=0", "-ctx=0", "from 1 up"),
        ("-ctx=many", "from 1 up"),
        ("-chunk=-1", "from 1 up"),
        ("-threads=2x", "from 1 up"),
        ("-print-after=fuse-dequnat", "did you mean 'fuse-dequant'?"),
        ("-weights=other.onnx", ".mlir"),
        ("-tokenizer=nowhere.json", "nowhere.json", "No such file"),
        ("-tokenizer=model.onnx", "model.onnx", "JSON"),
        ("other.onnx", "only one model"),
    ):
        complains(work, option, words, option)
    complains(work, "no model", ["no model", "qbc -h"], model=None)
    complains(work, "-o without a name", ["-o", "missing"], "-o", output=None)
    complains(work, "-o before an option", ["-o", "missing"], "-o", "-q", output=None)


def test_help():
    for tool, words in (("qbc", ["-target=", "-quant=", "-emit=", "examples"]), ("qbc-opt", ["-weights=", "-fuse-dequant"]), ("qbrun", ["--temp", "--ppl"])):
        for flag in ("-h", "--help"):
            page = run(QBC.parent / tool, flag)
            check(all(word in page.stdout for word in words) and not page.stderr, f"{tool} {flag}: {page.stdout[:200]}")
            check(max(map(len, page.stdout.split("\n"))) <= 100, f"{tool} {flag}: lines fit on a screen")
    for flag, words in (("--list-targets", ["native", "armv8", "AVX2"]), ("--list-formats", ["i4g32", "4.500"]), ("--list-passes", ["fuse-dequant"])):
        check(all(word in run(QBC, flag).stdout for word in words), f"qbc {flag}")
    with open("/dev/full", "w") as full:
        p = subprocess.run([QBC, "-h"], stdout=full, stderr=subprocess.PIPE, text=True)
        check(p.returncode == 1 and "No space left" in p.stderr, f"qbc -h on a full disk: {p.returncode} {p.stderr}")


def test_qbc_opt(work):
    (work / "x.mlir").write_text("func.func @f() { return }\n")
    opt = QBC.parent / "qbc-opt"
    for args, word in ((["-fuse-dequnat"], "did you mean '-fuse-dequant'?"), (["-target=x86-64-v33", "x.mlir"], "x86-64-v3"), (["none.mlir"], "none.mlir: error"),
                       (["-ctx=0", "x.mlir"], "from 1 up"), (["-weights=none.onnx", "x.mlir"], "none.onnx")):
        p = run(opt, *args, code=1, cwd=work)
        check(word in p.stderr and "error: " in p.stderr, f"qbc-opt {args}: {p.stderr}")
    check("func.func @f" in run(opt, "x.mlir", cwd=work).stdout, "qbc-opt reads and prints")


# --- models


def nan_at(row, column, value=float("nan")):
    def change(fields):
        raw = bytearray(get(fields, TENSOR_RAW))
        columns = [v for n, v in fields if n == TENSOR_DIMS][1]
        struct.pack_into("<f", raw, 4 * (row * columns + column), value)
        return put(fields, TENSOR_RAW, bytes(raw))

    return change


def edited(change, name):
    """The tiny model with one tensor changed."""
    return change_graph(tiny_model(), GRAPH_INITIALIZER, change, lambda fields: get(fields, TENSOR_NAME) == name.encode())


def test_operations(work):
    real = MODEL.read_bytes()
    for what, data, *words in (
        ("unknown operation", change_node(real, "Sigmoid", lambda n: put(n, NODE_OP, b"Frobnicate")), "layers.0/mlp/act_fn/Sigmoid: ", "Frobnicate", "opset 18"),
        ("misspelt operation", change_node(real, "Sigmoid", lambda n: put(n, NODE_OP, b"Sigmoyd")), "did you mean Sigmoid?"),
        ("unknown domain", change_node(real, "Sigmoid", lambda n: put(n, NODE_DOMAIN, b"my.domain")), "my.domain", "did you mean Sigmoid of ONNX's own domain?"),
        ("not understood", change_node(real, "Sigmoid", lambda n: put(n, NODE_OP, b"Sign")), "layers.0/mlp/act_fn/Sigmoid: ", "Sign is not understood"),
        ("opset too new", inside(real, MODEL_OPSET, lambda o: put(o, OPSET_VERSION, 99)), "opset 99", "older opset"),
        ("opset too old", inside(real, MODEL_OPSET, lambda o: put(o, OPSET_VERSION, 5)), "opset 5", "export again"),
        ("an input from nowhere", change_node(real, "Sigmoid", lambda n: put(n, NODE_INPUT, b"nothing")), "'nothing'", "not defined"),
        ("a cycle", change_node(real, "Sigmoid", lambda n: put(n, NODE_INPUT, get(n, NODE_OUTPUT))), "depends on itself"),
        ("a name twice", change_node(real, "Sigmoid", lambda n: put(n, NODE_OUTPUT, b"input_ids")), "'input_ids'"),
    ):
        (work / "model.onnx").write_bytes(data)
        complains(work, what, words)


def test_tensors(work):
    (work / "weights.bin").write_bytes(bytes(1000))
    for what, change, *words in (
        ("external data missing", lambda t: external(t, "absent.bin"), "'absent.bin'", "'embed'", "No such file", "beside the model"),
        ("external data short", lambda t: external(t, "weights.bin"), "'weights.bin'", "1000"),
        ("external data beyond the end", lambda t: external(t, "weights.bin", 1 << 40, 24576), "'weights.bin'"),
        ("external offset negative", lambda t: external(t, "weights.bin", -8), "'offset'"),
        ("external data of another size", lambda t: external(t, "weights.bin", 0, 64), "64"),
        ("external data outside", lambda t: external(t, "../weights.bin"), "'../weights.bin'", "inside the model's folder"),
        ("external data anywhere", lambda t: external(t, "/etc/passwd"), "'/etc/passwd'"),
        ("more dimensions than data", lambda t: put(t, TENSOR_DIMS, 1 << 20, 1 << 20), "'embed'", "holds 24576"),
        ("dimensions that overflow", lambda t: put(t, TENSOR_DIMS, 1 << 62, 4), "'embed'", "too many"),
        ("dimension below zero", lambda t: put(t, TENSOR_DIMS, -1, 64), "'embed'", "negative"),
        ("element type unknown", lambda t: put(t, TENSOR_TYPE, 99), "'embed'", "type 99"),
        ("elements are strings", lambda t: put(t, TENSOR_TYPE, 8), "'embed'"),
        ("data cut", lambda t: put(t, TENSOR_RAW, b"1234"), "'embed'", "holds 4"),
    ):
        (work / "model.onnx").write_bytes(edited(change, "embed"))
        complains(work, what, words)


def test_numbers(work):
    for what, change, name, options, *words in (
        ("NaN, f32", nan_at(5, 7), "embed", [], "'embed'", "NaN at row 5, column 7"),
        ("NaN, i4g32", nan_at(5, 7), "embed", ["-quant=i4g32"], "'embed'", "NaN at row 5, column 7"),
        ("NaN, searched", nan_at(5, 7), "embed", ["-quant=i4g128z", "-fit=range"], "NaN at row 5, column 7"),
        ("NaN, transposed", nan_at(5, 7), "head", ["-quant=i8g32"], "NaN at row 7, column 5"),
        ("infinity", nan_at(0, 63, float("inf")), "embed", ["-quant=i8g32"], "infinity at row 0, column 63"),
        ("too large for f16", nan_at(1, 2, 1e30), "embed", ["-quant=f16"], "'embed'", "row 1, column 2", "-quant-tensor="),
        ("too large for a scale", nan_at(1, 2, 1e30), "embed", ["-quant=i4g32"], "'embed'", "row 1", "-quant-tensor="),
    ):
        (work / "model.onnx").write_bytes(edited(change, name))
        complains(work, what, words, *options)


def test_files(work):
    whole, real = tiny_model(), MODEL.read_bytes()
    for what, data in (("empty", b""), ("text", b"no model at all\n" * 99), ("zeros", bytes(4096)), ("random", np.random.default_rng(3).bytes(4096))):
        (work / "model.onnx").write_bytes(data)
        complains(work, f"a file of {what}", ["model.onnx: error: "])
    for size in [*range(1, 400, 7), *range(400, len(whole), 4999), len(whole) - 1]:
        (work / "model.onnx").write_bytes(whole[:size])
        complains(work, f"cut at {size}", ["model.onnx:"])
    for size in (10_000, len(real) // 2, len(real) - 1):
        (work / "model.onnx").write_bytes(real[:size])
        complains(work, f"the real model cut at {size}", ["model.onnx:"])
    (work / "model.onnx").unlink()
    complains(work, "no file", ["model.onnx: error: ", "No such file"])
    (work / "model.onnx").mkdir()
    complains(work, "a folder", ["model.onnx: error: "])


def test_lies(work):
    """Bytes changed at random in a model's skeleton: an error or a run, never a crash, and never a partial file."""
    whole = bytearray(tiny_model(vocab=4, width=4))
    numbers = np.random.default_rng(2)
    for i in range(120):
        data = bytearray(whole)
        for at in numbers.integers(0, len(data), 1 + i % 3):
            data[at] = numbers.integers(0, 256)
        (work / "model.onnx").write_bytes(data)
        p = subprocess.run([QBC, "model.onnx", "-emit=graph", "-o", "out.mlir"], cwd=work, capture_output=True, text=True, errors="replace", timeout=60)
        there = (work / "out.mlir").exists()
        check(p.returncode in (0, 1), f"lie {i}: exit status {p.returncode}: {p.stderr[-200:]}")
        check(there == (p.returncode == 0) and (there or "error: " in p.stderr), f"lie {i}: file and status agree: {p.stderr[-200:]}")
        if there:
            (work / "out.mlir").unlink()


# --- where the output goes


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


def test_output(work):
    (work / "model.onnx").write_bytes(tiny_model())
    (work / "folder").mkdir()
    (work / "file").write_text("")
    (work / "kept.qbm").write_text("what was there before")
    complains(work, "no such folder", ["nowhere/out.qbm: error: ", "No such file"], output="nowhere/out.qbm")
    complains(work, "a file for a folder", ["Not a directory"], output="file/out.qbm")
    complains(work, "a folder for a file", ["Is a directory"], output="folder")
    complains(work, "a full device", ["No space left"], output="/dev/full")
    complains(work, "a limit on files", ["File too large"], preexec_fn=small_files)
    complains(work, "a limit on files, a file replaced", ["File too large"], output="kept.qbm", preexec_fn=small_files)
    complains(work, "a limit on files, text", ["File too large"], "-emit=asm", output="out.s", preexec_fn=small_files)
    with open("/dev/full", "w") as full:
        p = subprocess.run([QBC, "model.onnx", "-emit=graph"], cwd=work, stdout=full, stderr=subprocess.PIPE, text=True)
        check(p.returncode == 1 and "No space left" in p.stderr, f"text on a full device: {p.stderr}")
    without_privilege = ["setpriv", "--bounding-set", "-dac_override"] if os.getuid() == 0 else []
    (work / "folder").chmod(0o555)
    if not without_privilege or (shutil.which("setpriv") and subprocess.run([*without_privilege, "true"]).returncode == 0):
        complains(work, "a folder that may not be written", ["Permission denied"], output="folder/out.qbm", prefix=without_privilege)
    (work / "folder").chmod(0o755)


def test_full_disk(work):
    """A real one, where mounting is allowed."""
    (work / "model.onnx").write_bytes(tiny_model())
    (work / "disk").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", work / "disk"], stderr=subprocess.DEVNULL).returncode:
        print("no full disk: mounting is not allowed here")
        return
    try:
        complains(work, "a full disk", ["disk/out.qbm: error: ", "No space left"], output="disk/out.qbm")
    finally:
        subprocess.run(["umount", work / "disk"], check=True)


# --- interruptions, and long work


SLOW = 1 << 13, 1 << 15, 1 << 17  # tokens of a model that is slow to fit; more for a machine on which it is not


def slow_model(work, vocabulary=SLOW[0]):
    (work / "model.onnx").write_bytes(tiny_model(vocab=vocabulary, width=1024))
    return [QBC, "model.onnx", "-quant=i4g128z", "-fit=range", "-threads=1", "-o", "out.qbm"]


def stopped_while_writing(p, work, there):
    """Waits until the process has a file more than `there` was, and stops it; false where it was through before."""
    while {path.name for path in work.iterdir()} == there:
        if p.poll() is not None:
            return False
        time.sleep(0.001)
    p.send_signal(signal.SIGSTOP)
    ended = os.waitid(os.P_PID, p.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT).si_code != os.CLD_STOPPED
    return not ended and {path.name for path in work.iterdir()} != there


def ended_by(number, work, there):
    """The exit status of a compilation that is interrupted while it writes; None where none is slow enough."""
    for vocabulary in SLOW:
        p = subprocess.Popen(slow_model(work, vocabulary), cwd=work, stderr=subprocess.PIPE)
        if stopped_while_writing(p, work, there):
            p.send_signal(number)
            p.send_signal(signal.SIGCONT)
            return p.wait(300)
        check(p.wait() == 0, f"a model of {vocabulary} tokens is compiled")
        (work / "out.qbm").write_text("what was there before")
    return None


def test_interrupted(work):
    (work / "model.onnx").touch()
    (work / "out.qbm").write_text("what was there before")
    there = {path.name for path in work.iterdir()}
    for number in (signal.SIGINT, signal.SIGTERM):
        status = ended_by(number, work, there)
        check(status == -number, f"{number!r} ends it: {status}")
        check({path.name for path in work.iterdir()} == there, f"{number!r} leaves {[path.name for path in work.iterdir()]}")
        check((work / "out.qbm").read_text() == "what was there before", f"{number!r} leaves the file as it was")


def hold_up(p, work, there, stops=10):
    """Makes fitting take longer than what progress lines wait for, on machines of any speed: stops it for 0.25 s after each 5 ms."""
    for _ in range(stops):
        if not stopped_while_writing(p, work, there):
            break
        time.sleep(0.25)
        p.send_signal(signal.SIGCONT)
        time.sleep(0.005)


def on_a_terminal(command, work):
    """What qbc writes to a terminal when it is held up, and its exit status."""
    there = {path.name for path in work.iterdir()}
    here, other = pty.openpty()
    p = subprocess.Popen([str(c) for c in command], cwd=work, stdin=other, stdout=other, stderr=other)
    os.close(other)
    hold_up(p, work, there)
    text = b""
    while True:
        try:
            piece = os.read(here, 4096)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(here)
    return text.decode(), p.wait()


def test_terminal(work):
    for vocabulary in SLOW:
        try:
            text, status = on_a_terminal(slow_model(work, vocabulary), work)
        except OSError as why:
            print(f"no terminals here: {why}")
            return
        (work / "out.qbm").unlink(missing_ok=True)
        if text:
            break
    check(status == 0 and re.search(r"\rfitting weights \[[#.]{20}\] \d+ %", text), f"a progress line on a terminal: {text!r}")
    check(re.search(r"%, \d+:\d\d left", text), f"with an estimate of the time left: {text!r}")
    check(text.endswith("\r\x1b[K"), f"the progress line is gone at the end: {text[-40:]!r}")
    text, status = on_a_terminal([*slow_model(work, vocabulary), "-q"], work)
    check(status == 0 and not text, f"none with -q: {text!r}")


def test_silence(work):
    """Without a terminal, however long it takes."""
    command = slow_model(work)
    there = {path.name for path in work.iterdir()}
    p = subprocess.Popen([str(c) for c in command], cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    hold_up(p, work, there)
    said = p.communicate()[0]
    check(p.returncode == 0 and not said, f"silence where there is no terminal: {said!r}")


def main():
    test_help()
    for test in (test_options, test_qbc_opt, test_operations, test_tensors, test_numbers, test_files, test_lies, test_output, test_full_disk, test_interrupted, test_terminal, test_silence):
        start = time.time()
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder))
        print(f"{test.__name__}: {time.time() - start:.1f} s", flush=True)
    print(f"{len(failures)} complaints" if failures else "good manners")
    return 1 if failures else 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, as in a job in the background, our children would ignore it too
    sys.exit(main())
