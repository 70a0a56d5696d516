#!/usr/bin/python3
"""Weights per cycle of the inner loop of a product for one token, as llvm-mca counts them.

    mca.py [--bin build/bin] [--target NAME ...] [--format FORMAT ...] [--print | --table]

For each target that is scheduled for one CPU, and each format (all that qbc --list-formats has kernels for), the graph beside
this file is compiled, the inner loop with most weights is cut out, and llvm-mca runs it. --table: a line a format, with
what each target reaches. Columns:

    weights   that one turn of the loop multiplies
    instr     instructions of a turn, and how many of the CPU's smallest operations these are
    width     how many of those it can start in a cycle
    bound     weights per cycle if nothing but that limited it
    ports     the same for the units that do the work (llvm-mca's "Block RThroughput")
    cycles    of a turn, with all latencies and the CPU's window
    reached   weights per cycle

Where the loop over runs of columns is inside another, over super-blocks, what that one does besides is not counted.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "test/tools"))
import inner_loops

MCA = "llvm-mca-22"
TURNS = 300
PLANES = re.compile(r"(?:bp|bcq|fdb)(\d)|(p)9")  # formats that multiply each weight so many times; p9: twice
FRACTIONS = re.compile(r"t1\.|l5|p9")  # digits; with two products of bytes a weight (passes/kernels/linear_fractions.c),
EXACT = "dot products of four bytes, exact"  # where a target has these
FLOATS = ("f32", "f16", "bf16")  # formats that are no codes
CPUS = {"x86-64-v2": "nehalem"}  # whose pipeline stands for a target that is not named after one
TARGETS = ("x86-64-v2", "haswell", "alderlake", "skylake-avx512", "icelake-server", "znver4", "znver5", "sapphirerapids",
           "cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1", "apple-m1", "neoverse-v1")
# Products of weights by what one token brings: (operation, operands) -> weights.
PRODUCTS = (
    (r"vpdpbusd", {"zmm": 64, "ymm": 32, "xmm": 16}),
    (r"v?pmaddubsw", {"zmm": 64, "ymm": 32, "xmm": 16}),
    (r"vfn?m(add|sub)\d+ps", {"zmm": 16, "ymm": 8, "xmm": 4}),
    (r"addps", {"xmm": 4}),  # after mulps, where there is no fused multiply-add
    (r"sdot|usdot", {"16b": 16, "4b": 16}),
    (r"sm[lu][al]l2?", {"8h": 8}),
    (r"fmla", {"4s": 4}),
)


def products(line):
    """Weights that an instruction multiplies."""
    name, operands = line.split()[0], line.split(None, 1)[1] if len(line.split()) > 1 else ""
    for regex, sizes in PRODUCTS:
        if re.fullmatch(regex, name):
            return max((n for size, n in sizes.items() if size in operands), default=0)
    return 0


def weights(loop, fmt, exact=False):
    """Weights a turn; floats' products count only where there are none of integers, which scales follow."""
    integer = [n for line in loop if (n := products(line)) and not re.match(r"\s*(fmla|vfn?m|addps)", line)]
    planes = PLANES.match(fmt)
    times = (int(planes[1] or 2) if planes else 1) * (2 if exact and FRACTIONS.match(fmt) else 1)
    return (sum(integer) or sum(map(products, loop))) // times


def clean(loop):
    """Only the instructions, without the encoding hints in braces before them."""
    lines = [re.sub(r"{\w+}\s*", "", line, count=1) if line.lstrip().startswith("{") else line for line in loop]
    return [line for line in lines if re.match(r"^\s+[a-z]", line)]


def hottest(listing, function, fmt, exact):
    loops = [clean(loop) for body in inner_loops.functions(listing.splitlines(), function) for loop in inner_loops.innermost(body)]
    return max(loops, key=lambda loop: weights(loop, fmt, exact), default=[])


