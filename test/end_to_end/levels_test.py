#!/usr/bin/env python3
"""Every level of IR prints, and qbc-opt reads it back as the same text; code levels are what their names say."""
import pathlib
import tempfile

import tools

LLVM = pathlib.Path("/usr/lib/llvm-22/bin")
SIGNS = {"onnx": '"onnx.', "graph": '"qb.attention"', "quant": '"qb.fused_linear"', "kernels": '"qb.launch"'}


def emit(level, folder):
    out = folder / level
    tools.run(tools.QBC, tools.MODEL, f"-emit={level}", "-quant=i4g32", "-target=x86-64-v3", "-o", out)
    return out


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    for level, sign in SIGNS.items():
        text = emit(level, folder).read_text()
        assert sign in text, f"{level}: no {sign} in it"
        again = tools.run(tools.BUILD / "bin/qbc-opt", folder / level).stdout
        assert again == text, f"{level}: qbc-opt prints another text than it read"
    tools.run(LLVM / "opt", "-passes=verify", "-disable-output", emit("llvm", folder))
    assert "vpmaddubsw" in emit("asm", folder).read_text(), "asm: no vpmaddubsw"
    symbols = tools.run(LLVM / "llvm-nm", emit("obj", folder)).stdout
    assert " T model_decode" in symbols and " T model_step" in symbols and " U " not in symbols, f"obj: {symbols}"
print("all levels print and read back")
