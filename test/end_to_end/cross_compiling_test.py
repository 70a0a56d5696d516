#!/usr/bin/env python3
"""docs/cross-compiling.md: every command on it; and the dependencies of qbc_add_model: what must be made again is, and nothing else."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import pages
from tools import BUILD, FAMILY, MODEL, SKIPPED, run

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C)
find_package(qbc 0.1 REQUIRED)
qbc_add_model(first model/onnx/model.onnx TARGET x86-64-v3 armv8 FORMAT i8g32 OPTIONS -ctx=64)
qbc_add_model(second model/onnx/model.onnx TARGET armv8 EMIT obj OPTIONS -ctx=64 -tokenizer=none)
add_library(holds_second STATIC empty.c $<TARGET_OBJECTS:second>)
get_target_property(file first QBC_FILE)
if(NOT file STREQUAL "${CMAKE_CURRENT_BINARY_DIR}/first.qbm")
  message(FATAL_ERROR "QBC_FILE is ${file}")
endif()
"""
WRONG = (
    ("qbc_add_model(a m.onnx FORMAT i4g32)", "TARGET armv8"),
    ("qbc_add_model(a m.onnx TARGET armv8 EMIT lib)", "EMIT lib"),
    ("qbc_add_model(a-b m.onnx TARGET armv8)", "letters"),
    ("qbc_add_model(a m.onnx TARGET armv8 FORMATS i4g32)", "what is 'FORMATS'"),
)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def made(build):
    """What a build makes, by the comments of its rules."""
    said = run("cmake", "--build", build).stdout
    return sorted(word for line in said.splitlines() if "Compiling " in line for word in [line.split("Compiling ")[1].split()[0]])


def changed(path):
    """For tools that look at times."""
    time.sleep(0.1)
    os.utime(path)


def dependencies(work, installed, generator):
    shutil.copytree(MODEL.parent, work / "model/onnx")
    shutil.copy(FAMILY / "tokenizer.json", work / "model/tokenizer.json")
    (work / "CMakeLists.txt").write_text(PROJECT)
    (work / "empty.c").write_text("int empty;\n")
    build = work / "build"
    run("cmake", "-S", work, "-B", build, "-G", generator, f"-DCMAKE_PREFIX_PATH={installed}")
    check(made(build) == ["first", "second"], f"{generator}: both at first")
    check(made(build) == [], f"{generator}: nothing has changed")
    changed(work / "model/tokenizer.json")
    check(made(build) == ["first"], f"{generator}: the one that has a tokenizer")
    changed(work / "empty.c")
    check(made(build) == [], f"{generator}: not for what is no part of it")
    changed(work / "model/onnx/model.onnx")
    check(made(build) == ["first", "second"], f"{generator}: both for the model")


def wrong_calls(work, installed):
    for i, (call, words) in enumerate(WRONG):
        folder = work / f"wrong{i}"
        folder.mkdir()
        (folder / "CMakeLists.txt").write_text(f"cmake_minimum_required(VERSION 3.25)\nproject(a LANGUAGES C)\nfind_package(qbc 0.1 REQUIRED)\n{call}\n")
        p = subprocess.run(["cmake", "-S", folder, "-B", folder / "b", f"-DCMAKE_PREFIX_PATH={installed}"], capture_output=True, text=True)
        said = " ".join(p.stderr.split())
        check(p.returncode and words in said, f"{call}: {said}")


def main():
    if not MODEL.exists() or not (BUILD / "lib/libqbc.so").exists():
        print("skipped: needs the bundled model and the built library")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as folder:
        installed = pathlib.Path(folder) / "moved"
        run("cmake", "--install", BUILD, "--prefix", pathlib.Path(folder) / "installed")
        (pathlib.Path(folder) / "installed").rename(installed)  # it finds itself wherever it is
        for generator in ("Ninja", "Unix Makefiles"):
            work = pathlib.Path(folder) / generator.split()[-1]
            work.mkdir()
            dependencies(work, installed, generator)
        wrong_calls(pathlib.Path(folder), installed)
    sys.exit(0 if pages.run_pages(["cross-compiling.md"]) else SKIPPED)


if __name__ == "__main__":
    main()
