#!/usr/bin/env python3
"""count_tests.py RESULTS.xml...: sum up JUnit files of ctest and lit.

Names what failed and what was skipped, then prints "N passed, N failed, N skipped". Exit status 1 when a
test failed or none ran. A test that ctest could not start is a failure, though ctest calls it skipped.
"""
import pathlib
import sys
import xml.etree.ElementTree


def outcome(case):
    skipped = case.find("skipped")
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if skipped is None:
        return "passed"
    return "failed" if "Unable to find" in skipped.get("message", "") else "skipped"


def main():
    names = {"passed": [], "failed": [], "skipped": []}
    for path in map(pathlib.Path, sys.argv[1:]):
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            names[outcome(case)].append(f"{path.stem}: {case.get('name')}")
    print()
    for what in ("skipped", "failed"):
        for name in names[what]:
            print(f"{what}: {name}")
    print(", ".join(f"{len(names[what])} {what}" for what in names))
    return 1 if names["failed"] or not names["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
