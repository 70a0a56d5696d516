#!/usr/bin/env python3
"""libqbrt is small and needs nobody.

- Stripped, it is under 100 KB; qbrun needs libc and libm only.
- Every file that does not say "(hosted" in its first line builds -ffreestanding and asks for nothing but itself and the four functions of
  memory that compilers ask for.
- It has no writable data: no globals.
"""
import os, pathlib, re, shutil, subprocess, sys, tempfile

BUILD = pathlib.Path(os.environ.get("QBC_BUILD", "build"))
MEMORY = {"memcpy", "memmove", "memset", "memcmp"}


def check(condition, what):
    if not condition:
        sys.exit(f"runtime_test: not so: {what}")


def run(*command):
    p = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(p.returncode == 0, f"{command}:\n{p.stdout}")
    return p.stdout


def test_size(folder):
    library = folder / "libqbrt.a"
    shutil.copy(BUILD / "lib/libqbrt.a", library)
    run("strip", "--strip-debug", library)
    check(library.stat().st_size < 100_000, f"libqbrt is under 100 KB: {library.stat().st_size}")
    needs = set(re.findall(r"^\s*(\S+?)\.so", run("ldd", BUILD / "bin/qbrun"), re.M))
    check(needs <= {"linux-vdso", "libc", "libm", "/lib64/ld-linux-x86-64", "/lib/ld-linux-aarch64"}, f"qbrun needs {needs}")


def compile_core(folder):
    core = [f for f in sorted(pathlib.Path("runtime").glob("*.c")) if "(hosted" not in f.read_text().splitlines()[0]]
    check(len(core) > 5, "there is a core")
    for f in core:
        run("cc", "-std=c11", "-O2", "-ffreestanding", "-fno-pic", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-Iruntime",
            "-Iruntime/abi", "-c", f, "-o", folder / f"{f.stem}.o")
    return [folder / f"{f.stem}.o" for f in core]


def test_freestanding(folder):
    undefined, defined = set(), set()
    for line in run("nm", *compile_core(folder)).splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "U":
            undefined.add(words[1])
        elif len(words) == 3:
            defined.add(words[2])
            check(words[1] not in "BbDdC" or words[2].startswith("."), f"no writable data: {line}")
    check(undefined - defined <= MEMORY, f"the core needs nobody: {sorted(undefined - defined - MEMORY)}")


def main():
    if "fsanitize" in (BUILD / "build.ninja").read_text():
        print("runtime_test: skipped: this build has sanitizers in it")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        test_size(pathlib.Path(folder))
        test_freestanding(pathlib.Path(folder))
    print("runtime_test: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
