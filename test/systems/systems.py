"""What the files of this folder share: artifacts of the bundled model, or of its variant with planted outliers, measured against the float one.

A file is a row of the table of published systems that the compiler can stand for: it makes artifacts, prints their figures, and says
whether what the system promises holds here. Exit status 0: it holds; 77: it was measured and does not hold on this model (said in the
last line), as is known of it (DO_NOT_HOLD); 1: something is broken, or a row that held does so no more.

"Lower" is meant as: perplexity over that of the float model and mean KL divergence both lower, by more than two standard errors of the
paired differences of windows. On a few windows (8, or QBC_TEST_WINDOWS=N; QBC_TEST_ALL=1: all 200 of ../shared, and the tests that take minutes) perplexity of so small a model is noisy, so both are printed.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "end_to_end"))
import oracle
import reference

MODEL = oracle.SHARED / "models/docs-4m"
CALIBRATION = oracle.SHARED / "data/text/docs-calib.txt"
WINDOWS = oracle.SHARED / "data/text/docs-valid.npy"
ALL = bool(os.environ.get("QBC_TEST_ALL"))
FEW, FEW_BYTES = 8, 24000  # windows, bytes of calibration text
NOT_HERE = 77
BLOCKS = 4
MATRICES = [f"{i}.{name}" for i in range(BLOCKS) for name in reference.LINEARS]
DO_NOT_HOLD = {"finequant", "luq", "quest"}  # only shrinks
GPTQ = ("-fit=gptq",)  # learns from the calibration text
LEARN = ("gptq", "pq", "-bpw", "smooth", "awq", "map", "pow2", "psot", "-act=i8s", "-max-ppl")  # what does


def need(slow=True):
    """Ends the test as skipped where a file or tool is missing; and one that takes minutes, unless all is asked for."""
    if slow and not ALL:
        print("skipped: takes minutes; QBC_TEST_ALL=1 measures it")
        sys.exit(NOT_HERE)
    for path in (MODEL / "optimum-past/model.onnx", MODEL / "model.safetensors", CALIBRATION, WINDOWS, oracle.BUILD / "bin/qbc", oracle.BUILD / "bin/qbrun"):
        if not path.exists():
            print(f"skipped: no {path}")
            sys.exit(NOT_HERE)


def windows():
    """int [n, 256], evenly from all of them."""
    all_of_them = np.load(WINDOWS).astype(np.int64)
    n = int(os.environ.get("QBC_TEST_WINDOWS", len(all_of_them) if ALL else FEW))
    return all_of_them[:: len(all_of_them) // n][:n]


def weights():
    """{our name: f32 array} of the float model."""
    return {name: w.astype(np.float32) for name, w in reference.from_safetensors(MODEL / "model.safetensors").arrays.items()}


def decoded(artifact):
    """{our name: what the artifact's codes stand for, f64}"""
    return reference.from_artifact(oracle.BUILD / "test/qbm_dump", artifact).arrays


def stream(tokens):
    """[rows of what block i of the float model reads]; the last one: what the last block gives. By the slow reference."""
    model = reference.Model(reference.Config(MODEL / "config.json"), reference.from_safetensors(MODEL / "model.safetensors"))
    seen, block = {}, model.block

    def watch(x, i):
        y = block(x, i)
        seen.setdefault(i, []).append(x)
        seen.setdefault(i + 1, [])
        if i + 1 == BLOCKS:
            seen[BLOCKS].append(y)
        return y

    model.block = watch
    for window in tokens:
        model.logits(window)
    return [np.concatenate(seen[i]) for i in range(BLOCKS + 1)]


def moments(tokens, names, floats=None):
    """{name: H = 2/T sum x^T x of what the product reads}, by the slow reference on the float model, or on other `floats`."""
    model = reference.Model(reference.Config(MODEL / "config.json"), floats or reference.from_safetensors(MODEL / "model.safetensors"))
    sums, count, linear = {}, 0, model.linear

    def watch(x, *weights):
        for name in weights:
            if name in names:
                sums[name] = sums.get(name, 0) + 2 * x.T @ x
        return linear(x, *weights)

    model.linear = watch
    for window in tokens:
        model.logits(window)
        count += len(window)
    return {name: h / count for name, h in sums.items()}


def out_mse(w, rounded, h):
    """Squared error of the product's results, a token."""
    e = w - rounded
    return float(np.einsum("ni,ij,nj->", e, h, e, optimize=True)) / 2




def with_changes(data, changes):
    """The bytes of a model.onnx with tensors replaced: [(old, new)], f32, which are found by what they hold, either way round."""
    for old, new in changes:
        for a, b in ((old, new), (old.T, new.T)):
            a, b = (np.ascontiguousarray(x, np.float32).tobytes() for x in (a, b))
            if data.count(a) == 1:
                data = data.replace(a, b)
                break
        else:
            raise AssertionError(f"a tensor of {old.shape} is not in the model once")
    return data


def outliers(seed=1, factor=64, channels=4):
    """The model with planted outliers: the same function. Of each norm in front of products four channels are made 64 times as large, of
    each block's up projection four rows, and the columns that read them so much smaller."""
    w, changes, random = weights(), [], np.random.default_rng(seed)
    blocks = sum(name.endswith("attn_norm") for name in w)
    for i in range(blocks):
        for norm, readers in (("attn_norm", ("attn_q", "attn_k", "attn_v")), ("ffn_norm", ("ffn_gate", "ffn_up"))):
            s = np.ones(len(w[f"{i}.{norm}"]), np.float32)
            s[random.choice(len(s), channels, replace=False)] = factor
            w[f"{i}.{norm}"], old = w[f"{i}.{norm}"] * s, w[f"{i}.{norm}"]
            changes.append((f"{i}.{norm}", old))
            for name in readers:
                changes.append((f"{i}.{name}", w[f"{i}.{name}"]))
                w[f"{i}.{name}"] = w[f"{i}.{name}"] / s
        s = np.ones(len(w[f"{i}.ffn_up"]), np.float32)
        s[random.choice(len(s), channels, replace=False)] = factor
        w[f"{i}.ffn_up"] = w[f"{i}.ffn_up"] * s[:, None]
        changes.append((f"{i}.ffn_down", w[f"{i}.ffn_down"]))
        w[f"{i}.ffn_down"] = w[f"{i}.ffn_down"] / s
    originals = weights()
    names = dict.fromkeys(name for name, _ in changes)
    return with_changes((MODEL / "optimum-past/model.onnx").read_bytes(), [(originals[name], w[name]) for name in names])


def log_softmax(logits):
    """f32: on 4096 words the error of a mean over 256 tokens is below 1e-7 nats."""
    x = logits.astype(np.float32)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True, dtype=np.float64)).astype(np.float32)


