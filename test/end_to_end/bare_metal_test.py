#!/usr/bin/env python3
"""A model on a machine without an operating system: docs/examples/bare_metal/, linked with -nostdlib, in qemu-system.

What comes out of the serial line is what qbrun says for the same prompt, model and target under qemu-user; and the machine switches itself off."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

from tools import BUILD, MODEL, QBC, ROOT, SKIPPED, compile_model, run

EXAMPLE = ROOT / "docs/examples/bare_metal"
LLD = shutil.which("ld.lld-22")
PROMPT, NEW_TOKENS = "A lock is taken before", 20
OPTIONS = ("-q", "-ctx=96", "-chunk=24")
RISCV = "rv64,v=true,vlen=%d,elen=64"
# target, format; compiler's options; machine; what runs qbrun
MACHINES = (
    ("aarch64", "cortex-a53", "i8g32", ["-mcpu=cortex-a53"], ["-cpu", "cortex-a53"], []),
    ("riscv64", "rv64gcv", "i4g32", ["-march=rv64gcv", "-mabi=lp64d", "-mcmodel=medany"], ["-bios", "none", "-cpu", RISCV % 512], ["-cpu", RISCV % 128]),
)


def build(work, arch, options):
    image = work / "demo.elf"
    run("clang-22", f"--target={arch}-none-elf", *options, "-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffreestanding", "-nostdlib",
        f'-DPROMPT="{PROMPT}"', f"-DNEW_TOKENS={NEW_TOKENS}", f"-I{work}", EXAMPLE / "main.c", EXAMPLE / f"{arch}_virt.c", EXAMPLE / f"{arch}_virt.S", work / "libmodel.a",
        "-T", EXAMPLE / f"{arch}_virt.ld", f"--ld-path={LLD}", "-Wl,--gc-sections,--fatal-warnings", "-o", image)
    return image


def switch_on(arch, image, machine):
    """What the serial line said; it has to end by itself."""
    command = [f"qemu-system-{arch}", "-M", "virt", *machine, "-nic", "none", "-nographic", "-kernel", image]
    p = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=600)
    if p.returncode:
        raise AssertionError(f"{arch}: exit status {p.returncode}: {p.stderr.decode()}")
    return p.stdout.decode().replace("\r\n", "\n")


def test(work, arch, target, quant, options, machine, user):
    options_of_model = (*OPTIONS, f"-target={target}", f"-quant={quant}")
    run(QBC, MODEL, *options_of_model, "-emit=static-lib", "-o", work / "libmodel.a")
    image = build(work, arch, options)
    undefined = run("/usr/lib/llvm-22/bin/llvm-nm", "--undefined-only", image).stdout.strip()
    artifact = compile_model(work / "model.qbm", *options_of_model)
    said = run(f"qemu-{arch}-static", *user, BUILD / f"{arch}/bin/qbrun", artifact, "-p", PROMPT, "-n", NEW_TOKENS, "--temp", 0, "-t", 1).stdout
    heard = switch_on(arch, image, machine)
    print(f"{arch}, {target}: {heard!r}", flush=True)
    if undefined or heard != said + "[end]\n" or not heard.startswith(PROMPT) or len(heard) < len(PROMPT) + 30:
        raise AssertionError(f"{arch}: the serial line says {heard!r}, qbrun {said!r}; undefined: {undefined!r}")


def main():
    ran = 0
    targets = run(QBC, "--list-targets").stdout if MODEL.exists() else ""
    for arch, target, *rest in MACHINES:
        needs = [f"qemu-system-{arch}", f"qemu-{arch}-static", "clang-22", "ld.lld-22"]
        absent = [name for name in needs if not shutil.which(name)]
        if absent or target not in targets or not (BUILD / f"lib/qbc/{arch}/libqbrt_core.a").exists() or not (BUILD / f"{arch}/bin/qbrun").exists():
            print(f"skipped: {arch} needs {absent or 'its core, qbrun and target'}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder), arch, target, *rest)
        ran += 1
    sys.exit(0 if ran else SKIPPED)


if __name__ == "__main__":
    main()
