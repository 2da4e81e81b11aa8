import { sha256 } from "@noble/hashes/sha2";
import { bytesToHex } from "@noble/hashes/utils";
import { OptionError } from "../../error.ts";
import { SLOT_GROUP } from "../../kernels/sizes.ts";
import type { Calibration, CalibrationShape } from "../calibration.ts";
import type { StorageEntry } from "../storage.ts";
import { CODEC_KIND, EXACT, planCodec } from "./codec.ts";

/**
 * A byte for a group of neighbouring channels, which names the nearest of the centres that a calibration has learned for
 * it: 4, 2 or 1 bit per channel for groups of 2, 4 or 8. Keys are coded before they are rotated, and rotated at their
 * original position when they are read.
 */
export const cq: StorageEntry = {
  name: "cq",
  summary:
    "A byte for 2, 4 or 8 channels together, by codebooks that `deno task calibrate` learns for a model",
  source: "arXiv 2405.03917",
  cost:
    "d / channels bytes a key or value; 2 · d · 256 halves of codebooks per layer and KV head, once for all",
  params: {
    channels: { default: "4", help: "Channels that share a code", oneOf: ["2", "4", "8"] },
    recent: {
      default: 32,
      help: "Latest tokens that stay exact",
      least: 0,
      most: 4096,
      whole: true,
    },
    exact: EXACT,
  },
  plan(values, { hparams, chunk, calibration }) {
    const { nLayers, nKvHeads, headDim, valueDim } = hparams;
    const channels = Number(values.text("channels"));
    if (calibration === undefined) {
      throw new OptionError(
        "storage",
        "cq without a calibration",
        "a calibration of the model: `deno task calibrate` writes one",
      );
    }
    checkShape(calibration, { nLayers, nKvHeads, headDim, valueDim, channels });
    const { books, centres } = calibration;
    const codes = (width: number) => SLOT_GROUP * Math.ceil(width / channels / 4);
    const bytes = new Uint8Array(books.buffer, books.byteOffset, books.byteLength);
    return planCodec("cq", { ...values.all, centres, books: digest(bytes) }, hparams, {
      kind: CODEC_KIND.cq,
      recent: values.number("recent"),
      chunk,
      halves: values.text("exact") === "f16",
      params: [channels, centres, books instanceof Uint16Array ? 1 : 0],
      keyWords: codes(headDim),
      valueWords: codes(valueDim),
      books: bytes,
      unrotated: true,
    });
  },
};

/** Names codebooks: what was coded by some cannot be read by others. */
function digest(bytes: Uint8Array): string {
  return bytesToHex(sha256(bytes).subarray(0, 4));
}

function checkShape(calibration: Calibration, wanted: Omit<CalibrationShape, "centres">): void {
  for (const name of ["channels", "nLayers", "nKvHeads", "headDim", "valueDim"] as const) {
    if (calibration[name] === wanted[name]) continue;
    throw new OptionError(`calibration's ${name}`, calibration[name], String(wanted[name]));
  }
}
