#!/usr/bin/env python3
"""The benchmark: this machine's roofs, our speed and llama.cpp's, side by side in one run.

    test/bench/bench.py MODEL.onnx [--peer PYTHON] [--formats i4g32,i8g32] [--runs 5] [--out build/bench/report]

MODEL is an export of a llama-like model; large, if decoding is to be bound by memory. PYTHON is an interpreter with
`llama-cpp-python` and `gguf`; without it llama.cpp is left out, and the report says so. Printed, and written to
OUT.txt, OUT.json and OUT.svg: read bandwidth and integer peak; for each format tokens per second of decoding and of a
prompt with their share of the roof, for whole models and kernel by kernel; the cost of 2, 4 and 8 tokens a call; what
a busy loop on one core leaves of decoding; time to the first token; memory.

Measurements take turns, each in a process of its own, and medians count. They wait for quiet moments; the share of the
cores that others had meanwhile is in the report. On a machine that is never quiet and all yours, --priority helps.
"""
import argparse, json, os, pathlib, platform, re, statistics, sys

import measure
import ours
import plot
import report
from measure import Numbers

TYPES = "F16,Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_K_M:plain,Q4_0,Q4_0:plain,IQ4_XS,Q3_K_M,Q2_K,IQ2_XS"
CALLS = (1, 2, 4, 8)
AT = 64  # tokens in the state when decoding is measured


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--formats", help="ours, separated by commas (all of at most 16 bits)")
    parser.add_argument("--peer", help="a Python that has llama-cpp-python and gguf")
    parser.add_argument("--types", default=TYPES, help="llama.cpp's; NAME:plain is without its repacking (%(default)s)")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=512, help="tokens of a prompt")
    parser.add_argument("--patience", type=float, default=2, help="seconds to wait for a quiet machine, each time")
    parser.add_argument("--tries", type=int, default=3, help="how often a disturbed measurement is repeated")
    parser.add_argument("--priority", choices=measure.PRIORITIES, default="normal", help="of what is measured; "
                        "the others take the cores from everyone else for minutes (%(default)s)")
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, help="where models are kept (BUILD/bench)")
    parser.add_argument("--out", type=pathlib.Path, help="the report without its ending (WORK/report)")
    o = parser.parse_args()
    o.threads = sorted({int(t) for t in o.threads.split(",")})
    o.work = o.work or o.build / "bench"
    o.out = o.out or o.work / "report"
    o.work.mkdir(parents=True, exist_ok=True)
    return o


class Series:
    """One model of one engine: what is measured of it in each turn."""

    def __init__(self, engine, name, size, file, command):
        self.engine, self.name, self.bytes, self.file, self.command = engine, name, size, file, command
        self.decode, self.prompt, self.calls = {}, {}, {}
        self.busy, self.first, self.resident = Numbers(), Numbers(), Numbers()

    def turn(self, o):
        most = o.threads[-1]
        for t in o.threads:
            wanted = [f"1@{AT}:20"]
            if t == most:
                wanted += [f"{o.prompt}@0:1"] + [f"{c}@{AT}:8" for c in CALLS[1:]]
            result = measure.plans(o, self.command(t), wanted)
            for one in result["runs"]:
                self.note(one, t, most)
            if "first_ms" in result and t == most:
                self.first.add(result["first_ms"])
                self.resident.add(result["resident"])
        one = measure.plans(o, self.command(most), [f"1@{AT}:20"], tries=1, busy=True)["runs"][0]
        self.busy.add(len(one["ms"]) * 1e3 / sum(one["ms"]))  # all the time: what was lost is what is asked for

    def note(self, one, threads, most):
        speed = measure.tokens_per_second(one)
        if one["call"] > max(CALLS):
            self.prompt.setdefault(threads, Numbers()).add(speed, one["others"])
            return
        if one["call"] == 1:
            self.decode.setdefault(threads, Numbers()).add(speed, one["others"])
        if threads == most:
            self.calls.setdefault(one["call"], Numbers()).add(speed, one["others"])

    def summary(self, roofs, operations, prompt):
        decode = {str(t): n.summary() for t, n in self.decode.items()}
        speeds = {str(t): n.summary() for t, n in self.prompt.items()}
        calls = {str(c): n.summary() for c, n in self.calls.items()}
        for c, s in calls.items():
            s["cost"] = int(c) * calls["1"]["median"] / s["median"]
        most = max(decode, key=int)
        return {
            "engine": self.engine, "format": self.name, "bytes": self.bytes, "file": self.file,
            "decode": decode, "prompt": speeds, "calls": calls,
            "decode_share": {t: self.bytes * s["median"] * 1e-9 / roofs["bandwidth"][t]["median"] for t, s in decode.items()},
            "prompt_share": {t: operations / prompt * s["median"] * 1e-9 / roofs["peak"][t]["median"] for t, s in speeds.items()},
            "busy_keeps": statistics.median(self.busy.values) / decode[most]["median"],
            "first_ms": self.first.summary(), "resident": self.resident.summary(),
        }


