#!/usr/bin/env python3
"""Compile and run a large model; print the table that the design asks for.

    test/bench/big.py MODEL.onnx [--quant i4g32] [--threads 2] [--runs 5] [--build build]

Compile time and peak memory of qbc; then, interleaved, each in its own process: the read bandwidth of this
machine (build/test/bandwidth), decode speed (qbrun --bench) as bytes of weights read per second, and the
time from exec to the first token of a one-token prompt with the file in the page cache. Medians.
"""
import argparse, json, os, pathlib, re, resource, statistics, subprocess, sys, tempfile, time


def run(command):
    """(stdout, seconds, peak resident bytes) of a command."""
    start = time.time()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = p.stdout.read(), p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))}: {err.strip() or status}")
    return out, time.time() - start, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--quant", default="i4g32")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--args", default="", help="more flags for qbc")
    o = parser.parse_args()
    bins = o.build / "bin"
    with tempfile.TemporaryDirectory(dir=o.build) as folder:
        qbm, token = f"{folder}/m.qbm", f"{folder}/t.npy"
        _, seconds, peak = run([bins / "qbc", o.model, f"-quant={o.quant}", "-o", qbm, "-q", *o.args.split()])
        size = os.path.getsize(qbm)
        print(f"compile          {seconds:8.1f} s    {peak / 2**30:6.2f} GiB resident at the peak")
        header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
        shape = "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }"
        pathlib.Path(token).write_bytes(header + shape.ljust(117).encode() + b"\n" + (5).to_bytes(8, "little"))
        bandwidth, decode, prompt, first, resident = [], [], [], [], 0
        for _ in range(o.runs):
            out, _, _ = run([o.build / "test" / "bandwidth", o.threads])
            bandwidth.append(float(re.search(r"([\d.]+) GB/s", out)[1]))
            out, _, peak = run([bins / "qbrun", qbm, "--bench", "-t", o.threads, "-r", "1"])
            per_token = float(re.search(r"decode: ([\d.]+) MB", out)[1])
            decode.append(float(re.search(r"tg\d+ \|\s+([\d.]+)", out)[1]))
            prompt.append(float(re.search(r"pp\d+ \|\s+([\d.]+)", out)[1]))
            _, seconds, peak = run([bins / "qbrun", qbm, "--tokens", token, "-n", "1", "--temp", "0", "-t", o.threads,
                                    "-o", f"{folder}/n.npy"])
            first.append(seconds)
            resident = max(resident, peak)
        b, d = statistics.median(bandwidth), statistics.median(decode)
        used = d * per_token * 1e-3
        print(f"file             {size / 2**20:8.1f} MiB  {per_token:6.1f} MB read a token")
        print(f"read bandwidth   {b:8.2f} GB/s  ({min(bandwidth):.1f} .. {max(bandwidth):.1f})")
        print(f"decode           {d:8.2f} t/s   {used:6.2f} GB/s, {100 * used / b:.0f} % of the bandwidth")
        print(f"prompt of 512    {statistics.median(prompt):8.1f} t/s")
        print(f"first token      {1e3 * statistics.median(first):8.0f} ms   resident {resident / size:.2f} x the file")


main()
