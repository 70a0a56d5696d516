#!/usr/bin/env python3
"""-max-kld= and -max-ppl= find few bytes that keep the bound, measured on the artifact; -eval= tells the quality, which numpy confirms; what is promised
and missed is exit status 3."""
import json
import os
import re
import sys

import numpy as np

import tools
from calibration_test import divergence

FORMATS = "-formats=i2g32z,i3g32z,i4g32,i6g64"
WINDOW, WINDOWS = 64, 16


def weight_bytes(artifact):
    return json.loads(tools.run(tools.QBRUN, artifact, "--info=json").stdout)["weight_bytes"]


def measured(artifact, floats, windows):
    """Mean KL divergence over what has a next token."""
    return float(np.mean([divergence(want[:-1], tools.logits(artifact, w)[:-1]) for want, w in zip(floats, windows)]))


def compiled(work, name, *options, code=0):
    """The artifact, and the divergence that the compiler tells."""
    told = tools.run(tools.QBC, tools.MODEL, *options, f"-eval={work}/eval.npy", "-o", work / name, code=code).stderr
    found = re.search(r"KL divergence ([0-9.]+) nats", told)
    return work / name, float(found[1]), told


def check_bound(work, floats, windows, bound=0.05):
    chosen, told, _ = compiled(work, "chosen.qbm", f"-max-kld={bound}", FORMATS, f"-calib={work}/text.txt")
    found = measured(chosen, floats, windows)
    uniform = compiled(work, "uniform.qbm", "-quant=i4g32", "-fit=range")
    print(f"-max-kld={bound}: {weight_bytes(chosen)} bytes, {found:.5f} measured, {told:.5f} told; i4g32: {weight_bytes(uniform[0])}, {uniform[1]:.5f}")
    assert abs(found - told) < 1e-4 + 1e-3 * found, (found, told)
    assert 0.6 * bound < told <= bound
    below = compiled(work, "below.qbm", "-quant=i3g32z", "-fit=range")
    assert below[1] > bound > uniform[1]  # the smallest of these formats that keeps it is i4g32
    assert weight_bytes(chosen) < weight_bytes(uniform[0])


def check_missed(work):
    artifact, told, text = compiled(work, "missed.qbm", "-quant=i4g32", "-max-ppl=0.01%", "-max-kld=0.0001", code=3)
    assert told > 0.0001 and "is missed" in text and artifact.exists(), text


def check_complaints(work):
    tools.check_refused(work, (([f"-calib={work}/eval.npy", f"-eval={work}/eval.npy", "-fit=gptq"], "in common"), (["-max-ppl=x%"], "no bound"),
                          (["-max-kld=-1"], "no number"), ([f"-eval={work}/nothing.npy"], "nothing.npy")))


def check(work):
    floats = tools.compile_model(work / "float.qbm", "-quant=f32")
    new = [tools.continued(floats, np.array([7 * i + 11]), WINDOW - 1) for i in range(WINDOWS)]  # another text than the model's own: the likeliest
    windows = np.stack([np.concatenate([[7 * i + 11], row]) for i, row in enumerate(new)])
    np.save(work / "eval.npy", windows)
    pages = "".join(page.read_text() for page in sorted((tools.ROOT / "docs").glob("*.md")))
    (work / "text.txt").write_text(pages if os.environ.get("QBC_TEST_ALL") else pages[:24000])
    check_complaints(work)
    check_missed(work)
    check_bound(work, [tools.logits(floats, w) for w in windows], windows)


if __name__ == "__main__":
    sys.exit(tools.in_folder(check))
