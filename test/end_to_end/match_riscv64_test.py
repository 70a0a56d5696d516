#!/usr/bin/env python3
"""One artifact for vectors of 128 to 1024 bits under emulation against the native target, every format."""
import sys

import match

sys.exit(match.main("rv64gcv@128", "rv64gcv@256", "rv64gcv@512", "rv64gcv@1024"))
