"""Mixtures of experts as models have written them outside of transformers 5: a loop over experts, each with the tokens that a condition picks.

    loops.py -o DIR [WAY ...]

The layout is export.py's, so check.py compares. Three ways: `rows` (Mixtral, Qwen2-MoE, OLMoE of transformers 4), `masks` (DeepSeek-V3's), `puts`
(Mistral's own: rows are gathered, added to, and put back). Needs torch.
"""
import argparse
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import export

WIDTH, INNER, EXPERTS, TOP, VOCABULARY, HEADS = 32, 48, 4, 2, 320, 2
EXPORTS = ("legacy14", "legacy17", "dynamo18")


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


class Expert(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down = (nn.Linear(a, b, bias=False) for a, b in ((WIDTH, INNER), (WIDTH, INNER), (INNER, WIDTH)))

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.way, self.router = way, nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = nn.ModuleList([Expert() for _ in range(EXPERTS)])

    def rows(self, x, weights, ids, out):
        mask = F.one_hot(ids, num_classes=EXPERTS).permute(2, 1, 0)
        for e, expert in enumerate(self.experts):
            nth, token = torch.where(mask[e])
            out.index_add_(0, token, expert(x[None, token].reshape(-1, WIDTH)) * weights[token, nth, None])

    def masks(self, x, weights, ids, out):
        mask = F.one_hot(ids, num_classes=EXPERTS).permute(2, 0, 1)
        for e, expert in enumerate(self.experts):
            token, nth = torch.where(mask[e])
            out.index_add_(0, token, expert(x[token]) * weights[token, nth].unsqueeze(-1))

    def puts(self, x, weights, ids, out):
        for e, expert in enumerate(self.experts):
            token, nth = torch.where(ids == e)
            out[token] += weights[token, nth, None] * expert(x[token])

    def forward(self, hidden):
        x = hidden.view(-1, WIDTH)
        weights, ids = torch.topk(F.softmax(self.router(x), dim=1, dtype=torch.float), TOP, dim=-1)
        out = torch.zeros_like(x)
        getattr(self, self.way)(x, weights / weights.sum(dim=-1, keepdim=True), ids, out)
        return out.view(hidden.shape)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, HEADS, c // HEADS).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
        later = torch.full((t, t), -1e9).triu(1)
        p = torch.softmax(q @ k.transpose(2, 3) * (c // HEADS) ** -0.5 + later, -1)
        return self.o((p @ v).transpose(1, 2).reshape(b, t, c))


class Model(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.embedding, self.attention, self.norm = nn.Embedding(VOCABULARY, WIDTH), Attention(), Norm()
        self.mixtures, self.norms = (nn.ModuleList([make() for _ in range(2)]) for make in (lambda: Experts(way), Norm))
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, input_ids):
        h = self.embedding(input_ids)
        for norm, mixture in zip(self.norms, self.mixtures):
            h = h + self.attention(norm(h))
            h = h + mixture(norm(h))
        return self.head(self.norm(h))


def write(model, how, path, tokens):
    names = dict(input_names=["input_ids"], output_names=["logits"], opset_version=int(how[6:]))
    if how.startswith("legacy"):
        axes = {"input_ids": {0: "batch", 1: "sequence"}, "logits": {0: "batch", 1: "sequence"}}
        torch.onnx.export(model, (tokens,), path, dynamo=False, dynamic_axes=axes, **names)
    else:
        shapes = {"input_ids": {1: torch.export.Dim("sequence", min=2, max=100)}}
        torch.onnx.export(model, (tokens,), path, dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False, **names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", type=pathlib.Path, required=True)
    parser.add_argument("way", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)  # others would not be there in a process of its own
    tokens = np.random.default_rng(5).integers(3, VOCABULARY - 1, export.TOKENS)
    for way in args.way or ("rows", "masks", "puts"):
        torch.manual_seed(1)
        model, base = export.randomize(Model(way), 1), args.o / f"loop_{way}"
        (base / "expected").mkdir(parents=True, exist_ok=True)
        np.save(base / "expected/tokens.npy", tokens)
        with torch.no_grad():
            np.save(base / "expected/logits.npy", model(torch.as_tensor(tokens)[None])[0].numpy())
        for how in EXPORTS:
            (base / how).mkdir(exist_ok=True)
            good = export.apart(lambda: write(model, how, base / how / "model.onnx", torch.as_tensor(tokens)[None]), base / how)
            print(f"{way:8} {how:10} {'ok' if good else 'no'}", flush=True)


if __name__ == "__main__":
    main()
