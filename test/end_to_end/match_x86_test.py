#!/usr/bin/env python3
"""x86-64-v2 and x86-64-v3 against the native target, every format."""
import sys

import match

sys.exit(match.main("x86-64-v2", "x86-64-v3"))
