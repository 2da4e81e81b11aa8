import { isCount } from "../../count.ts";
import { OptionError, SnapshotError, UnsupportedModelError } from "../../error.ts";
import type { Floats, LayerCache, Words } from "../../memory/handles.ts";
import type { AnchorRule } from "../policy.ts";
import type { AttentionDesk, AttentionRules, KvStorage, ReadEntry } from "../storage.ts";
import { attendSlots } from "../storage/plain.ts";
import { PassingReader } from "./passing.ts";

/** Segment by segment: rows of a closed segment are read before its slots go. */
export const anchor: ReadEntry = {
  name: "anchor",
  summary: "Reads the running segment and earlier anchors; part of the policy of that name",
  source: "arXiv 2411.06680, 2402.07616",
  cost: "see the policy",
  params: {},
  plan(values, { hparams, policy, chunk }) {
    const rule = policy?.anchors;
    if (rule === undefined) throw new OptionError("read", "anchor", "the policy anchor beside it");
    const crosses = rule.layers?.some((source, layer) => source !== layer) ?? false;
    if (crosses && (hparams.positions === "alibi" || hparams.windows.some((window) => window > 0))) {
      throw new UnsupportedModelError("attention of a model with anchors across layers", "ALiBi or windows", [
        "rotary or learned positions over the whole text",
      ]);
    }
    if (rule.layers !== undefined) checkLayers(rule.layers, hparams.nLayers);
    return {
      name: "anchor",
      params: values.all,
      lay(layers, kv) {
        if (!crosses) return layers;
        const { nHeads, valueDim } = hparams;
        const scratch = {
          otherPositions: kv.words(chunk),
          otherOut: kv.floats(chunk * nHeads * valueDim),
          otherLogSums: kv.floats(chunk * nHeads),
        };
        return layers.map((cache) => Object.freeze({ ...cache, scratch: { ...cache.scratch, ...scratch } }));
      },
      open: (rules, storage) => new AnchorReader(rules, storage, rule, chunk),
    };
  },
};

function checkLayers(layers: readonly number[], nLayers: number): void {
  const fits = layers.length === nLayers &&
    layers.every((source, layer) => isCount(source) && source <= layer);
  if (!fits) {
    throw new UnsupportedModelError("layers whose anchors are read", layers.join(", "), [
      `for each of ${nLayers} layers itself or one before it`,
    ]);
  }
}

/** Where attention to another layer is left. */
interface OtherLayer {
  readonly otherPositions: Words;
  /** `[chunk, H, dv]` and `[H, chunk]`. */
  readonly otherOut: Floats;
  readonly otherLogSums: Floats;
}

/** Cuts what is read into segments, and empties the slots of those that have passed. */
class AnchorReader extends PassingReader {
  readonly #rule: AnchorRule;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  /** Rows of anchors among the tokens at work. */
  readonly #ends: Uint32Array;
  #nEnds = 0;
  /** First position of the running segment, before and after the tokens at work. */
  #start = 0;
  #next = 0;

  constructor(rules: AttentionRules, storage: KvStorage, rule: AnchorRule, chunk: number) {
    super(rules, storage);
    this.#rule = rule;
    this.#words = new Uint32Array(rules.kernels.buffer);
    this.#bytes = new Uint8Array(rules.kernels.buffer);
    this.#ends = new Uint32Array(chunk);
  }

