"""Logits of one Llama model whose matrices are of each tensor type: exact ones and llama.cpp's.

usage: LLAMA_CPP_LIB=DIR python make_quant_logits.py
Versions: Python 3.11, gguf 0.19.0, numpy 2.4.6, llama.cpp v0.5.0 (../llama_cpp.py).

The weights are not stored: both this script and tests/model/quant_model.ts make them from a hash of the byte's
place. Blocks are random bits, but for their f16 scales: those have a fixed exponent and a random mantissa; minima
are the scale times a power of two, so that weights average about zero.

  exact      f64 arithmetic on what gguf.quants.dequantize makes of the weights
  llama.cpp  int8 activations for block types (blocks of 32, of 256 for K types), f16 for F16, bf16 for BF16

Written: cases.json, and logits.f32 with [2, positions, V] a type, exact then llama.cpp's.
"""
import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

sys.path.insert(0, str(Path(__file__).parent.parent))
import llama_cpp  # noqa: E402

HERE = Path(__file__).parent
SHAPE = dict(dim=256, nLayers=2, nHeads=4, nKvHeads=2, ffnDim=512, nVocab=128, nContext=64)
EPS = 1e-5
POSITIONS = [7, 15, 23, 31]
IDS = [(17 * i + 5) % SHAPE["nVocab"] for i in range(32)]
# Of each type's blocks: the exponent bits of its scale, and where f16 numbers stand: [byte, power of two, sign]
# times the scale.
TYPES = {
    T.F16: (8, None), T.BF16: (8, None),
    T.Q4_0: (8, [[0, 0, 0]]), T.Q4_1: (8, [[0, 0, 0], [2, 3, 1]]),
    T.Q5_0: (7, [[0, 0, 0]]), T.Q5_1: (7, [[0, 0, 0], [2, 4, 1]]),
    T.Q8_0: (4, [[0, 0, 0]]), T.IQ4_NL: (4, [[0, 0, 0]]),
    T.Q2_K: (6, [[80, 0, 0], [82, 1, 0]]), T.Q3_K: (5, [[108, 0, 0]]),
    T.Q4_K: (2, [[0, 0, 0], [2, 3, 0]]), T.Q5_K: (1, [[0, 0, 0], [2, 4, 0]]),
    # subnormal scales
    T.Q6_K: (0, [[208, 0, 0]]), T.IQ4_XS: (0, [[0, 0, 0]]),
}


def hashed(seed, n):
    """n words by a finaliser of their index, the same as in TypeScript."""
    h = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def matrix(seed, rows, columns, type):
    exponent, fields = TYPES[type]
    block, size = gguf.GGML_QUANT_SIZES[type]
    if fields is None:
        # sign and mantissa random, one of four exponents
        h = hashed(seed, rows * columns)
        if type == T.F16:
            bits = (h & 0x83FF) | ((exponent + (h >> 24) % 4) << 10)
        else:
            bits = (h & 0x807F) | ((exponent + 127 - 15 + (h >> 24) % 4) << 7)
        return bits.astype("<u2").view(np.uint8).reshape(rows, -1)
    n = rows * columns // block
    blocks = (hashed(seed, n * size) >> 13).astype(np.uint8).reshape(n, size)
    mantissas = hashed(seed + 1, n) >> 22
    for at, power, sign in fields:
        bits = (sign << 15) | ((exponent + power) << 10) | mantissas
        blocks[:, at : at + 2] = bits.astype("<u2").view(np.uint8).reshape(n, 2)
    return blocks.reshape(rows, -1)


def shapes():
    """Name and [rows, columns] of every matrix, in the order in which they are numbered."""
    s = SHAPE
    dim, kv, ffn = s["dim"], s["dim"] // s["nHeads"] * s["nKvHeads"], s["ffnDim"]
    yield "token_embd", s["nVocab"], dim
    for l in range(s["nLayers"]):
        for name, rows, columns in [
            ("attn_q", dim, dim), ("attn_k", kv, dim), ("attn_v", kv, dim), ("attn_output", dim, dim),
            ("ffn_gate", ffn, dim), ("ffn_up", ffn, dim), ("ffn_down", dim, ffn),
        ]:
            yield f"blk.{l}.{name}", rows, columns


def norms():
    for l in range(SHAPE["nLayers"]):
        yield f"blk.{l}.attn_norm"
        yield f"blk.{l}.ffn_norm"
    yield "output_norm"


