"""Write a random-weight decoder of SmolLM2-135M's shape as ONNX, int8, for onnxruntime-web.

usage: make_onnx.py OUT.onnx [--layers 30]        needs: onnx, numpy

The graph holds the operators that exported decoders for onnxruntime hold: SimplifiedLayerNormalization,
DynamicQuantizeMatMul (int8 weights, activations quantised on the fly), GroupQueryAttention with rotary embedding and an
f32 cache. The embedding is int8 with one scale and shared with nothing, the output matrix is int8 as well.
"""
import argparse

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIM, HEADS, KV_HEADS, FFN, VOCAB, CONTEXT = 576, 9, 3, 1536, 49152, 8192
HEAD_DIM = DIM // HEADS


class Graph:
    """Collects nodes and initializers; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes, self.initializers = [], []
        self.rng = np.random.default_rng(0)

    def constant(self, name: str, array: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, inputs: list, name: str, outputs: int = 1, domain: str = "com.microsoft", **attributes):
        names = [name] + [f"{name}_{i}" for i in range(1, outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=name, domain=domain, **attributes))
        return names[0]

    def norm(self, x: str, name: str) -> str:
        weight = self.constant(f"{name}_w", np.ones(DIM, np.float32))
        return self.node("SimplifiedLayerNormalization", [x, weight], name, domain="", axis=-1, epsilon=1e-5, stash_type=1)

    def matmul(self, x: str, columns: int, rows: int, name: str) -> str:
        codes = self.constant(f"{name}_q", self.rng.integers(-127, 128, (columns, rows), dtype=np.int8))
        scale = self.constant(f"{name}_s", np.full((), columns**-0.5 / 64, np.float32))
        zero = self.constant(f"{name}_z", np.zeros((), np.int8))
        return self.node("DynamicQuantizeMatMul", [x, codes, scale, zero], name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, default=30)
    args = parser.parse_args()
    g = Graph()
    value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
    inputs = [value("input_ids", TensorProto.INT64, [1, "T"]), value("seqlens_k", TensorProto.INT32, [1]),
              value("total", TensorProto.INT32, [1])]
    outputs = [value("logits", TensorProto.FLOAT, [1, 1, VOCAB])]

    angles = np.outer(np.arange(CONTEXT), 10000.0 ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM))
    cos = g.constant("cos", np.cos(angles).astype(np.float32))
    sin = g.constant("sin", np.sin(angles).astype(np.float32))
    table = g.constant("embedding", g.rng.integers(-127, 128, (VOCAB, DIM), dtype=np.int8))
    rows = g.node("Gather", [table, "input_ids"], "rows", domain="", axis=0)
    x = g.node("DequantizeLinear", [rows, g.constant("emb_s", np.full((), 1 / 64, np.float32))], "x0", domain="")
    for layer in range(args.layers):
        n = f"l{layer}"
        h = g.norm(x, f"{n}_attn_norm")
        q, k, v = (g.matmul(h, DIM, r, f"{n}_{p}") for p, r in (("q", DIM), ("k", KV_HEADS * HEAD_DIM), ("v", KV_HEADS * HEAD_DIM)))
        past = [f"past_k_{layer}", f"past_v_{layer}"]
        present = [f"present_k_{layer}", f"present_v_{layer}"]
        inputs += [value(p, TensorProto.FLOAT, [1, KV_HEADS, "P", HEAD_DIM]) for p in past]
        outputs += [value(p, TensorProto.FLOAT, [1, KV_HEADS, "S", HEAD_DIM]) for p in present]
        g.nodes.append(helper.make_node("GroupQueryAttention", [q, k, v, *past, "seqlens_k", "total", cos, sin], [f"{n}_att", *present],
                                        name=f"{n}_att", domain="com.microsoft", num_heads=HEADS, kv_num_heads=KV_HEADS, do_rotary=1))
        x = g.node("Add", [x, g.matmul(f"{n}_att", DIM, DIM, f"{n}_o")], f"{n}_x1", domain="")
        h = g.norm(x, f"{n}_ffn_norm")
        gate, up = g.matmul(h, DIM, FFN, f"{n}_gate"), g.matmul(h, DIM, FFN, f"{n}_up")
        act = g.node("Mul", [gate, g.node("Sigmoid", [gate], f"{n}_sig", domain="")], f"{n}_silu", domain="")
        x = g.node("Add", [x, g.matmul(g.node("Mul", [act, up], f"{n}_gu", domain=""), FFN, DIM, f"{n}_down")], f"{n}_x2", domain="")
    # Only the last position goes through the output matrix, as every engine in the comparison does it.
    last = g.node("Gather", [g.norm(x, "final_norm"), g.constant("minus1", np.array([-1], np.int64))], "last", domain="", axis=1)
    g.node("Identity", [g.matmul(last, DIM, VOCAB, "output")], "logits", domain="")
    graph = helper.make_graph(g.nodes, "decoder", inputs, outputs, g.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=9)
    onnx.save(model, args.out)


if __name__ == "__main__":
    main()