  override append(layer: number, desk: AttentionDesk, n: number): void {
    super.append(layer, desk, n);
    if (layer > 0) return;
    const classes = this.rules.classes!.offset;
    this.#nEnds = 0;
    for (let row = 0; row < n; row++) {
      if (this.#bytes[classes + this.#words[(desk.ids.offset >>> 2) + row]] === 0) continue;
      this.#ends[this.#nEnds++] = row;
      this.#next = this.#position(desk, row) + 1;
    }
  }

  override attend(layer: number, desk: AttentionDesk, first: number, n: number): void {
    const { classes } = this.rules.kernels;
    const end = first + n;
    let [start, row] = [this.#start, first];
    for (let i = 0; i < this.#nEnds && row < end; i++) {
      const anchor = this.#ends[i];
      if (anchor >= end) break;
      const position = this.#position(desk, anchor);
      if (anchor >= first) {
        this.#attendSegment(layer, desk, row, anchor + 1 - row, start, position);
        classes.evictRange(this.layers[layer], start, position);
        row = anchor + 1;
      }
      start = position + 1;
    }
    if (row < end) this.#attendSegment(layer, desk, row, end - row, start, null);
  }

  /** Rows of one segment, which begins at position `start`; the last of them is an anchor at position `end`, if any. */
  #attendSegment(
    layer: number,
    desk: AttentionDesk,
    first: number,
    n: number,
    start: number,
    end: number | null,
  ): void {
    const alone = end !== null && this.#rule.sees === "segment";
    const nSeeing = alone ? n - 1 : n;
    if (nSeeing > 0) {
      super.attend(layer, desk, first, nSeeing, null);
      const source = this.#rule.layers?.[layer] ?? layer;
      if (source !== layer && start > 0) this.#readAnchors(this.layers[source], desk, first, nSeeing, start);
    }
    if (alone) this.#attendWithin(layer, desk, first + n - 1, end + 1 - start);
  }

  /** One row over the latest `window` positions only. */
  #attendWithin(layer: number, desk: AttentionDesk, row: number, window: number): void {
    const own = this.rules.hparams.windows[layer];
    const least = own === 0 ? window : Math.min(window, own);
    attendSlots(this.rules, this.layers[layer], desk, row, 1, null, least);
  }

  /** Joins attention over another layer's anchors before `start`: all that is left there of those positions. */
  #readAnchors(source: LayerCache, desk: AttentionDesk, first: number, n: number, start: number): void {
    const { kernels, hparams: { nHeads, valueDim, attentionScale, attentionSoftcap } } = this.rules;
    const { otherPositions, otherOut, otherLogSums } = source.scratch as unknown as OtherLayer;
    const at = (otherPositions.offset >>> 2) + first;
    this.#words.fill(start - 1, at, at + n);
    kernels.cache.attend(
      otherOut,
      null,
      otherLogSums,
      desk.q,
      source,
      otherPositions,
      null,
      n,
      nHeads,
      attentionScale,
      attentionSoftcap,
      0,
      first,
    );
    const rows = (all: Floats) =>
      first === 0 ? all : { ...all, offset: all.offset + 4 * first * nHeads * valueDim };
    kernels.cache.join(
      rows(desk.attended),
      desk.logSums,
      rows(otherOut),
      otherLogSums,
      n,
      nHeads,
      valueDim,
    );
  }

  #position(desk: AttentionDesk, row: number): number {
    return this.#words[(desk.positions.offset >>> 2) + row];
  }

  override closeChunk(position: number, ahead: number): void {
    super.closeChunk(position, ahead);
    this.#start = this.#next;
  }

  override closeStep(position: number): void {
    super.closeStep(position);
    this.#start = this.#next;
  }

  /** What segments behind it have lost stays lost: one begins here. */
  override truncated(position: number): void {
    super.truncated(position);
    this.#start = this.#next = Math.min(this.#start, position);
  }

  override reset(): void {
    super.reset();
    this.#start = this.#next = 0;
  }

  override save(): unknown {
    return { inner: super.save(), start: this.#start };
  }

  override restore(saved: unknown): () => void {
    const { inner, start } = (saved ?? {}) as { inner?: unknown; start?: unknown };
    if (!isCount(start)) throw new SnapshotError("start of the segment", start, "a position");
    const resume = super.restore(inner);
    return () => {
      resume();
      this.#start = this.#next = start;
    };
  }
}
