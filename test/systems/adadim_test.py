#!/usr/bin/env python3
"""AdaDim (arXiv 2309.15531): groups along the inputs or the outputs of each tensor, whichever gives the smaller error of results.

qbc chooses (-metric=out_mse -allocator=argmin_local) by what it learned from some windows; of the artifacts with both axes and with the chosen ones
the errors of results are then measured with the slow reference on the same windows: of no tensor is the chosen axis worse than either. What that is
worth to the model is recorded: the error of results counts all outputs alike, and planted rows of the up projection, which the down projection divides
again, are 64 times as large as others.
"""
import numpy as np

import systems

systems.need()
AXES = ("i3g128", "i3c128")
EMBED = "-quant-tensor=embed=i8g32"
LEARNED = 8  # windows
NOISE = 1.05  # choices are made on some rows of a tensor
with systems.Lab(systems.outliers()) as lab:
    lab.text = lab.work / "learned.npy"
    np.save(lab.text, systems.windows()[:LEARNED])
    model = systems.reference.from_artifact(systems.oracle.BUILD / "test/qbm_dump", lab.make("-quant=f32"))
    whole = model.arrays
    rounded = {a: systems.decoded(lab.make(f"-quant={a}", EMBED, *systems.GPTQ)) for a in AXES}
    chosen = systems.decoded(lab.make("-bpw=8", f"-formats={','.join(AXES)}", "-metric=out_mse", "-allocator=argmin_local", EMBED, *systems.GPTQ))
    h = systems.moments(systems.windows()[:LEARNED], systems.MATRICES, model)
    errors = {name: {a: systems.out_mse(whole[name], rounded[a][name], h[name]) for a in AXES} for name in systems.MATRICES}
    own = {name: systems.out_mse(whole[name], chosen[name], h[name]) for name in systems.MATRICES}
    worst = max(systems.MATRICES, key=lambda name: own[name] / min(errors[name].values()))
    axes = [min(AXES, key=lambda a: abs(rounded[a][name] - chosen[name]).max()) for name in systems.MATRICES]
    print("  " + ", ".join(f"{a}: {axes.count(a)} tensors" for a in AXES))
    share = own[worst] / min(errors[worst].values())
    print(f"  at worst {share:.4f} of the better axis' error of results ({worst})")
    systems.verdict(share <= NOISE, f"of no tensor is the chosen axis worse: at most {share:.3f} times the better one's error of results")
