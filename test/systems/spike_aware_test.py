#!/usr/bin/env python3
"""Spike-aware mixed precision (arXiv 2504.21553): static activations of eight bits, but for the few products whose input has spikes, which stay floats.

On the model with outliers: products whose input's largest magnitude is far above its median are exempted; that is lower than exempting as many others.
"""
import random

import numpy as np

import systems

SHARE = 0.5  # products of the inputs with the highest ratios


class Watched(systems.reference.Model):
    """Largest over median magnitude of what each product reads."""

    ratios = {}

    def linear(self, x, *names):
        size = np.abs(np.asarray(x))
        for name in names:
            self.ratios[name] = max(self.ratios.get(name, 0), size.max() / np.median(size))
        return super().linear(x, *names)


def exempt(names):
    return tuple(f"-quant-tensor=^{name.replace('.', '[.]')}$=f16" for name in names)


systems.need()
with systems.Lab(systems.outliers()) as lab:
    lab.make("-quant=f32")
    model = Watched(systems.reference.Config(systems.MODEL / "config.json"), systems.reference.from_artifact(systems.oracle.BUILD / "test/qbm_dump", lab.work / "m.qbm"))
    model.logits(lab.tokens[0][:128])
    names = sorted((name for name in model.ratios if name != "embed"), key=model.ratios.get, reverse=True)
    count = int(len(names) * SHARE)
    print("ratios:", ", ".join(f"{name} {model.ratios[name]:.0f}" for name in names))
    options = ("-quant=i8g128", "-act=i8s")
    none = lab.measure("W8A8 static", *options)
    spikes = lab.measure(f"{count} products with spikes as floats", *options, *exempt(names[:count]))
    others = lab.measure(f"{count} random products as floats", *options, *exempt(random.Random(1).sample(names, count)))
    systems.verdict(systems.lower(spikes, others), f"KLD {none.kld:.3f}; {spikes.kld:.3f} with floats where spikes are, {others.kld:.3f} with as many anywhere")