def formats(bins):
    """Names of the formats that have kernels, and whether weights are only decoded for them."""
    lines = subprocess.run([bins / "qbc", "--list-formats"], check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
    return {line.split()[0]: "weights decoded" in line for line in lines if "no kernels yet" not in line}


def description(bins, target):
    """What qbc --list-targets says of it."""
    lines = subprocess.run([bins / "qbc", "--list-targets"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return re.search(rf"^{re.escape(target)}\s(.*\n(?:\s.*\n)*)", lines, re.M)[1]


def compile_model(bins, target, fmt):
    command = [bins / "qbc", HERE / "linear.mlir", "-q", "-emit=asm", f"-target={target}", f"-quant={fmt}"]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def estimate(bins, target, fmt):
    """Weights per cycle that the compiler counts on, for one token (passes/kernels/strategy.c)."""
    command = [bins / "qbc", HERE / "linear.mlir", "-q", "-emit=kernels", f"-target={target}", f"-quant={fmt}"]
    text = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    chosen = re.search(r'strategy = "([^"]*)", strategy_costs = "([^;]*)', text)
    return float(re.search(rf"(?:^|, ){chosen[1]} ([\d.]+)", chosen[2])[1]) if chosen else None


def field(report, name):
    return float(re.search(rf"^{name}:\s*([\d.]+)", report, re.M)[1])


def analyse(loop, cpu):
    """What llvm-mca says of a loop."""
    arch = "aarch64" if re.match("cortex|neoverse|apple", cpu) else "x86-64"
    text = "\n".join(loop) + "\n"
    report = subprocess.run([MCA, f"-march={arch}", f"-mcpu={cpu}", f"-iterations={TURNS}"], input=text, check=True,
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout
    return {
        "instructions": field(report, "Instructions") / TURNS,
        "operations": field(report, "Total uOps") / TURNS,
        "width": field(report, "Dispatch Width"),
        "ports": field(report, "Block RThroughput"),
        "cycles": field(report, "Total Cycles") / TURNS,
    }


def measure(bins, target, fmt, function="linear_.*_one"):
    """A row of the table, or None where no loop multiplies weights."""
    exact = EXACT in description(bins, target)
    loop = hottest(compile_model(bins, target, fmt), function, fmt, exact)
    n = weights(loop, fmt, exact)
    if not n:
        return None
    row = analyse(loop, CPUS.get(target, target))
    row |= {"loop": loop, "weights": n, "reached": n / row["cycles"], "bound": n * row["width"] / row["operations"],
            "by_ports": n / row["ports"]}
    return row


def measure_all(bins, pairs):
    """Rows of (target, format) pairs, in their order; several at once."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from zip(pairs, pool.map(lambda pair: measure(bins, *pair), pairs))


def print_rows(bins, targets, names, loops):
    print(f"{'target':16}{'format':18}{'weights':>8}{'instr':>7}{'ops':>6}{'width':>6}{'bound':>8}{'ports':>8}{'cycles':>8}{'reached':>8}")
    for (target, fmt), row in measure_all(bins, [(target, fmt) for target in targets for fmt in names]):
        if not row:
            print(f"{target:16}{fmt:18} no loop multiplies weights")
            continue
        print(f"{target:16}{fmt:18}{row['weights']:8}{row['instructions']:7.0f}{row['operations']:6.0f}{row['width']:6.0f}"
              f"{row['bound']:8.1f}{row['by_ports']:8.1f}{row['cycles']:8.1f}{row['reached']:8.1f}", flush=True)
        if loops:
            print("\n".join(row["loop"]))


def print_table(bins, targets, names):
    print(f"{'':14}" + "".join(f"{target:>15}" for target in targets))
    for fmt in names:
        rows = [row for _, row in measure_all(bins, [(target, fmt) for target in targets])]
        print(f"{fmt:14}" + "".join(f"{row['reached']:15.1f}" if row else f"{'-':>15}" for row in rows), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/bin")
    parser.add_argument("--target", nargs="+", default=TARGETS)
    parser.add_argument("--format", nargs="+")
    parser.add_argument("--print", action="store_true", help="the loops too")
    parser.add_argument("--table", action="store_true", help="what is reached, a line a format")
    args = parser.parse_args()
    names = args.format or list(formats(args.bin))
    if args.table:
        print_table(args.bin, args.target, names)
    else:
        print_rows(args.bin, args.target, names, args.print)


if __name__ == "__main__":
    main()
