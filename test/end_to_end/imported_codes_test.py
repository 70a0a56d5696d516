#!/usr/bin/env python3
"""Weights that a model holds as codes are taken over: with -quant=f32 the artifact holds exactly the floats that the codes stand for, and without -quant
the same codes and scales in a format of ours, which decode to exactly these floats too, where the scales are float16 numbers.

Each case is a model of an embedding and a linear layer, written in one of the ways that exporters have, and its floats are computed here, by numpy."""
import pathlib
import sys
import tempfile

import numpy as np

from tools import BUILD, QBC, QBRUN, run, write_model

VOCABULARY, K, N = 40, 344, 48  # 344: the last group of a row is not full
DUMP = BUILD / "test/qbm_dump"


def words(array):
    return " ".join(repr(float(v)) if array.dtype.kind == "f" else str(v) for v in array.ravel())


def weight(name, kind, array, dims=None):
    return f"weight {name} {kind} {','.join(map(str, dims or array.shape)) or '-'} raw {words(array)}"


def pack_rows(codes, bits):
    """Rows of whole bytes, low bits first: uint8 [..., ceil(n bits / 8)]"""
    each = 8 // bits
    codes = np.concatenate([codes, np.zeros((*codes.shape[:-1], -codes.shape[-1] % each), codes.dtype)], -1)
    parts = codes.reshape(*codes.shape[:-1], -1, each)
    return sum(parts[..., k].astype(np.uint32) << k * bits for k in range(each)).astype(np.uint8)


def random_scales(random, shape, exact):
    scales = random.uniform(0.01, 0.1, shape).astype(np.float32) * random.choice([-1, 1], shape).astype(np.float32)
    return scales.astype(np.float16).astype(np.float32) if exact else scales


