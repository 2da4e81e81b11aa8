import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { GgufError, MemoryBudgetError, OptionError, UnsupportedModelError } from "../../src/error.ts";
import {
  GgmlType,
  type GgufModel,
  Metadata,
  type MetadataEntry,
  openModel,
  tensorBytes,
} from "../../src/gguf/mod.ts";
import type { Bytes, Floats, Words } from "../../src/memory/handles.ts";
import { GUARD_BYTES } from "../../src/memory/plan.ts";
import { readHparams } from "../../src/model/arch/mod.ts";
import { type ModelPlan, planModel, type PlanOptions } from "../../src/model/plan.ts";
import { TensorTable } from "../../src/model/tensor_table.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import type { WriteTensor } from "../gguf/writer.ts";
import { f32, type Keys, text, tinyModel, type TinyOptions, u32 } from "./tiny_model.ts";

async function header(options?: TinyOptions): Promise<GgufModel> {
  const file = await openModel(openSource(tinyModel(options)));
  file.close();
  return file.model;
}

const tiny = await header();

/** Every handle in a plan, with the region it should lie in. */
function* handles(plan: ModelPlan): Generator<[region: string, offset: number, bytes: number]> {
  for (const parts of plan.weights.parts.values()) {
    for (const { offset, bytes } of parts) yield ["weights", offset, bytes];
  }
  for (const handle of plan.frequencies) yield ["tables", handle.offset, 4 * handle.length];
  for (const { cache, logits } of plan.sequences) {
    yield ["output", logits.offset, 4 * logits.length];
    for (const { keys, values, slots } of cache) {
      yield ["kv", keys.offset, keys.length];
      yield ["kv", values.offset, values.length];
      yield ["slots", slots.offset, slots.length];
    }
  }
  for (const { nTokens: _, ropeTables, ...rest } of [plan.prompt, plan.step]) {
    for (const handle of [...ropeTables, ...Object.values(rest)] as (Floats | Words | Bytes)[]) {
      yield ["activations", handle.offset, handle.length * (handle.kind === "bytes" ? 1 : 4)];
    }
  }
}

const OPTIONS: PlanOptions[] = [
  {},
  { context: 1, chunk: 1 },
  { context: 100, chunk: 7, sequences: 3, outputRows: 5 },
  { kvType: "f32" },
  { kvType: { k: "q8_0", v: "q4_0" } },
];

Deno.test("planModel() puts every buffer into its region, aligned and apart from all others", () => {
  for (const options of OPTIONS) {
    const plan = planModel(tiny, options);
    let last = 0;
    for (const [name, offset, bytes] of [...handles(plan)].sort((a, b) => a[1] - b[1])) {
      const region = plan.regions.find((region) => region.name === name)!;
      assertEquals(offset % 16, 0);
      assert(offset >= last, `${name} at ${offset} overlaps what ends at ${last}`);
      assert(offset >= region.offset && offset + bytes <= region.offset + region.bytes - GUARD_BYTES, name);
      last = offset + bytes;
    }
  }
});

Deno.test("planModel() gives every weight byte one place", () => {
  const { parts } = planModel(tiny).weights;
  for (const tensor of tiny.tensors) {
    const placed = parts.get(tensor.name)!;
    assertEquals(placed.reduce((sum, part) => sum + part.bytes, 0), tensor.bytes);
  }
});

Deno.test("planModel() splits a fused tensor by rows and nothing is lost", async () => {
  const fused = (tensors: WriteTensor[]) =>
    tensors.filter(({ name }) => !/blk.0.attn_[qkv]/.test(name)).concat({
      name: "blk.0.attn_qkv.weight",
      type: GgmlType.F32,
      shape: [32, 64],
    });
  const { weights } = planModel(await header({ tensors: fused }));
  const [q, k, v] = weights.parts.get("blk.0.attn_qkv.weight")!;
  assertEquals([q.start, k.start, v.start], [0, 32 * 128, 48 * 128]);
  assertEquals(weights.blocks[0].v.weight.nRows, 16);
});

Deno.test("planModel() refuses a budget one byte too small, with the table of regions", () => {
  const { totalBytes } = planModel(tiny);
  planModel(tiny, { maxBytes: totalBytes });
  const error = assertThrows(
    () => planModel(tiny, { maxBytes: totalBytes - 1 }),
    MemoryBudgetError,
    "vocabulary",
  );
  assertEquals(error.required, totalBytes);
});

Deno.test("planModel() refuses options out of bounds and names them", () => {
  const bad: [PlanOptions, string][] = [
    [{ context: 129 }, "context is 129, wanted a whole number from 1 to 128"],
    [{ context: 0 }, "context"],
    [{ context: 1.5 }, "context"],
    [{ context: NaN }, "context"],
    [{ chunk: 0 }, "chunk"],
    [{ sequences: -1 }, "sequences"],
    [{ outputRows: 1e9 }, "outputRows"],
    [{ kvType: "q3" as "f16" }, "kvType"],
  ];
  for (const [options, message] of bad) assertThrows(() => planModel(tiny, options), OptionError, message);
});

