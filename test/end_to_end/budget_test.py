#!/usr/bin/env python3
"""-bpw= and -size= choose a format for each tensor: never beyond the budget, nearly all of it used, better than one format for all."""
import json
import os
import sys

import numpy as np

import tools
from calibration_test import divergence

sys.path.insert(0, str(tools.ROOT / "test/tools"))
import choices

FORMATS = "-formats=i2g128,i2g64z,i3g64z,i4g64,i4g32,i5g64,i6g64,i8g32,f16"
FEW, ABOUT_FOUR = "-formats=i2g64z,i3g64z,i4g64,i6g64", "-formats=i3g64z,i4g64,i4g32,i5g64,i6g64"  # each is measured with each tensor
LEAST_USED = 0.995
LEAST_OF_FILE = 0.98  # another format is more code, which a small model feels: about 20 KB at once


def info(artifact):
    return json.loads(tools.run(tools.QBRUN, artifact, "--info=json").stdout)


def check_bits(work, bits=2.75):
    """Nothing but a budget: the model writes the text itself."""
    artifact = tools.compile_model(work / "bits.qbm", f"-bpw={bits}", FEW)
    about = info(artifact)
    print(f"-bpw={bits}: {about['bits_per_weight']:.4f}, {about['record']}")
    assert LEAST_USED * bits <= about["bits_per_weight"] <= bits, about
    assert "own text" in about["record"]["calibration"] and "16384 of 16384 tokens" in about["record"]["calibration"]


def check_quality(work):
    """At the bits of one format for all, and no more. Wants a text of the kind that the model was made for."""
    text = tools.SHARED / "data/text/docs-calib.txt"
    if not text.exists():
        print("quality: not checked, there is no text")
        return
    calib = f"-calib={text}"
    tokens = tools.expected("tokens").ravel()
    want = tools.logits(tools.compile_model(work / "float.qbm", "-quant=f32"), tokens)
    uniform = tools.compile_model(work / "uniform.qbm", "-quant=i4g32", "-fit=gptq", calib)
    most = info(uniform)["bits_per_weight"]
    chosen = tools.compile_model(work / "chosen.qbm", f"-bpw={most}", calib, ABOUT_FOUR)
    bits = info(chosen)["bits_per_weight"]
    theirs, ours = (divergence(want, tools.logits(a, tokens)) for a in (uniform, chosen))
    print(f"-bpw={most:.4f}: {bits:.4f}, KL divergence {ours:.4f}; i4g32 everywhere {theirs:.4f}")
    assert LEAST_USED * most <= bits <= most
    assert ours < 0.9 * theirs


def check_forty(work, calib):
    """From 2.2 to 9 bits: three of them (all: QBC_TEST_ALL) compiled; all by the solver alone, against the optimum."""
    kept, budgets = f"-resume={work}/kept", np.linspace(2.2, 9, 40)
    for bits in budgets if os.environ.get("QBC_TEST_ALL") else budgets[3::18]:
        artifact = tools.compile_model(work / "bits.qbm", f"-bpw={bits:.6f}", calib, FORMATS, kept, f"-report={work}/report.json")
        found = info(artifact)["bits_per_weight"]
        print(f"-bpw={bits:.3f}: {found:.4f}, {100 * found / bits:.2f} % used")
        assert LEAST_USED * bits <= found <= bits
    solver = tools.BUILD / "test/allocators_test"
    if solver.exists():
        (work / "docs-4m.choices").write_text(choices.choices(json.loads((work / "report.json").read_text())))
        print(tools.run(solver, work / "docs-4m.choices").stdout.strip())


def check_size(work, calib):
    artifact = tools.compile_model(work / "size.qbm", "-size=2.4M", calib, FORMATS, f"-resume={work}/kept")
    size = artifact.stat().st_size
    print(f"-size=2.4M: {size}")
    assert LEAST_OF_FILE * 2.4e6 <= size <= 2.4e6


def check_exceptions(work, calib):
    artifact = tools.compile_model(work / "pinned.qbm", "-bpw=4.5", calib, FORMATS, "-quant-tensor=ffn_down=i7g32")
    formats = {t["name"]: t["format"] for t in info(artifact)["tensors"]}
    assert all(f == "i7g32" for n, f in formats.items() if n.endswith("ffn_down")), formats
    assert info(artifact)["bits_per_weight"] <= 4.5
    assert len({f for f in formats.values()}) > 2, formats
    record = info(artifact)["record"]
    assert "-bpw=4.5 by mckp" in str(record) and "text.txt" in str(record), record


def check_complaints(work, calib):
    tools.check_refused(work, ((["-bpw=4", calib, "-formats=i8g32"], "cannot be met"), (["-bpw=4", "-quant=i4g32", calib], "-formats"),
                          (["-bpw=x", calib], "no number"), (["-size=4Q", calib], "no size"), (["-bpw=4", calib, "-allocator=mckq"], "greedy_order; did you mean 'mckp'"), (["-bpw=4", "-metric=klogits"], "fisher_mse"),
                          (["-bpw=4", "-metric=zscore"], "mckp goes by"), (["-bpw=4", "-allocator=threshold", "-metric=cos_inout"], "peak_ratio"),
                          (["-bpw=4", "-allocator=quad_block", "-granularity=block"], "pairs"), (["-bpw=4", "-allocator=quad_block", "-metric=out_mse"], "kl_logits"),
                          (["-bpw=4", "-granularity=columns"], "segment"), (["-bpw=4", "-granularity=segment", "-metric=range", "-allocator=top_ratio"], "out_mse"),
                          (["-bpw=4", "-share=0.5"], "top_ratio"), (["-bpw=4", "-share=2", "-allocator=top_ratio"], "no share"),
                          (["-max-ppl=5%", "-allocator=threshold"], "-bpw=N"), (["-metric=range"], "-bpw"),
                          (["-bpw=4", calib, "-formats=i4g32,nonsense"], "nonsense"), (["-allocator=mckp"], "-bpw")))
    assert "waterfill" in tools.run(tools.QBC, "--list-allocators").stdout and "act_entropy" in tools.run(tools.QBC, "--list-metrics").stdout


def check(work):
    pages = "".join(page.read_text() for page in sorted((tools.ROOT / "docs").glob("*.md")))
    (work / "text.txt").write_text(pages if os.environ.get("QBC_TEST_ALL") else pages[:12000])
    calib = f"-calib={work}/text.txt"
    check_complaints(work, calib)
    check_bits(work)
    check_quality(work)
    check_forty(work, calib)
    check_size(work, calib)
    check_exceptions(work, calib)


if __name__ == "__main__":
    sys.exit(tools.in_folder(check))
