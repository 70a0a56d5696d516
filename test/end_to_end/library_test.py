#!/usr/bin/env python3
"""A model as a library: -emit=obj, static-lib, shared, header; for this machine and, under qemu-user, for others.

The C program below is linked with each library and must give the logits that qbrun gives for the same model, to the bit. Libraries define names
under their prefix (and the static one qbrt_), want none, and two stand in one program. What fails leaves neither of the two files."""
import ctypes
import json
import pathlib
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile

import numpy as np

from onnx_file import tiny_model
from tools import BUILD, FAMILY, MODEL, QBC, SKIPPED, compile_model, logits, run

LLVM = pathlib.Path("/usr/lib/llvm-22/bin")
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2")
OPTIONS = ("-q", "-quant=i8g32", "-ctx=64", "-chunk=16")
PROMPT = "The function returns a list"

# Feeds a prompt, then one token at a time; prints ids, and the logits of each step to a file.
PROGRAM = r"""
#include "NAME.h"
#include <stdio.h>
#include <string.h>

static _Alignas(QBRT_ALIGN) unsigned char memory[UPPER_SESSION_BYTES];
static unsigned char scratch[UPPER_TOKENIZE_BYTES(100)], saved[UPPER_SAVED_BYTES];
static float logits[UPPER_VOCAB];
static struct qbrt_candidate candidates[UPPER_VOCAB];

static int fails(const char *what)
{
    printf("NAME: %s\n", what);
    return 1;
}

static int check_errors(struct NAME_instance *m)
{
    struct NAME_instance *none = m;
    int32_t bad = UPPER_VOCAB;
    if (NAME_open(memory, UPPER_SESSION_BYTES - 1, NULL, &none) != QBRT_NO_ROOM || none)
        return fails("a byte too few is enough");
    if (NAME_open(memory + 1, sizeof memory - 1, NULL, &none) != QBRT_BAD_ALIGN || none)
        return fails("any alignment will do");
    if (NAME_open(memory, sizeof memory, NULL, &m) != QBRT_OK)
        return fails("does not open twice");
    if (NAME_eval(m, &bad, 1, logits) != QBRT_BAD_TOKEN || NAME_eval(m, &bad, 0, logits) != QBRT_BAD_COUNT ||
        NAME_eval(NULL, &bad, 1, logits) != QBRT_BAD_ARGUMENT)
        return fails("evaluates anything");
    if (!*NAME_status_text(QBRT_NO_ROOM))
        return fails("has no words for an error");
    return 0;
}

int NAME_main(const char *prompt, const char *path)
{
    struct NAME_instance *m;
    struct qbrt_sampler greedy = {.temperature = 0};
    int32_t ids[UPPER_CONTEXT];
    char text[UPPER_TEXT_BYTES];
    enum { NEW = 12 };
    FILE *out = fopen(path, "wb");
    if (!out || NAME_open(memory, sizeof memory, NULL, &m) != QBRT_OK || check_errors(m))
        return fails("does not open");
    ptrdiff_t n = NAME_tokenize(m, prompt, strlen(prompt), QBRT_TOKENIZER_SPECIAL, ids, UPPER_CONTEXT, scratch, sizeof scratch);
    if (n < 1 || n > UPPER_CONTEXT - NEW)
        return fails("does not read the prompt");
    for (ptrdiff_t i = 0; i < n; i++)
        fwrite(text, 1, NAME_text_next(m, ids[i], text, sizeof text), stdout);
    if (NAME_eval(m, ids, (size_t)n, logits) != QBRT_OK)
        return fails("does not evaluate");
    for (int i = 0; i < NEW; i++) {
        fwrite(logits, sizeof *logits, UPPER_VOCAB, out);
        int32_t token = NAME_argmax(m, logits);
        if (token != NAME_sample(m, &greedy, logits, candidates))
            return fails("greedy is not greedy");
        fwrite(text, 1, NAME_text_next(m, token, text, sizeof text), stdout);
        ids[n + i] = token;
        if (i == NEW / 2) { /* the rest from a saved state */
            if (NAME_save(m, saved, sizeof saved) != QBRT_OK)
                return fails("does not save");
            NAME_reset(m);
            if (NAME_position(m) || NAME_restore(m, saved, sizeof saved) != QBRT_OK)
                return fails("does not restore");
        }
        if (NAME_position(m) != (size_t)(n + i) || NAME_eval(m, &token, 1, logits) != QBRT_OK)
            return fails("does not go on");
    }
    fwrite(text, 1, NAME_text_end(m, text, sizeof text), stdout);
    puts("");
    for (int i = 0; i < n + NEW; i++)
        printf("%d%s", (int)ids[i], i + 1 < n + NEW ? " " : "\n");
    return fclose(out) != 0;
}
"""
CALL_ONE = "int NAME_main(const char *, const char *);\nint main(int n, char **v)\n{\n    return n == 3 ? NAME_main(v[1], v[2]) : 2;\n}\n"

