#!/usr/bin/env python3
"""llama.cpp beside us: a model of the same sizes, and the same measurements. Runs in an interpreter that has
`llama-cpp-python` and `gguf` (bench.py --peer).

    peer.py make SIZES.json OUT.gguf           float16, weights drawn from a normal distribution of unit gain
    peer.py quantize IN.gguf OUT.gguf TYPE     by llama.cpp itself; TYPE as there: Q4_K_M
    peer.py measure MODEL.gguf THREADS PLAN... [--busy] [--no-repack]

SIZES: {"vocab", "hidden", "layers", "heads", "kv_heads", "head_dim", "ffn"}. Plans and output are those of speed.c;
`measure` also says "bytes" (of all tensors: what a token reads), "first_ms" (from opening the file to the scores of
one token, without the time Python takes to start), "resident" (peak, without what Python itself had) and "version".
"""
import ctypes, json, os, re, resource, signal, sys, time

MANY = 64  # as in speed.c: larger calls are prompts


def blocks(sizes):
    """(name, rows, columns) of every matrix of a block."""
    q, kv, h, f = sizes["heads"] * sizes["head_dim"], sizes["kv_heads"] * sizes["head_dim"], sizes["hidden"], sizes["ffn"]
    return [("attn_q", q, h), ("attn_k", kv, h), ("attn_v", kv, h), ("attn_output", h, q),
            ("ffn_gate", f, h), ("ffn_up", f, h), ("ffn_down", h, f)]


def make(sizes_file, out):
    import gguf
    import numpy as np
    with open(sizes_file) as file:
        s = json.load(file)
    random = np.random.default_rng(1)
    w = gguf.GGUFWriter(out, "llama")
    w.add_context_length(4096)
    w.add_embedding_length(s["hidden"])
    w.add_block_count(s["layers"])
    w.add_feed_forward_length(s["ffn"])
    w.add_head_count(s["heads"])
    w.add_head_count_kv(s["kv_heads"])
    w.add_key_length(s["head_dim"])
    w.add_value_length(s["head_dim"])
    w.add_rope_dimension_count(s["head_dim"])
    w.add_rope_freq_base(500000.0)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(s["vocab"])
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_tokenizer_model("none")

    def matrix(name, n, k):
        w.add_tensor(name, (random.standard_normal((n, k), np.float32) * k ** -0.5).astype(np.float16))

    def ones(name):
        w.add_tensor(name, np.ones(s["hidden"], np.float32))

    matrix("token_embd.weight", s["vocab"], s["hidden"])  # also the output, as llama.cpp has it for tied weights
    ones("output_norm.weight")
    for i in range(s["layers"]):
        ones(f"blk.{i}.attn_norm.weight")
        ones(f"blk.{i}.ffn_norm.weight")
        for name, n, k in blocks(s):
            matrix(f"blk.{i}.{name}.weight", n, k)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def load_library():
    """llama.cpp, silent."""
    import llama_cpp
    silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    llama_cpp.llama_log_set(ctypes.cast(silent, type(llama_cpp.llama_log_callback(lambda *_: None))), None)
    load_library.keep = silent
    llama_cpp.llama_backend_init()
    return llama_cpp


def importance(l, source):
    """Importance 1 for every column: some types are not made without, and speed does not depend on it."""
    import gguf
    rows = [(t.name.encode(), int(t.shape[0])) for t in gguf.GGUFReader(source).tensors if len(t.shape) == 2]
    data = (l.llama_model_imatrix_data * (len(rows) + 1))()
    for i, (name, columns) in enumerate(rows):
        data[i].name, data[i].size = name, columns
        data[i].data = (ctypes.c_float * columns)(*([1.0] * columns))
    return data


def quantize(source, out, kind):
    l = load_library()
    params = l.llama_model_quantize_default_params()
    params.ftype = getattr(l, f"LLAMA_FTYPE_MOSTLY_{kind}")
    params.nthread = os.cpu_count()
    if kind.startswith("IQ"):
        params.imatrix = importance(l, source)
    status = l.llama_model_quantize(source.encode(), (out + ".part").encode(), ctypes.byref(params))
    if status:
        sys.exit(f"peer.py: llama.cpp does not make {kind}")
    os.rename(out + ".part", out)


