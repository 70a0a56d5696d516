#!/usr/bin/env python3
"""A new block format is one file and one row, and so is a new CPU.

In a copy of the tree: the format narrow4g32 and the target made-up exactly as docs/ shows them; then build, compile the bundled model with the format
for this CPU and for the made-up one, and hold the logits against the reference.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import oracle

BUILT = ("qbc", "qbrun", "qbm_dump", "format_test", "packing_test", "target_test")


def copy_tree(to):
    """What a build needs, as it stands in the working tree. Not by git: there need be none, nor a repository."""
    ignored = shutil.ignore_patterns("__pycache__", "models")
    for name in ("CMakeLists.txt", "compiler", "dialects", "passes", "runtime", "targets", "test"):
        source = oracle.SOURCE / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=ignored)
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to / name)


def documented(symbol):
    """The C file that docs/ shows for this symbol."""
    for page in sorted((oracle.SOURCE / "docs").glob("*.md")):
        for block in re.findall(r"^```c\n(.*?)^```", page.read_text(), re.S | re.M):
            if f"{symbol} =" in block:
                return block
    raise AssertionError(f"docs/ no longer shows {symbol}")


def add_row(table, row):
    table.write_text(table.read_text().rstrip("\n") + f"\n{row}\n")


def add_both(tree):
    if (tree / "dialects/formats/narrow4g32.c").exists():
        raise AssertionError("narrow4g32 is built in: show another format in docs/ and here")
    (tree / "dialects/formats/narrow4g32.c").write_text(documented("qbc_format_narrow4g32"))
    add_row(tree / "dialects/formats.def", "FORMAT(narrow4g32)")
    (tree / "targets/made_up.c").write_text(documented("qbc_target_made_up"))
    # first of its architecture, so that it never becomes `native`
    rows = (tree / "targets/targets.def").read_text()
    (tree / "targets/targets.def").write_text(rows.replace("TARGET(", "TARGET(made_up)\nTARGET(", 1))


def build(tree):
    """Compiler caches see paths from the tree's root, so a second run is quick."""
    where = tree / "build"
    env = dict(os.environ, CCACHE_BASEDIR=str(tree), CCACHE_NOHASHDIR="1")
    start = time.time()
    for command in (
        ["cmake", "-S", tree, "-B", where, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DQBC_CROSS=OFF"],
        ["ninja", "-C", where, *BUILT],
    ):
        p = subprocess.run(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if p.returncode:
            sys.exit(f"{command[0]} fails in the copy:\n{p.stdout[-4000:]}")
    print(f"built in {time.time() - start:.0f} s", flush=True)
    return where


def cpu_flags():
    return re.search(r"^flags\s*:(.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.M)


def main():
    flags = cpu_flags()
    if not oracle.bundled() or not flags or not {"avx2", "fma"} <= set(flags[1].split()):
        print("skipped: needs the bundled model and an x86 CPU with AVX2")
        return 77
    good = True
    with tempfile.TemporaryDirectory() as folder:
        tree, work = pathlib.Path(folder) / "qbc", pathlib.Path(folder)
        copy_tree(tree)
        add_both(tree)
        where = build(tree)
        for test in BUILT[3:]:
            good = subprocess.run([where / "test" / test], cwd=tree).returncode == 0 and good
        for target in ("native", "made-up"):
            options = [f"-target={target}", "-quant=narrow4g32"]
            good = oracle.check(*oracle.bundled(), options, work, where) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
