import { OptionError, SnapshotError } from "../../error.ts";
import { pagesOf } from "../../kernels/page_kernels.ts";
import type { Floats, LayerCache } from "../../memory/handles.ts";
import type { AttentionDesk, AttentionRules, KvStorage, ReadEntry } from "../storage.ts";
import { ActiveSlots, layActive } from "./active.ts";
import { PassingReader } from "./passing.ts";

/** Pages that a token reads at least. */
const LEAST_PAGES = 3;

/**
 * Pages of keys with bounds: a token after the prompt reads only those pages whose bounds promise the most. The page
 * of the token itself is one of them. Nothing is dropped.
 */
export const quest: ReadEntry = {
  name: "quest",
  summary: "Reads the pages of the cache whose key bounds promise most, in tokens after the prompt",
  source: "arXiv 2406.10774",
  cost:
    "8 d / page bytes per slot and KV head; one bound of d channels per page and query head, once a token",
  params: {
    page: {
      default: "32",
      help: "Slots of a page; below 32 blocks of 32 are read in part, which takes longer",
      oneOf: ["4", "8", "16", "32", "64"],
    },
    tokens: {
      default: 0.25,
      help: "Slots that are read: below 1 a share of the text, else a number",
      least: 0,
    },
    dense: { default: 2, help: "First layers that read everything", least: 0, whole: true },
  },
  plan(values, { hparams: { nKvHeads }, policy }) {
    const [page, tokens, dense] = [
      Number(values.text("page")),
      values.number("tokens"),
      values.number("dense"),
    ];
    if (tokens >= 1 && tokens < page) {
      throw new OptionError("quest:tokens", tokens, `at least a page, ${page}`);
    }
    return {
      name: "quest",
      params: values.all,
      lay(layers, kv) {
        const active = layActive(layers, kv);
        const pages = (capacity: number) => nKvHeads * pagesOf(capacity, page);
        const pageScores = kv.floats(Math.max(...layers.map(({ capacity }) => pages(capacity))));
        return layers.map((cache, layer) => {
          if (layer < dense) return cache;
          const pageBounds = kv.floats(2 * pages(cache.capacity) * cache.keyDim);
          return Object.freeze({
            ...cache,
            active,
            state: { ...cache.state, pageBounds },
            scratch: { ...cache.scratch, pageScores },
          });
        });
      },
      open: (rules, storage) => new QuestReader(rules, storage, { page, tokens, moves: policy !== null }),
    };
  },
};

interface QuestOptions {
  /** Slots of a page. */
  readonly page: number;
  /** Slots read: below 1 a share of the text. */
  readonly tokens: number;
  /** Whether slots move after a chunk of the prompt. */
  readonly moves: boolean;
}

/** Keeps bounds in step with the keys, and narrows attention of single tokens. */
class QuestReader extends PassingReader {
  readonly #page: number;
  readonly #tokens: number;
  readonly #moves: boolean;
  readonly #indexed: readonly LayerCache[];
  readonly #active: ActiveSlots | null;
  readonly #words: Uint32Array;
  /** Whether keys have moved or left since the bounds were made. */
  readonly #stale: boolean[];
  #step = false;

  constructor(rules: AttentionRules, storage: KvStorage, { page, tokens, moves }: QuestOptions) {
    super(rules, storage);
    this.#page = page;
    this.#tokens = tokens;
    this.#moves = moves;
    this.#indexed = this.layers.filter(({ active }) => active !== undefined);
    this.#active = this.#indexed.length === 0
      ? null
      : new ActiveSlots(rules.kernels, this.#indexed[0].active!);
    this.#words = new Uint32Array(rules.kernels.buffer);
    this.#stale = this.layers.map(() => false);
  }

  override openStep(): void {
    super.openStep();
    this.#step = true;
  }

  override append(layer: number, desk: AttentionDesk, n: number): void {
    super.append(layer, desk, n);
    const cache = this.layers[layer];
    if (cache.active === undefined) return;
    const { pages } = this.rules.kernels;
    if (this.#stale[layer]) pages.rebuild(boundsOf(cache), cache, this.#page);
    else pages.extend(boundsOf(cache), desk.k, cache, desk.positions, n, this.#page);
    this.#stale[layer] = false;
  }

  override attend(layer: number, desk: AttentionDesk, first: number, n: number, scores: Floats | null): void {
    const cache = this.layers[layer];
    if (cache.active !== undefined) {
      if (this.#step && n === 1) this.#choose(cache, desk);
      else this.#active!.widen();
    }
    super.attend(layer, desk, first, n, scores);
  }

  #choose(cache: LayerCache, desk: AttentionDesk): void {
    const { kernels: { pages }, hparams: { nHeads } } = this.rules;
    const position = this.#words[desk.positions.offset >>> 2];
    const tokens = this.#tokens < 1 ? Math.floor(this.#tokens * (position + 1)) : this.#tokens;
    const nRead = Math.max(LEAST_PAGES, Math.floor(tokens / this.#page));
    this.#active!.narrow();
    pages.choose(
      cache.scratch!.pageScores as Floats,
      boundsOf(cache),
      desk.q,
      cache,
      position,
      nHeads,
      this.#page,
      nRead,
    );
  }

  override closeChunk(position: number, ahead: number): void {
    super.closeChunk(position, ahead);
    // A policy drops tokens and closes the holes.
    if (this.#moves) this.#stale.fill(true);
  }

  override closeStep(position: number): void {
    super.closeStep(position);
    this.#step = false;
  }

  override truncated(position: number): void {
    super.truncated(position);
    this.#stale.fill(true);
    this.#step = false;
  }

  override reset(): void {
    super.reset();
    this.#stale.fill(false);
    this.#step = false;
  }

  override save(): unknown {
    return { inner: super.save(), stale: this.#stale };
  }

  override restore(saved: unknown): () => void {
    const { inner, stale } = (saved ?? {}) as { inner?: unknown; stale?: unknown };
    if (!Array.isArray(stale) || stale.length !== this.#stale.length) {
      throw new SnapshotError(
        "layers with stale bounds",
        stale,
        `one for each of ${this.#stale.length} layers`,
      );
    }
    const resume = super.restore(inner);
    return () => {
      resume();
      stale.forEach((value, layer) => this.#stale[layer] = value === true);
    };
  }
}

function boundsOf(cache: LayerCache): Floats {
  return cache.state!.pageBounds as Floats;
}
