#!/usr/bin/env python3
"""Quality at equal bytes: the model compiled at the bits a weight of other engines' types, judged as they were, beside what they lose.

    test/bench/quality.py                                     # docs-4m of ../shared, 200 windows
    test/bench/quality.py --bits 3.119,2.91 --options "-fit=gptq-cd"
    test/bench/quality.py --model ../shared/data/stories260K/model.onnx --calib none --eval own --bits 3,4,5,6

A row a size: bits asked for and used, KL divergence from the float model in nats (mean, 99 %), perplexity over the float model's, same likeliest token in percent; then whose type has that size on docs-4m, what it loses
(llama.cpp with importance matrix, ik_llama.cpp: measured elsewhere on the same weights, tokens and positions), our share of that, and the share that is wanted.
The compiler judges itself (-eval: all positions with a next token); --accept asks accept.py of ../shared instead. --json FILE keeps all figures. What was measured stays in --work for the next run.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
# bits a weight, all tensors: (type, its mean KL divergence on docs-4m, the share of it that is wanted)
THEIRS = {
    6.562: ("llama.cpp Q6_K", 0.00130, 0.6), 5.882: ("llama.cpp Q5_K_M", 0.00211, 0.8), 5.241: ("llama.cpp Q4_K_M", 0.00540, 0.6),
    4.828: ("llama.cpp IQ4_XS", 0.00735, 0.8), 4.533: ("llama.cpp Q3_K_M", 0.01394, 0.6), 3.838: ("llama.cpp Q2_K", 0.05576, 0.45),
    3.119: ("llama.cpp IQ2_XS", 0.09905, 0.8),
    6.63: ("ik IQ6_K", 0.00118, 1), 5.77: ("ik IQ5_K", 0.00197, 1), 5.05: ("ik IQ4_K", 0.00485, 1), 4.68: ("ik IQ4_KS", 0.00731, 1),
    4.50: ("ik IQ4_KSS", 0.00970, 1), 3.74: ("ik IQ3_K", 0.0236, 1), 3.55: ("ik IQ3_KT", 0.0326, 1), 3.23: ("ik IQ2_KL", 0.0630, 1),
    2.91: ("ik IQ2_KT", 0.108, 1), 2.52: ("ik IQ1_KT", 0.214, 1),
}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--qbc", default=ROOT / "build/bin/qbc", type=pathlib.Path)
    p.add_argument("--shared", default=SHARED, type=pathlib.Path)
    p.add_argument("--model", type=pathlib.Path, help="docs-4m of --shared")
    p.add_argument("--calib", help="a text; none: the model's own (docs-calib.txt of --shared)")
    p.add_argument("--eval", help="docs-valid.npy of --shared; own: drawn from the model's own predictions, other draws than what it is calibrated with")
    p.add_argument("--bits", default=",".join(map(str, sorted(THEIRS, reverse=True))))
    p.add_argument("--options", default="", help="more of qbc's")
    p.add_argument("--accept", action="store_true", help="measured by accept.py")
    p.add_argument("--windows", type=int, default=200, help="of --accept")
    p.add_argument("--work", help="a folder to keep")
    p.add_argument("--json", type=pathlib.Path)
    a = p.parse_args()
    a.docs = a.model is None
    a.model = a.model or a.shared / "models/docs-4m/optimum-past/model.onnx"
    a.calib = a.calib or str(a.shared / "data/text/docs-calib.txt")
    a.eval = a.eval or str(a.shared / "data/text/docs-valid.npy")
    return a


def options(a, work, bits):
    calib = [] if a.calib == "none" else [f"-calib={a.calib}"]
    return [f"-bpw={bits}", *calib, f"-resume={work}/kept", *a.options.split()]


def own_windows(a, work, windows=64, length=256):
    """Texts that the float model writes, each from its first token, every token as likely as it says."""
    import numpy as np

    qbrun, floats = a.qbc.parent / "qbrun", work / "float.qbm"
    run = lambda *command: subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    run(a.qbc, a.model, "-quant=f32", "-o", floats)
    first = np.array([json.loads(run(qbrun, floats, "--info=json"))["bos"]], np.int64)
    np.save(work / "first.npy", first)
    rows = []
    for seed in range(windows):
        run(qbrun, floats, "--tokens", work / "first.npy", "-n", length - 1, "--temp", 1, "--top-k", 0, "--top-p", 1, "--min-p", 0, "--seed", 1000 + seed, "-o", work / "row.npy")
        rows.append(np.concatenate([first, np.load(work / "row.npy").ravel()]))
    np.save(work / "own.npy", np.stack(rows))
    return work / "own.npy"


def judged(a, work, bits):
    """Figures by the compiler itself."""
    command = [a.qbc, a.model, *options(a, work, bits), f"-eval={a.eval}", f"-report={work}/report.json", "-o", work / "model.qbm"]
    subprocess.run(list(map(str, command)), check=True, stderr=subprocess.DEVNULL)
    report = json.loads((work / "report.json").read_text())
    q = report["quality"]
    return {"used": report["bits_per_weight"], "kld": q["kl_mean"], "kld_99": q["kl_99"], "ratio": q["perplexity"] / q["float_perplexity"], "same_top": q["same_top"]}


def accepted(a, work, bits):
    """Figures by accept.py: all positions of each window."""
    import numpy as np

    sys.path.insert(0, str(a.shared / "accept"))
    import accept

    windows = np.load(a.eval).astype(np.int64)[: a.windows]
    if "reference" not in a:
        with accept.Artifact(a.qbc.parent, a.model, "native", "f32") as floats:
            a.reference = [floats.logits(w) for w in windows]
    q = accept.quality(a.qbc.parent, a.model, windows, "", " ".join(options(a, work, bits)), a.reference)
    return {"used": q["bits_per_weight"], "kld": q["kld"], "ratio": q["ratio"], "same_top": q["top1"]}


def row(a, bits, x):
    name, theirs, wanted = THEIRS.get(bits, ("", None, None)) if a.docs else ("", None, None)
    line = f"{bits:6.3f} {x['used']:7.4f} {x['kld']:9.5f} {x.get('kld_99', float('nan')):8.4f} {x['ratio']:8.4f} {100 * x['same_top']:6.1f}"
    if theirs is None:
        return line
    share = x["kld"] / theirs
    return f"{line}   {name:18} {theirs:9.5f} {share:6.2f} {wanted:6.2f} {'' if share <= wanted else 'MISSED'}"


def main():
    a = arguments()
    results = {}
    print(f"{'bits':>6} {'used':>7} {'KLD':>9} {'99 %':>8} {'ppl':>8} {'top':>6}   {'type':18} {'its KLD':>9} {'share':>6} {'wanted':>6}")
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(a.work or folder)
        work.mkdir(exist_ok=True)
        a.eval = own_windows(a, work) if a.eval == "own" else a.eval
        for bits in map(float, a.bits.split(",")):
            results[bits] = (accepted if a.accept else judged)(a, work, bits)
            print(row(a, bits, results[bits]).rstrip(), flush=True)
    if a.json:
        a.json.write_text(json.dumps({"model": str(a.model.name), "calibration": pathlib.Path(a.calib).name, "evaluation": pathlib.Path(a.eval).name,
                                      "options": a.options, "sizes": {str(b): x for b, x in results.items()}}, indent=1) + "\n")
    missed = [b for b, x in results.items() if a.docs and b in THEIRS and x["kld"] > THEIRS[b][1] * THEIRS[b][2]]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
