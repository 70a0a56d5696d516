#!/usr/bin/env python3
"""AdaDim (arXiv 2309.15531): groups along the inputs or the outputs of each tensor, whichever gives the smaller error of results.

The error of results counts all outputs alike. Planted rows of the up projection, which the down projection divides again, are 64 times as large as others; groups of
rows then keep them and lose the rest, with the smaller error and the worse model.
"""
import systems

systems.need()
AXES = ("i3g128", "i3c128")
with systems.Lab(systems.outliers()) as lab:
    whole = systems.decoded(lab.make("-quant=f32"))
    rounded = {a: systems.decoded(lab.make(f"-quant={a}", "-quant-tensor=embed=i8g32", "-fit=range")) for a in AXES}
    # What products read is what the model without outliers reads, times the channels' factors: of norms by their gains, of the down projection by up's rows.
    w, h = systems.weights(), systems.moments(lab.tokens[:2], systems.MATRICES)
    errors = {}
    for name in systems.MATRICES:
        block, role = name.split(".")
        factor = {"q": "attn_norm", "k": "attn_norm", "v": "attn_norm", "gate": "ffn_norm", "up": "ffn_norm"}.get(role.split("_")[1])
        s = (whole[f"{block}.{factor}"] / w[f"{block}.{factor}"]).ravel() if factor else 1
        if role == "ffn_down":
            s = abs(whole[f"{block}.ffn_up"]).sum(1) / abs(w[f"{block}.ffn_up"]).sum(1)
        scaled = h[name] * (s[:, None] * s if factor or role == "ffn_down" else 1)
        errors[name] = {a: systems.out_mse(whole[name], rounded[a][name], scaled) for a in AXES}
    chosen = {name: min(e, key=e.get) for name, e in errors.items()}
    print("  " + ", ".join(f"{a}: {list(chosen.values()).count(a)} tensors" for a in AXES))
    rules = [f"-quant-tensor=^{name}$={a}" for name, a in chosen.items()]
    mixed = lab.measure("planted outliers: chosen axis", "-quant=i3g128", "-quant-tensor=embed=i8g32", *rules, "-fit=range")
    fixed = [lab.measure(f"planted outliers: {a}", f"-quant={a}", "-quant-tensor=embed=i8g32", "-fit=range") for a in AXES]
    never_worse = all(errors[n][a] <= min(errors[n].values()) for n, a in chosen.items())
    lower = [systems.lower(mixed, f) for f in fixed]
    systems.verdict(never_worse and lower[0], f"a chosen axis, KLD {mixed.kld:.4f}; columns {fixed[0].kld:.4f}, rows {fixed[1].kld:.4f}")
