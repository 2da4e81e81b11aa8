/**
 * Thousands of random files: sound ones come back as they were written, unsound tables are refused exactly where the
 * rules say so, and what random damage leaves over is refused or sound.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { GgmlType, ggmlTypes, tensorBytes } from "../../src/gguf/mod.ts";
import { type ReadModel, strings } from "./read.ts";
import { type Arrival, judge } from "./verdict.ts";
import { type TypeName, type Value, writeGguf, type WriteTensor } from "./writer.ts";

const NUM_RUNS = 2000;

const arrival: fc.Arbitrary<Arrival> = fc.oneof(
  fc.constant("buffer" as const),
  fc.integer({ min: 1, max: 200 }),
);

const numbers: Partial<Record<TypeName, fc.Arbitrary<number | bigint | boolean>>> = {
  UINT8: fc.integer({ min: 0, max: 255 }),
  INT8: fc.integer({ min: -128, max: 127 }),
  UINT16: fc.integer({ min: 0, max: 65535 }),
  INT16: fc.integer({ min: -32768, max: 32767 }),
  UINT32: fc.nat({ max: 0xffffffff }),
  INT32: fc.integer(),
  FLOAT32: fc.float({ noNaN: true }),
  BOOL: fc.boolean(),
  UINT64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  INT64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  FLOAT64: fc.double({ noNaN: true }),
};
const words = fc.string({ unit: "grapheme", maxLength: 20 });
const scalarTypes = Object.keys(numbers) as TypeName[];
const scalar = fc.constantFrom(...scalarTypes).chain((type) =>
  numbers[type]!.map((value) => ({ type, value }) as Value)
);
const array = fc.constantFrom(...scalarTypes).chain((of) =>
  fc.array(numbers[of]!, { maxLength: 20 }).map((values) => ({ type: "ARRAY", of, values }) as Value)
);
const texts = fc.array(words, { maxLength: 30 }).map((values) =>
  ({ type: "ARRAY", of: "STRING", values }) as Value
);
const text = words.map((value) => ({ type: "STRING", value }) as Value);
const metadata = fc.uniqueArray(
  fc.tuple(fc.stringMatching(/^[a-z_.]{1,20}$/), fc.oneof(scalar, array, texts, text)),
  {
    selector: ([key]) => key,
    maxLength: 12,
  },
);

const tensor = fc.constantFrom(...ggmlTypes.values()).chain((type) =>
  fc.record({
    type: fc.constant(type.id),
    shape: fc.tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
    )
      .map(([blocks, rest]) => [blocks * type.blockSize, ...rest]),
  })
);
const tensorList = fc.array(tensor, { maxLength: 6 }).map((list) =>
  list.map((tensor, i): WriteTensor => ({ name: `blk.${i}.weight`, ...tensor }))
);

Deno.test(`${NUM_RUNS} sound files come back as they were written`, async () => {
  const property = fc.asyncProperty(metadata, tensorList, arrival, async (metadata, tensors, arrival) => {
    const { model } = await judge(writeGguf({ metadata, tensors }), arrival) as ReadModel;
    assertEquals([...model.metadata.keys()], metadata.map(([key]) => key));
    for (const [key, value] of metadata) {
      if (value.type === "ARRAY" && value.of === "STRING") assertEquals(strings(model, key), value.values);
      else if (value.type === "ARRAY") {
        assertEquals(Array.from(model.metadata.numbers(key)!, Number), value.values.map(Number));
      } else assertEquals(model.metadata.get(key), narrow(value.value));
    }
    assertEquals(
      model.tensors.map(({ name, type, shape }) => ({ name, type, shape })),
      tensors.map(({ name, type, shape }) => ({ name, type, shape })),
    );
  });
  await fc.assert(property, { numRuns: NUM_RUNS });
});

Deno.test(`${NUM_RUNS} random tensor tables are refused just where they break a rule`, async () => {
  const size = fc.oneof(fc.integer({ min: 0, max: 70 }), fc.constantFrom(32, 64, 2 ** 32, 2 ** 51, 2 ** 53));
  const entry = fc.record({
    name: fc.constantFrom("a", "b", "c", "d", "e", "f"),
    type: fc.constantFrom(GgmlType.F32, GgmlType.F16, GgmlType.Q8_0),
    shape: fc.array(fc.oneof({ weight: 4, arbitrary: fc.constantFrom(1, 2, 32) }, size), {
      minLength: 1,
      maxLength: 4,
    }),
    offset: fc.oneof(fc.integer({ min: 0, max: 8 }).map((n) => 32 * n), fc.integer({ min: 0, max: 300 })),
    data: fc.constant(new Uint8Array(0)),
  });
  const table = fc.array(entry, { minLength: 1, maxLength: 3 });
  const alignment = fc.constantFrom(32, 32, 32, 8, 1, 0, 24, 256);
  let sound = 0;
  const property = fc.asyncProperty(table, alignment, async (table, alignment) => {
    const header = writeGguf({ tensors: table, alignment });
    const bytes = new Uint8Array(header.length + 512);
    bytes.set(header);
    const verdict = await judge(bytes);
    const wanted = isSound(table, alignment, alignment > 0 ? bytes.length - header.length : 0);
    assertEquals(!(verdict instanceof Error), wanted, String(verdict));
    if (wanted) sound++;
  });
  await fc.assert(property, { numRuns: NUM_RUNS });
  assert(sound > NUM_RUNS / 50, `only ${sound} sound tables among them`);
});

Deno.test(`${2 * NUM_RUNS} damaged files are refused or sound`, async () => {
  const nasty = fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n);
  const damage = fc.oneof(
    fc.record({ kind: fc.constant("number" as const), at: fc.nat(), value: nasty }),
    fc.record({ kind: fc.constant("byte" as const), at: fc.nat(), value: fc.nat({ max: 255 }) }),
    fc.record({ kind: fc.constant("delete" as const), at: fc.nat(), value: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ kind: fc.constant("repeat" as const), at: fc.nat(), value: fc.integer({ min: 1, max: 40 }) }),
  );
  const damages = fc.array(damage, { minLength: 1, maxLength: 4 });
  const property = fc.asyncProperty(
    metadata,
    tensorList,
    damages,
    arrival,
    async (metadata, tensors, damages, arrival) => {
      let bytes = writeGguf({ metadata, tensors });
      for (const { kind, at, value } of damages) bytes = damaged(bytes, kind, at % bytes.length, value);
      await judge(bytes, arrival);
    },
  );
  await fc.assert(property, { numRuns: 2 * NUM_RUNS });
});

/** The rules of a tensor table, said once more. */
function isSound(table: readonly WriteTensor[], alignment: number, dataBytes: number): boolean {
  if (![1, 2, 4, 8, 16, 32, 64, 128, 256].includes(alignment)) return false;
  if (new Set(table.map(({ name }) => name)).size < table.length) return false;
  const ranges: [number, number][] = [];
  for (const { type, shape, offset } of table) {
    const weights = shape.reduce((a, b) => a * b);
    if (weights === 0 || weights > 2 ** 50 || shape.some((size) => size > 2 ** 52)) return false;
    if (shape[0] % ggmlTypes.get(type)!.blockSize !== 0 || offset! % alignment !== 0) return false;
    ranges.push([offset!, offset! + tensorBytes(type, shape)]);
  }
  ranges.sort(([a], [b]) => a - b);
  return ranges.every(([from, to], i) => to <= dataBytes && (i === 0 || from >= ranges[i - 1][1]));
}

function damaged(
  bytes: Uint8Array<ArrayBuffer>,
  kind: "number" | "byte" | "delete" | "repeat",
  at: number,
  value: number | bigint,
): Uint8Array<ArrayBuffer> {
  const end = at + Number(value);
  if (kind === "delete") return new Uint8Array([...bytes.subarray(0, at), ...bytes.subarray(end), 0]);
  if (kind === "repeat") return new Uint8Array([...bytes.subarray(0, end), ...bytes.subarray(at)]);
  const copy = new Uint8Array([...bytes, ...new Uint8Array(kind === "number" ? 8 : 0)]);
  if (kind === "number") new DataView(copy.buffer).setBigUint64(at, BigInt(value), true);
  else copy[at] = Number(value);
  return copy;
}

function narrow(value: string | number | bigint | boolean): string | number | bigint | boolean {
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
