#!/usr/bin/env python3
"""Bytes, counted: a mixture's decode reads the chosen experts and no others, page by page; a tied embedding is stored once."""
import pathlib
import sys
import tempfile

import numpy as np

import experts_test
import tools
from experts_test import EXPERTS, FORMS, TOP, VOCABULARY, layer, tensors_of, write_model

experts_test.WIDTH, experts_test.INNER, experts_test.WIDE = 64, 128, 256  # multiples of any panel's height: no panel has rows of two experts
READ_PAGES, PAGE = tools.BUILD / "test/read_pages", 4096


def read_by(artifact, *tokens):
    """{tensor: (start in its first page, bytes, "0110..." of its pages that the step of the last token read)}"""
    lines = [line.split("\t") for line in tools.run(READ_PAGES, artifact, *tokens).stdout.splitlines()]
    return {name: (int(start), int(size), pages) for name, start, size, pages in lines}


def pages_of_experts(start, size, pages):
    """For each expert, its pages that are nobody else's: "11..", "00.." """
    each = size // EXPERTS
    return [pages[-(-(start + e * each) // PAGE):(start + (e + 1) * each) // PAGE] for e in range(EXPERTS)]


def check_experts(folder, name):
    t = tensors_of(np.random.default_rng(7))
    write_model(folder, name, t)
    tools.compile_model(folder / "m.qbm", "-tokenizer=none", "-quant=f32", model=folder / "model.onnx")
    read = whole = 0
    for token in range(0, VOCABULARY, 16):
        _, chosen = layer(name, t["embed"][[token]].astype(np.float64), t)
        assert len(chosen) == TOP
        size_of_one = EXPERTS * experts_test.WIDTH * experts_test.INNER * 4
        experts = {n: facts for n, facts in read_by(folder / "m.qbm", token).items() if facts[1] % size_of_one == 0}
        assert sum(size for _, size, _ in experts.values()) == 3 * size_of_one, experts.keys()
        for tensor, (start, size, pages) in experts.items():
            for e, own in enumerate(pages_of_experts(start, size, pages)):
                assert own and set(own) == {"1" if e in chosen else "0"}, f"{name}, {tensor}, expert {e} of {chosen}: {own}"
            read, whole = read + pages.count("1"), whole + len(pages)
    assert read <= whole * TOP / EXPERTS + 9 * TOP, (read, whole)
    print(f"ok {name}: {read} of {whole} pages of experts are read, {TOP} of {EXPERTS} are chosen")


def check_tied(folder):
    tools.compile_model(folder / "m.qbm", "-quant=f16")
    vocabulary, width = 4096, 256
    tensors = read_by(folder / "m.qbm", 5)
    tables = [n for n, (_, size, _) in tensors.items() if size >= vocabulary * width * 2]
    assert tables == ["embed"], f"the embedding is stored as {tables}"
    assert set(tensors["embed"][2]) == {"1"}, "the logits do not read all of it"
    weights, file = sum(size for _, size, _ in tensors.values()), (folder / "m.qbm").stat().st_size
    assert weights < file < weights + vocabulary * width, f"{file} bytes for {weights} of weights"
    print(f"ok tied: {file} bytes, {weights} of them weights, the embedding once")


def main():
    if not READ_PAGES.exists() or not tools.QBC.exists():
        print("skipped: read_pages or qbc is not built")
        return tools.SKIPPED
    with tempfile.TemporaryDirectory() as path:
        for name in FORMS:
            check_experts(pathlib.Path(path), name)
        check_tied(pathlib.Path(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
