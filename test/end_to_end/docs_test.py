#!/usr/bin/env python3
"""The pages are true to the tree.

- Every path that README.md and docs/*.md name in `code` or link to exists, and so does every docs/ page that a source file names.
- Every folder of the tree stands in docs/map.md, every top-level one in README.md.
- The options that the tools' help pages list and those that docs/cli.md explains are the same.
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("QBC_BUILD", ROOT / "build")) / "bin"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = ("compiler", "dialects", "passes", "targets", "runtime", "test", "CMakeLists.txt", "setup.sh")
KINDS = r"(?:c|cc|h|def|md|mlir|py|txt|fbs|sh|onnx|json|npy)"
# Pages show how to add these; adding_test does it.
EXAMPLES = ("dialects/formats/narrow4g32.c", "targets/made_up.c", "passes/my_pass.c", "test/passes/my-pass.mlir")
SKIPPED_FOLDERS = ("test/models/docs-4m", "test/unit/inputs")


def paths_in(page):
    """What looks like a path of ours: in a code span, with a slash; or the target of a link."""
    text = page.read_text()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    for span in re.findall(r"`([^`\n]+)`", prose):
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", span) and span.split("/")[0] in TOP and span not in EXAMPLES:
            yield span, ROOT / span
    for link in re.findall(r"\]\(([^)#:\s]+)\)", prose):
        yield link, page.parent / link


def tracked_folders():
    """Folders with files that are not ignored, two levels deep."""
    for top in SOURCES:
        for path in sorted((ROOT / top).glob("*/")) if (ROOT / top).is_dir() else []:
            if any(path.iterdir()) and path.name != "__pycache__":
                yield str(path.relative_to(ROOT))


def missing_paths():
    for page in PAGES:
        for name, path in paths_in(page):
            if not path.exists():
                yield f"{page.relative_to(ROOT)}: names {name}, which does not exist"


def missing_pages():
    for top in SOURCES:
        files = (ROOT / top).rglob("*") if (ROOT / top).is_dir() else [ROOT / top]
        for path in files:
            if re.search(rf"\.{KINDS}$", path.name) and path.suffix in (".c", ".cc", ".h", ".def", ".fbs", ".mlir", ".py", ".txt", ".sh"):
                for page in set(re.findall(r"\bdocs/[\w-]+\.md", path.read_text(errors="replace"))):
                    if not (ROOT / page).exists():
                        yield f"{path.relative_to(ROOT)}: names {page}, which does not exist"


def missing_folders():
    readme, map_page = PAGES[0].read_text(), (ROOT / "docs/map.md").read_text()
    for top in SOURCES[:6]:
        if f"{top}/" not in readme:
            yield f"README.md: the tree has no {top}/"
    for folder in tracked_folders():
        if f"`{folder}/" not in map_page and folder not in SKIPPED_FOLDERS:
            yield f"docs/map.md: nothing about {folder}/"


def options_of(text):
    return {option.lstrip("-") for option in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text)}


def section(page, tool):
    match = re.search(rf"^## {tool}\b.*?(?=^## |\Z)", page, re.S | re.M)
    return match[0] if match else ""


def listed_options(help_page):
    """The words before the explanation, on lines that begin with an option."""
    for line in help_page.split("\n"):
        for words in re.split(r"\s{2,}", line.strip()):
            if not words.startswith("-"):
                break
            yield from options_of(words)


def different_options():
    page = (ROOT / "docs/cli.md").read_text()
    for tool in ("qbc", "qbrun"):
        help_page = subprocess.run([BIN / tool, "-h"], check=True, capture_output=True, text=True).stdout
        explained = options_of("\n".join(re.findall(r"^\| (`-.*?) \|", section(page, tool), re.M)))
        listed = set(listed_options(help_page))
        for option in sorted(listed - explained):
            yield f"docs/cli.md: {tool} has an option {option}, which is not explained"
        for option in sorted(explained - listed):
            yield f"docs/cli.md: explains {option}, which {tool} -h does not list"


TOP = {path.name for path in ROOT.iterdir()}


def main():
    found = [*missing_paths(), *missing_pages(), *missing_folders(), *different_options()]
    print("\n".join(found) or "the pages are true")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
