"""Run ../shared/accept/accept.py, the command line's contract, on the float exports of three families."""
import importlib.util
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("QBC_BUILD", ROOT / "build"))
SHARED = pathlib.Path(os.environ.get("QBC_SHARED", ROOT.parent / "shared"))
SKIPPED = 77
LLAMA = ("optimum-past", "optimum-nopast", "dynamo-op18", "dynamo-op23", "hf-past", "hf-past-ort", "genai-fp32", "genai-fp16", "genai-int4")
EXPORTS = (
    *(f"models/llama/{export}" for export in LLAMA),
    "models/qwen3/genai-int4",
    "models/gpt2/dynamo-op18",
    "models/gpt2/optimum-past",
    *(f"models/mamba/{export}" for export in ("hf-step", "legacy-t16")),
    *(f"models/falcon-h1/{export}" for export in ("hf-step", "legacy-t16", "dynamo-op18-t16")),
    "models/docs-4m/optimum-past",
    "models/docs-4m/genai-fp16",
    "data/stories260K",
)
WAYS = ["whole", "one", "chunk"]


def contract():
    """accept.py as a module, or None."""
    path = SHARED / "accept/accept.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location("accept", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def why_not(accept, target):
    """Why this machine cannot run the target, or None."""
    _, emulator, folder = accept.TARGETS[target]
    if emulator and not shutil.which(emulator.split()[0]):
        return f"no {emulator.split()[0]} here"
    if not (BUILD / folder / "qbrun").exists():
        return f"no {folder}/qbrun was built"
    if target.startswith("x86-64-v3") and " avx2 " not in pathlib.Path("/proc/cpuinfo").read_text():
        return "this CPU has no AVX2"
    return None


def main(target):
    """Exit status of the test: logits of every export whole, token by token and in chunks of 7, and greedy tokens."""
    accept = contract()
    reason = why_not(accept, target) if accept else f"no {SHARED}/accept/accept.py"
    if reason:
        print(f"skipped: {reason}")
        return SKIPPED
    done = bad = 0
    folders = [SHARED / export for export in EXPORTS]
    for name, where, error, problem in accept.check_logits(BUILD / "bin", folders, [target], "f32", WAYS):
        print(f"{'FAIL' if problem else 'ok':4} {name:32} {where:12} {'' if error is None else format(error, '.1e'):>8} {problem}", flush=True)
        done, bad = done + 1, bad + bool(problem)
    if done != len(EXPORTS):
        print(f"{len(EXPORTS)} exports were to be checked, {done} were")
    return 1 if bad or done != len(EXPORTS) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
