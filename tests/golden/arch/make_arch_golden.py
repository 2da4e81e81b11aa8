"""Small random models of every architecture as GGUF files, and their logits by Hugging Face transformers.

usage: LLAMA_CPP_LIB=DIR python make_arch_golden.py [NAME...]
Versions: Python 3.11, transformers 5.23.0, torch 2.15.0, gguf 0.19.0, numpy 2.4.6, llama.cpp v0.5.0 as the second
reference (../llama_cpp.py). Seeds are fixed, by the name of the model.

Writes NAME.gguf.gz, NAME.logits (little-endian f32 [len(positions), V]) and cases.json. Weights have 5 significant
bits, so that the files are small packed; they are F32 tensors all the same.
"""
import gzip
import json
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
from architectures import MODELS, N_VOCAB, Weights
from gguf_file import File

sys.path.insert(0, str(Path(__file__).parent.parent))
import llama_cpp  # noqa: E402

HERE = Path(__file__).parent
N_TOKENS = 40
POSITIONS = [0, 7, 23, 39]
MPT_FFN = 96
# llama.cpp computes GELU through a table in half precision and sums in another order.
LLAMA_CPP_TOLERANCE = 1e-2


def randomise(model, rng):
    """Weights for logits of a few units: norms around one, biases and attention that count."""
    gemma = model.config.model_type.startswith("gemma")
    seen = set()
    for name, p in model.named_parameters():
        if id(p) in seen:
            continue
        seen.add(id(p))
        noise = rng.standard_normal(tuple(p.shape))
        if name.endswith("bias"):
            values = 0.2 * noise
        elif p.ndim == 1:
            values = 0.2 * noise + (0 if gemma else 1)
        elif any(part in name for part in ("embed_tokens", "wte", "wpe", "word_embeddings", "embed_in")):
            values = 0.2 * noise
        else:
            fan_in = p.shape[0] if "Conv1D" in type(model.get_submodule(name.rpartition(".")[0])).__name__ else p.shape[1]
            values = noise * (1.5 / fan_in**0.5)
        mantissa, exponent = np.frexp(values)
        with torch.no_grad():
            p.copy_(torch.tensor(np.ldexp(np.round(mantissa * 32) / 32, exponent), dtype=torch.float32))


def build(name):
    arch, convert, cls, config, extra = MODELS[name]
    config._attn_implementation = "eager"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    model = cls(config).float().eval()
    if arch == "mpt":  # transformers fixes its width at four times the model's
        for block in model.transformer.blocks:
            dim = config.d_model
            block.ffn.up_proj = torch.nn.Linear(dim, MPT_FFN, bias=False)
            block.ffn.down_proj = torch.nn.Linear(MPT_FFN, dim, bias=False)
    randomise(model, rng)
    ids = rng.integers(0, N_VOCAB, N_TOKENS).tolist()
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].numpy()
    return arch, convert, config, model, ids, logits, extra


def main(names):
    cases = []
    for name in names or MODELS:
        arch, convert, config, model, ids, logits, extra = build(name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            file = File(path, arch, {})
            weights = Weights(model)
            convert(file, config, weights)
            assert not weights.left, f"{name}: not converted: {weights.left}"
            file.tokenizer(N_VOCAB)
            file.close()
            second = llama_cpp.logits(path, ids, POSITIONS, context=extra.get("context", 0)) if extra.get("llama_cpp", True) else None
            data = path.read_bytes()
        (HERE / f"{name}.gguf.gz").write_bytes(gzip.compress(data, 9, mtime=0))
        rows = logits[POSITIONS].astype("<f4")
        (HERE / f"{name}.logits").write_bytes(rows.tobytes())
        case = {"name": name, "architecture": arch, "nVocab": N_VOCAB, "ids": ids, "positions": POSITIONS}
        if "context" in extra:
            case["context"] = extra["context"]
        apart = None if second is None else float(np.abs(second - rows).max())
        case["llamaCppDifference"] = apart
        cases.append(case)
        kb = (HERE / f"{name}.gguf.gz").stat().st_size / 1024
        print(f"{name:20} deviation of logits {rows.std():5.2f}  llama.cpp differs by {apart}  {kb:.0f} KiB", flush=True)
        assert apart is None or apart < LLAMA_CPP_TOLERANCE, f"{name}: the conversion is wrong"
    if not names:
        (HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main(sys.argv[1:])
