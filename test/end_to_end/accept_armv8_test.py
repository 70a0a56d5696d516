#!/usr/bin/env python3
"""Logits and greedy tokens of every float export, -target=armv8."""
import sys

import acceptance

sys.exit(acceptance.main("armv8"))
