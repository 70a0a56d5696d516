"""Where the time of a step goes, kernel by kernel, in the very code that ships: speed.c notes where a thread is some
thousand times a second; this finds out which kernel that is.

The code image has no names. The object that `qbc -emit=obj` writes for the same options has, and lies the same in
memory. Kernels are numbered in the order in which different launches appear in `-emit=kernels`
(passes/generate_kernels.c), first for one token, then for many: that tells what each one multiplies.
"""
import collections, re, sys


def symbols(nm_text):
    """[(offset from `decode`, end, name)] of the functions, by offset; exported names without their prefix."""
    rows = [(int(at, 16), int(size, 16), name.rpartition("_")[2] if kind == "T" else name)
            for at, size, kind, name in re.findall(r"^([0-9a-f]+) ([0-9a-f]+) ([tT]) (\w+)$", nm_text, re.M)]
    base = next(at for at, _, name in rows if name == "decode")
    return sorted((at - base, at + size - base, name) for at, size, name in rows)


def renumbered(text):
    """%17, %4, %17 to %0, %1, %0: numbers by first appearance."""
    seen = {}
    return re.sub(r"%\d+", lambda m: "%" + str(seen.setdefault(m[0], len(seen))), text)


def integer(text, name, other=0):
    found = re.search(rf"\b{name} = (-?\d+) : i64", text)
    return int(found[1]) if found else other


class Kernel:
    """A launch that differs from all others, and where the program has it."""

    def __init__(self, text):
        self.name = re.search(r'kernel = "(\w+)"', text)[1]
        self.n, self.k, self.columns = integer(text, "n"), integer(text, "k"), integer(text, "c")
        self.norm, self.tail = " eps = " in text, 'rows = "tail"' in text
        self.epilogue = "silu" if "qb.silu" in text else "add" if "arith.addf" in text else ""
        self.count, self.bytes, self.roles = 0, 0, []

    @property
    def is_linear(self):
        return self.name == "linear"

    def title(self):
        if self.is_linear:
            return f"linear {'/'.join(self.roles)} {self.n}x{self.k}"
        return self.name + (f" of {self.columns}" if self.columns else "") + (" after norm" if self.norm and self.name == "quantize" else "")


def launches(program, tensor_bytes):
    """The different launches of `-emit=kernels` in order; tensor_bytes: size of a weight by name."""
    places = dict(re.findall(r'^ *(%\d+) = "qb.place"\(\) \{.*?name = "([^"]*)"', program, re.M))
    kernels = collections.OrderedDict()
    for text in re.findall(r'"qb.launch".*?^ *\}\) \{.*?$', program, re.M | re.S):
        kernel = kernels.setdefault(renumbered(text), Kernel(text))
        kernel.count += 1
        if kernel.is_linear:
            weight = places[re.findall(r"%\d+", text)[2]]
            role = weight.rpartition(".")[2]
            kernel.bytes += tensor_bytes[weight]
            kernel.roles += [role] if role not in kernel.roles else []
    return list(kernels.values())


def attribute(where, names, kernels):
    """Counter of samples: by (number of the launch, or None outside of the kernels)."""
    step = next(begin for begin, _, name in names if name == "step")
    if where["step"] != step:
        sys.exit("bench.py: error: the object of qbc -emit=obj is not the code in the artifact")
    counts = collections.Counter({None: where["outside"]})
    for offset, n in where["samples"]:
        name = next((name for begin, end, name in names if begin <= offset < end), "")
        number = re.fullmatch(r"(\w+?)_(\d+)(_one)?", name)
        if not number:
            counts[None] += n
            continue
        index = int(number[2]) % len(kernels)
        if kernels[index].name != number[1]:
            sys.exit(f"bench.py: error: {name} is no {kernels[index].name}; did passes/generate_kernels.c change?")
        counts[index] += n
    return counts


def table(counts, kernels, ms, tokens, bandwidth, peak):
    """Rows of one step of `tokens` tokens that takes `ms`: what, how often, ms, share of the step, share of the roof."""
    total, rows = sum(counts.values()), []
    for index, n in counts.most_common():
        row = {"kernel": "barriers and the runtime", "count": 0, "ms": ms * n / total, "share": n / total}
        if index is not None:
            k = kernels[index]
            row.update(kernel=k.title(), count=k.count, group=k.name)
            if k.is_linear:
                ops = 2 * k.n * k.k * k.count * (1 if k.tail else tokens)
                row["gops"], row["gbs"] = ops / row["ms"] * 1e-6, k.bytes / row["ms"] * 1e-6
                row["of_peak"], row["of_bandwidth"] = row["gops"] / peak, row["gbs"] / bandwidth
        rows.append(row)
    return rows
