#!/usr/bin/env python3
"""The operator tests of the ONNX project: compiled, run and compared by qbc-check; exactly those of test/onnx_node.xfail may
fail. Of the largest class, float, every third test; all with QBC_TEST_ALL. QBC_TEST_CLASSES=string,other takes these classes, whole, instead of the four
that must pass."""
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import tools

CLASSES = {"float", "quant", "f16", "control"}
FEW = {"test_constant", "test_matmul_2d", "test_add_uint8", "test_layer_normalization_default_axis"}  # one without inputs among them


def rows(path):
    return [line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#")]


def chosen(listing):
    wanted = os.environ.get("QBC_TEST_CLASSES")
    classes = set(wanted.split(",")) if wanted else CLASSES
    names = [row[0] for row in rows(listing) if row[1] in classes]
    if wanted or os.environ.get("QBC_TEST_ALL"):
        return names
    plain = [row[0] for row in rows(listing) if row[1] == "float"]
    left = set(plain) - set(plain[::3]) - FEW
    return [name for name in names if name not in left]


def unpack(archive, names, folder):
    wanted = set(names)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, members=[m for m in tar if m.isfile() and m.name.split("/")[0] in wanted])


def check(folder, names, *options):
    """What qbc-check prints about these tests."""
    words = [str(tools.BUILD / "bin/qbc-check"), "-j2", "-q", *options, *(str(pathlib.Path(folder) / name) for name in names)]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout


def elsewhere(folder, names):
    """Failures of FEW, which this CPU passes: under qemu, where there is one."""
    few = sorted(FEW & set(names))
    for target, emulator, where in (("armv8", "qemu-aarch64-static", "aarch64"), ("rv64gcv", "qemu-riscv64-static", "riscv64")):
        if shutil.which(emulator) and (tools.BUILD / where / "bin/qbrun").exists() and few:
            output = check(folder, few, f"-target={target}")
            if f"{len(few)} passed, 0 failed" not in output:
                yield f"{target}: {output}"


def expected_failures():
    lines = (tools.ROOT / "test/onnx_node.xfail").read_text().splitlines()
    return {line.split("#")[0].strip() for line in lines} - {""}


def main():
    data = tools.SHARED / "data/onnx-node"
    if not data.is_dir():
        print("skipped: no", data)
        return tools.SKIPPED
    names = chosen(data / "onnx-node.list")
    with tempfile.TemporaryDirectory() as folder:
        unpack(data / "onnx-node.tar.gz", names, folder)
        output = check(folder, names)
        foreign = list(elsewhere(folder, names))
    failures = dict(line[5:].split(": ", 1) for line in output.splitlines() if line.startswith("FAIL "))
    expected = expected_failures() & set(names)
    for name in sorted(set(failures) - expected):
        print(f"FAIL {name}: {failures[name]}")
    for name in sorted(expected - set(failures)):
        print(f"passes, but stands in test/onnx_node.xfail: {name}")
    for problem in foreign:
        print("FAIL under qemu:", problem)
    crashes = [name for name, why in failures.items() if why.startswith(("ended by", "took more"))]
    for name in crashes:
        print(f"no clear error: {name}: {failures[name]}")
    print(f"{len(names) - len(failures)} of {len(names)} pass")
    return 1 if set(failures) != expected or crashes or foreign or len(names) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
