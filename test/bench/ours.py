"""What qbc makes and how fast it is: artifacts by format, their facts, and measurements of them."""
import json, os, pathlib, re, struct

import kernels
import measure


def sizes(build, model):
    """The model's dimensions, from the recognised graph."""
    text = measure.run(build / "bin/qbc", model, "-emit=graph", "-o", "-").out
    def shape(role):
        found = re.search(rf'role = "{role}".*?-> tensor<(\d+)x(\d+)xf32>', text)
        return (int(found[1]), int(found[2])) if found else (0, 0)
    def integer(name):
        return int(re.search(rf"\b{name} = (\d+) : i64", text)[1])
    vocab, hidden = shape("embed")
    return {"vocab": vocab, "hidden": hidden, "layers": text.count('"qb.attention"'), "heads": integer("heads"),
            "kv_heads": integer("kv_heads"), "head_dim": integer("head_dim"), "ffn": shape("ffn_up")[0]}


def formats(build, most_bits):
    """Names from --list-formats of at most so many bits a weight, the widest first."""
    rows = re.findall(r"^(\S+)\s+([\d.]+) bits", measure.run(build / "bin/qbc", "--list-formats").out, re.M)
    return [name for name, bits in sorted(rows, key=lambda r: -float(r[1])) if float(bits) <= most_bits]


class Artifact:
    """One format of the model, compiled unless it lies there and is newer than the compiler."""

    def __init__(self, build, work, model, name):
        self.build, self.model, self.name = build, model, name
        self.path = work / f"{name}.qbm"
        self.compile = None
        if not self.path.exists() or self.path.stat().st_mtime < (build / "bin/qbc").stat().st_mtime:
            done = measure.run(build / "bin/qbc", model, f"-quant={name}", "-q", "-o", self.path)
            self.compile = {"seconds": done.seconds, "resident": done.resident}
        info = json.loads(measure.run(build / "bin/qbrun", self.path, "--info=json").out)
        self.tensors = {t["name"]: t["bytes"] for t in info["tensors"]}
        self.file_bytes = self.path.stat().st_size
        program = self.emit("kernels", "-")
        self.kernels = kernels.launches(program, self.tensors)
        norms = sum(size for name, size in self.tensors.items() if name.endswith("norm"))
        self.bytes = norms + sum(k.bytes for k in self.kernels)
        self.products = sum(k.n * k.k * k.count for k in self.kernels if k.is_linear and not k.tail)

    def emit(self, level, out):
        return measure.run(self.build / "bin/qbc", self.model, f"-quant={self.name}", f"-emit={level}", "-o", out).out

    def command(self, threads):
        return [self.build / "test/speed", self.path, threads]

    def where(self, o, threads, plan, hz, bandwidth, peak):
        """Kernel by kernel: the rows of kernels.table for calls as `plan` says."""
        obj = self.path.with_suffix(".o")
        self.emit("obj", obj)
        names = kernels.symbols(measure.run("nm", "-S", obj).out)
        obj.unlink()
        result = measure.plans(o, self.command(threads), [plan, "--where", str(hz)])
        one = result["runs"][0]
        counts = kernels.attribute(result["where"], names, self.kernels)
        mean = sum(one["ms"]) / len(one["ms"])
        return {"call": one["call"], "at": one["at"], "ms": mean, "others": one["others"],
                "rows": kernels.table(counts, self.kernels, mean, one["call"], bandwidth, peak)}

    def first_token(self, o, threads):
        """ms from exec to exit for a one-token prompt and one new token; peak resident bytes."""
        token, out = self.path.with_suffix(".in.npy"), self.path.with_suffix(".out.npy")
        header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }".ljust(117) + "\n"
        token.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() + struct.pack("<q", 5))
        done = measure.run(self.build / "bin/qbrun", self.path, "--tokens", token, "-n", "1", "--temp", "0", "-t", threads,
                           "-o", out, priority=measure.priority(o))
        os.unlink(token), os.unlink(out)
        return 1e3 * done.seconds, done.resident
