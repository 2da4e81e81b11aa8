import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { GgufError, UnsupportedModelError } from "../../src/error.ts";
import { GgmlType, ggmlTypes, tensorBytes } from "../../src/gguf/mod.ts";
import { inPieces, readAll, readModel, strings } from "./read.ts";
import { type Value, writeGguf, type WriteTensor } from "./writer.ts";

const SCALARS: [string, Value, unknown][] = [
  ["uint8", { type: "UINT8", value: 255 }, 255],
  ["int8", { type: "INT8", value: -128 }, -128],
  ["uint16", { type: "UINT16", value: 65535 }, 65535],
  ["int16", { type: "INT16", value: -32768 }, -32768],
  ["uint32", { type: "UINT32", value: 4294967295 }, 4294967295],
  ["int32", { type: "INT32", value: -2147483648 }, -2147483648],
  ["float32", { type: "FLOAT32", value: 0.5 }, 0.5],
  ["bool", { type: "BOOL", value: true }, true],
  ["no", { type: "BOOL", value: false }, false],
  ["string", { type: "STRING", value: "\ufeffgrüße 🙂" }, "\ufeffgrüße 🙂"],
  ["empty", { type: "STRING", value: "" }, ""],
  ["uint64", { type: "UINT64", value: 2n ** 53n - 1n }, 2 ** 53 - 1],
  ["int64", { type: "INT64", value: -5n }, -5],
  ["huge", { type: "UINT64", value: 2n ** 64n - 1n }, 2n ** 64n - 1n],
  ["float64", { type: "FLOAT64", value: Math.PI }, Math.PI],
];

const ARRAYS: [string, Value, unknown][] = [
  ["uint8s", { type: "ARRAY", of: "UINT8", values: [1, 255] }, Uint8Array.of(1, 255)],
  ["int8s", { type: "ARRAY", of: "INT8", values: [-1] }, Int8Array.of(-1)],
  ["uint16s", { type: "ARRAY", of: "UINT16", values: [1, 65535] }, Uint16Array.of(1, 65535)],
  ["int16s", { type: "ARRAY", of: "INT16", values: [-2, 3] }, Int16Array.of(-2, 3)],
  ["uint32s", { type: "ARRAY", of: "UINT32", values: [1, 2, 3] }, Uint32Array.of(1, 2, 3)],
  ["int32s", { type: "ARRAY", of: "INT32", values: [-1, 1] }, Int32Array.of(-1, 1)],
  ["float32s", { type: "ARRAY", of: "FLOAT32", values: [0.25, -0] }, Float32Array.of(0.25, -0)],
  ["bools", { type: "ARRAY", of: "BOOL", values: [true, false] }, Uint8Array.of(1, 0)],
  ["uint64s", { type: "ARRAY", of: "UINT64", values: [1n, 2n ** 63n] }, BigUint64Array.of(1n, 2n ** 63n)],
  ["int64s", { type: "ARRAY", of: "INT64", values: [-1n] }, BigInt64Array.of(-1n)],
  ["float64s", { type: "ARRAY", of: "FLOAT64", values: [1e300] }, Float64Array.of(1e300)],
  ["none", { type: "ARRAY", of: "UINT32", values: [] }, Uint32Array.of()],
  ["nested", {
    type: "ARRAY",
    of: "ARRAY",
    values: [{ of: "INT32", values: [1, 2] }, { of: "ARRAY", values: [{ of: "UINT8", values: [9] }] }],
  }, [Int32Array.of(1, 2), [Uint8Array.of(9)]]],
];

const WORDS = ["", "a", "Ġthe", "grüße", "🙂", "x".repeat(5000)];

const TENSORS: WriteTensor[] = [
  { name: "token_embd.weight", type: GgmlType.Q8_0, shape: [64, 3] },
  { name: "one", type: GgmlType.F32, shape: [1] },
  { name: "blk.0.ffn.weight", type: GgmlType.Q4_K, shape: [256, 2] },
  { name: "four", type: GgmlType.F16, shape: [2, 3, 4, 5] },
];

const EVERYTHING = {
  metadata: [
    ...[...SCALARS, ...ARRAYS].map(([key, value]) => [key, value] as const),
    ["words", { type: "ARRAY", of: "STRING", values: WORDS }] as const,
  ],
  tensors: TENSORS,
};

for (const version of [2, 3]) {
  Deno.test(`openModel() reads every metadata type of version ${version}`, async () => {
    const model = await readModel(writeGguf({ ...EVERYTHING, version }));
    assertEquals(model.version, version);
    for (const [key, , wanted] of [...SCALARS, ...ARRAYS]) assertEquals(model.metadata.get(key), wanted, key);
    assertEquals(strings(model, "words"), WORDS);
    assertEquals([...model.metadata.keys()], EVERYTHING.metadata.map(([key]) => key));
  });
}

for (const size of [1, 2, 3, 5, 7, 64, 1000, 4096]) {
  Deno.test(`openModel() reads the same from pieces of ${size} bytes as from the whole`, async () => {
    const bytes = writeGguf(EVERYTHING);
    const whole = await readAll(bytes);
    const pieces = await readAll(inPieces(bytes, size));
    assertEquals(pieces.model, whole.model);
    assertEquals(pieces.weights, whole.weights);
    for (const key of whole.model.metadata.keys()) {
      assertEquals(pieces.model.metadata.get(key), whole.model.metadata.get(key), key);
      assertEquals(pieces.model.metadata.offset(key), whole.model.metadata.offset(key), key);
    }
  });
}

