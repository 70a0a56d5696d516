#!/usr/bin/python3
"""The innermost loops of functions in an assembly listing (qbc -emit=asm).

    inner_loops.py FUNCTION-REGEX [-per INSTRUCTION-REGEX] < listing

Prints each loop: from the label that it jumps back to, to the last such jump, with no other loop inside. With -per: after each loop, how many of every instruction there are for each one that matches, e.g.
"per vpdpbusd: 0.125 vcvtdq2ps"; loops without a match are left out.
"""
import collections
import re
import sys

LABEL = re.compile(r"^(\.L\w+):")
JUMP = re.compile(r"^\s+(?:j\w*|b\.\w+|b|cbn?z\s+\w+,|tbn?z\s+.*,|b[a-z]+\s+(?:\w+,\s*)+)\s*(\.L\w+)")


def functions(lines, name):
    """Bodies of the functions whose names match."""
    body = None
    for line in lines:
        start = re.match(r"^([A-Za-z_]\w*):", line)
        if start:
            body = [] if re.fullmatch(name, start[1]) else None
        if body is not None and re.match(r"^\.Lfunc_end", line):
            yield body
            body = None
        if body is not None:
            body.append(line.rstrip())


def innermost(body):
    """The loops of a body that have no loop inside."""
    labels = {m[1]: i for i, line in enumerate(body) if (m := LABEL.match(line))}
    jumps = [(labels[m[1]], i) for i, line in enumerate(body) if (m := JUMP.match(line)) and labels.get(m[1], i) < i]
    ends = collections.defaultdict(int)
    for first, last in jumps:
        ends[first] = max(ends[first], last)
    for first, last in sorted(ends.items()):
        if not any(first < other <= last for other in ends):
            yield body[first : last + 1]


def main():
    per = sys.argv[3] if sys.argv[2:3] == ["-per"] else None
    found = [loop for body in functions(sys.stdin, sys.argv[1]) for loop in innermost(body)]
    for loop in found:
        code = [re.sub(r"{\w+}\s*", "", line, count=1) if line.lstrip().startswith("{") else line for line in loop]
        code = [line for line in code if re.match(r"^\s+[a-z]", line)]
        names = collections.Counter(line.split()[0] for line in code)
        one = sum(n for name, n in names.items() if per and re.fullmatch(per, name))
        if per and not one:
            continue
        print("\n".join(code))
        for name, n in sorted(names.items()) if per else ():
            print(f"per {per}: {n / one:.4f} {name}")
        print("---")


if __name__ == "__main__":
    main()