def others_begin():
    with open("/proc/stat") as f:
        busy = sum(map(int, f.readline().split()[1:4])) / os.sysconf("SC_CLK_TCK")
    own = resource.getrusage(resource.RUSAGE_SELF)
    return busy - own.ru_utime - own.ru_stime, time.monotonic()


def others_share(begin):
    end = others_begin()
    return max(0.0, (end[0] - begin[0]) / (end[1] - begin[1]) / os.sysconf("SC_NPROCESSORS_ONLN"))


class Machine:
    def __init__(self, path, threads, repack):
        self.l = l = load_library()
        begin = time.monotonic()
        params = l.llama_model_default_params()
        if hasattr(params, "use_extra_bufts"):
            params.use_extra_bufts = repack
        self.model = l.llama_model_load_from_file(path.encode(), params)
        settings = l.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = 2048, 512, 512
        settings.n_threads = settings.n_threads_batch = threads
        self.context = self.model and l.llama_init_from_model(self.model, settings)
        if not self.context:
            sys.exit(f"peer.py: llama.cpp does not open {path}")
        self.vocab = l.llama_vocab_n_tokens(l.llama_model_get_vocab(self.model))
        self.position, self.batch = 0, l.llama_batch_init(512, 0, 1)
        self.prepare(1, False)
        self.decode()
        self.first_ms = 1e3 * (time.monotonic() - begin)
        self.reset()

    def reset(self):
        self.l.llama_memory_clear(self.l.llama_get_memory(self.context), True)
        self.position = 0

    def prepare(self, n, every):
        """The next n tokens, scored at every one or at the last."""
        b = self.batch
        b.n_tokens = n
        for i in range(n):
            b.token[i] = (self.position + i) * 7919 % self.vocab
            b.pos[i], b.n_seq_id[i], b.seq_id[i][0] = self.position + i, 1, 0
            b.logits[i] = every or i == n - 1

    def decode(self):
        if self.l.llama_decode(self.context, self.batch):
            sys.exit("peer.py: llama_decode failed")
        self.l.llama_synchronize(self.context)
        self.position += self.batch.n_tokens

    def run(self, call, at, count):
        prompt, before = call > MANY, 1 if call > MANY else 2
        self.reset()
        for _ in range(0, at, 512):
            self.prepare(min(512, at - self.position), False)
            self.decode()
        ms, begin = [], None
        for i in range(count + before):
            if prompt:
                self.reset()
            if i == before:
                begin = others_begin()
            self.prepare(call // 8 if prompt and i < before else call, not prompt)
            start = time.monotonic()
            self.decode()
            if i >= before:
                ms.append(1e3 * (time.monotonic() - start))
        return {"call": call, "at": at, "ms": ms, "others": others_share(begin)}


def start_busy():
    parent, child = os.getpid(), os.fork()
    if child:
        return child
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    while os.getppid() == parent:
        for _ in range(1 << 20):
            pass
    os._exit(0)


def measure(path, threads, plans, busy, repack):
    import llama_cpp
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    m = Machine(path, threads, repack)
    child = start_busy() if busy else None
    runs = [m.run(*map(int, re.fullmatch(r"(\d+)@(\d+):(\d+)", p).groups())) for p in plans]
    if child:
        os.kill(child, signal.SIGKILL)
    resident = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps({"runs": runs, "bytes": m.l.llama_model_size(m.model), "first_ms": m.first_ms,
                      "resident": resident, "version": llama_cpp.__version__}))
    sys.stdout.flush()
    os._exit(0)  # without the library's own end, which frees gigabytes one by one


def main(command, *rest):
    flags = {word for word in rest if word.startswith("--")}
    rest = [word for word in rest if not word.startswith("--")]
    if command == "make":
        make(*rest)
    elif command == "quantize":
        quantize(*rest)
    else:
        measure(rest[0], int(rest[1]), rest[2:], "--busy" in flags, "--no-repack" not in flags)


main(*sys.argv[1:])
