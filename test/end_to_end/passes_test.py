#!/usr/bin/env python3
"""Every row of passes.def has a file of its name, and a lit test of its name; every lit test belongs to a row."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def rows():
    return re.findall(r"^PASS\((\w+),", (ROOT / "passes/passes.def").read_text(), re.M)


def problems():
    names = [name.replace("_", "-") for name in rows()]
    if not names:
        yield "passes/passes.def: no rows found"
    for name in names:
        source = ROOT / "passes" / (name.replace("-", "_") + ".c")
        test = ROOT / "test/passes" / (name + ".mlir")
        if not source.exists():
            yield f"passes/passes.def: {name} has no {source.relative_to(ROOT)}"
        if not test.exists():
            yield f"passes/passes.def: {name} has no {test.relative_to(ROOT)}"
        elif not re.search(rf" -(print-after=)?{name}\b", test.read_text()):
            yield f"{test.relative_to(ROOT)}: does not run -{name}, nor prints what it leaves"
    for source in (ROOT / "passes").glob("*.c"):
        if source.stem.replace("_", "-") not in names:
            yield f"{source.relative_to(ROOT)}: no row of passes.def"


def main():
    found = list(problems())
    print("\n".join(found) or f"{len(rows())} passes, each with its test")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