class Measured:
    """An artifact's figures: per window, and over all."""

    def __init__(self, name, reference_logits, logits, tokens, info):
        nll = lambda rows, window: -rows[np.arange(len(window) - 1), window[1:]].mean(dtype=np.float64)
        of_windows = []
        for want, got, window in zip(reference_logits, logits, tokens):
            w, g = log_softmax(want), log_softmax(got)
            of_windows.append((nll(w, window), nll(g, window), np.einsum("tv,tv->", np.exp(w), w - g, dtype=np.float64) / len(w)))
        self.name, self.info = name, info
        self.float_nll, self.nll, self.klds = np.array(of_windows).T
        self.ratio, self.kld = float(np.exp((self.nll - self.float_nll).mean())), float(self.klds.mean())
        self.bits = info.get("bits_per_weight")

    def __str__(self):
        return f"{self.name:44} {self.bits:6.3f} bits  ppl ratio {self.ratio:8.4f}  kld {self.kld:8.5f}"


def lower(a, b):
    """Is a lower than b? In words too."""
    words, all_of_them = [], True
    for what, x, y in (("ppl", a.nll, b.nll), ("kld", a.klds, b.klds)):
        d = y - x
        error = d.std(ddof=1) / np.sqrt(len(d))
        words.append(f"{what} lower by {d.mean():.5f} +- {error:.5f}")
        all_of_them = all_of_them and d.mean() > 2 * error
    print(f"  {a.name} against {b.name}: {', '.join(words)}: {'lower' if all_of_them else 'not lower in both'}", flush=True)
    return bool(all_of_them)


class Lab:
    """with Lab() as lab: lab.measure("a name", "-quant=i4g32", ...) -> Measured; printed. `model`: bytes of another model.onnx."""

    def __init__(self, model=None):
        self.model, self.known = model, {}

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.work = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.onnx = MODEL / "optimum-past/model.onnx"
        if self.model:
            self.onnx = self.work / "model.onnx"
            self.onnx.write_bytes(self.model)
        self.text = CALIBRATION
        if len(windows()) < 100:
            self.text = self.work / "calibration.txt"
            self.text.write_bytes(CALIBRATION.read_bytes()[:FEW_BYTES])
        self.tokens = windows()
        self.plain = self.logits()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def make(self, *options):
        artifact = self.work / "m.qbm"
        command = [oracle.BUILD / "bin/qbc", self.onnx, "-ctx=256", f"-tokenizer={MODEL / 'tokenizer.json'}", *options, "-o", artifact]
        if any(word in str(o) for o in options for word in LEARN):
            command.insert(2, f"-calib={self.text}")
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise AssertionError(f"qbc {' '.join(map(str, options))}: {made.stderr}")
        return artifact

    def logits(self, *options):
        artifact = self.make(*options)
        return self.of(artifact)

    def of(self, artifact):
        return [oracle.run(oracle.BUILD, artifact, window, self.work).astype(np.float32) for window in self.tokens]

    def measure(self, name, *options):
        if options not in self.known:
            got = self.logits(*options)
            info = json.loads(subprocess.check_output([oracle.BUILD / "bin/qbrun", self.work / "m.qbm", "--info=json"]))
            self.known[options] = Measured(name, self.plain, got, self.tokens, info)
            print(self.known[options], flush=True)
        return self.known[options]


def verdict(holds, what):
    """The last line, and the exit status: a row that is not among those known not to hold fails when it does not."""
    known = pathlib.Path(sys.argv[0]).stem.removesuffix("_test") in DO_NOT_HOLD
    print(f"{'holds' if holds else 'does not hold on this model'}: {what}")
    sys.exit(0 if holds else NOT_HERE if known else 1)
