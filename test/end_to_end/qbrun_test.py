#!/usr/bin/env python3
"""qbrun on a toy artifact (test/unit/inputs/toy_image.c), against NumPy: every task, every machine,
any number of threads; flatc's reading of the file; and everything that must be refused."""
import json, math, os, pathlib, resource, signal, subprocess, sys, tempfile, time

import numpy as np

BUILD = pathlib.Path(os.environ.get("QBC_BUILD", "build"))
QBRUN = BUILD / "bin" / "qbrun"
MACHINES = {
    "arm": ["qemu-aarch64-static", str(BUILD / "aarch64/bin/qbrun")],
    "riscv": ["qemu-riscv64-static", str(BUILD / "riscv64/bin/qbrun")],
}
VOCAB, CONTEXT = 32, 64
ALPHABET = "abcdefghijklmnopqrstuvwxyz ,.!?"  # 31 letters; id 31 ends a text


def check(condition, what):
    if not condition:
        sys.exit(f"qbrun_test: not so: {what}")


def run(*command, code=0, stdout=subprocess.PIPE, **more):
    p = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, timeout=300, **more)
    check(p.returncode == code, f"exit {code} of {command}: {p.returncode} {p.stderr.decode()}")
    return p


def toy_logits(tokens):
    """What inputs/toy_image.c computes, in the same float32 arithmetic."""
    i = np.arange(VOCAB * VOCAB)
    table = (((i * 7919 + i // 32 * 104729) % 1000).astype(np.float32) / np.float32(250)).reshape(VOCAB, VOCAB)
    v = np.arange(VOCAB)
    values = (v % 7).astype(np.float32) / np.float32(100) - np.float32(0.03)
    sums = np.cumsum(values[tokens], dtype=np.float32)
    return table[tokens] + v.astype(np.float32) * sums[:, None]


def greedy(tokens, n):
    tokens = list(tokens)
    for _ in range(n):
        tokens.append(int(toy_logits(np.array(tokens))[-1].argmax()))
    return tokens[-n:]


def log_softmax(x):
    x = x.astype(np.float64)
    return x - x.max(-1, keepdims=True) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))


def perplexity(ids, window):
    loss = []
    for at in range(0, len(ids) // window * window, window):
        rows = log_softmax(toy_logits(ids[at : at + window]))
        targets = ids[at + 1 : at + window + 1]
        loss += [-rows[i, t] for i, t in enumerate(targets)]
    return math.exp(np.mean(loss)), len(loss)


def test_arrays(qbrun, model, folder):
    tokens = np.arange(50) * 37 % VOCAB
    want = toy_logits(tokens)
    np.save(folder / "t.npy", tokens)
    for extra in ([], ["--chunk", 1], ["--chunk", 7], ["--chunk=1000", "-t1"], ["-t", 2], ["-t", 3, "--chunk", 5]):
        run(*qbrun, model, "--logits", folder / "t.npy", "-o", folder / "l.npy", *extra)
        got = np.load(folder / "l.npy")
        check(got.dtype == np.float32 and got.shape == want.shape, f"the array's type and shape: {got.dtype} {got.shape}")
        check(np.array_equal(got, want), f"logits, the same bits, with {extra}")
    for dtype in (np.int64, np.int32, np.uint16):
        np.save(folder / "t.npy", tokens.astype(dtype))
        run(*qbrun, model, "--tokens", folder / "t.npy", "-n", 14, "--temp", 0, "-o", folder / "n.npy")
        got = np.load(folder / "n.npy")
        check(got.dtype == np.int64 and got.tolist() == greedy(tokens, 14), f"greedy tokens of {dtype}: {got}")
    np.save(folder / "t.npy", tokens[None, :])
    run(*qbrun, model, "--tokens", folder / "t.npy", "-n", 0, "--temp", 0, "-o", folder / "n.npy")
    check(np.load(folder / "n.npy").shape == (0,), "no new tokens")


def test_seeds(model, folder):
    np.save(folder / "t.npy", np.arange(10))
    drawn = []
    for seed in (1, 1, 2):
        run(QBRUN, model, "--tokens", folder / "t.npy", "-n", 40, "--temp", 1.5, "--seed", seed, "-o", folder / "n.npy")
        drawn.append(np.load(folder / "n.npy").tolist())
    check(drawn[0] == drawn[1] and drawn[0] != drawn[2], "a seed means a text")


def test_ppl(qbrun, model, folder):
    ids = np.random.default_rng(1).integers(0, VOCAB, 1030)
    np.save(folder / "rows.npy", ids[:1000].astype(np.uint16).reshape(20, 50))
    np.save(folder / "flat.npy", ids)
    for name, args, (want, n) in (
        ("rows", [], perplexity(ids[:1000], 50)),
        ("flat", [], perplexity(ids, CONTEXT)),
        ("flat", ["--window", 20, "--chunk", 3], perplexity(ids, 20)),
    ):
        out = run(*qbrun, model, "--ppl", folder / f"{name}.npy", *args).stdout.decode()
        got = {line.split(":")[0]: line.split()[-1] if "ppl" in line else line.split(": ")[1] for line in out.splitlines()}
        check(abs(float(got["perplexity"]) / want - 1) < 1e-5, f"perplexity {want}: {out}")
        check(int(got["tokens"].split()[0]) == n, f"{n} tokens: {out}")


def test_info(model):
    info = json.loads(run(QBRUN, model, "--info=json").stdout)
    size = model.stat().st_size
    check(info["parameters"] == VOCAB * VOCAB + VOCAB and info["file_bytes"] == size, "sizes")
    check(info["weight_bytes"] == size - info["code_bytes"] - info["tokenizer_bytes"], "weight_bytes")
    check(abs(info["bits_per_weight"] - 8 * info["weight_bytes"] / info["parameters"]) < 1e-6, "bits_per_weight")
    check(info["record"] == {"flags": '-target=toy "x"', "quant": "f32"}, "the record")
    check([t["name"] for t in info["tensors"]] == ["table", "values"], "the tensors")
    check(info["variants"][0]["runs_here"] is True, "the variant")
    text = run(QBRUN, model, "--info").stdout.decode()
    check("parameters       1056" in text, text)
    return info


def test_flatc(model, folder, info):
    run("flatc", "--json", "--strict-json", "--raw-binary", "--size-prefixed", "-o", folder, "runtime/qbm.fbs", "--", model)
    flat = json.loads((folder / (model.stem + ".json")).read_text())
    for key in ("parameters", "vocab", "context", "chunk", "arena_bytes", "state_bytes", "producer", "bos", "eos"):
        check(flat[key] == info[key], f"flatc and qbrun agree on {key}: {flat[key]}, {info[key]}")
    check(flat["version"] == 1 and flat["variants"][0]["image_offset"] % 4096 == 0, "flatc's variant")
    check(flat["record"] == [{"key": k, "value": v} for k, v in sorted(info["record"].items())], "flatc's record")
    for a, b in zip(flat["weights"][0]["tensors"], info["tensors"]):
        check(a["name"] == b["name"] and a["size"] == b["bytes"] and a["offset"] % 64 == 0, f"flatc's tensor {a}")
    head = model.read_bytes()[:12]
    check(head[8:] == b"QBM1", "the file identifier")
    (folder / "root.qbm").write_bytes(model.read_bytes()[: 4 + int.from_bytes(head[:4], "little")])
    run("flatc", "--json", "--raw-binary", "--size-prefixed", "-o", folder, "runtime/qbm.fbs", "--", folder / "root.qbm")


def test_bench(model):
    out = run(QBRUN, model, "--bench", "-r", 2, "-t", 2).stdout.decode()
    rows = [[c.strip() for c in line.split("|")] for line in out.splitlines() if line.startswith("| toy")]
    check([r[5] for r in rows] == [f"pp{CONTEXT}", f"tg{CONTEXT}"] and all("±" in r[6] for r in rows), out)
    check("read bandwidth:" in out and "% of the read bandwidth" in out, out)


def tokenizer(folder):
    """One letter a token."""
    vocab = {c: i for i, c in enumerate(ALPHABET)} | {"<end>": 31}
    path = folder / "tokenizer.json"
    end = {"id": 31, "content": "<end>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    path.write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [end], "normalizer": None, "pre_tokenizer": None,
        "post_processor": None, "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []}}))
    return path


def test_text(model, folder):
    prompt = "hello, world"
    ids = greedy([ALPHABET.index(c) for c in prompt], 30)
    text = "".join(ALPHABET[i] for i in ids[: ids.index(31)] if True) if 31 in ids else "".join(ALPHABET[i] for i in ids)
    say = lambda *args, **kw: run(QBRUN, model, *args, **kw).stdout.decode()
    check(say("-p", prompt, "-n", 30, "--temp", 0) == prompt + text + "\n", f"greedy text {text}")
    check(say("-p", prompt, "-n", 30, "--temp", 0, "--no-echo", "-t", 1, "--chunk", 1) == text + "\n", "greedy text alone")
    (folder / "prompt.txt").write_text(prompt)
    check(say("-f", folder / "prompt.txt", "-n", 4, "--temp", 0) == prompt + text[:4] + "\n", "a prompt from a file")
    check(say("-p", prompt, "-n", 20, "--seed", 9) == say("-p", prompt, "--seed=9", "-n", 20), "a seed means a text")
    full = run(QBRUN, model, "-p", prompt, "-n", 1000, "--temp", 0, "-v")
    check(b"t/s" in full.stderr, "what -v says")
    check(run(QBRUN, model, "-p", prompt, "-n", 5, "--temp", 0).stderr == b"", "silence without -v")
    run(QBRUN, model, "-p", prompt, code=1, stdout=open("/dev/full", "w"))
    check(b"context" in run(QBRUN, model, "-p", "a" * 65, code=1).stderr, "a long prompt")
    run(QBRUN, model, "-p", "", code=1)
    (folder / "text.txt").write_text("some text, to be measured. " * 20)
    ids = np.array([ALPHABET.index(c) for c in "some text, to be measured. " * 20])
    out = say("--ppl", folder / "text.txt", "--window", 40)
    check(abs(float(out.split()[1]) / perplexity(ids, 40)[0] - 1) < 1e-5, out)


def test_errors(model, folder):
    t, o, bad = folder / "ok.npy", folder / "out.npy", folder / "bad.npy"
    np.save(t, np.arange(10))
    np.save(bad, np.array([1, 2, VOCAB]))
    np.save(folder / "f.npy", np.zeros(3, np.float32))
    np.save(folder / "long.npy", np.zeros(CONTEXT + 1, np.int64))
    (folder / "text.qbm").write_text("no model at all\n" * 9)
    (folder / "empty.qbm").write_text("")
    (folder / "cut.qbm").write_bytes(model.read_bytes()[:9000])
    changed = bytearray(model.read_bytes())
    changed[5000] ^= 1
    (folder / "code.qbm").write_bytes(changed)
    for args, why in (
        ([], "no model"),
        ([model], "nothing to do"),
        ([model, model, "--info"], "already"),
        ([model, "--info", "--bench"], "one at a time"),
        ([model, "--info=xml"], "=json"),
        ([model, "--tmp", "1"], "did you mean '--temp'"),
        ([model, "--frobnicate"], "unknown option"),
        ([model, "-n", "many", "-p", "x"], "'-n' takes a number"),
        ([model, "-p"], "needs a value"),
        ([model, "--bench=3"], "takes no value"),
        ([model, "--top-p", "2", "-p", "x"], "from 0 to 1"),
        ([model, "--logits", t], "-o FILE"),
        ([model, "--tokens", t, "-o", o], "-n N"),
        ([model, "--bench", "-o", o], "belongs to"),
        ([model, "-p", "x", "-t", "0"], "from 1 to 1024"),
        ([folder / "none.qbm", "--info"], "No such file"),
        ([folder, "--info"], "Is a directory"),
        ([folder / "text.qbm", "--info"], "not a .qbm"),
        ([folder / "empty.qbm", "--info"], "not a .qbm"),
        ([folder / "cut.qbm", "--info"], "damaged"),
        ([folder / "code.qbm", "--logits", t, "-o", o], "checksum of the code image"),
        ([model, "--logits", folder / "none.npy", "-o", o], "No such file"),
        ([model, "--logits", model, "-o", o], "not a .npy"),
        ([model, "--logits", bad, "-o", o], "token 2 is 32"),
        ([model, "--logits", folder / "f.npy", "-o", o], "int64"),
        ([model, "--logits", folder / "long.npy", "-o", o], "context of 64"),
        ([model, "--tokens", t, "-n", "56", "-o", o], "context of 64"),
        ([model, "--logits", t, "-o", folder / "none" / "o.npy"], "cannot write"),
        ([model, "--logits", t, "-o", folder], "cannot write"),
        ([model, "--logits", t, "-o", "/dev/full"], "No space left"),
        ([model, "--ppl", bad, "--window", "3"], "outside of the vocabulary"),
        ([model, "--ppl", t], "less than one window"),
        ([model, "--ppl", t, "--window", "65"], "do not fit"),
    ):
        p = run(QBRUN, *args, code=1)
        message = p.stderr.decode()
        check(message.startswith("qbrun: error: ") and message.count("\n") == 1, f"one line of error: {message}")
        check(why in message and not p.stdout, f"'{why}' for {args}: {message}")
        check(not o.exists(), f"no output of {args}")
    check(run("/bin/sh", "-c", f"'{QBRUN}' '{model}' --info >/dev/full", code=1).stderr, "a full disk behind stdout")


def test_half_written(model, folder):
    """A write that fails, or is stopped, leaves the old file and nothing else."""
    t, o = folder / "ok.npy", folder / "old.npy"
    o.write_text("precious")
    before = sorted(os.listdir(folder))

    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))

    p = run(QBRUN, model, "--logits", t, "-o", o, code=1, preexec_fn=small)
    check(b"File too large" in p.stderr, p.stderr)
    check(o.read_text() == "precious" and sorted(os.listdir(folder)) == before, "the folder is as it was")
    pipe = folder / "pipe"
    os.mkfifo(pipe)  # a writer waits here until someone reads
    p = subprocess.Popen([QBRUN, model, "--logits", t, "-o", pipe])
    time.sleep(0.2)
    p.send_signal(signal.SIGINT)
    check(p.wait(300) == -signal.SIGINT, "Ctrl-C ends it")
    pipe.unlink()
    check(sorted(os.listdir(folder)) == before, "the folder is as it was")
    run(QBRUN, model, "--logits", t, "-o", o)
    check(np.load(o).shape == (10, VOCAB), "and then it works")


def test_machines(maker, folder, flags):
    for name, qbrun in MACHINES.items():
        model = folder / f"toy-{name}.qbm"
        p = subprocess.run([maker, model, name])
        if p.returncode == 77 or not os.path.exists(qbrun[1]) or subprocess.run(["which", qbrun[0]], stdout=subprocess.DEVNULL).returncode:
            print(f"qbrun_test: {name} skipped: no compiler or no emulator")
            continue
        check(p.returncode == 0, f"an artifact for {name}")
        test_arrays(qbrun, model, folder)
        test_ppl(qbrun, model, folder)
        p = run(QBRUN, model, "--bench", code=1)
        check(b"no code for this CPU" in p.stderr, p.stderr)
        check(run(QBRUN, model, "--info").returncode == 0, "facts of another machine's model")


def main():
    maker = BUILD / "test" / "make_toy"
    with tempfile.TemporaryDirectory(prefix="qbrun-test-") as folder:
        folder = pathlib.Path(folder)
        model = folder / "toy.qbm"
        run(maker, model)
        test_arrays([QBRUN], model, folder)
        test_seeds(model, folder)
        test_ppl([QBRUN], model, folder)
        test_flatc(model, folder, test_info(model))
        test_bench(model)
        test_errors(model, folder)
        test_half_written(model, folder)
        test_machines(maker, folder, "")
        speaker = folder / "speaker.qbm"
        run(maker, speaker, "native", tokenizer(folder))
        test_text(speaker, folder)
        test_flatc(speaker, folder, json.loads(run(QBRUN, speaker, "--info=json").stdout))
    check("usage" in run(QBRUN, "-h").stdout.decode() or "What to do" in run(QBRUN, "-h").stdout.decode(), "help")
    print("qbrun_test: passed")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, as in a job in the background, our children would ignore it too
    main()