Deno.test("planModel() refuses absurd hyperparameters with a typed error that names the key", async () => {
  const bad: [Keys, string][] = [
    [{ "attention.head_count": u32(0) }, "llama.attention.head_count"],
    [{ "attention.head_count": u32(5) }, "llama.attention.head_count"],
    [{ "attention.head_count_kv": u32(3) }, "llama.attention.head_count_kv"],
    [{ "attention.key_length": u32(0) }, "llama.attention.key_length"],
    [{ "block_count": u32(0) }, "llama.block_count"],
    [{ "block_count": u32(0xFFFFFFFF) }, "llama.block_count"],
    [{ "embedding_length": { type: "INT32", value: -32 } }, "llama.embedding_length"],
    [{ "embedding_length": { type: "UINT64", value: 2n ** 63n } }, "llama.embedding_length"],
    [{ "embedding_length": undefined }, "llama.embedding_length"],
    [{ "context_length": text("long") }, "llama.context_length"],
    [{ "attention.layer_norm_rms_epsilon": f32(NaN) }, "llama.attention.layer_norm_rms_epsilon"],
    [{ "attention.key_length": u32(12) }, "width of a head"],
    [{ "attention.value_length": u32(512) }, "width of a head"],
    [{ "rope.dimension_count": u32(64) }, "llama.rope.dimension_count"],
    [{ "rope.dimension_count": u32(3) }, "llama.rope.dimension_count"],
    [{ "rope.freq_base": f32(0) }, "llama.rope.freq_base"],
    [{ "rope.scaling.type": text("mystery"), "rope.scaling.factor": f32(2) }, "llama.rope.scaling.type"],
    [{ "expert_count": u32(8) }, "llama.expert_count"],
    [{ "feed_forward_length": u32(65) }, "blk.0.ffn"],
  ];
  for (const [keys, name] of bad) {
    const model = await header({ keys });
    const error = await assertRejects(() => Promise.resolve().then(() => planModel(model)), Error, name);
    assert(error instanceof UnsupportedModelError || error instanceof GgufError, `${name}: ${error}`);
  }
});

Deno.test("readHparams() takes the layers with a window from a period or a list, which has to name all", () => {
  const windows = (pattern: number | Uint8Array) => {
    const numbers = {
      "block_count": 4,
      "embedding_length": 32,
      "context_length": 64,
      "attention.head_count": 2,
      "attention.layer_norm_rms_epsilon": 1e-6,
      "attention.sliding_window": 16,
      "attention.sliding_window_pattern": pattern,
    };
    const entries = new Map<string, MetadataEntry>([["general.architecture", {
      value: "gemma3",
      offset: 0,
    }]]);
    for (const [key, value] of Object.entries(numbers)) entries.set(`gemma3.${key}`, { value, offset: 0 });
    const metadata = new Metadata(entries);
    return readHparams(metadata, new TensorTable([]), undefined).windows;
  };
  assertEquals(windows(2), [16, 0, 16, 0]);
  assertEquals(windows(Uint8Array.of(0, 1, 1, 0)), [0, 16, 16, 0]);
  for (const pattern of [0, Uint8Array.of(1, 1), new Uint8Array(5)]) {
    assertThrows(() => windows(pattern), UnsupportedModelError, "gemma3.attention.sliding_window_pattern");
  }
});

Deno.test("planModel() refuses a context that no memory holds", async () => {
  const model = await header({ keys: { "context_length": u32(2 ** 24) } });
  assertThrows(() => planModel(model, { context: 2 ** 24, kvType: "f32" }), MemoryBudgetError, "kv");
  assertEquals(planModel(model).context, 4096);
});

Deno.test("planModel() refuses missing, unknown and misshapen tensors and names them", async () => {
  const names = tiny.tensors.map(({ name }) => name);
  for (const name of names) {
    const without = await header({ tensors: (all) => all.filter((tensor) => tensor.name !== name) });
    assertThrows(() => planModel(without), UnsupportedModelError, name.replace(/\.(attn|ffn)_.*/, ""));
    const reshaped = await header({
      tensors: (all) =>
        all.map((tensor) =>
          tensor.name === name ? { name, type: GgmlType.F32, shape: [tensor.shape[0], 3, 2] } : tensor
        ),
    });
    assertThrows(() => planModel(reshaped), UnsupportedModelError, name.split(".")[0]);
  }
  const more = await header({
    tensors: (all) => [...all, { name: "surprise", type: GgmlType.F32, shape: [4] }],
  });
  assertThrows(() => planModel(more), UnsupportedModelError, "surprise");
});

Deno.test("planModel() refuses a norm that is not F32", async () => {
  const model = await header({
    tensors: (all) =>
      all.map((tensor) =>
        tensor.name === "output_norm.weight" ? { name: tensor.name, type: GgmlType.F16, shape: [32] } : tensor
      ),
  });
  assertEquals(tensorBytes(GgmlType.F16, [32]), 64);
  assertThrows(() => planModel(model), UnsupportedModelError, "output_norm.weight");
});
