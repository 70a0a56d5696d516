#!/usr/bin/env python3
"""An encoder: hidden states of a text against the stored ones, native and emulated; what an encoder cannot do is refused."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

from tools import BUILD, QBRUN, SHARED, SKIPPED, compile_model, run

FOLDER = SHARED / "models/bert"
TARGETS = {  # emulator, folder of qbrun
    "native": (None, "bin"),
    "armv8": (["qemu-aarch64-static"], "aarch64/bin"),
    "rv64gcv": (["qemu-riscv64-static", "-cpu", "rv64,v=true,vext_spec=v1.0,elen=64,vlen=256"], "riscv64/bin"),
}


def runner_of(target):
    emulator, folder = TARGETS[target]
    qbrun = BUILD / folder / "qbrun"
    if emulator and (not shutil.which(emulator[0]) or not qbrun.exists()):
        return None
    return (emulator or []) + [qbrun]


def hidden_of(folder, runner, artifact, tokens):
    np.save(folder / "tokens.npy", tokens)
    run(*runner, artifact, "--logits", folder / "tokens.npy", "-o", folder / "hidden.npy")
    return np.load(folder / "hidden.npy")


def check_target(folder, target):
    runner = runner_of(target)
    if not runner:
        print(f"skipped: {target} does not run here")
        return
    tokens, want = np.load(FOLDER / "expected/tokens.npy").ravel(), np.load(FOLDER / "expected/hidden.npy")
    artifact = compile_model(folder / f"{target}.qbm", f"-target={target}", model=FOLDER / "optimum/model.onnx")
    got = hidden_of(folder, runner, artifact, tokens)
    error = np.abs(got - want).max() / np.abs(want).max()
    print(f"{target}: {got.shape}, error {error:.1e}")
    assert got.shape == want.shape and error < 1e-4
    # each call is a text of its own; all of a text is seen, so its first row depends on the last token
    half = hidden_of(folder, runner, artifact, tokens[:5])
    assert half.shape == (5, want.shape[1]) and np.abs(half[0] - want[0]).max() > 1e-2


def check_refusals(folder):
    artifact, ids = folder / "native.qbm", folder / "tokens.npy"
    for wrong in (["--tokens", ids, "-n", 1, "-o", folder / "x.npy"], ["--logits", ids, "--chunk", 7, "-o", folder / "x.npy"], ["--ppl", ids]):
        assert "is an encoder" in run(QBRUN, artifact, *wrong, code=1).stderr, wrong


PROGRAM = r"""
#include "bert.h"
#include <stdio.h>
static _Alignas(QBRT_ALIGN) unsigned char memory[BERT_SESSION_BYTES];
static float hidden[BERT_CONTEXT * BERT_OUTPUTS];
static int32_t ids[BERT_CONTEXT];
int main(void)
{
    struct bert_instance *m;
    size_t n = 0;
    while (n < BERT_CONTEXT && scanf("%d", &ids[n]) == 1)
        n++;
    if (!BERT_IS_ENCODER || bert_open(memory, sizeof memory, NULL, &m) || bert_eval_all(m, ids, n, hidden) || bert_argmax(m, hidden) != -1)
        return 1;
    fwrite(hidden, sizeof *hidden, n * BERT_OUTPUTS, stdout);
    return 0;
}
"""


def check_library(folder):
    """The C library of an encoder gives the rows that qbrun gives."""
    compile_model(folder / "libbert.a", "-target=native", "-prefix=bert", "-emit=static-lib", model=FOLDER / "optimum/model.onnx")
    (folder / "main.c").write_text(PROGRAM)
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", folder, folder / "main.c", folder / "libbert.a", "-o", folder / "main")
    tokens = np.load(FOLDER / "expected/tokens.npy").ravel()
    made = subprocess.run([folder / "main"], input=" ".join(map(str, tokens)).encode(), stdout=subprocess.PIPE, check=True).stdout
    want = hidden_of(folder, [QBRUN], folder / "native.qbm", tokens)
    assert np.array_equal(np.frombuffer(made, np.float32).reshape(want.shape), want)


def main():
    if not (FOLDER / "optimum/model.onnx").exists():
        print(f"skipped: no {FOLDER}")
        return SKIPPED
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for target in TARGETS:
            check_target(folder, target)
        check_refusals(folder)
        check_library(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
