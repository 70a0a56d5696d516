#!/usr/bin/env python3
"""NUPES (arXiv 2308.05600): powers; for each tensor the exponent with the least error of results, 1 among them."""
import systems

systems.need()
EXPONENTS = ("0.5", "0.7", "0.85", "1") if not systems.ALL else tuple(f"{a / 20:g}" for a in range(6, 21))
with systems.Lab() as lab:
    w, best = systems.weights(), {}
    h = systems.moments(lab.tokens[:2], systems.MATRICES)
    for a in EXPONENTS:
        rounded = systems.decoded(lab.make(f"-quant=pow3a{a}g128", "-quant-tensor=embed=i8g32"))
        for name in systems.MATRICES:
            best.setdefault(name, {})[a] = systems.out_mse(w[name], rounded[name], h[name])
    chosen = {name: min(errors, key=errors.get) for name, errors in best.items()}
    never_worse = all(best[name][a] <= best[name]["1"] for name, a in chosen.items())
    rules = [f"-quant-tensor=^{name}$=pow3a{a}g128" for name, a in chosen.items()]
    fitted = lab.measure("pow3, exponents of tensors", "-quant=pow3a1g128", "-quant-tensor=embed=i8g32", *rules)
    linear = lab.measure("pow3a1g128", "-quant=pow3a1g128", "-quant-tensor=embed=i8g32")
    print("  exponents: " + ", ".join(f"{a}: {list(chosen.values()).count(a)} tensors" for a in EXPONENTS))
    systems.verdict(systems.lower(fitted, linear) and never_worse, "a fitted exponent is never worse by the error of results, and lower over the model")
