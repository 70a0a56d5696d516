#!/usr/bin/env python3
"""The three kinds of AArch64 under emulation against the native target, every format."""
import sys

import match

sys.exit(match.main("armv8", "armv8.2+dotprod", "armv8.6"))
