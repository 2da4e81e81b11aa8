/**
 * The tensor types of GGUF: how many weights a block holds and how many bytes it takes.
 *
 * @module
 */

/** One tensor type. A row of `n` weights takes `n / blockSize * blockBytes` bytes. */
export interface GgmlTypeInfo {
  readonly id: number;
  readonly name: string;
  /** Weights in a block; a row holds whole blocks. */
  readonly blockSize: number;
  readonly blockBytes: number;
}

/** ggml's ids of the tensor types that Locket runs. */
export const GgmlType = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  IQ4_NL: 20,
  IQ4_XS: 23,
  BF16: 30,
} as const;

export type GgmlTypeName = keyof typeof GgmlType;

const SIZES: Record<GgmlTypeName, readonly [blockSize: number, blockBytes: number]> = {
  F32: [1, 4],
  F16: [1, 2],
  BF16: [1, 2],
  // f16 scale (and minimum), then the nibbles (and fifth bits) or bytes of 32 weights
  Q4_0: [32, 2 + 16],
  Q4_1: [32, 4 + 16],
  Q5_0: [32, 2 + 4 + 16],
  Q5_1: [32, 4 + 4 + 16],
  Q8_0: [32, 2 + 32],
  IQ4_NL: [32, 2 + 16],
  // 256 weights with scales for their sub-blocks
  Q2_K: [256, 16 + 64 + 4],
  Q3_K: [256, 32 + 64 + 12 + 2],
  Q4_K: [256, 4 + 12 + 128],
  Q5_K: [256, 4 + 12 + 32 + 128],
  Q6_K: [256, 128 + 64 + 16 + 2],
  IQ4_XS: [256, 2 + 2 + 4 + 128],
};

/** Every supported type by its ggml id. */
export const ggmlTypes: ReadonlyMap<number, GgmlTypeInfo> = new Map(
  (Object.keys(GgmlType) as GgmlTypeName[]).map((name) => {
    const [blockSize, blockBytes] = SIZES[name];
    return [GgmlType[name], { id: GgmlType[name], name, blockSize, blockBytes }];
  }),
);

/** Types that exist elsewhere, so that a refusal can say which one was met. */
const FOREIGN: ReadonlyMap<number, string> = new Map([
  [4, "Q4_2"],
  [5, "Q4_3"],
  [9, "Q8_1"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [31, "Q4_0_4_4"],
  [32, "Q4_0_4_8"],
  [33, "Q4_0_8_8"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
  [39, "MXFP4"],
]);

/** The name of a type id, supported or not: `Q4_0`, `IQ2_XXS`, or `type 99`. */
export function ggmlTypeName(id: number): string {
  return ggmlTypes.get(id)?.name ?? FOREIGN.get(id) ?? `type ${id}`;
}

/**
 * Bytes that a tensor takes in a file: rows of whole blocks, without padding.
 *
 * @param type A supported ggml type id.
 * @param shape Sizes in ggml order, columns first.
 * @throws {RangeError} When the type is unknown or a row is no whole number of blocks.
 *
 * @example
 * ```ts
 * import { GgmlType, tensorBytes } from "./ggml_type.ts";
 *
 * tensorBytes(GgmlType.Q4_0, [64, 3]); // 3 rows of 2 blocks of 18 bytes: 108
 * ```
 */
export function tensorBytes(type: number, shape: readonly number[]): number {
  const info = ggmlTypes.get(type);
  if (info === undefined) throw new RangeError(`${ggmlTypeName(type)} has no known block size`);
  if (shape[0] % info.blockSize !== 0) {
    throw new RangeError(
      `a row of ${shape[0]} weights is no whole number of ${info.name} blocks of ${info.blockSize}`,
    );
  }
  return shape.reduce((product, size) => product * size, 1) / info.blockSize * info.blockBytes;
}