class Ours(Series):
    def __init__(self, artifact):
        super().__init__("qbc", artifact.name, artifact.bytes, artifact.file_bytes, artifact.command)
        self.artifact = artifact

    def turn(self, o):
        super().turn(o)
        ms, resident = self.artifact.first_token(o, o.threads[-1])
        self.first.add(ms)
        self.resident.add(resident)


def peer_script(o, *words):
    return [o.peer, pathlib.Path(__file__).with_name("peer.py"), *words]


def peer_series(o, sizes):
    """(series, what to say of llama.cpp)"""
    if not o.peer:
        return [], "not measured: no --peer"
    try:
        version = measure.run(o.peer, "-c", "import llama_cpp, gguf; print(llama_cpp.__version__)").out.strip()
    except (SystemExit, OSError):
        return [], f"not measured: {o.peer} has no llama-cpp-python and gguf"
    (o.work / "sizes.json").write_text(json.dumps(sizes))
    source, found = o.work / "peer-F16.gguf", []
    if not source.exists():
        measure.run(*peer_script(o, "make", o.work / "sizes.json", source))
    for name in o.types.split(","):
        kind, _, plain = name.partition(":")
        path = o.work / f"peer-{kind}.gguf"
        if not path.exists():
            measure.run(*peer_script(o, "quantize", source, path, kind))
        flags = ["--no-repack"] if plain else []
        def command(threads, path=path, flags=flags):
            return peer_script(o, "measure", path, str(threads), *flags)
        first = json.loads(measure.run(*command(1), "1@0:1").out)
        found.append(Series("llama.cpp", name, first["bytes"], path.stat().st_size, command))
    return found, f"llama-cpp-python {version}"


class Roofs:
    """Read bandwidth and integer peak, in turn with the rest."""

    def __init__(self, o):
        self.o, self.instruction = o, ""
        self.bandwidth = {t: Numbers() for t in o.threads}
        self.peak = {t: Numbers() for t in o.threads}

    def turn(self):
        for t in self.o.threads:
            measure.wait_for_quiet(self.o.patience)
            out = measure.run(self.o.build / "test/bandwidth", t, priority=measure.priority(self.o)).out
            self.bandwidth[t].add(float(re.search(r"([\d.]+) GB/s", out)[1]))
            out = measure.run(self.o.build / "test/peak", t, priority=measure.priority(self.o)).out
            best = max(re.findall(r"([\d.]+) GOP/s (.*)", out), key=lambda row: float(row[0]))
            self.peak[t].add(float(best[0]))
            self.instruction = best[1]

    def summary(self):
        return {"bandwidth": {str(t): n.summary() for t, n in self.bandwidth.items()},
                "peak": {str(t): n.summary() for t, n in self.peak.items()}}


def cpu_name():
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def where(o, series, roofs):
    """Kernel by kernel: a prompt, and decoding behind as many tokens."""
    t = str(o.threads[-1])
    bandwidth, peak = roofs["bandwidth"][t]["median"], roofs["peak"][t]["median"]
    return [series.artifact.where(o, o.threads[-1], plan, 4000, bandwidth, peak)
            for plan in (f"{o.prompt}@0:2", f"1@{o.prompt}:32")]


def take_turns(o, roofs, series):
    """How many turns there were; an interrupt ends them, and what was measured by then counts."""
    for turn in range(o.runs):
        try:
            roofs.turn()
            for one in series:
                print(f"turn {turn + 1} of {o.runs}: {one.engine} {one.name}", file=sys.stderr)
                one.turn(o)
        except KeyboardInterrupt:
            if not turn:
                raise
            return turn
    return o.runs


def main():
    o = arguments()
    sizes = ours.sizes(o.build, o.model)
    names = o.formats.split(",") if o.formats else ours.formats(o.build, 16)
    mine = [Ours(ours.Artifact(o.build, o.work, o.model, name)) for name in names]
    theirs, peer = peer_series(o, sizes)
    load, roofs = [os.getloadavg()[0]], Roofs(o)
    turns = take_turns(o, roofs, mine + theirs)
    roofs.turn()
    summary = roofs.summary()
    artifact = mine[0].artifact
    operations = 2 * (artifact.products * o.prompt + sizes["vocab"] * sizes["hidden"])
    result = {
        "cpu": cpu_name(), "cores": os.cpu_count(), "threads": o.threads, "runs": turns, "prompt": o.prompt,
        "instruction": roofs.instruction, "sizes": sizes, "prompt_operations": operations, "peer": peer, **summary,
        "series": [s.summary(summary, operations, o.prompt) for s in mine + theirs],
    }
    for series, row in zip(mine, result["series"]):
        row["where"], row["compile"] = where(o, series, summary), series.artifact.compile
    result["load"] = load + [os.getloadavg()[0]]
    text = report.text(result)
    o.out.with_suffix(".json").write_text(json.dumps(result, indent=1))
    o.out.with_suffix(".svg").write_text(plot.svg(result))
    o.out.with_suffix(".txt").write_text(text)
    print(text, end="")


main()
