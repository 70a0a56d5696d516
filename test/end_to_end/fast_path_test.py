#!/usr/bin/env python3
"""Every decoder of ../shared/models takes the fast path: --explain finds nothing that was not understood, no slow path is warned of,
and what a step walks through is launches of generated kernels and barriers, and nothing else."""
import re
import sys

import tools

STEP = {"qb.place", "qb.launch", "qb.barrier", "return"}


def decoders():
    """Families with logits; an encoder has hidden states instead."""
    models = tools.SHARED / "models"
    families = [p for p in sorted(models.glob("*/")) if (p / "expected/logits.npy").exists()]
    return [p for family in families for p in sorted(family.glob("*/model.onnx"))]


def operations_of_step(text):
    """Names of the operations of func @step, not those inside of launches."""
    body = text[text.index("func.func @step") :]
    return re.findall(r'^    (?:%[\w:]+ = )?"?([\w.]+)', body, re.M)


def problems(model):
    page = tools.run(tools.QBC, "--explain", model).stdout
    if not re.search(r"^not understood nothing; every operation has a generated kernel$", page, re.M):
        yield "--explain names what is not understood:\n" + page
    kernels = tools.run(tools.QBC, model, "-quant=f32", "-emit=kernels", "-o", "-")
    if "slow" in kernels.stderr:
        yield kernels.stderr
    operations = operations_of_step(kernels.stdout)
    if set(operations) - STEP or operations.count("qb.launch") < 10:
        yield f"its step has {sorted(set(operations))}, {operations.count('qb.launch')} launches"


def main():
    models = decoders()
    if not models:
        print(f"skipped: no models in {tools.SHARED}")
        return tools.SKIPPED
    bad = 0
    for model in models:
        found = list(problems(model))
        bad += bool(found)
        print("FAIL" if found else "ok  ", model.parent.relative_to(tools.SHARED), *found, flush=True)
    return 1 if bad or len(models) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
