#!/usr/bin/env python3
"""What there was to choose from, as allocators_test reads it: choices.py REPORT.json > FILE.choices

The first line: parameters, bytes of all that is not chosen. Then a line a tensor: its name, bytes and loss of each candidate.
"""
import json
import sys


def choices(report):
    """The text, from a report (-report=FILE.json) of a model whose formats were chosen."""
    items = [d for d in report["details"] if d.get("candidates")]
    others = round(report["weight_bytes"]) - sum(next(c["bytes"] for c in d["candidates"] if c["format"] == d["format"]) for d in items)
    lines = [f"{report['parameters']:.0f} {others}"]
    lines += [" ".join([d["name"], *(f"{c['bytes']:.0f} {c['loss']:.6g}" for c in d["candidates"])]) for d in items]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(choices(json.load(open(sys.argv[1]))), end="")