failures = []


def check(condition, what):
    if not condition:
        failures.append(what)
        print(f"not so: {what}", flush=True)


def program(name, text=PROGRAM):
    return text.replace("NAME", name).replace("UPPER", name.upper())


def compiler_of(arch):
    """The C compiler, and how its programs are run here; None where something is missing."""
    if arch == platform.machine():
        return ["gcc"], []
    gcc, qemu = shutil.which(f"{arch}-linux-gnu-gcc"), shutil.which(f"qemu-{arch}-static")
    cpu = ["-cpu", "rv64,v=true,vlen=256,elen=64"] if arch == "riscv64" else []
    return ([gcc, "-static"], [qemu, *cpu]) if gcc and qemu and (BUILD / f"{arch}/bin/qbrun").exists() else None


def supported(arch):
    return (BUILD / f"lib/qbc/{arch}/libqbrt_core.a").exists()


# --- names


def symbols(path, *options):
    """(defined, undefined) global names."""
    lines = run(LLVM / "llvm-nm", "--quiet", "--extern-only", *options, path).stdout.splitlines()
    found = [m.groups() for m in (re.fullmatch(r"[0-9a-f ]{16} (\w) (\S+)", line) for line in lines) if m]
    return {name for kind, name in found if kind != "U"}, {name for kind, name in found if kind == "U"}


def check_names(work, library, prefix):
    defined, undefined = symbols(library)
    strangers = {name for name in defined if not name.startswith((f"{prefix}_", "qbrt_"))}
    check(not strangers, f"{library}: defines {strangers}")
    check(undefined <= defined, f"{library}: wants {undefined - defined}")
    check(len(defined) > 40, f"{library}: defines what a runtime has, {len(defined)} names")
    # the linker agrees: all of it, alone
    whole = work / "whole"
    run(LLVM / "ld.lld", "--no-undefined", "--fatal-warnings", "-e", f"{prefix}_open", "--whole-archive", library, "-o", whole)
    whole.unlink()


# --- the same numbers


def oracle(work, target, runner):
    """qbrun's model, and its logits for the ids that a library's program printed."""
    artifact = compile_model(work / "model.qbm", *OPTIONS, f"-target={target}")
    return lambda ids: logits(artifact, np.array(ids), "-t", 1, runner=runner)


def check_program(work, command, expected, what):
    out = work / "logits.f32"
    printed = run(*command, PROMPT, out).stdout
    ids = [int(word) for word in printed.splitlines()[-1].split()]
    check(printed.startswith(PROMPT), f"{what}: says {printed!r}")
    got = np.fromfile(out, np.float32).reshape(12, -1)
    check(np.array_equal(got, expected(ids[:-1])[-12:]), f"{what}: logits are qbrun's")
    return printed


def test_static(work, arch, target):
    tools = compiler_of(arch)
    if not tools or not supported(arch):
        return print(f"skipped: {arch} has no compiler, emulator or core here")
    compiler, runner = tools
    expected = oracle(work, target, (*runner, BUILD / f"{arch}/bin/qbrun"))
    run(QBC, MODEL, *OPTIONS, f"-target={target}", "-emit=static-lib", "-o", work / "libmodel.a")
    check_names(work, work / "libmodel.a", "model")
    (work / "main.c").write_text(program("model", PROGRAM + CALL_ONE))
    run(*compiler, *STRICT, work / "main.c", work / "libmodel.a", "-Wl,--fatal-warnings", "-o", work / "main")
    check_program(work, [*runner, work / "main"], expected, f"{arch} static")


def test_two_models(work):
    """Of different sizes and formats, in one program, linked by GNU ld."""
    run(QBC, MODEL, *OPTIONS, "-emit=static-lib", "-prefix=first", "-o", work / "libfirst.a")
    run(QBC, MODEL, "-q", "-quant=i4g32", "-ctx=40", "-emit=static-lib", "-prefix=Second_2", "-o", work / "libsecond.a")
    for name in ("first", "Second_2"):
        (work / f"use_{name}.c").write_text(program(name))
    text = '#include "first.h"\n#include "Second_2.h"\nint first_main(const char *, const char *);\nint Second_2_main(const char *, const char *);\n'
    text += "int main(int n, char **v)\n{\n    return n != 4 || first_main(v[1], v[2]) || Second_2_main(v[1], v[3]);\n}\n"
    (work / "main.c").write_text(text)
    run("gcc", *STRICT, f"-I{work}", *(work / f for f in ("main.c", "use_first.c", "use_Second_2.c", "libfirst.a", "libsecond.a")), "-o", work / "two")
    printed = run(work / "two", PROMPT, work / "a", work / "b").stdout
    check(printed.count(PROMPT) == 2, f"both speak: {printed!r}")
    check((work / "a").stat().st_size == (work / "b").stat().st_size and (work / "a").read_bytes() != (work / "b").read_bytes(), "each has its own weights")


