#!/usr/bin/env python3
"""The benchmark command on the bundled model, once: its numbers are sane, its plot is well-formed. What the numbers are is no
business of a test."""
import json
import sys
import tempfile
import xml.dom.minidom

import tools

FORMATS = ["i8g32", "i4g32"]


def check(what, good):
    if not good:
        print(f"bench_test: {what}")
    return good


def series_is_sane(s):
    # A model that stays in a cache is read faster than memory.
    speeds = [x["median"] for part in ("decode", "prompt", "calls") for x in s[part].values()]
    shares = [row["share"] for where in s["where"] for row in where["rows"]]
    names = {row.get("group") for row in s["where"][0]["rows"]}
    return all([
        check("speeds are positive", speeds and min(speeds) > 0),
        check("three calls of several tokens", set(s["calls"]) == {"1", "2", "4", "8"}),
        check("share of the peak", 0 < s["prompt_share"]["2"] < 20),
        check("share of the bandwidth", 0 < s["decode_share"]["2"] < 20),
        check("a prompt, then one token", [w["call"] for w in s["where"]] == [512, 1]),
        check("shares of kernels are one", all(abs(sum(r["share"] for r in w["rows"]) - 1) < 1e-6 for w in s["where"])),
        check("no kernel takes more than all", shares and min(shares) > 0 and max(shares) <= 1),
        check(f"products take time: {names}", "linear" in names),
        check("the first token takes time", s["first_ms"]["median"] > 0),
        check("memory is used", s["resident"]["median"] > 0),
        check("a busy core leaves something", s["busy_keeps"] > 0),
    ])


def main():
    with tempfile.TemporaryDirectory() as folder:
        tools.run(sys.executable, tools.ROOT / "test/bench/bench.py", tools.MODEL, "--build", tools.BUILD, "--work", folder,
                  "--formats", ",".join(FORMATS), "--runs", 1, "--patience", 0, "--tries", 1, "--peer", "/nonexistent/python")
        with open(f"{folder}/report.json") as f:
            result = json.load(f)
        xml.dom.minidom.parse(f"{folder}/report.svg")
        with open(f"{folder}/report.txt") as f:
            text = f.read()
    good = [
        check("bandwidth", all(0.1 < s["median"] < 5000 for s in result["bandwidth"].values())),
        check("peak", all(s["median"] > 0.1 for s in result["peak"].values())),
        check("formats in order", [s["format"] for s in result["series"]] == FORMATS),
        check("llama.cpp is said to be missing", "not measured" in result["peer"] and result["peer"] in text),
        *(series_is_sane(s) for s in result["series"]),
    ]
    return 0 if all(good) else 1


sys.exit(main())
