"""Writes rows of every quantised tensor type beside their exact values, as gguf.quants.dequantize has them.

usage: python make_quant_golden.py
Versions: Python 3.11, gguf 0.19.0, numpy 2.4.6, llama.cpp v0.5.0 (its quantisers, see ../llama_cpp.py). Seed 1.

For each type three cases; the values in TYPE.f32 are little-endian f32, in the order of cases.json:
  quantised    weights from a normal distribution, quantised by llama.cpp;
  adversarial  every bit of every block random; each block's f16 scales then come from a list of edge
               cases (negative, zero, subnormal, largest finite) or are random finite ones;
  narrow       the same with few columns, for types with blocks of 32 or none.
Row counts are not multiples of 4, so that grouped and tail rows are both there.
"""
import json
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

sys.path.insert(0, str(Path(__file__).parent.parent))
import llama_cpp  # noqa: E402

HERE = Path(__file__).parent
ROWS = 7
COLUMNS = 512
NARROW = 96
# Byte offsets of a block's f16 scales.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ4_NL: [0], T.IQ4_XS: [0],
}
FLOATS = [T.F16, T.BF16]
EDGES = np.array([0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0xBC00], np.uint16)


def finite_halves(rng, n):
    """Random f16 bit patterns without infinities and NaN, edge cases first."""
    bits = rng.integers(0, 1 << 16, n, dtype=np.uint16)
    bits[(bits & 0x7C00) == 0x7C00] &= 0x83FF
    bits[: len(EDGES)] = EDGES[:n]
    return bits


def adversarial(rng, type, rows, columns):
    block, size = gguf.GGML_QUANT_SIZES[type]
    n = rows * columns // block
    if type == T.F16:
        return finite_halves(rng, n).view(np.uint8).reshape(rows, -1)
    if type == T.BF16:
        bits = rng.integers(0, 1 << 16, n, dtype=np.uint16)
        bits[(bits & 0x7F80) == 0x7F80] &= 0x807F
        bits[:6] = [0x0000, 0x8000, 0x0001, 0x807F, 0x7F7F, 0xFF7F]
        return bits.view(np.uint8).reshape(rows, -1)
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for i, at in enumerate(SCALES[type]):
        bits = finite_halves(rng, n)
        # The last block of a row is in another lane than the first: each gets every edge case in some type.
        bits = np.roll(bits, 3 * i)
        blocks[:, at : at + 2] = bits.reshape(n, 1).view(np.uint8)
    return blocks.reshape(rows, -1)


def main():
    rng = np.random.default_rng(1)
    cases = []
    for type in [*FLOATS, *SCALES]:
        normal = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32) * 0.05
        quantised = (
            gguf.quants.quantize(normal, type).view(np.uint8)
            if type in FLOATS
            else llama_cpp.quantize(normal, type)
        )
        made = {"quantised": (quantised, COLUMNS), "adversarial": (adversarial(rng, type, ROWS, COLUMNS), COLUMNS)}
        if gguf.GGML_QUANT_SIZES[type][0] <= 32:
            made["narrow"] = (adversarial(rng, type, 5, NARROW), NARROW)
        weights, values = b"", b""
        for name, (rows, columns) in made.items():
            raw = rows.reshape(len(rows), -1)
            exact = gguf.quants.dequantize(raw, type).astype("<f4")
            assert exact.shape == (len(rows), columns) and np.isfinite(exact).all()
            cases.append({
                "type": type.name, "id": int(type), "case": name, "rows": len(rows), "columns": columns,
                "weightsAt": len(weights), "weightsBytes": raw.nbytes, "valuesAt": len(values),
            })
            weights += raw.tobytes()
            values += exact.tobytes()
        (HERE / f"{type.name}.bin").write_bytes(weights)
        (HERE / f"{type.name}.f32").write_bytes(values)
    (HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
