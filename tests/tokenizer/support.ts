/**
 * Tokenizers for tests: from the shared GGUF files, from plain lists of tokens, and the texts they are tried on.
 *
 * @module
 */
import { type GgufStrings, type GgufValue, Metadata } from "../../src/gguf/mod.ts";
import { createTokenizer, planVocabulary, type Tokenizer } from "../../src/tokenizer/mod.ts";
import { readModel } from "../gguf/read.ts";

const DATA = new URL("../../../shared/data/", import.meta.url);

/** Whether the shared data is there; says so on the console where it is not. */
export const present = await Deno.stat(DATA).then(() => true, () => false);
if (!present) console.warn("%cshared/data is absent: tests on real vocabularies are SKIPPED", "color: red");

/** The bytes of a shared file, unpacked where it is gzip. */
export async function sharedBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await Deno.readFile(new URL(path, DATA));
  if (!path.endsWith(".gz")) return bytes;
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** The text of a shared file. */
export async function sharedText(path: string): Promise<string> {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await sharedBytes(path));
}

/** The metadata of a vocabulary-only GGUF file of the shared data. */
export async function vocabMetadata(name: string): Promise<Metadata> {
  const bytes = await sharedBytes(`tokenizers/ggml-vocab/ggml-vocab-${name}.gguf`);
  return (await readModel(bytes.buffer)).metadata;
}

/** A tokenizer in a region of exactly the planned size. */
export function tokenizerOf(metadata: Metadata): Tokenizer {
  return createTokenizer(metadata, new Uint8Array(planVocabulary(metadata).bytes));
}

/** Strings as a GGUF array keeps them. */
export function flat(strings: readonly (string | Uint8Array)[]): GgufStrings {
  const encoder = new TextEncoder();
  const parts = strings.map((s) => typeof s === "string" ? encoder.encode(s) : s);
  const offsets = new Uint32Array(parts.length + 1);
  parts.forEach((part, i) => offsets[i + 1] = offsets[i] + part.length);
  const bytes = new Uint8Array(offsets[parts.length]);
  parts.forEach((part, i) => bytes.set(part, offsets[i]));
  return { length: parts.length, bytes, offsets };
}

/** Metadata of the given keys, with `tokenizer.ggml.` left out of their names. Undefined values are absent keys. */
export function metadataOf(keys: Record<string, GgufValue | undefined>): Metadata {
  const given = Object.entries(keys).filter((entry): entry is [string, GgufValue] => entry[1] !== undefined);
  return new Metadata(
    new Map(given.map(([key, value], i) => [
      key.includes(".") ? key : `tokenizer.ggml.${key}`,
      { value, offset: 100 + i },
    ])),
  );
}

/** GPT-2's alphabet: the character that stands for each byte. Built the way the model's authors describe it. */
export const byteAlphabet: readonly string[] = (() => {
  const characters: string[] = [];
  const isPrinted = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    characters.push(String.fromCharCode(isPrinted(byte) ? byte : next++));
  }
  return characters;
})();
