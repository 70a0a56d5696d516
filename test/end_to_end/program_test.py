#!/usr/bin/env python3
"""-emit=exe: a program with its model in it, for this machine and under qemu-user for others.

It says what qbrun says for the same artifact, wherever it is called from; a second model is an error, and so is damage."""
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

import numpy as np

from tools import BUILD, FAMILY, MODEL, QBC, QBRUN, SKIPPED, compile_model, logits, run

OPTIONS = ("-q", "-quant=i4g32", "-ctx=64")
WORDS = ("-p", "The function returns", "-n", "12", "--temp", "0")
EMULATORS = {"aarch64": ["qemu-aarch64-static"], "riscv64": ["qemu-riscv64-static", "-cpu", "rv64,v=true,vlen=128,elen=64"]}
failures = []


def check(condition, what):
    if not condition:
        failures.append(what)
        print(f"not so: {what}", flush=True)


def fails(command, words, what):
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600)
    check(p.returncode == 1 and all(word in p.stderr for word in words), f"{what}: {p.returncode} {p.stderr}")


def test_for(work, arch, target):
    runner = [] if arch == platform.machine() else EMULATORS[arch]
    static = BUILD / f"lib/qbc/{arch}/qbrun"
    if not static.exists() or (runner and not shutil.which(runner[0])):
        return print(f"skipped: no static qbrun or emulator for {arch} here")
    program = work / "model"
    run(QBC, MODEL, *OPTIONS, f"-target={target}", "-emit=exe", "-o", program)
    check(program.stat().st_mode & 0o111 == (0o777 & ~mask()) & 0o111, f"{arch}: may be run as other programs may: {program.stat().st_mode:o}")
    artifact = compile_model(work / "model.qbm", *OPTIONS, f"-target={target}")
    base = (static.stat().st_size + 65535) // 65536 * 65536
    check(program.read_bytes()[base:-24] == artifact.read_bytes(), f"{arch}: holds the artifact as it is, at a multiple of 64 KiB")
    check(program.read_bytes()[: static.stat().st_size] == static.read_bytes(), f"{arch}: begins with qbrun as it is")
    own = run(*runner, program, *WORDS).stdout
    check(own.startswith("The function returns") and own == run(*runner, static, artifact, *WORDS).stdout, f"{arch}: says {own!r}")


def mask():
    now = os.umask(0)
    os.umask(now)
    return now


def test_use(work):
    """From other places, under other names, for everything that qbrun does."""
    program, artifact = work / "speak", compile_model(work / "model.qbm", *OPTIONS)
    run(QBC, MODEL, *OPTIONS, "-emit=exe", "-o", program)
    tokens = np.load(FAMILY / "expected/tokens.npy").reshape(-1)[:50].astype(np.int64)
    np.save(work / "t.npy", tokens)
    run(program, "--logits", work / "t.npy", "-o", work / "l.npy")
    check(np.array_equal(np.load(work / "l.npy"), logits(artifact, tokens)), "logits are the artifact's")
    (work / "else").mkdir()
    (work / "else/link").symlink_to("../speak")
    said = run("./link", *WORDS, cwd=work / "else").stdout
    check(said == run(QBRUN, artifact, *WORDS).stdout, "through a link")
    check(said == run("speak", *WORDS, env={"PATH": f"{work}:{os.environ['PATH']}"}).stdout, "from the path")
    check(str(program) in run(program, "--info").stdout and run(program, "-h").stdout.count(str(program)) == 3, "it calls itself by its name")
    fails([program, artifact, *WORDS], ["there is a model already", "in the program"], "a second model")
    fails([program], ["nothing to do"], "nothing to do")


def test_damage(work):
    program = work / "speak"
    run(QBC, MODEL, *OPTIONS, "-emit=exe", "-o", program)
    whole = bytearray(program.read_bytes())
    base = int.from_bytes(whole[-16:-8], "little")

    def changed(name, data):
        (work / name).write_bytes(data)
        (work / name).chmod(0o755)
        return [work / name, *WORDS]

    fails(changed("cut", whole[:-1]), ["no model"], "cut: as qbrun alone")
    fails(changed("longer", whole + b"\n"), ["no model"], "something behind it: as qbrun alone")
    for at, what in ((base + 100, "checksum of the root"), (base + int.from_bytes(whole[base : base + 4], "little") // 4096 * 4096 + 8192, "")):
        damaged = bytearray(whole)
        damaged[at] ^= 0x20
        fails(changed("damaged", damaged), ["damaged", what], f"a changed byte at {at - base}")
    hole = bytearray(whole)
    hole[-16:-8] = (base + 65536).to_bytes(8, "little")
    fails(changed("hole", hole), ["no model"], "a trailer that does not add up: as qbrun alone")


def main():
    if not MODEL.exists() or not (BUILD / f"lib/qbc/{platform.machine()}/qbrun").exists():
        print("skipped: needs the bundled model and the static qbrun")
        sys.exit(SKIPPED)
    targets = run(QBC, "--list-targets").stdout
    tests = [(test_for, arch, target) for arch, target in (("x86_64", "x86-64-v2"), ("aarch64", "armv8"), ("riscv64", "rv64gcv")) if target in targets]
    for test, *arguments in (*tests, (test_use,), (test_damage,)):
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder), *arguments)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
