"""Commands that a page of docs/ shows, run as they stand there, in order, in a folder that looks like the checkout.

A block of code that follows the line `NAME`: is the file NAME; a block of sh is run; a block of text behind it is in what it printed. A block that
follows `NAME` shows: is not written but compared with the file NAME, which is there already.
"""
import os
import re
import shutil
import subprocess
import tempfile
import pathlib

from tools import BUILD, ROOT

BLOCK = re.compile(r"(?:^`(?P<name>[\w./-]+)`(?P<shown> shows)?:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.S | re.M)
BUILT_IN = ("cd", "export", "test", "echo")


def checkout(folder):
    """Links to all that is there; the build by its usual name."""
    for entry in ROOT.iterdir():
        if not entry.name.startswith((".", "build")):
            (folder / entry.name).symlink_to(entry)
    (folder / "build").symlink_to(BUILD)


def programs(script):
    """The first words of commands."""
    for line in script.replace("\\\n", " ").splitlines():
        words = [word for word in line.split() if not re.match(r"[A-Z_]+=", word)]
        if words and not line.startswith("#"):
            yield words[0]


def absent(script):
    """Programs that are not here; what a page makes itself has a slash in its name."""
    return [p for p in programs(script) if "/" not in p and p not in BUILT_IN and not shutil.which(p)]


def run_script(script, folder, page, **variables):
    p = subprocess.run(["bash", "-e", "-c", script], cwd=folder, env=dict(os.environ, **variables), stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    print(p.stdout, end="", flush=True)
    if p.returncode:
        raise AssertionError(f"docs/{page.name}: exit status {p.returncode}:\n{script}")
    return p.stdout


def run_page(page, folder, **variables):
    """How many commands were run; None: a program is not here."""
    ran, said = 0, ""
    for block in BLOCK.finditer(page.read_text()):
        path = folder / block["name"] if block["name"] else None
        if path and block["shown"]:
            if block["text"].strip() not in path.read_text():
                raise AssertionError(f"docs/{page.name} shows {block['name']} as it is not")
        elif path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["text"])
        elif block["kind"] == "sh":
            if absent(block["text"]):
                print(f"skipped: {page.name} needs {absent(block['text'])}")
                return None
            said = run_script(block["text"], folder, page, **variables)
            ran += len(list(programs(block["text"])))
        elif block["kind"] == "text" and block["text"] not in said.replace("\r", ""):
            raise AssertionError(f"docs/{page.name} shows {block['text']!r}, but this came out: {said!r}")
    return ran


def run_pages(names, **variables):
    """run_page for each, in a folder of its own. Raises where a page shows no command; False: no page could be run."""
    results = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            checkout(pathlib.Path(folder))
            results.append(run_page(ROOT / "docs" / name, pathlib.Path(folder), **variables))
        if results[-1] == 0:
            raise AssertionError(f"docs/{name} shows no command")
    return any(r is not None for r in results)