def norm(i):
    return (0.8 + 0.4 * (hashed(9000 + i, SHAPE["dim"]) / 2.0**32)).astype(np.float32)


def write(path, matrices, type):
    s = SHAPE
    w = gguf.GGUFWriter(path, "llama")
    w.add_context_length(s["nContext"])
    w.add_embedding_length(s["dim"])
    w.add_block_count(s["nLayers"])
    w.add_feed_forward_length(s["ffnDim"])
    w.add_head_count(s["nHeads"])
    w.add_head_count_kv(s["nKvHeads"])
    w.add_layer_norm_rms_eps(EPS)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("default")
    w.add_token_list([chr(0x100 + i) for i in range(s["nVocab"])])
    w.add_token_merges(["a b"])
    for name, rows in matrices.items():
        w.add_tensor(f"{name}.weight", rows, raw_dtype=type)
    for i, name in enumerate(norms()):
        w.add_tensor(f"{name}.weight", norm(i))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def rms(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(EPS)) * weight


def rotate(x):
    """Adjacent pairs of [T, heads, headDim]."""
    half = x.shape[-1] // 2
    angle = np.arange(len(x))[:, None, None] * 10000.0 ** (-np.arange(half) / half)
    even, odd = x[..., 0::2], x[..., 1::2]
    out = np.empty_like(x)
    out[..., 0::2] = even * np.cos(angle) - odd * np.sin(angle)
    out[..., 1::2] = even * np.sin(angle) + odd * np.cos(angle)
    return out


def forward(w):
    """Logits [positions, V]; w maps names to f64 matrices and norms."""
    s, n = SHAPE, len(IDS)
    d, group = s["dim"] // s["nHeads"], s["nHeads"] // s["nKvHeads"]
    x = w["token_embd"][IDS]
    visible = np.tril(np.ones((n, n), bool))
    for l in range(s["nLayers"]):
        layer = lambda name: w[f"blk.{l}.{name}"]
        h = rms(x, layer("attn_norm"))
        q = rotate((h @ layer("attn_q").T).reshape(n, -1, d))
        k = np.repeat(rotate((h @ layer("attn_k").T).reshape(n, -1, d)), group, 1)
        v = np.repeat((h @ layer("attn_v").T).reshape(n, -1, d), group, 1)
        logits = np.where(visible, np.einsum("thd,shd->hts", q, k) / np.sqrt(d), -np.inf)
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + np.einsum("hts,shd->thd", p, v).reshape(n, -1) @ layer("attn_output").T
        h = rms(x, layer("ffn_norm"))
        gate = h @ layer("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ layer("ffn_up").T)) @ layer("ffn_down").T
    return rms(x[POSITIONS], w["output_norm"]) @ w["token_embd"].T


def main():
    cases, rows = [], []
    for type, (exponent, fields) in TYPES.items():
        matrices = {name: matrix(16 * i, r, c, type) for i, (name, r, c) in enumerate(shapes())}
        exact_weights = {n: gguf.quants.dequantize(m, type).astype(np.float64) for n, m in matrices.items()}
        spread = exact_weights["blk.0.ffn_up"].std()
        for i, name in enumerate(norms()):
            exact_weights[name] = norm(i).astype(np.float64)
        exact = forward(exact_weights)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            write(path, matrices, type)
            theirs = llama_cpp.logits(path, IDS, POSITIONS)
        error = theirs - exact
        print(
            f"{type.name:7} weights {spread:.3f}, logits {exact.std():5.2f}; llama.cpp's error: "
            f"rms {np.sqrt((error**2).mean()):.1e}, largest {np.abs(error).max():.1e}", flush=True,
        )
        cases.append({"type": type.name, "id": int(type), "exponent": exponent, "fields": fields})
        rows += [exact.astype("<f4"), theirs.astype("<f4")]
    (HERE / "logits.f32").write_bytes(b"".join(r.tobytes() for r in rows))
    types = ",\n    ".join(json.dumps(c) for c in cases)
    (HERE / "cases.json").write_text(
        f'{{\n  "shape": {json.dumps(SHAPE)},\n  "ids": {json.dumps(IDS)},\n  "positions": {json.dumps(POSITIONS)},\n  "types": [\n    {types}\n  ]\n}}\n'
    )


main()
