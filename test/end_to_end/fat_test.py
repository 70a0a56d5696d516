#!/usr/bin/env python3
"""Artifacts with code for several CPUs: each machine runs the best code that it can, and says why; one that can run
none is told what it lacks. The code and the weights are those of artifacts for one CPU: outputs are the same to the bit."""
import json
import pathlib
import shutil
import sys
import tempfile

import numpy as np

from tools import BUILD, QBC, QBRUN, MODEL, SKIPPED, compile_model, expected, logits, run

X86 = ["x86-64-v2", "x86-64-v3", "alderlake", "x86-64-v4", "icelake-server"]
OTHERS = ["armv8", "armv8.2+dotprod", "rv64gcv"]
EMULATORS = {"x86_64": "qemu-x86_64-static", "aarch64": "qemu-aarch64-static", "riscv64": "qemu-riscv64-static"}


def on(arch, cpu):
    """How to run the runtime on an emulated CPU, or None."""
    emulator = shutil.which(EMULATORS[arch])
    qbrun = QBRUN if arch == "x86_64" else BUILD / arch / "bin/qbrun"
    return (emulator, "-cpu", cpu, qbrun) if emulator and qbrun.exists() else None


def info(artifact, runner=(QBRUN,)):
    return json.loads(run(*runner, artifact, "--info=json").stdout)


def same_bits(fat, single, runner, what):
    tokens = expected("tokens").ravel()[:9]
    a, b = logits(fat, tokens, runner=runner), logits(single, tokens, runner=runner)
    assert np.array_equal(a, b), f"{what}: the fat artifact computes something else"


def test_contents(fat, singles):
    """Plainest first, whatever the order they were named in; weights laid out alike are there once."""
    facts = info(fat)
    names = [v["target"] for v in facts["variants"]]
    assert names == X86 + OTHERS, names
    for v in facts["variants"]:
        alone = info(singles[v["target"]])
        (only,) = alone["variants"]
        assert {k: v[k] for k in ("requires", "code_bytes", "weights_bytes")} == \
            {k: only[k] for k in ("requires", "code_bytes", "weights_bytes")}, v
        assert facts["state_bytes"] == alone["state_bytes"] and facts["arena_bytes"] >= alone["arena_bytes"]
    assert facts["arena_bytes"] == max(info(s)["arena_bytes"] for s in singles.values())
    sections = {v["target"]: v["weights"] for v in facts["variants"]}
    assert sections["x86-64-v3"] == sections["alderlake"], "panels of one height and depth, in one section"
    assert len({sections[name] for name in ("x86-64-v3", "icelake-server", "armv8", "rv64gcv")}) == 4, sections
    stored = {v["weights"]: v["weights_bytes"] for v in facts["variants"]}
    assert facts["weight_bytes"] < sum(stored.values()) + 100_000, "weights are there more often than needed"


def test_choice(fat, singles):
    """Under each CPU the last that it can run; the others are explained."""
    done = 0
    for arch, cpu, chosen, lacking in (
        ("x86_64", "Nehalem", "x86-64-v2", {"x86-64-v3": "avx2", "x86-64-v4": "avx512f"}),
        ("x86_64", "Haswell", "x86-64-v3", {"alderlake": "avxvnni", "icelake-server": "avx512vnni"}),
        ("aarch64", "cortex-a53", "armv8", {"armv8.2+dotprod": "dotprod"}),
        ("aarch64", "cortex-a76", "armv8.2+dotprod", {}),
        ("riscv64", "rv64,v=true,vext_spec=v1.0,elen=64,vlen=256", "rv64gcv", {}),
    ):
        runner = on(arch, cpu)
        if not runner:
            print(f"skipped: no emulator for {cpu}, or no runtime for {arch}")
            continue
        variants = {v["target"]: v for v in info(fat, runner)["variants"]}
        assert [n for n, v in variants.items() if v["chosen"]] == [chosen], (cpu, variants)
        text = run(*runner, fat, "--info").stdout
        assert f"code for         {chosen} ({variants[chosen]['triple']}): chosen\n" in text, text
        for name, feature in lacking.items():
            assert feature in variants[name]["missing"] and not variants[name]["runs_here"], variants[name]
            assert any(line.split(":")[0].endswith(f" {name} ({variants[name]['triple']})") and "this CPU lacks" in line and feature in line
                       for line in text.splitlines()), text
        same_bits(fat, singles[chosen], runner, cpu)
        done += 1
    return done


def test_here(fat, singles):
    variants = info(fat)["variants"]
    fitting = [v["target"] for v in variants if v["runs_here"]]
    chosen = [v["target"] for v in variants if v["chosen"]]
    if not fitting:
        return
    assert chosen == fitting[-1:], (chosen, fitting)
    same_bits(fat, singles[chosen[0]], (QBRUN,), "this machine")
    text = run(QBRUN, fat, "--info").stdout
    for name in fitting[:-1]:
        assert f" {name} (x86_64-linux-gnu): would run, but {chosen[0]} asks more of a CPU\n" in text, text
    assert " armv8 (aarch64-linux-gnu): for another machine\n" in text, text


def test_refusals(singles, folder):
    """What is missing is named; an illegal instruction is never tried."""
    np.save(folder / "tokens.npy", expected("tokens").ravel()[:4])
    for arch, cpu, target, words in (
        ("x86_64", "Nehalem", "x86-64-v3", ("needs avx2, bmi, bmi2, f16c, fma, ", "which this CPU lacks")),
        ("x86_64", "Haswell", "icelake-server", ("needs avx512bw, ", "avx512vnni", "which this CPU lacks")),
        ("x86_64", "Haswell", "armv8", ("its code is for aarch64-linux-gnu",)),
        ("aarch64", "cortex-a53", "armv8.2+dotprod", ("needs dotprod, which this CPU lacks",)),
        ("riscv64", "rv64,v=false", "rv64gcv", ("needs v, ", "which this CPU lacks")),
    ):
        runner = on(arch, cpu)
        if runner:
            error = run(*runner, singles[target], "--logits", folder / "tokens.npy", "-o", folder / "x.npy", code=1).stderr
            assert "no code for this CPU" in error and all(w in error for w in words), error
            assert not (folder / "x.npy").exists()


def test_same_bytes(folder):
    """The same flags give the same bytes, and so do the same targets in another order."""
    some = ["x86-64-v3", "armv8", "x86-64-v2"]
    a = compile_model(folder / "a.qbm", "-q", "-quant=i4g32", "-target=" + ",".join(some))
    b = compile_model(folder / "b.qbm", "-q", "-quant=i4g32", "-threads=1", "-target=" + ",".join(reversed(some)))
    assert a.read_bytes() == b.read_bytes(), "the order of targets changes the artifact"


def main(folder):
    singles = {t: compile_model(folder / f"{t}.qbm", "-q", "-quant=i4g32", f"-target={t}") for t in X86 + OTHERS}
    fat = compile_model(folder / "fat.qbm", "-q", "-quant=i4g32", "-target=" + ",".join(OTHERS + X86[::-1]))
    test_contents(fat, singles)
    test_here(fat, singles)
    test_refusals(singles, folder)
    test_same_bytes(folder)
    return test_choice(fat, singles)


if __name__ == "__main__":
    if not (QBC.exists() and QBRUN.exists() and MODEL.exists()):
        print("skipped: nothing was built")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory(prefix="qbc-fat-") as where:
        print(f"passed; {main(pathlib.Path(where))} emulated CPUs")
