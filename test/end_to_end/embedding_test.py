#!/usr/bin/env python3
"""What docs/embedding.md and docs/bare-metal.md say can be done, is done: every command on them, in order (pages.py says how)."""
import sys

import pages
from tools import MODEL, SKIPPED


def main():
    if not MODEL.exists():
        print("skipped: needs the bundled model")
        sys.exit(SKIPPED)
    sys.exit(0 if pages.run_pages(["embedding.md", "bare-metal.md"]) else SKIPPED)


if __name__ == "__main__":
    main()
