"""Write tiny models of transformers' families as their users would: families/FAMILY/EXPORT/model.onnx, and what PyTorch makes of them.

    export.py -o DIR [-x EXPORT ...] [FAMILY ...]

Needs torch, transformers, onnx and onnxscript, so no test of the suite calls it. Each export is made by a process of its own with a limit of time,
in the layout of ../shared/models: FAMILY/expected/{tokens,logits}.npy, FAMILY/EXPORT/model.onnx; what could not be exported leaves
FAMILY/EXPORT/problem.txt. Random weights under which every part of a model counts.
"""
import argparse
import os
import pathlib
import shutil
import signal
import time
import traceback
import warnings
import zlib

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")
import numpy as np
import torch
import transformers

import configs

TOKENS, SECONDS = 24, 600
EXPORTS = ("dynamo18", "dynamo23", "legacy17", "hf", "step")


def randomize(model, seed):
    """Matrices of unit gain, norms and biases off what they start as, sharp attention, decided logits."""
    g = torch.Generator().manual_seed(seed)
    conv1d = {f"{n}.weight" for n, m in model.named_modules() if type(m).__name__ == "Conv1D"}
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if p.dim() < 2:
                p.add_(noise * (0.2 if name.endswith("weight") else 0.1))
            elif any(s in name for s in ("A_log", "time_", "dt_bias")):
                p.add_(noise * 0.1)
            elif "emb" in name or ".wte." in name or ".wpe." in name:
                p.copy_(noise * 2.8 * p.shape[-1] ** -0.5)
            else:
                fan_in = p.shape[0] if name in conv1d else int(np.prod(p.shape[1:])) if "conv" in name else p.shape[-1]
                gain = 1.5 if any(s in name for s in ("q_proj", "k_proj", "qkv", "c_attn", "query", "key")) else 1.0
                p.copy_(noise * gain * fan_in ** -0.5)
    return model.eval()


def make_model(family, attention):
    """The same weights each time, whatever the attention is computed with."""
    config = configs.config_of(family)
    torch.manual_seed(0)
    auto = transformers.AutoModelForCausalLM
    config._experts_implementation = "batched_mm"  # the others cannot be exported
    try:
        model = auto.from_config(config, attn_implementation=attention)
    except (ValueError, ImportError):
        model = auto.from_config(config, attn_implementation="eager")
    return randomize(model, zlib.crc32(family.encode()))


class LogitsOnly(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        return self.model(input_ids=input_ids, use_cache=False).logits


def dynamo(family, path, opset):
    """torch.export, tokens only. From opset 23 on it writes Attention, RMSNormalization, RotaryEmbedding."""
    model = make_model(family, "sdpa" if opset >= 23 else "eager")
    sequence = torch.export.Dim("sequence", min=2, max=100)
    torch.onnx.export(LogitsOnly(model), (torch.arange(3, 3 + 20)[None],), path, dynamo=True, opset_version=opset, input_names=["input_ids"],
                      output_names=["logits"], dynamic_shapes={"input_ids": {1: sequence}}, external_data=False, verbose=False)


def legacy(family, path, opset):
    """Traced, tokens only."""
    axes = {"input_ids": {0: "batch", 1: "sequence"}, "logits": {0: "batch", 1: "sequence"}}
    torch.onnx.export(LogitsOnly(make_model(family, "eager")), (torch.arange(3, 3 + 20)[None],), path, dynamo=False, opset_version=opset,
                      input_names=["input_ids"], output_names=["logits"], dynamic_axes=axes)


def hugging_face(family, path, step):
    """transformers' own exporter: the cache is inputs and outputs. `step`: one token a call, as recurrences need it."""
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter
    ids = torch.arange(3, 3 + 9)[None] if step else torch.arange(3, 3 + 2 * 9).reshape(2, 9)  # recurrences fix the batch
    out = OnnxExporter().export_for_generation(make_model(family, "sdpa"), dict(input_ids=ids, attention_mask=torch.ones_like(ids)),
                                               OnnxConfig(dynamic=True), multi_token_decode=not step)
    out.save_pretrained(path.parent / "all")
    import onnx
    onnx.save(onnx.load(path.parent / "all/decode.onnx"), path)
    shutil.rmtree(path.parent / "all")


def write(family, export, path):
    if export.startswith("dynamo"):
        dynamo(family, path, int(export[6:]))
    elif export.startswith("legacy"):
        legacy(family, path, int(export[6:]))
    else:
        hugging_face(family, path, export == "step")


def expect(family, folder):
    tokens = np.random.default_rng(5).integers(3, 319, TOKENS)
    with torch.no_grad():
        logits = make_model(family, "eager")(torch.as_tensor(tokens)[None], use_cache=False).logits[0].float().numpy()
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "logits.npy", logits)


def apart(work, folder):
    """Run it in a process of its own; what went wrong, or None."""
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        status = 1
        try:
            log = os.open(folder / "log.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(log, 1), os.dup2(log, 2)
            work()
            status = 0
        except BaseException:  # whatever an exporter throws is what we want to read
            (folder / "problem.txt").write_text(traceback.format_exc()[-3000:])
        os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        (folder / "problem.txt").write_text(f"signal {os.WTERMSIG(status)} (14: over {SECONDS} s)\n")
    return status == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", type=pathlib.Path, required=True)
    parser.add_argument("-x", nargs="+", default=EXPORTS)
    parser.add_argument("family", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for family in args.family or configs.FAMILIES:
        base = args.o / family
        for export in ("expected", *args.x):
            folder = base / export
            if (folder / "model.onnx").exists() or (folder / "logits.npy").exists():
                continue
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            start = time.time()
            good = apart(lambda: expect(family, folder) if export == "expected" else write(family, export, folder / "model.onnx"), folder)
            print(f"{family:20} {export:10} {'ok' if good else 'no':3} {time.time() - start:5.0f} s", flush=True)


if __name__ == "__main__":
    main()