def test_shared(work, arch, target):
    tools = compiler_of(arch)
    if not tools or not supported(arch):
        return print(f"skipped: {arch} has no compiler, emulator or core here")
    compiler, runner = tools
    expected = oracle(work, target, (*runner, BUILD / f"{arch}/bin/qbrun"))
    library = work / "libmodel.so"
    run(QBC, MODEL, *OPTIONS, f"-target={target}", "-emit=shared", "-o", library)
    defined, undefined = symbols(library, "--dynamic")
    declared = set(re.findall(r"\b(model_\w+)\(", (work / "model.h").read_text().split("extern")[1])) - {"model_instance"}
    check(defined == declared and not undefined, f"{arch} shared: shows what the header declares and no more: {defined ^ declared} {undefined}")
    dynamic = run(LLVM / "llvm-readelf", "-d", library).stdout
    check("[libmodel.so]" in dynamic and "NEEDED" not in dynamic, f"{arch} shared: its name, nobody else's:\n{dynamic}")
    (work / "main.c").write_text(program("model", PROGRAM + CALL_ONE))
    dynamic_compiler = [word for word in compiler if word != "-static"]
    run(*dynamic_compiler, *STRICT, work / "main.c", library, f"-Wl,-rpath,{work}", "-o", work / "main")
    where = ["-L", f"/usr/{arch}-linux-gnu"] if runner else []
    check_program(work, [*runner, *where, work / "main"], expected, f"{arch} shared")


def test_other_languages(work):
    """Python's ctypes calls the shared library: no header, no compiler."""
    artifact = compile_model(work / "model.qbm", *OPTIONS)
    run(QBC, MODEL, *OPTIONS, "-emit=shared", "-prefix=fox", "-o", work / "libfox.so")
    size = {name: int(value) for name, value in re.findall(r"#define FOX_(\w+) (\d+)", (work / "fox.h").read_text())}
    lib = ctypes.CDLL(str(work / "libfox.so"))
    memory = ctypes.create_string_buffer(size["SESSION_BYTES"] + 64)
    instance = ctypes.c_void_p()
    at = (ctypes.addressof(memory) + 63) // 64 * 64
    check(lib.fox_open(ctypes.c_void_p(at), ctypes.c_size_t(size["SESSION_BYTES"]), None, ctypes.byref(instance)) == 0, "ctypes: opens")
    tokens = np.load(FAMILY / "expected/tokens.npy").reshape(-1)[:40].astype(np.int32)
    got = np.zeros((40, size["VOCAB"]), np.float32)
    pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p)
    check(lib.fox_eval_all(instance, pointer(tokens), ctypes.c_size_t(40), pointer(got)) == 0, "ctypes: evaluates")
    check(np.array_equal(got, logits(artifact, tokens.astype(np.int64))), "ctypes: logits are qbrun's")


# --- header, object


def test_header(work):
    artifact = compile_model(work / "model.qbm", *OPTIONS)
    facts = json.loads(run(BUILD / "bin/qbrun", artifact, "--info=json").stdout)
    run(QBC, MODEL, *OPTIONS, "-emit=header", "-o", work / "model.h")
    p = run(QBC, MODEL, *OPTIONS, "-emit=header")
    check(p.stdout == (work / "model.h").read_text(), "the header is text, to the standard output by default")
    asserts = {"VOCAB": facts["vocab"], "CONTEXT": 64, "CHUNK": 16, "BOS": facts["bos"], "HAS_TOKENIZER": 1}
    text = '#include "model.h"\n#include "model.h"\n' + "".join(f'_Static_assert(MODEL_{k} == {v}, "{k}");\n' for k, v in asserts.items())
    text += '_Static_assert(MODEL_SESSION_BYTES > %d, "state and arena");\n' % (facts["arena_bytes"] + facts["state_bytes"])
    text += '_Static_assert(MODEL_SAVED_BYTES > %d, "state");\n' % facts["state_bytes"]
    text += "_Static_assert(MODEL_TOKENIZE_BYTES(1) > 0, \"a constant\");\n"
    for language, standard, assertion in (("c", "c11", "_Static_assert"), ("c++", "c++17", "static_assert")):
        (work / "use.c").write_text(text.replace("_Static_assert", assertion))
        run("gcc", "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", work / "use.c")
    run("gcc", "-std=c11", "-ffreestanding", "-nostdinc", f"-I{run('gcc', '-print-file-name=include').stdout.strip()}", "-fsyntax-only", "-x", "c", work / "model.h")
    run(QBC, MODEL, *OPTIONS, "-tokenizer=none", "-emit=header", "-o", work / "model.h")
    check("MODEL_HAS_TOKENIZER 0" in (work / "model.h").read_text(), "no tokenizer is said")


