#!/usr/bin/env python3
"""Logits and greedy tokens of every float export, -target=native."""
import sys

import acceptance

sys.exit(acceptance.main("native"))
