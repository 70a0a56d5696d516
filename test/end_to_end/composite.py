"""Weights of composite formats as an artifact stores them, piece by piece: dialects/parts.h has the names, "0.ffn_up/columns1/sum0".

What they mean is computed from the names alone: slowly, in float64.
"""
import numpy as np


class Piece:
    """A leaf with an array [N, K], or a composite with pieces by the last part of their names."""

    def __init__(self):
        self.array, self.coded, self.pieces = None, False, {}

    def parts(self, word):
        """Those called `word`0, `word`1, ..; or `word`"""
        numbered = [self.pieces[f"{word}{i}"] for i in range(4) if f"{word}{i}" in self.pieces]
        return numbered or [self.pieces[w] for w in (word,) if w in self.pieces]

    def table(self, name):
        return self.pieces[name].array

    def indices(self, name):
        return self.table(name).astype(np.int64)

    def columns(self):
        if not self.pieces:
            return self.array.shape[1]
        if self.parts("columns"):
            return sum(p.columns() for p in self.parts("columns"))
        return self.parts_of_any()[0].columns()

    def parts_of_any(self):
        return next(p for p in map(self.parts, ("sum", "rows", "columns", "scaled", "dense", "rest")) if p)

    def height(self):
        """How many rows"""
        if self.parts("rows"):
            return sum(p.height() for p in self.parts("rows"))
        return self.parts_of_any()[0].height() if self.pieces else self.array.shape[0]

    def multiply(self, x, quantize):
        """x [T, K] -> [T, N]"""
        if not self.pieces:
            return (quantize(x) if self.coded else x) @ self.array.T
        if self.parts("sum"):
            return sum(p.multiply(x, quantize) for p in self.parts("sum"))
        if self.parts("rows"):
            return np.concatenate([p.multiply(x, quantize) for p in self.parts("rows")], 1)
        if self.parts("columns"):
            x = x[:, self.indices("order").ravel()] if "order" in self.pieces else x
            cuts = np.cumsum([p.columns() for p in self.parts("columns")])[:-1]
            return sum(p.multiply(some, quantize) for p, some in zip(self.parts("columns"), np.split(x, cuts, 1)))
        if self.parts("scaled"):
            return self.pieces["scaled"].multiply(x * self.table("v"), quantize) * self.table("u")
        if self.parts("dense"):
            return self.pieces["dense"].multiply(x, quantize) + np.einsum("nj,tnj->tn", self.table("values"), x[:, self.indices("indices")])
        return self.pieces["rest"].multiply(x, quantize) + x @ self.table("b").reshape(-1, x.shape[1]).T @ self.table("a").T

    def rows(self, ids):
        """Rows `ids` of the matrix, [T, K]"""
        if not self.pieces:
            return self.array[ids]
        if self.parts("sum"):
            return sum(p.rows(ids) for p in self.parts("sum"))
        if self.parts("rows"):
            everything = [p.rows(np.arange(p.height())) for p in self.parts("rows")]
            return np.concatenate(everything)[ids]
        if self.parts("columns"):
            joined = np.concatenate([p.rows(ids) for p in self.parts("columns")], 1)
            return joined[:, self.indices("inverse").ravel()] if "inverse" in self.pieces else joined
        if self.parts("scaled"):
            return self.pieces["scaled"].rows(ids) * self.table("u").ravel()[ids][:, None] * self.table("v")
        if self.parts("dense"):
            y = self.pieces["dense"].rows(ids)
            for row, columns, values in zip(y, self.indices("indices")[ids], self.table("values")[ids]):
                np.add.at(row, columns, values)
            return y
        return self.pieces["rest"].rows(ids) + self.table("a")[ids] @ self.table("b_transposed").T


def gather(arrays, codes):
    """{name: array} of whole tensors, {name: Piece} of composites"""
    whole, composites = {}, {}
    for name, array in arrays.items():
        first, *path = name.split("/")
        if not path:
            whole[name] = array
            continue
        piece = composites.setdefault(first, Piece())
        for element in path:
            piece = piece.pieces.setdefault(element, Piece())
        piece.array, piece.coded = array, name in codes
    return whole, composites