Deno.test("openModel() places tensors by general.alignment and gives their size and file offset", async () => {
  for (const alignment of [1, 8, 32, 64, 4096]) {
    const model = await readModel(writeGguf({ tensors: TENSORS, alignment }));
    assertEquals(model.alignment, alignment);
    assertEquals(model.tensors.map((t) => t.name), TENSORS.map((t) => t.name));
    assertEquals(model.tensors.map((t) => t.bytes), TENSORS.map((t) => tensorBytes(t.type, t.shape)));
    let end = model.tensors[0].offset;
    for (const tensor of model.tensors) {
      assertEquals(tensor.offset % alignment, 0);
      assertEquals(tensor.offset, Math.ceil(end / alignment) * alignment);
      end = tensor.offset + tensor.bytes;
    }
    assertEquals(model.fileBytes, end);
  }
});

Deno.test("openModel() orders tensors by their bytes and skips gaps", async () => {
  const late = { name: "late", type: GgmlType.F32, shape: [2], offset: 64 };
  const early = { name: "early", type: GgmlType.F32, shape: [2], offset: 0 };
  const header = writeGguf({ tensors: [late, early] });
  const bytes = new Uint8Array(header.length + 96);
  bytes.set(header);
  bytes.fill(1, header.length, header.length + 8).fill(2, header.length + 64, header.length + 72);
  const { model, weights } = await readAll(inPieces(bytes, 10));
  assertEquals(model.tensors.map((t) => t.name), ["early", "late"]);
  assertEquals([...weights.values()], [new Uint8Array(8).fill(1), new Uint8Array(8).fill(2)]);
});

Deno.test("tensorBytes() knows every supported type", () => {
  const wanted = { F32: 1024, F16: 512, BF16: 512, Q4_0: 144, Q4_1: 160, Q5_0: 176, Q5_1: 192, Q8_0: 272 };
  const wantedK = { Q2_K: 84, Q3_K: 110, Q4_K: 144, Q5_K: 176, Q6_K: 210, IQ4_NL: 144, IQ4_XS: 136 };
  const found = Array.from(ggmlTypes.values(), ({ id, name }) => [name, tensorBytes(id, [256])]);
  assertEquals(Object.fromEntries(found), { ...wanted, ...wantedK });
  assertEquals(tensorBytes(GgmlType.Q4_0, [64, 3, 2]), 216);
  assertThrows(() => tensorBytes(GgmlType.Q4_0, [33]), RangeError, "no whole number of Q4_0 blocks");
});

Deno.test("openModel() refuses a big-endian file by name", async () => {
  const bytes = writeGguf({});
  new DataView(bytes.buffer).setUint32(4, 3, false);
  await assertRejects(() => readModel(bytes), UnsupportedModelError, `"big-endian" is not supported`);
});

Deno.test("openModel() refuses other versions and says which it reads", async () => {
  for (const version of [0, 1, 4, 77]) {
    const message = `GGUF version (field version, byte 4) ${version} is not supported; supported: 2, 3`;
    await assertRejects(() => readModel(writeGguf({ version })), UnsupportedModelError, message);
  }
});

Deno.test("openModel() refuses what is no GGUF file", async () => {
  const page = new TextEncoder().encode("<!DOCTYPE html><title>Not found</title>");
  const error = await assertRejects(() => readModel(page), GgufError, `it begins with "<!DO"`);
  assertEquals([error.field, error.offset], ["magic", 0]);
});

Deno.test("openModel() refuses tensor types without kernels by name", async () => {
  for (const [id, name] of [[16, "IQ2_XXS"], [26, "I32"], [39, "MXFP4"], [4711, "type 4711"]] as const) {
    const bytes = writeGguf({ tensors: [{ name: "x", type: id, shape: [32], data: new Uint8Array(32) }] });
    const error = await assertRejects(() => readModel(bytes), UnsupportedModelError);
    assertInstanceOf(error, UnsupportedModelError);
    assertEquals(error.found, name);
    assertStringIncludes(error.message, `type of tensor "x" (field tensors[0].type, byte 45)`);
    assertStringIncludes(error.message, "Q4_0, Q4_1, Q5_0, Q5_1, Q8_0");
  }
});

Deno.test("Metadata refuses the wrong type and missing keys by name", async () => {
  const { metadata } = await readModel(writeGguf(EVERYTHING));
  assertEquals(metadata.number("missing", 7), 7);
  assertEquals(metadata.string("missing", ""), "");
  assertEquals(metadata.boolean("no"), false);
  assertEquals(metadata.numbers("missing"), undefined);
  assertEquals(metadata.strings("missing"), undefined);
  const refusals: [() => unknown, string][] = [
    [() => metadata.number("missing"), "key is missing, wanted a number"],
    [() => metadata.number("string"), "wanted a number of at most 53 bits"],
    [() => metadata.number("huge"), "the bigint 18446744073709551615"],
    [() => metadata.string("uint8", "fallback"), "value is the number 255, wanted a string"],
    [() => metadata.boolean("uint8"), "wanted a boolean"],
    [() => metadata.numbers("words"), "value is an array of 6 strings, wanted an array of numbers"],
    [() => metadata.strings("nested"), "value is an array of 2 arrays, wanted an array of strings"],
  ];
  for (const [call, message] of refusals) {
    const error = assertThrows(call, GgufError, message);
    assertEquals(metadata.offset(error.field), error.offset);
  }
});
