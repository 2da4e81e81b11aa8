/**
 * GGUF files: pure bytes in, records out.
 *
 * @module
 */
export { GgmlType, type GgmlTypeInfo, ggmlTypeName, ggmlTypes, tensorBytes } from "./ggml_type.ts";
export {
  type GgufArray,
  type GgufNumbers,
  type GgufStrings,
  type GgufValue,
  isNumbers,
  isStrings,
  Metadata,
  type MetadataEntry,
} from "./metadata.ts";
export { type GgufModel, type OpenModel, openModel } from "./model.ts";
export type { StreamOptions, TensorSink } from "./stream.ts";
export type { TensorInfo } from "./tensor.ts";
export type { ByteStream, Progress, Source, SourceFile } from "./source.ts";
