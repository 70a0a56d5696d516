#!/usr/bin/env python3
"""Logits and greedy tokens of every float export, -target=x86-64-v2."""
import sys

import acceptance

sys.exit(acceptance.main("x86-64-v2"))
