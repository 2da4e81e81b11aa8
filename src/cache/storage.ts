/**
 * How keys and values of a sequence are stored and read. Attention goes through this interface; what lies behind it is
 * one set of slots per layer and KV head, so that policies, masks and rows of logits do not care how a slot is stored.
 *
 * Life of a sequence, for every layer:
 *
 *     prompt   per chunk: `append`, `attend`;  all layers done: the policy reduces, then `closeChunk`
 *     step     `openStep`, `append`, `attend`; all layers done: the policy reduces, then `closeStep`
 *
 * A storage is planned before anything is loaded (`StorageEntry.plan`), laid out with everything else (`lay`), and
 * opened for each sequence (`open`). A reader (`ReadEntry`) wraps a storage and chooses what of it is read.
 *
 * @module
 */
import type { Hparams } from "../hparams.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { Bytes, Floats, LayerCache, Layout, Words } from "../memory/handles.ts";
import type { Budget } from "./budget.ts";
import type { Calibration } from "./calibration.ts";
import type { KvTypes } from "./kv_cache.ts";
import type { NamedEntry, Values } from "./named.ts";
import type { Policy, PolicyValue } from "./policy.ts";

/** The buffers that attention takes tokens from and leaves results in; shapes as in `model/workspace.ts`. */
export interface AttentionDesk {
  readonly ids: Words;
  readonly q: Floats;
  readonly k: Floats;
  readonly v: Floats;
  readonly positions: Words;
  readonly attended: Floats;
  readonly logSums: Floats;
}

/** What of a model attention depends on. */
export interface AttentionRules {
  readonly kernels: Kernels;
  readonly hparams: Hparams;
  /** ALiBi slopes `[H]`. */
  readonly slopes: Floats | null;
  /** The class of each token `[V]`, where a policy asks for classes. */
  readonly classes?: Bytes | null;
}

/** Keys and values of one sequence. */
export interface KvStorage {
  readonly layers: readonly LayerCache[];
  /** A prompt begins, after which a policy may keep so many slots per KV head of each layer. */
  openPrompt?(budgets: readonly number[]): void;
  /** One token of the running text is about to pass all layers. */
  openStep?(): void;
  /** Stores the keys and values of the first `n` tokens on the desk. */
  append(layer: number, desk: AttentionDesk, n: number): void;
  /**
   * attended [n, H, dv] = attention of `n` queries on the desk from `first` on.
   *
   * @param scores Receives the weights `[H, n, capacity]`, up to a factor per row, where somebody wants them.
   */
  attend(layer: number, desk: AttentionDesk, first: number, n: number, scores: Floats | null): void;
  /** A chunk of a prompt has passed all layers; `position` tokens are read, and `ahead` more of the prompt come. */
  closeChunk?(position: number, ahead: number): void;
  /** A token of the running text has passed all layers; `position` tokens are read. */
  closeStep?(position: number): void;
  /** Slots at later positions have been emptied. */
  truncated?(position: number): void;
  /** All slots have been emptied. */
  reset?(): void;
  /** How a fixed prefix is indexed, where it is. */
  readonly prefixIndex?: PrefixIndex;
  /** What it knows beside memory, for a snapshot: anything that JSON holds. */
  save?(): unknown;
  /**
   * Checks what `save` gave; what is returned goes on from it, with memory in place.
   *
   * @throws {SnapshotError} When it can't go on from that.
   */
  restore?(saved: unknown): () => void;
}

/** An index of a text that stays in front of whatever follows. */
export interface PrefixIndex {
  /** Last tokens of the prefix that it needs to see after the others have been clustered. */
  readonly window: number;
  /** Tokens of the prefix at most. */
  readonly most: number;
  /** Clusters the first tokens of a prefix, all but the window, which have been read; yields how much is done, up to 1. */
  cluster(prefix: number): Generator<number>;
  /** The window has been read too: from now on the index decides what is read. */
  calibrate(): void;
}

/** What a storage is planned for. */
export interface StorageSetting {
  readonly hparams: Hparams;
  readonly types: KvTypes;
  /** None: everything stays. */
  readonly policy: Policy | null;
  readonly prefill: "streaming" | "whole" | "sparse";
  /** Prompt tokens computed at once. */
  readonly chunk: number;
  /** Tokens that a sequence can have. */
  readonly context: number;
  /** What a policy may keep. */
  readonly budget: Budget;
  /** What has been learned about the model's keys and values, where the caller gives it. */
  readonly calibration?: Calibration;
}

/** A storage with its parameters, ready to be laid out. */
export interface StoragePlan {
  readonly name: string;
  readonly params: Readonly<Record<string, PolicyValue>>;
  /** Whether keys come to it unrotated, to be rotated when they are read. */
  readonly unrotated?: boolean;
  /** Whether tokens have different widths, of which a policy whose victims are demoted decides. */
  readonly demotes?: boolean;
  /** Codebooks that all sequences share. */
  readonly books?: Uint8Array;
  /**
   * Lays out the caches of one sequence.
   *
   * @param capacities Slots per KV head of each layer, multiples of 32.
   * @param books Where the codebooks lie.
   */
  lay(capacities: readonly number[], kv: Layout, slots: Layout, books: Bytes | null): readonly LayerCache[];
  /** Opens the caches of a sequence, which are not reset yet. */
  open(rules: AttentionRules, layers: readonly LayerCache[]): KvStorage;
}

/** A reader with its parameters, ready to be laid out. */
export interface ReadPlan {
  readonly name: string;
  readonly params: Readonly<Record<string, PolicyValue>>;
  /** The caches of a sequence with what the reader keeps beside them. */
  lay(layers: readonly LayerCache[], kv: Layout): readonly LayerCache[];
  open(rules: AttentionRules, storage: KvStorage): KvStorage;
}

/** Something that can be named and is planned for a setting. */
interface Entry<Plan> extends NamedEntry {
  /** @throws {OptionError} When it does not go together with the rest. */
  plan(values: Values, setting: StorageSetting): Plan;
}

/** A storage that can be named. */
export type StorageEntry = Entry<StoragePlan>;

/** A reader that can be named; `null`: everything is read. */
export type ReadEntry = Entry<ReadPlan | null>;
