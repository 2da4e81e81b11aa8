/**
 * A reader of SentencePiece's `.model` files, as far as tests need it: the protobuf message `ModelProto` to the GGUF
 * metadata that a converter writes for it.
 *
 * @module
 */
import type { Metadata } from "../../src/gguf/mod.ts";
import { flat, metadataOf } from "./support.ts";

type Field = number | Uint8Array;

/** The fields of one message, by number, in order. Fixed 32-bit fields come as their bytes. */
function fields(bytes: Uint8Array): Map<number, Field[]> {
  const found = new Map<number, Field[]>();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0;; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag & 7;
    const length = wire === 0 ? 0 : wire === 2 ? varint() : wire === 5 ? 4 : 8;
    const value = wire === 0 ? varint() : bytes.subarray(at, at + length);
    at += length;
    const number = tag >> 3;
    if (!found.has(number)) found.set(number, []);
    found.get(number)!.push(value);
  }
  return found;
}

/** The vocabulary of a `.model` file as GGUF metadata. */
export function sentencePieceMetadata(model: Uint8Array): Metadata {
  const proto = fields(model);
  const trainer = fields(proto.get(2)![0] as Uint8Array);
  const normalizer = fields(proto.get(3)![0] as Uint8Array);
  const pieces = proto.get(1)!.map((piece) => fields(piece as Uint8Array));
  const flag = (number: number) => normalizer.get(number)?.[0] !== 0;
  const score = (bytes?: Field) => {
    return bytes instanceof Uint8Array ? new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true) : 0;
  };
  const isUnigram = (trainer.get(3)?.[0] ?? 1) === 1;
  return metadataOf({
    model: isUnigram ? "t5" : "llama",
    tokens: flat(pieces.map((piece) => piece.get(1)![0] as Uint8Array)),
    scores: Float32Array.from(pieces, (piece) => score(piece.get(2)?.[0])),
    token_type: Int32Array.from(pieces, (piece) => (piece.get(3)?.[0] as number) ?? 1),
    add_space_prefix: flag(3),
    remove_extra_whitespaces: flag(4),
    precompiled_charsmap: normalizer.get(2)?.[0] as Uint8Array,
    unknown_token_id: (trainer.get(40)?.[0] as number) ?? 0,
    bos_token_id: (trainer.get(41)?.[0] as number) ?? 1,
    eos_token_id: (trainer.get(42)?.[0] as number) ?? 2,
  });
}
