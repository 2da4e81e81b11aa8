/**
 * The weights, from the reader's pieces to their place, each byte copied once.
 *
 * @module
 */
import type { Progress } from "./source.ts";
import { dueTurn } from "../turn.ts";
import type { ByteReader } from "./byte_reader.ts";
import type { TensorInfo } from "./tensor.ts";

/** Takes the weights to their place. Every byte of every tensor comes exactly once, in the order of the files. */
export interface TensorSink {
  /** @param bytes Valid during the call only. */
  write(tensor: TensorInfo, offsetInTensor: number, bytes: Uint8Array): void;
  /** Called after the last byte of a tensor. */
  done(tensor: TensorInfo): void;
}

export interface StreamOptions {
  /** Aborting it rejects with its reason. */
  signal?: AbortSignal;
  /** Called after every piece that arrived. */
  onProgress?: (progress: Progress) => void;
}

/**
 * Reads all tensors of a model, file by file, through readers that stand behind their headers.
 * @param total Bytes up to the end of the last tensor of each file, for progress.
 */
export async function streamTensors(
  tensors: readonly TensorInfo[],
  total: number,
  readers: readonly ByteReader[],
  sink: TensorSink,
  { signal, onProgress }: StreamOptions,
): Promise<void> {
  let before = 0;
  for (const [file, reader] of readers.entries()) {
    const progress = () => onProgress?.({ loaded: before + reader.position, total, file: reader.file.name });
    reader.signal = signal;
    progress();
    for (const tensor of tensors.filter((tensor) => tensor.file === file)) {
      reader.begin(`padding before ${tensor.name}`);
      await reader.skipTo(tensor.offset);
      reader.begin(tensor.name);
      for (let done = 0; done < tensor.bytes;) {
        const piece = await reader.piece(tensor.bytes - done);
        sink.write(tensor, done, piece);
        done += piece.length;
        progress();
        // sources in memory never wait: timers and aborts get their turn here
        const turn = dueTurn();
        if (turn !== undefined) await turn;
      }
      sink.done(tensor);
    }
    before += reader.position;
    if (reader.file.verified) await reader.drain();
    reader.close();
  }
}
