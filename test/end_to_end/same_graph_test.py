"""All exports of the same weights become the same level-1 graph, whatever their exporter wrote.

`qbc -emit=graph` of each export is compared line by line after removing what must differ: where a weight lies in its file
(source, offset, strides), the module's facts about the file, and the last bits of rotary frequencies that were read off a table.
Then the numbers: the weights of two exports of one family, read through these views, must be equal.
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("QBC_SHARED", ROOT.parent / "shared"))
QBC = pathlib.Path(os.environ.get("QBC_BUILD", ROOT / "build")) / "bin" / "qbc"

FAMILIES = {
    "llama": ["optimum-past", "optimum-nopast", "dynamo-op18", "dynamo-op23", "hf-past", "hf-past-ort", "genai-fp32", "genai-fp16"],
    "docs-4m": ["optimum-past", "genai-fp16"],
    "qwen3": ["optimum-past", "dynamo-op18", "hf-past"],
    "mistral": ["optimum-past", "dynamo-op23", "genai-fp32"],
    "llama-scaled-rope": ["optimum-past", "dynamo-op23"],
    "gpt2": ["optimum-past", "dynamo-op18"],
    "mamba": ["hf-step", "legacy-t16"],
    "falcon-h1": ["hf-step", "legacy-t16", "dynamo-op18-t16"],
}
# What a family's graph must hold, from its config.json.
FACTS = {
    "llama": [('"qb.attention"', 2), ("kv_heads = 2", 2), ("theta = 1.000000e+04", 4), ('name = "embed"', 1), ("eps = 9.99999997E-7", 5)],
    "docs-4m": [('"qb.attention"', 4), ("head_dim = 64", 12), ("theta = 1.000000e+04", 8), ("eps = 9.99999974E-6", 9)],
    "qwen3": [("attn_q_norm", 6), ("theta = 1.000000e+06", 4), ("head_dim = 32", 6)],
    "mistral": [("window = 8 ", 2), ('"qb.state"', 4)],
    "llama-scaled-rope": [("frequencies = array<f32: 1.0", 4), ('name = "output"', 1)],
    "gpt2": [('"qb.embed_positions"', 1), ('"qb.layer_norm"', 5), ('act = "gelu_tanh"', 2), ('"qb.bias"', 12)],
    "mamba": [('"qb.ssm_scan"', 2), ('"qb.conv1d"', 2), ('act = "softplus"', 2), ("n = 16 ", 2)],
    "falcon-h1": [('"qb.ssm_scan"', 2), ('"qb.attention"', 2), ('"qb.conv1d"', 2), ("head_dim = 16", 6)],
}


def graph(path):
    run = subprocess.run([QBC, path, "-emit=graph", "-o", "-"], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{path}: {run.stderr}")
    return run.stdout


def rounded(match):
    return "frequencies = " + " ".join(f"{float(x):.5g}" for x in match.group(1).split(","))


def normalised(text):
    text = re.sub(r'(source = "[^"]*"|offset = \d+ : i64|strides = array<i64: [^>]*>)(, )?', "", text)
    text = re.sub(r"module attributes \{.*\}", "module", text, count=1)
    return re.sub(r"frequencies = array<f32: ([^>]*)>", rounded, text).splitlines()


def compare(family, export, first, text):
    ours, theirs = normalised(text), normalised(first)
    if ours == theirs:
        return True
    for a, b in zip(theirs, ours):
        if a != b:
            print(f"{family}/{export}: differs from {FAMILIES[family][0]}\n  {a.strip()}\n  {b.strip()}")
            break
    else:
        print(f"{family}/{export}: {len(ours)} lines, {FAMILIES[family][0]} has {len(theirs)}")
    return False


def main():
    if not (SHARED / "models").is_dir():
        print(f"skipped: no models in {SHARED}")
        return 77
    good = True
    for family, exports in FAMILIES.items():
        first = None
        for export in exports:
            text = graph(SHARED / "models" / family / export / "model.onnx")
            first = first or text
            same = compare(family, export, first, text)
            print(f"{'ok  ' if same else 'FAIL'} {family}/{export}")
            good &= same
        for fact, times in FACTS[family]:
            if first.count(fact) != times:
                print(f"FAIL {family}: {fact} is there {first.count(fact)} times, not {times}")
                good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
