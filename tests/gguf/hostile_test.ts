/**
 * Hostile files: every truncation, every flipped byte, and every kind of lie, as buffers and as streams.
 *
 * @module
 */
import { assert, assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { GgufError, UnsupportedModelError } from "../../src/error.ts";
import { GgmlType } from "../../src/gguf/mod.ts";
import { type ReadModel, readModel } from "./read.ts";
import { judge } from "./verdict.ts";
import { Bytes, type Value, writeGguf, type WriteTensor } from "./writer.ts";

const METADATA: [string, Value][] = [
  ["general.architecture", { type: "STRING", value: "llama" }],
  ["general.alignment", { type: "UINT32", value: 32 }],
  ["llama.block_count", { type: "UINT32", value: 2 }],
  ["llama.rope.freq_base", { type: "FLOAT32", value: 10000 }],
  ["tokenizer.ggml.add_bos_token", { type: "BOOL", value: true }],
  ["tokenizer.ggml.tokens", { type: "ARRAY", of: "STRING", values: ["<s>", "a", "b", "ab"] }],
  ["tokenizer.ggml.scores", { type: "ARRAY", of: "FLOAT32", values: [0, -1, -2, -3] }],
  ["nested", {
    type: "ARRAY",
    of: "ARRAY",
    values: [{ of: "UINT8", values: [1] }, { of: "INT64", values: [2n] }],
  }],
  ["offset", { type: "UINT64", value: 7n }],
];
const TENSORS: WriteTensor[] = [
  { name: "token_embd.weight", type: GgmlType.Q8_0, shape: [32, 4] },
  { name: "output_norm.weight", type: GgmlType.F32, shape: [8] },
];
const FILE = writeGguf({ metadata: METADATA, tensors: TENSORS });
/** Without the padding at its end, the file can't be a byte shorter. */
const END = FILE.length;
const ARRIVALS = ["buffer", END, 7] as const;

for (const arrival of ARRIVALS) {
  const how = arrival === "buffer" ? "a buffer" : `pieces of ${arrival} bytes`;

  Deno.test(`a file cut at any byte is refused, as ${how}`, async () => {
    assert(!(await judge(FILE, arrival) instanceof Error));
    for (let length = 0; length < END; length++) {
      const verdict = await judge(FILE.slice(0, length), arrival);
      assertInstanceOf(verdict, GgufError, `${length} of ${END} bytes`);
    }
  });

  Deno.test(`a file with any byte changed is refused or sound, as ${how}`, async () => {
    let refused = 0;
    for (let at = 0; at < END; at++) {
      for (const change of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
        const bytes = FILE.slice();
        bytes[at] ^= change;
        if (await judge(bytes, arrival) instanceof Error) refused++;
      }
    }
    assert(refused > END, `${refused} refused`);
  });
}

/** Bytes of a header up to its first key: magic, version, counts. */
const start = (nTensors: number | bigint, nPairs: number | bigint) =>
  new Bytes().raw(new TextEncoder().encode("GGUF")).u32(3).u64(nTensors).u64(nPairs);
const pair = (value: Value, key = "k") => writeGguf({ metadata: [[key, value]] });
const tensors = (...list: WriteTensor[]) => writeGguf({ tensors: list });
const f32 = (name: string, shape: number[], offset?: number): WriteTensor => ({
  name,
  type: GgmlType.F32,
  shape,
  offset,
});
const deep = (levels: number) => {
  const out = start(0, 1).string("k").u32(9);
  for (let i = 1; i < levels; i++) out.u32(9).u64(1);
  return out.u32(0).u64(0).finish();
};
const U64 = 2n ** 64n - 1n;

/** What is wrong, the file, and the field and byte that the error must name. */
const LIES: [string, Uint8Array<ArrayBuffer>, string, number, string][] = [
  ["tensor count", start(U64, 0).finish(), "tensor_count", 8, "18446744073709551615 is no size"],
  ["tensor count", start(2 ** 40, 0).finish(), "tensor_count", 8, "wanted at most 65536"],
  ["tensor count", start(1000, 0).finish(), "tensor_count", 8, "a table of 1000 entries of 33000 bytes"],
  ["pair count", start(0, 2 ** 52).finish(), "metadata_kv_count", 16, "wanted at most 65536"],
  ["pair count", start(0, 9).finish(), "metadata_kv_count", 16, "the file has 0 more"],
  [
    "key length",
    start(0, 1).u64(65536).raw(new Uint8Array(99)).finish(),
    "metadata[0].key",
    24,
    "at most 65535",
  ],
  [
    "key length",
    start(0, 1).u64(60000).raw(new Uint8Array(99)).finish(),
    "metadata[0].key",
    24,
    "the file has 99 more",
  ],
  [
    "key",
    start(0, 1).u64(1).raw(Uint8Array.of(0xff)).raw(new Uint8Array(9)).finish(),
    "metadata[0].key",
    24,
    "UTF-8",
  ],
  [
    "value type",
    start(0, 1).string("k").u32(13).u32(0).finish(),
    "k",
    33,
    "value type 13 is not one of 0 to 12",
  ],
  ["string length", start(0, 1).string("k").u32(8).u64(2n ** 60n).finish(), "k", 33, "is no size"],
  [
    "string length",
    start(0, 1).string("k").u32(8).u64(2 ** 40).finish(),
    "k",
    33,
    "a string of 1099511627776 bytes",
  ],
  ["element type", start(0, 1).string("k").u32(9).u32(99).u64(0).finish(), "k", 33, "element type 99"],
  [
    "array length",
    start(0, 1).string("k").u32(9).u32(6).u64(2 ** 50).finish(),
    "k",
    33,
    "the file has 0 more",
  ],
  ["array of strings", start(0, 1).string("k").u32(9).u32(8).u64(2 ** 50).finish(), "k", 33, "strings"],
  [
    "string in an array",
    start(0, 1).string("k").u32(9).u32(8).u64(1).u64(9).finish(),
    "k[0]",
    49,
    "the file has 0 more",
  ],
  [
    "array of arrays",
    start(0, 1).string("k").u32(9).u32(9).u64(2 ** 50).finish(),
    "k",
    33,
    "at most 65536 more",
  ],
  ["array depth", deep(9), "k[0][0][0][0][0][0][0]", 33 + 4 + 7 * 12, "nested deeper than 8"],
  ["boolean", pair({ type: "BOOL", value: 2 }), "k", 33, "a boolean is the byte 2"],
  ["booleans", pair({ type: "ARRAY", of: "BOOL", values: [1, 0, 3] }), "k", 33, "a boolean is the byte 3"],
  [
    "alignment",
    writeGguf({ alignment: 0 }),
    "general.alignment",
    49,
    "alignment is 0, wanted a power of two",
  ],
  ["alignment", writeGguf({ alignment: 48 }), "general.alignment", 49, "alignment is 48"],
  ["alignment", writeGguf({ alignment: 2 ** 31 }), "general.alignment", 49, "alignment is 2147483648"],
  [
    "alignment",
    pair({ type: "FLOAT32", value: 0.5 }, "general.alignment"),
    "general.alignment",
    49,
    "alignment is 0.5",
  ],
  [
    "alignment",
    pair({ type: "UINT64", value: U64 }, "general.alignment"),
    "general.alignment",
    49,
    "wanted a number",
  ],
  [
    "alignment",
    pair({ type: "STRING", value: "32" }, "general.alignment"),
    "general.alignment",
    49,
    "wanted a number",
  ],
  [
    "dimensions",
    tensors({ ...f32("x", []), data: new Uint8Array(4) }),
    "tensors[0].n_dims",
    33,
    "0 dimensions",
  ],
  ["dimensions", tensors(f32("x", [1, 1, 1, 1, 1])), "tensors[0].n_dims", 33, "5 dimensions, wanted 1 to 4"],
  ["dimension", tensors(f32("x", [4, 0])), "tensors[0].shape[1]", 45, "a dimension is 0"],
  ["dimension", tensors(f32("x", [2 ** 52], 0)), "tensors[0].shape[0]", 37, "more than a file can hold"],
  [
    "product",
    tensors(f32("x", [2 ** 32, 2 ** 32], 0)),
    "tensors[0].shape[1]",
    45,
    "more than a file can hold",
  ],
  ["size", tensors(f32("x", [2 ** 30, 2 ** 10], 0)), "tensors[0].offset", 57, "the file has 96"],
  [
    "row",
    tensors({ ...f32("x", [33], 0), type: GgmlType.Q4_0 }),
    "tensors[0].shape",
    33,
    "no whole number of Q4_0 blocks",
  ],
  [
    "offset",
    tensors(f32("x", [1], 32)),
    "tensors[0].offset",
    49,
    `"x" needs the bytes 96 to 100, but the file has 64`,
  ],
  ["offset", tensors(f32("x", [1], 2 ** 52)), "tensors[0].offset", 49, "the file has 64"],
  [
    "offset",
    tensors(f32("x", [1]), f32("y", [1], 4)),
    "tensors[1].offset",
    82,
    "wanted a multiple of the alignment 32",
  ],
  ["overlap", tensors(f32("x", [9]), f32("y", [1], 32)), "tensors[1].offset", 82, `"y" overlaps "x"`],
  ["overlap", tensors(f32("x", [9]), f32("y", [1], 0)), "tensors[1].offset", 82, `"y" overlaps "x"`],
  ["name", tensors(f32("x", [1]), f32("x", [1])), "tensors[1].name", 57, `a second tensor is called "x"`],
  ["name", start(1, 0).u64(70000).raw(new Uint8Array(99)).finish(), "tensors[0].name", 24, "at most 65535"],
  [
    "key twice",
    writeGguf({ metadata: [METADATA[0], METADATA[0]] }),
    "metadata[1].key",
    69,
    "a second key is called",
  ],
];

LIES.forEach(([what, bytes, field, offset, message], i) => {
  Deno.test(`lie ${i + 1}, about its ${what}, is refused by field and byte`, async () => {
    const error = await judge(bytes) as GgufError;
    assertInstanceOf(error, GgufError);
    assertStringIncludes(error.message, message);
    assertEquals([error.field, error.offset], [field, offset]);
    // without a size to hold it against, a lie may come out only where the bytes end
    for (const arrival of [1, 1000]) assertInstanceOf(await judge(bytes, arrival), GgufError);
  });
});

Deno.test("a header that goes on for ever is refused, long before the heap is full", async () => {
  const head = start(0, 1).string("k").u32(9).u32(0).u64(2 ** 40).finish();
  assertStringIncludes((await judge(head, 1000) as Error).message, "headers are read up to byte 134217728");
});

Deno.test("a stream that promises 100 MB and ends gets no memory for them", async () => {
  const much = 100_000_000;
  const promises = [
    start(0, 1).string("k").u32(8).u64(much),
    start(0, 1).string("k").u32(9).u32(0).u64(much),
    start(0, 1).string("k").u32(9).u32(8).u64(much / 8),
    start(0, 1).string("k").u32(9).u32(8).u64(1).u64(much),
    start(65536, 65536),
  ];
  for (const promise of promises) {
    const error = await judge(promise.raw(new Uint8Array(1000)).finish(), 100);
    assertInstanceOf(error, GgufError);
  }
});

Deno.test("arrays nested eight deep are read", async () => {
  assert(!(await judge(deep(8)) instanceof Error));
});

Deno.test("nested arrays are counted over the whole file", async () => {
  const out = start(0, 2);
  for (const key of ["k", "l"]) {
    out.string(key).u32(9).u32(9).u64(40_000);
    for (let i = 0; i < 40_000; i++) out.u32(0).u64(0);
  }
  const error = await judge(out.finish()) as GgufError;
  assertStringIncludes(error.message, "40000 nested arrays, wanted at most 25536 more");
  assertEquals(error.field, "l");
});

Deno.test("strings that never end are refused at the header's bound", async () => {
  const head = start(0, 1).string("k").u32(9).u32(8).u64(2 ** 23).finish();
  const word = new Bytes().u64(2 ** 20 - 8).raw(new Uint8Array(2 ** 20 - 8)).finish();
  let pieces = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(pieces++ === 0 ? head : word),
  }, { highWaterMark: 0 });
  const error = await readModel(endless).catch((error) => error);
  assertInstanceOf(error, GgufError);
  assertStringIncludes(error.message, "headers are read up to byte 134217728");
  assertEquals([error.field, pieces], ["k[127]", 129]);
});

Deno.test("a changed byte of a weight is not the reader's to find", async () => {
  const bytes = FILE.slice();
  bytes[END - 1] ^= 1;
  assertEquals((await judge(bytes) as ReadModel).model.tensors.length, TENSORS.length);
});

Deno.test("a foreign tensor type is refused by name", async () => {
  const bytes = writeGguf({ tensors: [{ ...f32("x", [1]), type: 18, data: new Uint8Array(4) }] });
  assertEquals((await judge(bytes) as UnsupportedModelError).found, "IQ3_XXS");
});