def nbits(random, bits, block, zeros, exact, order=None):
    """MatMulNBits: the lines of the weight, of its node, and the floats [N, K]. `order`: which group each column is in"""
    groups = -(-K // block)
    codes = random.integers(1 if bits == 8 else 0, 1 << bits, (N, groups * block))
    scales = random_scales(random, (N, groups), exact)
    zero = np.full((N, groups), 1 << bits - 1)
    lines = [weight("codes", "ui8", pack_rows(codes, bits), (N, groups, block * bits // 8)), weight("scales", "f32", scales, (N * groups,))]
    if zeros:
        zero = random.integers(0, 1 << bits, (N, groups))
        floats = zeros in ("float", "fraction")
        zero = zero + random.choice([0.25, 0.375, 0.0078125], zero.shape) if zeros == "fraction" else zero
        lines.append(weight("zeros", "f32", zero.astype(np.float32)) if floats else weight("zeros", "ui8", pack_rows(zero, bits)))
    by_column = np.arange(K) // block
    inputs = "x,codes,scales" + (",zeros" if zeros else "," * (order is not None))
    if order is not None:
        by_column = order(random, by_column)
        lines.append(weight("g_idx", "i32", by_column))
        inputs += ",g_idx"
    lines.append(f"node MatMulNBits@com.microsoft {inputs} -> y K={K} N={N} bits={bits} block_size={block}")
    return lines, (codes[:, :K] - zero[:, by_column]).astype(np.float32) * scales[:, by_column]


def shape_of(axis, block):
    """Of the scales of [K, N]"""
    if axis is None:
        return ()
    return ((K, N)[axis],) if not block else (-(-K // block), N) if axis % 2 == 0 else (K, -(-N // block))


def spread(a, axis, block):
    """The scales, or zeros, of all elements of [K, N]"""
    if axis is None:
        return a
    if not block:
        return a[:, None] if axis % 2 == 0 else a[None]
    return np.take(a, np.arange((K, N)[axis]) // block, axis)


def dequantize(random, kind, axis, block, zeros, exact):
    """DequantizeLinear of [K, N] (axis None: one scale, block 0: one scale an index), multiplied as it is"""
    bits, signed = {"i4": (4, 1), "ui4": (4, 0), "i8": (8, 1), "ui8": (8, 0), "i2": (2, 1), "ui2": (2, 0)}[kind]
    low = -(1 << bits - 1) if signed else 0
    codes = random.integers(low + (bits == 8), low + (1 << bits), (K, N))
    shape = shape_of(axis, block)
    scales, zero = random_scales(random, shape, exact), np.zeros(shape, np.int64)
    lines = [weight("codes", kind, codes), weight("scales", "f32", scales)]
    if zeros:
        zero = random.integers(low, low + (1 << bits), shape)
        lines.append(weight("zeros", kind, zero))
    attributes = f" axis={axis}" * (axis is not None) + f" block_size={block}" * (block > 0)
    lines += [f"node DequantizeLinear codes,scales{',zeros' * zeros} -> w{attributes}", "node MatMul x,w -> y"]
    return lines, ((codes - spread(zero, axis, block)).astype(np.float32) * spread(scales, axis, block)).T


FLOATS = {  # bits of exponent and fraction, bias
    "f8e4m3fn": (4, 3, 7), "f8e4m3fnuz": (4, 3, 8), "f8e5m2": (5, 2, 15), "f8e5m2fnuz": (5, 2, 16), "f4": (2, 1, 1), "f8e8m0": (8, 0, 127)}


def levels(kind):
    """What each code stands for, float32 [2^bits]; those that are no numbers: 0"""
    exponent, fraction, bias = FLOATS[kind]
    if kind == "f8e8m0":
        return np.ldexp(np.float32(1), np.minimum(np.arange(256), 254) - 127)
    codes = np.arange(1 << exponent + fraction)
    e, f = codes >> fraction, codes & (1 << fraction) - 1
    half = np.where(e > 0, np.ldexp(1 + f / (1 << fraction), e - bias), np.ldexp(f / (1 << fraction), 1 - bias))
    if kind in ("f8e4m3fn", "f8e5m2"):
        half[-1 if kind == "f8e4m3fn" else -4 :] = 0
    both = np.concatenate([half, -half])
    both[len(half)] = 0
    return both.astype(np.float32)


def small_floats(random, kind, axis, block, scales_of):
    """DequantizeLinear of codes that are small floats, [K, N]; scales f32, e8m0, or e4m3 under one of the tensor (NVFP4)"""
    table = levels(kind)
    usable = np.flatnonzero(np.isfinite(table) & ((table != 0) | (np.arange(len(table)) == 0)))
    codes = random.choice(usable, (K, N))
    shape = shape_of(axis, block)
    lines, at = [weight("codes", kind, codes)], "scales"
    if scales_of in ("f32", "f16", "bf16"):
        scales = random_scales(random, shape, scales_of != "f32")
        scales = np.ldexp(1, random.integers(-9, 2, shape)).astype(np.float32) if scales_of == "bf16" else scales
        lines.append(weight("scales", scales_of, scales))
    else:
        own = "f8e8m0" if scales_of == "e8m0" else "f8e4m3fn"
        numbers = random.integers(110, 130, shape) if scales_of == "e8m0" else random.integers(1, 126, shape)
        scales = levels(own)[numbers]
        lines.append(weight("scales", own, numbers))
        if scales_of == "nvfp4":
            of_all = np.float32(0.00371)
            scales, at = scales * of_all, "products"
            lines += [weight("of_all", "f32", of_all), "node DequantizeLinear scales,of_all -> products"]
    attributes = f" axis={axis}" * (axis is not None) + f" block_size={block}" * (block > 0) + " output_dtype=1" * (scales_of == "e8m0")
    if scales_of in ("f16", "bf16"):
        lines.append("node Cast scales -> wide to=1")
        at = "wide"
    lines += [f"node DequantizeLinear codes,{at} -> w{attributes}", "node MatMul x,w -> y"]
    return lines, (table[codes] * spread(scales, axis, block)).T.astype(np.float32)


FORMS = {  # what tools write around codes [K, N] with scales and zero points of weights, where activations are rounded too
    "MatMulInteger": ["node DynamicQuantizeLinear x -> a,s,z", "node MatMulInteger a,codes,z,zeros -> i", "node Cast i -> f to=1", "node Mul s,scales -> both",
                      "node Mul f,both -> y"],
    "DynamicQuantizeMatMul": ["node DynamicQuantizeMatMul@com.microsoft x,codes,scales,zeros -> y"],
    "MatMulIntegerToFloat": ["node DynamicQuantizeLinear x -> a,s,z", "node MatMulIntegerToFloat@com.microsoft a,codes,s,scales,z,zeros -> y"],
    "QDQ": ["node QuantizeLinear x,fixed,middle -> a", "node DequantizeLinear a,fixed,middle -> xa", "node DequantizeLinear codes,scales,zeros -> w axis=1",
            "node MatMul xa,w -> y0", "node QuantizeLinear y0,fixed,middle -> b", "node DequantizeLinear b,fixed,middle -> y"],
    "QLinearMatMul": ["node QuantizeLinear x,fixed,middle -> a", "node QLinearMatMul a,fixed,middle,codes,scales,zeros,fixed,middle -> b",
                      "node DequantizeLinear b,fixed,middle -> y"],
    "QGemm": ["node QuantizeLinear x,fixed,middle -> a", "node Reshape a,rows -> a2", "node QGemm@com.microsoft a2,fixed,middle,codes,scales,zeros,bias,fixed,middle -> b2",
              "node Reshape b2,whole -> b", "node DequantizeLinear b,fixed,middle -> y"],
    "QDQ of com.microsoft": ["node QuantizeLinear@com.microsoft x,fixed,middle -> a", "node DequantizeLinear@com.microsoft a,fixed,middle -> xa",
                             "node DequantizeLinear@com.microsoft codes,scales,zeros -> w axis=1", "node MatMul xa,w -> y"],
}


def rounded(random, form, by_column):
    """int8 with a scale for each column, or one"""
    codes, scales = random.integers(-127, 128, (K, N)), random_scales(random, (N,) if by_column else (), True)
    lines = [weight("codes", "i8", codes), weight("scales", "f32", scales), weight("zeros", "i8", np.zeros(scales.shape, np.int64)),
             "weight fixed f32 - raw 0.5", "weight middle ui8 - raw 128", *FORMS[form]]
    if form == "QGemm":
        lines[2:2] = [weight("bias", "i32", np.arange(N)), weight("rows", "i64", np.array([-1, K])), weight("whole", "i64", np.array([1, -1, N]))]
    return lines, codes.T.astype(np.float32) * (scales[:, None] if by_column else scales)


def ternary(random, group, scale):
    """Floats that are -s, 0 and s alone, BitNet's way: nothing says so but they themselves"""
    scales = np.abs(random_scales(random, (N, -(-K // group)), scale == "half"))
    floats = random.integers(-1, 2, (N, K)).astype(np.float32) * np.repeat(scales, group, 1)[:, :K]
    return [weight("w", "f32", floats.T), "node MatMul x,w -> y"], floats


def gather(random, kind, bits, block, zeros):
    """GatherBlockQuantized: codes in bytes, or elements of 4 bits"""
    groups = -(-K // block)
    low = -8 if kind == "i4" else 0
    codes = random.integers(low + (bits == 8), low + (1 << bits), (VOCABULARY, K))
    scales = random_scales(random, (VOCABULARY, groups), True)
    zero = np.full((VOCABULARY, groups), 1 << bits - 1 if kind == "ui8" else 0)
    if zeros:
        zero = random.integers(low, low + (1 << bits), (VOCABULARY, groups))
    packed = kind == "ui8"
    lines = [weight("table", kind, pack_rows(codes, bits) if packed else codes), weight("table_scales", "f32", scales)]
    if zeros:
        lines.append(weight("table_zeros", kind, pack_rows(zero, bits) if packed else zero))
    attributes = f" bits={bits}" if packed else ""
    lines.append(f"node GatherBlockQuantized@com.microsoft table,tokens,table_scales{',table_zeros' * zeros} -> x "
                 f"block_size={block} quantize_axis=1 gather_axis=0{attributes}")
    by_column = np.arange(K) // block
    return lines, (codes - zero[:, by_column]).astype(np.float32) * scales[:, by_column]


def gather_down(random, kind, block, axis):
    """GatherBlockQuantized whose scales are those of rows of the table: element (v, k) has number (v / block, k)"""
    bits = 8 if kind == "i8" else 4
    low = -(1 << bits - 1)
    codes = random.integers(low + (bits == 8), low + (1 << bits), (VOCABULARY, K))
    scales = random_scales(random, (-(-VOCABULARY // block), K), True)
    zeros = random.integers(-3, 4, scales.shape)
    lines = [weight("table", kind, codes), weight("table_scales", "f32", scales), weight("table_zeros", kind, zeros),
             f"node GatherBlockQuantized@com.microsoft table,tokens,table_scales,table_zeros -> x block_size={block} quantize_axis={axis} gather_axis=-2"]
    by_row = np.arange(VOCABULARY) // block
    return lines, (codes - zeros[by_row]).astype(np.float32) * scales[by_row]


def gather_bytes(random):
    """What ONNX Runtime's quantizers make of an embedding: rows are gathered as codes, and are floats then"""
    codes, scale = random.integers(-127, 128, (VOCABULARY, K)), random_scales(random, (), True)
    lines = [weight("table", "i8", codes), weight("table_scale", "f32", scale), weight("table_zero", "i8", np.array(0), (0,)[:0]),
             "node Gather table,tokens -> rows", "node DequantizeLinear rows,table_scale,table_zero -> x"]
    return lines, codes.astype(np.float32) * scale


FLOAT_CASES = [("f4", 0, 32, "e8m0", "mxfp4"), ("f4", -2, 16, "nvfp4", "nvfp4"), ("f4", 0, 24, "f32", "e2m1g24.f32"), ("f4", 0, 32, "f16", "e2m1g32"),
               ("f4", 1, 0, "f32", "e2m1g128.f32"), ("f4", None, 0, "f32", "e2m1g128.f32"), ("f4", 1, 16, "f16", "f32"), ("f4", 1, 16, "e8m0", "f16"), ("f4", 1, 64, "f16", "e2m1c1024"),
               ("f8e4m3fn", 1, 0, "f32", "vq1x256g128.f32"), ("f8e4m3fn", None, 0, "f32", "vq1x256g128.f32"),
               ("f8e4m3fn", 0, 128, "f16", "vq1x256g32"), ("f8e4m3fn", 0, 32, "e8m0", "vq1x256g32.e8m0"), ("f8e4m3fnuz", -1, 0, "bf16", "vq1x256g32.e8m0"),
               ("f8e5m2", 0, 40, "f32", "vq1x256g40.f32"), ("f8e5m2fnuz", 1, 0, "f32", "vq1x256g128.f32")]


def model(folder, embedding, linear):
    head = ["opset 21", "opset com.microsoft 1", "input tokens i64 1 T", f"output y f32 1 T {N}"]
    write_model(folder, "\n".join(head + embedding + linear) + "\n")
    return folder / "model.onnx"


def decoded(folder, onnx, *options):
    """{name: float32 [N, K]} and {name: format} of the artifact, and its record"""
    run(QBC, onnx, "-tokenizer=none", *options, "-o", folder / "m.qbm")
    tensors, formats = {}, {}
    for line in run(DUMP, folder / "m.qbm", folder).stdout.splitlines():
        index, name, form = line.split("\t")[:3]
        tensors[name], formats[name] = np.load(folder / f"{index}.npy"), form
    return tensors, formats, run(QBRUN, folder / "m.qbm", "--info").stdout


def same_logits(name, folder, embedding, linear):
    """Products round activations to 8 bits in groups of 32; a column or scale out of place would be far more."""
    tokens = np.arange(1, 8)
    np.save(folder / "t.npy", tokens)
    run(QBRUN, folder / "m.qbm", "--logits", folder / "t.npy", "-o", folder / "l.npy")
    got, want = np.load(folder / "l.npy").reshape(len(tokens), -1), embedding[tokens].astype(np.float64) @ linear.T.astype(np.float64)
    error = np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))
    assert error < 0.015, f"{name}: logits are off by {error}"


def same_bits(name, got, want):
    assert got.shape == want.shape and (got == want).all(), f"{name}: the artifact's weights are others: {np.abs(got - want).max()}"


def check(name, embedding, linear, expect, exact=True, sorted_by=None, multiplied=True):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        onnx = model(folder, embedding[0], linear[0])
        floats, _, _ = decoded(folder, onnx, "-quant=f32")
        same_bits(f"{name}, embedding, f32", floats["embed"], embedding[1])
        same_bits(f"{name}, f32", floats["output"], linear[1])
        tensors, formats, record = decoded(folder, onnx)
        kept = expect not in ("f32", "f16")
        if sorted_by is not None: # the artifact has the columns in the order of their groups
            tensors["output"] = tensors["output"][:, np.argsort(np.argsort(sorted_by, kind="stable"))]
        if exact:
            same_bits(f"{name}, as imported", tensors["output"], linear[1])
        else:
            error = np.abs(tensors["output"] - linear[1]) / np.abs(linear[1]).max()
            assert 0 < error.max() < 2**-11, f"{name}: {error.max()}"
        assert formats["output"] == expect, f"{name}: format {formats['output']}, not {expect}"
        if multiplied:
            same_logits(name, folder, embedding[1], linear[1])
        assert ("bit for bit" in record) == (kept or formats["embed"] != "f32"), record
        assert ("rounded" in record) == (not exact), record
    print(f"{name}: {formats['output']}")


def check_order(random, table, bits, block, zeros, expect):
    """GPTQ's act_order: which group a column is in has nothing to do with where it stands"""
    seen = []

    def shuffled(random, groups):
        seen.append(random.permutation(groups))
        return seen[0]

    linear = nbits(random, bits, block, zeros, True, shuffled)
    check(f"nbits {bits}, {block}, columns in another order", table, linear, expect, sorted_by=seen[0])


def check_floats(name, embedding, linear, expect):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        tensors, formats, record = decoded(folder, model(folder, embedding[0], linear[0]))
        same_bits(name, tensors["output"], linear[1])
        assert formats["output"] == expect and formats["embed"] == "f32", formats
        assert "1 tensors of floats repacked without loss" in record, record
    print(f"{name}: {formats['output']}")


def main():
    if not all(tool.exists() for tool in (QBC, QBRUN, DUMP)):
        print("skipped: qbc, qbrun and qbm_dump are not built")
        return 77
    random = np.random.default_rng(1)
    plain = random.standard_normal((VOCABULARY, K)).astype(np.float32)
    table = [weight("table", "f32", plain), "node Gather table,tokens -> x"], plain
    check("nbits 4, 32", table, nbits(random, 4, 32, None, True), "i4g32")
    check("nbits 4, 32, f32 scales", table, nbits(random, 4, 32, None, False), "i4g32", exact=False)
    check("nbits 4, 128, zeros", table, nbits(random, 4, 128, "bytes", True), "i4g128z")
    check("nbits 4, 128, float zeros", table, nbits(random, 4, 128, "float", True), "i4g128z")
    check("nbits 8, 32", table, nbits(random, 8, 32, None, True), "i8g32")
    check("nbits 8, 64", table, nbits(random, 8, 64, None, True), "i8g32")
    check("nbits 2, 32", table, nbits(random, 2, 32, None, True), "i2g32")
    check("nbits 4, 16", table, nbits(random, 4, 16, None, True), "i4g16")
    check("nbits 4, 32, zeros with fractions", table, nbits(random, 4, 32, "fraction", True), "i4g32m.f32")
    for bits, block, zeros, expect in ((4, 32, None, "i4g32"), (4, 128, "bytes", "i4g128z"), (8, 16, None, "i8g16"), (2, 64, None, "i2g64")):
        check_order(random, table, bits, block, zeros, expect)
    uneven = nbits(random, 4, 32, None, True, lambda random, groups: random.integers(0, groups.max() + 1, K))
    check("nbits 4, 32, groups of any size", table, uneven, "f32")
    check("int4, blocks down", table, dequantize(random, "i4", 0, 32, False, True), "i4g32")
    check("uint4, blocks down, zeros", table, dequantize(random, "ui4", 0, 128, True, True), "i4g128z")
    check("int8, a scale a column", table, dequantize(random, "i8", 1, 0, False, True), "i8g32")
    check("int8, one scale", table, dequantize(random, "i8", None, 0, False, True), "i8g32")
    check("uint8, a scale a row", table, dequantize(random, "ui8", 0, 0, True, True), "i8c1024z")
    check("int4, blocks across", table, dequantize(random, "i4", 1, 16, False, True), "f32")
    check("int4, one block across, counted from the end", table, dequantize(random, "i4", -1, 64, True, True), "i4c1024z")
    check("uint4, blocks down, counted from the end", table, dequantize(random, "ui4", -2, 48, True, True), "i4g48z")
    check("int2, blocks down", table, dequantize(random, "i2", 0, 32, False, True), "i2g32")
    check("uint2, a scale a column, zeros", table, dequantize(random, "ui2", 1, 0, True, True), "i2g128z")
    check_floats("ternary, a scale a row", table, ternary(random, K, "half"), "t2g128")
    check_floats("ternary, groups of 128, any scale", table, ternary(random, 128, "any"), "t2g128.f32")
    check_floats("ternary, groups of 32", table, ternary(random, 32, "half"), "t2g32")
    for kind, axis, block, scales, expect in FLOAT_CASES:
        check(f"{kind}, axis {axis}, blocks {block}, {scales}", table, small_floats(random, kind, axis, block, scales), expect)
    for form in FORMS:
        check(form, table, rounded(random, form, form != "QLinearMatMul"), "i8g32", multiplied=form != "QGemm")  # which has a bias
    check("gather of bytes", gather_bytes(random), nbits(random, 4, 32, None, True), "i4g32")
    for kind, block, axis in (("i4", 16, 0), ("i4", 32, -2), ("i8", 128, 0)):
        check(f"gather {kind}, scales down in {block}", gather_down(random, kind, block, axis), nbits(random, 4, 32, None, True), "i4g32")
    for kind, bits, zeros in (("ui8", 4, False), ("ui8", 4, True), ("ui8", 8, False), ("i4", 4, False), ("ui4", 4, True)):
        check(f"gather {kind} {bits} {zeros}", gather(random, kind, bits, 32, zeros), nbits(random, 4, 32, None, True), "i4g32")
    return 0


def FORMATS(*names):
    """The first one that this build has"""
    have = run(QBC, "--list-formats").stdout.split()
    return next(name for name in names if name == "f32" or name in have)


if __name__ == "__main__":
    sys.exit(main())