def test_object(work):
    for options, prefix in (((), "model"), (("-prefix=_x9",), "_x9")):
        run(QBC, MODEL, *OPTIONS, *options, "-emit=obj", "-o", work / "code.o")
        defined, undefined = symbols(work / "code.o")
        check(defined == {f"{prefix}_decode", f"{prefix}_step"} and not undefined, f"object: {defined} {undefined}")
    check("\nnice_step:" in run(QBC, MODEL, *OPTIONS, "-emit=asm", "-prefix=nice").stdout, "the listing follows -prefix")


# --- what fails


def complains(work, what, words, *options):
    before = {p: p.stat().st_mtime_ns for p in work.rglob("*")}
    p = subprocess.run([QBC, work / "model.onnx", *options], cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    check(p.returncode == 1 and "error: " in p.stderr and all(word in p.stderr for word in words), f"{what}: {p.returncode} {p.stderr}")
    after = {p: p.stat().st_mtime_ns for p in work.rglob("*")}
    check({p: t for p, t in before.items() if p.is_file()} == {p: t for p, t in after.items() if p.is_file()}, f"{what}: leaves {set(after) - set(before)}")


def test_errors(work):
    (work / "model.onnx").write_bytes(tiny_model())
    (work / "folder").mkdir()
    (work / "taken").mkdir()
    (work / "taken/model.h").mkdir()
    for kind, name in (("static-lib", "lib.a"), ("shared", "lib.so")):
        emit = f"-emit={kind}"
        for prefix in ("", "9lives", "a-b", "a b", "é", "x" * 65):
            complains(work, f"prefix {prefix!r}", ["-prefix", "no name of C"], emit, f"-prefix={prefix}", "-o", name)
        complains(work, "the runtime's prefix", ["-prefix", "qbrt"], emit, "-prefix=qbrt", "-o", name)
        complains(work, "a library on the standard output", ["-o", "to a file"], emit, "-o", "-")
        complains(work, "no such folder", ["nowhere/lib", "No such file"], emit, "-o", f"nowhere/{name}")
        complains(work, "a folder in place of the library", ["folder"], emit, "-o", "folder")
        complains(work, "a folder in place of the header", ["taken/model.h"], emit, "-o", f"taken/{name}")
        complains(work, "no regular file", ["/dev/null", "no regular file"], emit, "-o", "/dev/null")
        complains(work, "two targets", ["one target"], emit, "-target=x86-64-v2,x86-64-v3", "-o", name)
        check_limit(work, emit, name)
    complains(work, "a prefix for what has no names", ["-prefix", "-emit=graph has none"], "-prefix=x", "-emit=graph")
    # a compiler without what its build makes for other machines
    alone = work / "alone/bin"
    alone.mkdir(parents=True)
    shutil.copy2(QBC, alone / "qbc")
    (work / "alone/lib").mkdir()
    for library in (QBC.parent.parent / "lib").glob("libqbc.so*"):
        shutil.copy2(library, work / "alone/lib")
    for kind, missing in (("static-lib", "libqbrt_core.a"), ("shared", "libqbrt_core.a"), ("exe", "qbrun")):
        p = subprocess.run([alone / "qbc", work / "model.onnx", f"-emit={kind}", "-o", work / "out"], capture_output=True, text=True)
        check(p.returncode == 1 and missing in p.stderr and "clang-22" in p.stderr and not (work / "out").exists(), f"{kind} alone: {p.stderr}")


def check_limit(work, emit, name):
    """Files may not grow past a few kilobytes, as on a full disk."""
    small = work / "small"
    small.mkdir(exist_ok=True)
    p = subprocess.run([QBC, work / "model.onnx", emit, "-o", small / name], capture_output=True, text=True,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    check(p.returncode == 1 and "File too large" in p.stderr, f"{emit}: a limit on files: {p.stderr}")
    check(not list(small.iterdir()), f"{emit}: leaves {list(small.iterdir())}")


def main():
    if not MODEL.exists() or not supported(platform.machine()):
        print("skipped: needs the bundled model, and clang-22 when qbc was built")
        sys.exit(SKIPPED)
    tests = [(test_static, "x86_64", "x86-64-v2"), (test_static, "aarch64", "armv8"), (test_shared, "x86_64", "native"), (test_shared, "aarch64", "armv8"),
             (test_two_models,), (test_other_languages,), (test_header,), (test_object,), (test_errors,)]
    if "rv64gcv" in run(QBC, "--list-targets").stdout:
        tests += [(test_static, "riscv64", "rv64gcv"), (test_shared, "riscv64", "rv64gcv")]
    for test, *arguments in tests:
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder), *arguments)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
