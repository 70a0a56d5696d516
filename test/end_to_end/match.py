"""Every target computes what the native one does, in every format, and for float weights what the exporter's model does.

Targets with fused multiply-add add the same numbers in the same order, so their logits are equal to the last bit; the contract
(accept.py match) asks for 1e-2 only. One export a family is enough here: exports of a model give the same graph (same_graph_test).
Each model and format is tried on every second target, the other model on the others; QBC_TEST_ALL asks for all of them on all.
"""
import os
import sys

import numpy as np

import acceptance

FORMATS = ("f32", "f16", "i8g32", "i4g32", "i4g128z")
COMPOSITE = "'(i4g32@25%p|i3g64)+sparse0.5%'"  # of one model; the contract calls a shell
MODELS = ("models/llama/dynamo-op18", "models/docs-4m/optimum-past")
CLOSE = 1e-2  # of the largest logit
NO_FMA = ("x86-64-v2",)


def export_of(accept, folder):
    return next(accept.exports(acceptance.SHARED / folder))


def native_logits(accept):
    """{(model, format): (export, tokens, logits)}"""
    found = {}
    for model in MODELS:
        export = export_of(accept, model)
        tokens = export.expected("tokens").ravel()[:48]
        for quant in FORMATS + (COMPOSITE,) * (model == MODELS[0]):
            with accept.Artifact(acceptance.BUILD / "bin", export.onnx, "native", quant) as artifact:
                found[model, quant] = export, tokens, artifact.logits(tokens)
    return found


def problem_of(accept, target, quant, export, tokens, want):
    """What is wrong with the target's logits, or ''."""
    with accept.Artifact(acceptance.BUILD / "bin", export.onnx, target, quant) as artifact:
        whole = artifact.logits(tokens)
        chunks = artifact.logits(tokens, "--chunk 7")
    if not np.array_equal(whole, chunks):
        return "chunks of 7 give other bits"
    if quant == "f32" and accept.error(export.expected("logits")[: len(tokens)], whole) > export.tolerance:
        return "not what the exporter's model computes"
    if target not in NO_FMA and not np.array_equal(want, whole):
        return f"not native's bits: {accept.error(want, whole):.1e}"
    return "" if accept.error(want, whole) < CLOSE else f"differs from native: {accept.error(want, whole):.1e}"


def main(*targets):
    accept = acceptance.contract()
    if not accept:
        print(f"skipped: no {acceptance.SHARED}/accept/accept.py")
        return acceptance.SKIPPED
    reasons = {target: acceptance.why_not(accept, target) for target in targets}
    for target in filter(reasons.get, targets):
        print(f"skipped: {target}: {reasons[target]}")
    if all(reasons.values()):
        return acceptance.SKIPPED
    bad, step = 0, 1 if os.environ.get("QBC_TEST_ALL") or len(targets) == 1 else 2
    for i, ((model, quant), known) in enumerate(native_logits(accept).items()):
        for target in (t for t in targets[(i + MODELS.index(model)) % step :: step] if not reasons[t]):
            try:
                problem = problem_of(accept, target, quant, *known)
            except accept.Failed as failed:
                problem = str(failed)
            print(f"{'FAIL' if problem else 'ok':4} {model:32} {target:16} {quant:8} {problem}", flush=True)
            bad += bool(problem)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
