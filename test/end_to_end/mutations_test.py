#!/usr/bin/env python3
"""Damaged copies of real exports: qbc answers each with an output or with errors, and never with a crash, a hang or a GiB.

    mutations_test.py [ROUNDS [SEED [FIRST]]] [--whole] [--of=exports|operators|texts]

What is done to a file: mutations.py, model_mutations.py. Copies are made of small exports, of the operator tests of ONNX, and of the models in test/fuzz/inputs, in
which is what these two lack. Most are compiled up to the plan of kernels, every 23rd to an artifact; with --whole
all are. Round N of a seed is always the same, so rounds may be divided (FIRST), and one alone be repeated. 2,000 rounds with QBC_TEST_ALL. QBC names another compiler,
for example one with sanitizers; what fails is kept in the folder printed first.
"""
import collections
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

import model_mutations
import tools

QBC = pathlib.Path(os.environ.get("QBC", tools.QBC))
MOST_CPU_SECONDS, MOST_SECONDS, MOST_BYTES, LARGEST = 120, 1200, 1 << 30, 1_500_000
LEFT_IN_PLACE = ("model.onnx.data", "small.bin")
OPERATORS_OF = ("If", "Loop", "Scan", "Sequence", "String", "Quantize", "QLinear", "Integer", "ai.onnx.ml", "Attention", "DFT", "STFT", "Einsum", "Resize", "Optional")


def exports():
    """Those that are small enough; the bundled one is not."""
    models = tools.SHARED / "models"
    return sorted(p for p in models.glob("*/*/model.onnx") if p.stat().st_size < LARGEST and "docs-4m" not in str(p))


def texts(folder):
    for path in sorted((tools.ROOT / "test/fuzz/inputs").glob("*.txt")):
        made = folder / path.stem / "model.onnx"
        made.parent.mkdir(parents=True)
        tools.run(sys.executable, tools.ROOT / "test/tools/onnx_write.py", path, made)
        (made.parent / "small.bin").write_bytes(bytes(12))
        yield made


def operators(folder):
    """Models of ONNX's operator tests, where there are some: half of them those of operators with graphs, texts, codes or many attributes."""
    archive = tools.SHARED / "data/onnx-node/onnx-node.tar.gz"
    if not archive.exists():
        return []
    with tarfile.open(archive) as tar:
        tar.extractall(folder, members=[m for m in tar if m.isfile() and m.name.endswith("/model.onnx") and m.size < LARGEST])
    files = sorted(folder.glob("*/model.onnx"))
    chosen = [p for p in files if any(word.encode() in p.read_bytes() for word in OPERATORS_OF)]
    return files + chosen * (len(files) // max(1, len(chosen)))


def sources(folder, kind):
    """Lists of files; a round takes one of a list."""
    kinds = {"exports": exports, "operators": lambda: operators(folder / "operators"), "texts": lambda: list(texts(folder / "texts"))}
    lists = [of() for name, of in kinds.items() if kind in (None, name)]
    return [files for files in lists if files]


# --- what qbc says

def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS + 1))


def finished(command):
    """Exit status (None: it took too long), what was said, most bytes in memory."""
    environment = {"ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=8", **os.environ}
    with tempfile.TemporaryFile() as said:
        start = time.monotonic()
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=limits, env=environment)
        while True:
            pid, status, usage = os.wait4(p.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - start > MOST_SECONDS:
                p.kill()
            time.sleep(0.005)
        p.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    slow = time.monotonic() - start > MOST_SECONDS or usage.ru_utime + usage.ru_stime > MOST_CPU_SECONDS
    return None if slow else p.returncode, text, usage.ru_maxrss * 1024


def compiled(model, options):
    """None, or what is wrong; and how it ended."""
    output = model.parent / "out"
    output.unlink(missing_ok=True)
    code, text, most = finished([QBC, model, *options, "-tokenizer=none", "-o", output])
    if code is None:
        return f"over {MOST_CPU_SECONDS} s", "slow"
    if code not in (0, 1) or "Sanitizer" in text or "runtime error:" in text:
        return f"exit status {code}: {text[-3000:]}", "crash"
    if code == 1 and "error:" not in text and "--explain" not in options:
        return f"no error was said: {text[-300:]}", "silent"
    if output.exists() != (code == 0) and "--explain" not in options:
        return "an output was left behind" if code else "there is no output", "leftover"
    if most > MOST_BYTES * (3 if "QBC" in os.environ else 1):  # sanitizers keep what was freed
        return f"{most >> 20} MiB", "large"
    return None, "compiled" if code == 0 else "refused"


def options_of(r, language, whole):
    """Of a language model the plan of its kernels is what there is before machine code; of others that is LLVM's."""
    level = [] if whole else r.choice([["-emit=kernels" if language else "-emit=llvm"]] * 20 + [["--explain"]] * 2 + [[]])
    return level + (r.choice([["-quant=i4g32"], ["-quant=i4g32"], []]) if language else [])


def one_round(folder, number, seed, lists, whole):
    r = random.Random(f"{seed}.{number}")
    files = lists[number % len(lists)]
    source = r.choices(files, [p.stat().st_size ** -0.5 for p in files])[0]  # many small ones in the time of a large one
    what, data = model_mutations.mutated(r, source.read_bytes())
    (folder / "model.onnx").write_bytes(data)
    for name in LEFT_IN_PLACE:
        (folder / name).unlink(missing_ok=True)
        if (source.parent / name).exists():
            os.symlink(source.parent / name, folder / name)
    options = options_of(r, b"input_ids" in data, whole)
    problem, end = compiled(folder / "model.onnx", options)
    if problem:
        kept = folder.parent / f"{number}-{end}.onnx"
        shutil.copy(folder / "model.onnx", kept)
        print(f"FAIL {kept.name} {source.parent.parent.name}/{source.parent.name} {' '.join(options)} {what}: {problem}", flush=True)
    return end


def undamaged(folder):
    """What is damaged must be good before; small.txt, of everything a little, is not a model that anybody would compile."""
    for model in texts(folder):
        if model.parent.name != "small":
            tools.run(QBC, model, "-q", "-emit=llvm", "-o", folder / "out")


def main(rounds=0, seed=1, first=0, whole=False, of=None):
    rounds = int(rounds) or (2000 if os.environ.get("QBC_TEST_ALL") else 60)
    path = pathlib.Path(tempfile.mkdtemp(prefix="qbc-mutations-"))
    lists = sources(path, of)
    if not lists or not QBC.exists():
        print("skipped: no models, or no compiler")
        return tools.SKIPPED
    print(f"{rounds} rounds from {first} of seed {seed}, {[len(files) for files in lists]} models, in {path}", flush=True)
    undamaged(path / "undamaged")
    (path / "work").mkdir()
    os.symlink("/etc", path / "work/link")
    ends = collections.Counter()
    for number in range(int(first), int(first) + rounds):
        ends[one_round(path / "work", number, seed, lists, whole)] += 1
        if number % 100 == 99:
            print(number + 1, dict(ends), flush=True)
    print(dict(ends), flush=True)
    bad = rounds - ends["compiled"] - ends["refused"]
    if not bad:
        shutil.rmtree(path)
    return 1 if bad or not ends["compiled"] or not ends["refused"] else 0


if __name__ == "__main__":
    options = {k.lstrip("-"): v or True for k, _, v in (a.partition("=") for a in sys.argv[1:] if a.startswith("--"))}
    sys.exit(main(*[a for a in sys.argv[1:] if not a.startswith("--")], **options))
