#!/usr/bin/env python3
"""A target, a format and a pass from outside of the tree: docs/plugins.md as it stands there, against an installed qbc; then what the plugin's artifact
computes, against the slow reference, and errors of plugins that are none.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import oracle
import pages
from tools import MODEL, ROOT, SKIPPED, run


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def complains(words, *command):
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    check(p.returncode == 1 and all(word in p.stderr for word in words) and "error: " in p.stderr, f"{command}: {p.stderr}")


def shown(installed, plugin):
    """What the plugin brings is listed, in its place."""
    qbc = installed / "bin/qbc"
    targets, formats, passes = (run(qbc, f"-load={plugin}", f"--list-{what}").stdout for what in ("targets", "formats", "passes"))
    check("house-avx2" in targets and "our board" in targets, targets)
    check(re.search(r"^house5 +5\.250 bits", formats, re.M), formats)
    check(re.search(r"^assign-formats .*\nhouse-first-block +quant .*\n", passes, re.M), passes)
    check("house" not in run(qbc, "--list-targets").stdout + run(qbc, "--list-passes").stdout, "without the plugin it is as it was")


def the_pass_shows(installed, plugin, work):
    """-print-after shows what the pass did, and the artifact holds it."""
    qbc, artifact = installed / "bin/qbc", work / "i.qbm"
    p = run(qbc, MODEL, f"-load={plugin}", "-quant=i4g32", "-print-after=house-first-block", "-o", artifact)
    check("// after house-first-block" in p.stderr and '!qb.block<"house5">' in p.stderr, p.stderr[:500])
    info = run(installed / "bin/qbrun", artifact, "--info=json").stdout
    formats = dict(re.findall(r'"name": *"([^"]*)"[^{}]*?"format": *"([^"]*)"', info))
    check(formats.get("0.ffn_down") == "house5" and formats.get("1.ffn_down") == "i4g32" and formats.get("0.ffn_up") == "i4g32", formats)


def bad_plugins(installed, plugin, work):
    qbc = installed / "bin/qbc"
    complains(["nope.so"], qbc, MODEL, "-load=nope.so")
    (work / "text.so").write_text("no object")
    complains(["text.so"], qbc, MODEL, f"-load={work}/text.so")
    complains(["house", "already"], qbc, MODEL, f"-load={plugin}", f"-load={plugin}")
    complains(["unknown target 'house-avx'; did you mean 'house-avx2'"], qbc, MODEL, f"-load={plugin}", "-target=house-avx")
    complains(["unknown option '-lod=", "did you mean '-load="], qbc, MODEL, f"-lod={plugin}")
    flags = run("pkg-config", "--cflags", "qbc", env=dict(os.environ, PKG_CONFIG_PATH=str(installed / "lib/pkgconfig"))).stdout.split()
    more = run("pkg-config", "--variable=extension_cflags", "qbc", env=dict(os.environ, PKG_CONFIG_PATH=str(installed / "lib/pkgconfig"))).stdout.split()
    for name, version in (("old", '"0.0"'), ("none", None)):
        text = f'#include <qbc/extension.h>\nconst struct qbc_extension qbc_extension = {{.version = {version}, .name = "{name}"}};\n' if version else "int x;\n"
        (work / f"{name}.c").write_text(text)
        run("cc", "-shared", "-fPIC", work / f"{name}.c", *flags, *more, "-o", work / f"{name}.so")
    complains(["made for qbc 0.0", "compile it again"], qbc, MODEL, f"-load={work}/old.so")
    complains(["exports no qbc_extension"], qbc, MODEL, f"-load={work}/none.so")


def headers_stand_alone(installed, work):
    """Each installed header can be the first one."""
    for header in sorted((installed / "include").rglob("*.h")):
        (work / "h.c").write_text(f'#include "{header}"\nint main(void) {{ return 0; }}\n')
        include = re.findall(r"-I\S+", (installed / "lib/pkgconfig/qbc.pc").read_text())
        folders = [f"-I{installed}/include", f"-I{installed}/include/qbc", f"-I{installed}/include/qbrt", *[i for i in include if "$" not in i]]
        run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *folders, work / "h.c")
    for header in ("qbc.h", "qbrt.h"):
        (work / "h.cc").write_text(f"#include <{header}>\n")
        run("c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{installed}/include", work / "h.cc")


def main():
    flags = re.search(r"^flags\s*:(.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    if not oracle.is_built() or not oracle.bundled() or not flags or not {"avx2", "fma", "f16c"} <= set(flags[1].split()):
        print("skipped: needs qbc, the bundled model and an x86 CPU with AVX2")
        sys.exit(SKIPPED)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        pages.checkout(folder)
        if not pages.run_page(ROOT / "docs/plugins.md", folder):
            sys.exit(SKIPPED)
        installed, plugin = folder / "installed", folder / "house/house.so"
        shown(installed, plugin)
        with tempfile.TemporaryDirectory() as work:
            work = pathlib.Path(work)
            the_pass_shows(installed, plugin, work)
            bad_plugins(installed, plugin, work)
            headers_stand_alone(installed, work)
            (installed / "test").mkdir()
            (installed / "test/qbm_dump").symlink_to(oracle.BUILD / "test/qbm_dump")
            for options in (["-target=house-avx2", "-quant=house5"], ["-target=house-avx2", "-quant=i4g32"], ["-target=native", "-quant=house5"]):
                good = oracle.check(*oracle.bundled(), [f"-load={plugin}", *options], work, installed, [plugin]) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
