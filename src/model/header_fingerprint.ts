/**
 * What tells one model from another before a weight is read: what belongs to a model and is made ahead, such as a
 * calibration, is checked by it.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2";
import { bytesToHex } from "@noble/hashes/utils";
import type { GgufModel } from "../gguf/mod.ts";

/** Keys of the file whose texts are looked at. */
const NAMES = ["general.architecture", "general.name", "general.finetune", "tokenizer.ggml.pre"];

/**
 * SHA-256, in hexadecimal, of a model's names, sizes and table of tensors. Files that differ in nothing but the bytes of
 * their weights are taken for one model.
 */
export function headerFingerprint({ metadata, tensors, fileBytes }: GgufModel): string {
  const names = NAMES.map((key) => [key, String(metadata.get(key) ?? "")]);
  const table = tensors.map(({ name, type, shape, offset }) => [name, type, [...shape], offset]);
  return bytesToHex(sha256(new TextEncoder().encode(JSON.stringify([names, table, fileBytes]))));
}
