#!/usr/bin/env python3
"""-metric=, -allocator= and -granularity=: each is there, does what it says, and keeps the budget. One folder keeps the calibration for all of them."""
import json
import os
import re
import sys

import tools

FORMATS = ("i2g64z", "i4g64", "i8g32")
BITS = 4
TENSOR = re.compile(r'name = "([^"]+)".*?!qb\.block<"([^"]+)">')


class Lab:
    def __init__(self, work, calib):
        self.work, self.options = work, (calib, f"-formats={','.join(FORMATS)}", f"-resume={work}/kept")

    def formats(self, *options, bits=BITS, pieces=False):
        """{tensor: format} as chosen, without code."""
        tools.run(tools.QBC, tools.MODEL, *self.options, f"-bpw={bits}", *options, "-emit=quant", "-o", self.work / "quant.mlir")
        found = dict(TENSOR.findall((self.work / "quant.mlir").read_text()))
        print(" ".join(options), ":", " ".join(f"{n}={f}" for n, f in found.items()))
        assert pieces or len(found) == 29, found
        return found


def blocks_of(found):
    """{block: formats of its tensors}"""
    blocks = {}
    for name, f in found.items():
        if "." in name:
            blocks.setdefault(name.split(".")[0], set()).add(f)
    return blocks


def bytes_of(found):
    bits = {"i2g64z": 2.375, "i4g64": 4.25, "i8g32": 8.5}
    sizes = {"embed": 4096 * 256, "attn_q": 256 * 256, "attn_o": 256 * 256, "attn_k": 128 * 256, "attn_v": 128 * 256}
    return sum(sizes.get(name.split(".")[-1], 768 * 256) * bits[f] / 8 for name, f in found.items())


def check_blocks(lab):
    """QuBLAST: a format for each block, by what the model loses on the next token."""
    found = lab.formats("-metric=delta_ce", "-granularity=block")
    assert all(len(f) == 1 for f in blocks_of(found).values()) and len(set(found.values())) > 1, found


def check_pairs(lab):
    found = lab.formats("-metric=kl_logits", "-allocator=quad_block")
    assert len(set(found.values())) > 1


def check_orders(lab):
    """Orders have two formats: the largest, in order of importance, and the smallest."""
    small, large = FORMATS[0], FORMATS[-1]
    prefix = lab.formats("-metric=cos_inout", "-allocator=rank_prefix", "-granularity=block")
    assert prefix["embed"] == large and set(prefix.values()) == {small, large}, prefix
    assert all(len(f) == 1 for f in blocks_of(prefix).values())
    greedy = lab.formats("-metric=act_entropy", "-allocator=greedy_order")
    assert set(greedy.values()) == {small, large} and bytes_of(greedy) >= bytes_of(prefix), greedy
    top = lab.formats("-metric=range", "-allocator=top_ratio", "-share=0.2")
    assert sorted(top.values()).count(large) == round(0.2 * len(top)), top
    few = lab.formats("-metric=peak_ratio", "-allocator=threshold", "-share=1.5")
    many = lab.formats("-metric=peak_ratio", "-allocator=threshold", "-share=0.8", bits=9)
    above = lambda found: {n for n, f in found.items() if f == large}
    assert 0 < len(above(few)) < len(above(many)) < len(few) and above(few) < above(many), (few, many)
    score = lab.formats("-metric=zscore", "-allocator=rank_prefix")
    assert set(score.values()) == {small, large}


def check_alone(lab):
    """Losses of tensors alone."""
    fill, best = (lab.formats("-metric=out_mse", f"-allocator={a}") for a in ("waterfill", "mckp"))
    assert len(set(fill.values())) > 1 and len(set(best.values())) > 1
    swapped = lab.formats("-metric=fisher_mse", "-allocator=swap_pairs", bits=6)
    assert set(swapped.values()) == set(FORMATS), swapped
    least = lab.formats("-metric=fisher_mse", "-allocator=argmin_local", bits=9)
    assert set(least.values()) == {"i8g32"}, least
    told = tools.run(tools.QBC, tools.MODEL, *lab.options, "-bpw=4", "-metric=fisher_mse", "-allocator=argmin_local", "-o", lab.work / "none.qbm", code=1).stderr
    assert "does not look at the budget" in told and "8.5" in told, told


def check_segments(lab):
    """Quarters of columns, those that weigh most first: they have no fewer bits than the others. Code for many pieces takes a while."""
    options = ("-metric=out_mse", "-granularity=segment")
    found = lab.formats(*options, bits=3.3, pieces=True)
    pieces = {n: f for n, f in found.items() if "/" in n}
    assert len(pieces) > 10, found
    assert all(FORMATS.index(f) > FORMATS.index(pieces[n[:-1] + "1"]) for n, f in pieces.items() if n.endswith("columns0")), pieces
    if not os.environ.get("QBC_TEST_ALL"):
        return
    artifact = tools.compile_model(lab.work / "segments.qbm", *lab.options, "-bpw=3.3", *options)
    about = json.loads(tools.run(tools.QBRUN, artifact, "--info=json").stdout)
    print(f"segments: {about['bits_per_weight']:.4f} bits, {about['record']}")
    assert 0.98 * 3.3 <= about["bits_per_weight"] <= 3.3 and "segment" in str(about["record"])


def check(work):
    (work / "text.txt").write_text((tools.ROOT / "docs/numerics.md").read_text())
    lab = Lab(work, f"-calib={work}/text.txt")
    for part in (check_blocks, check_pairs, check_orders, check_alone, check_segments):
        part(lab)


if __name__ == "__main__":
    sys.exit(tools.in_folder(check))
