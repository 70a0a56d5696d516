#!/usr/bin/python3
"""Instructions of a decode step for each weight, counted while qemu runs it, for each length of RISC-V vectors.

    rvv_count.py [--bin build/bin] [--target rv64gcv] [--vlen N ...] [--format FORMAT ...] [--kernels] MODEL.onnx

One artifact a format. qemu writes down every block of instructions that it translates, and every one that it executes
(-d in_asm,exec,nochain); instructions outside qbrun's own program are the artifact's code. The model is run
twice with one thread, for one new token more the second time: what the second run has more is a decode step. Columns:

    weights   of all products of a step
    linear    instructions of the kernels that multiply, for each weight
    step      of all kernels, for each weight
    kernels   the same by kernel, with --kernels: instructions, and their part of the step
"""
import argparse
import collections
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

CPU = "rv64,v=true,vext_spec=v1.0,elen=64,vlen={}"
QEMU = "qemu-riscv64-static"
INSTRUCTION = re.compile(r"^0x([0-9a-f]+):\s+[0-9a-f]+\s+(\S+)\s*(\S*)")
TRACE = re.compile(r"^Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/")
PROGRAM_END = 1 << 32  # qbrun is linked to low addresses; what it maps is above


def run(command):
    p = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if p.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {p.stdout.strip()}")
    return p.stdout


class Block:
    """What runs from one entry to the next jump."""

    def __init__(self):
        self.instructions, self.last = 0, ""

    def add(self, name, operand):
        self.instructions += 1
        self.last = f"{name} {operand.split(',')[0]}" if name in ("jal", "jalr") else name

    def calls(self, depth):
        """A call, or from the straight program of kernels the jump to the last of them."""
        return self.last in ("jal ra", "jalr ra") or (depth == 1 and self.last in ("j", "jr"))


def executed(log):
    """(address, block) of every block that was executed."""
    blocks, block = {}, None
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("IN:"):
                block = Block()
            elif block and (m := INSTRUCTION.match(line)):
                if not block.instructions:
                    blocks[int(m[1], 16)] = block
                block.add(m[2], m[3])
            elif m := TRACE.match(line):
                at, block = int(m[1], 16), None
                yield at, blocks[at]


def kernels_of(log):
    """Instructions of each call of a kernel, in the order of the calls; before them those of the program that calls."""
    counts, depth, called = [0], 0, False
    for at, block in executed(log):
        if at < PROGRAM_END:
            depth, called = 0, False
            continue
        depth = max(depth, 1)
        if called and depth == 1:
            depth = 2
            counts.append(0)
        counts[-1 if depth == 2 else 0] += block.instructions
        called = block.calls(depth)
        if depth == 2 and block.last == "ret":
            depth = 1
    return counts


def read_launches(qbc, options):
    """[(kernel, weights)] of a step."""
    text = run([qbc, *options, "-q", "-emit=kernels", "-o", "-"])
    found = []
    for launch in re.split(r'"qb\.launch"', text)[1:]:
        values = {name: m[1] for name in ("kernel", "n", "k") if (m := re.search(rf"\b{name} = \"?(\w+)", launch))}
        weights = int(values["n"]) * int(values["k"]) if values["kernel"] == "linear" else 0
        found.append((values["kernel"], weights))
    return found


def write_tokens(path, n):
    shape = "{'descr': '<i8', 'fortran_order': False, 'shape': (%d,), }" % n
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + shape.ljust(117).encode() + b"\n"
                     + struct.pack(f"<{n}q", *range(1, n + 1)))


def count(o, folder, artifact, vlen, launches):
    """Instructions of each launch of a decode step."""
    log, runs = folder / "log", []
    for new in (2, 3):
        run([QEMU, "-cpu", CPU.format(vlen), "-d", "in_asm,exec,nochain", "-D", log, o.bin.parent / "riscv64/bin/qbrun",
             artifact, "--threads", "1", "--tokens", folder / "tokens.npy", "-n", new, "-o", folder / "out.npy"])
        runs.append(kernels_of(log))
    calls = runs[1][1:]
    if len(calls) - len(runs[0][1:]) != len(launches):
        sys.exit(f"{len(calls) - len(runs[0][1:])} calls of kernels, but {len(launches)} launches in a step")
    return calls[-len(launches):], runs[1][0] - runs[0][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--bin", default="build/bin", type=pathlib.Path)
    parser.add_argument("--target", default="rv64gcv")
    parser.add_argument("--vlen", nargs="+", type=int, default=[128, 256, 512, 1024])
    parser.add_argument("--format", nargs="+", default=["f32", "f16", "i8g32", "i4g32", "i4g128z"])
    parser.add_argument("--kernels", action="store_true")
    o = parser.parse_args()
    print(f"{'format':8} {'vlen':>5} {'weights':>10} {'linear':>8} {'step':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_tokens(folder / "tokens.npy", 8)
        for format_name in o.format:
            options = [o.model, f"-target={o.target}", f"-quant={format_name}"]
            launches = read_launches(o.bin / "qbc", options)
            run([o.bin / "qbc", *options, "-q", "-o", folder / "m.qbm"])
            for vlen in o.vlen:
                report(o, format_name, vlen, launches, *count(o, folder, folder / "m.qbm", vlen, launches))


def report(o, format_name, vlen, launches, instructions, between):
    weights = sum(n for _, n in launches)
    by_kernel = collections.Counter()
    for (kernel, _), n in zip(launches, instructions):
        by_kernel[kernel] += n
    step = sum(instructions) + between
    print(f"{format_name:8} {vlen:5} {weights:10} {by_kernel['linear'] / weights:8.4f} {step / weights:8.4f}", flush=True)
    for kernel, n in by_kernel.most_common() if o.kernels else ():
        print(f"    {kernel:16} {n:9} {100 * n / step:5.1f} %")


if __name__ == "__main__":
    main()
