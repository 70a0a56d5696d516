#!/usr/bin/env python3
"""What docs/embedding.md and docs/bare-metal.md say can be done, is done: every command on them, in order, in a folder that looks like the checkout.

A block of C, assembly or linker script that follows the line `NAME`: is the file NAME; a block of sh is run; a block of text behind it is in what it printed."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tools import BUILD, MODEL, ROOT, SKIPPED

PAGES = ("embedding.md", "bare-metal.md")
BLOCK = re.compile(r"(?:^`(?P<name>[\w./-]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.S | re.M)


def checkout(folder):
    """Links to all that is there; the build by its usual name."""
    for entry in ROOT.iterdir():
        if not entry.name.startswith((".", "build")):
            (folder / entry.name).symlink_to(entry)
    (folder / "build").symlink_to(BUILD)


def programs(script):
    """The first words of commands."""
    for line in script.replace("\\\n", " ").splitlines():
        words = line.split()
        if words and not line.startswith("#"):
            yield words[0]


def run_page(page, folder):
    """How many commands were run; None: a program is not here."""
    ran, said = 0, ""
    for block in BLOCK.finditer(page.read_text()):
        if block["name"]:
            (folder / block["name"]).write_text(block["text"])
        elif block["kind"] == "sh":
            absent = [p for p in programs(block["text"]) if not shutil.which(p) and not p.startswith((".", "build/")) and p not in ("cd",)]
            if absent:
                print(f"skipped: {page.name} needs {absent}")
                return None
            p = subprocess.run(["bash", "-e", "-c", block["text"]], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
            said = p.stdout
            print(said, end="")
            if p.returncode:
                raise AssertionError(f"docs/{page.name}: exit status {p.returncode}:\n{block['text']}")
            ran += len(list(programs(block["text"])))
        elif block["kind"] == "text" and block["text"] not in said.replace("\r", ""):
            raise AssertionError(f"docs/{page.name} shows {block['text']!r}, but this came out: {said!r}")
    return ran


def main():
    if not MODEL.exists():
        print("skipped: needs the bundled model")
        sys.exit(SKIPPED)
    results = []
    for name in PAGES:
        page = ROOT / "docs" / name
        with tempfile.TemporaryDirectory() as folder:
            checkout(pathlib.Path(folder))
            results.append(run_page(page, pathlib.Path(folder)))
        if results[-1] == 0:
            raise AssertionError(f"docs/{name} shows no command")
    sys.exit(SKIPPED if all(r is None for r in results) else 0)


if __name__ == "__main__":
    main()
