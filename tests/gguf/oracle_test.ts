/**
 * Real files, read by us and by `@huggingface/gguf`.
 *
 * @module
 */
import { gguf } from "@huggingface/gguf";
import { assert, assertEquals } from "@std/assert";
import { type GgufModel, isNumbers, isStrings } from "../../src/gguf/mod.ts";
import { inPieces, readAll, readModel, strings } from "./read.ts";

const shared = new URL("../../../shared/", import.meta.url);
const folders = ["data/models/stories260K/", "models/", "data/tokenizers/ggml-vocab/"];
const files = folders.flatMap((folder) => {
  try {
    const names = Array.from(Deno.readDirSync(new URL(folder, shared)), (entry) => entry.name);
    return names.filter((name) => name.endsWith(".gguf")).map((name) => new URL(folder + name, shared));
  } catch {
    console.warn(`SKIPPED: no files in ../shared/${folder}, the GGUF reader is not compared on them`);
    return [];
  }
});

for (const url of files) {
  const name = url.pathname.split("/").at(-1);

  Deno.test(`openModel() reads ${name} as @huggingface/gguf does`, async () => {
    const model = await readModel(url);
    const wanted = await gguf(url.pathname, { allowLocalFile: true });
    assertEquals(model.version, wanted.metadata.version);
    const counts = { version: model.version, tensor_count: model.tensors.length };
    const found = { ...counts, kv_count: [...model.metadata.keys()].length, ...values(model) };
    assertEquals(Object.keys(found).sort(), Object.keys(wanted.metadata).sort());
    for (const [key, value] of Object.entries(wanted.metadata)) {
      assertEquals(found[key as keyof typeof found], plain(value), key);
    }
    const offset = (relative: bigint) => Number(wanted.tensorDataOffset + relative);
    assertEquals(
      model.tensors.map(({ name, type, shape, offset }) => ({ name, type, shape, offset })),
      wanted.tensorInfos
        .map((t) => ({
          name: t.name,
          type: Number(t.dtype),
          shape: t.shape.map(Number),
          offset: offset(t.offset),
        }))
        .sort((a, b) => a.offset - b.offset),
    );
  });

  Deno.test(`openModel() reads ${name} from pieces of 4093 bytes as from the file, every weight byte once`, async () => {
    const bytes = await Deno.readFile(url);
    const whole = await readAll(url);
    const pieces = await readAll(inPieces(bytes, 4093));
    assertEquals(values(pieces.model), values(whole.model));
    assertEquals(pieces.model.tensors, whole.model.tensors);
    for (const tensor of whole.model.tensors) {
      const wanted = bytes.subarray(tensor.offset, tensor.offset + tensor.bytes);
      assert(equal(whole.weights.get(tensor.name)!, wanted), `${tensor.name} of the file`);
      assert(equal(pieces.weights.get(tensor.name)!, wanted), `${tensor.name} in pieces`);
    }
  });
}

/** The metadata as plain values, as the oracle gives it: it drops a byte order mark, which is a token of its own. */
function values(model: GgufModel): Record<string, unknown> {
  return Object.fromEntries(Array.from(model.metadata.keys(), (key) => {
    const value = model.metadata.get(key)!;
    if (isStrings(value)) return [key, strings(model, key).map((text) => text.replace(/^\ufeff/, ""))];
    return [key, isNumbers(value) ? Array.from<number | bigint>(value as Float64Array) : value];
  }));
}

/** Safe integers as numbers, everywhere in a value. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

// assertEquals takes seconds on megabytes
function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
