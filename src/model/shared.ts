/**
 * What the sequences of a model share.
 *
 * @module
 */
import type { CachePlan } from "../cache/cache_plan.ts";
import type { PolicyScratch } from "../cache/policy_space.ts";
import type { AttentionDesk } from "../cache/storage.ts";
import type { Arena } from "../memory/arena.ts";
import type { Floats } from "../memory/handles.ts";
import type { SurvivorSpace } from "../sample/kernel_row.ts";
import type { Binding } from "../snapshot/binding.ts";
import type { Tokenizer } from "../tokenizer/mod.ts";
import type { Network, Part } from "./forward.ts";
import type { SequencePlan } from "./model_layout.ts";
import type { SparseSpace } from "./sparse_space.ts";
import type { Turnstile } from "./turnstile.ts";
import type { Workspace } from "./workspace.ts";

/** A workspace with the views through which ids and positions enter. */
export interface Desk {
  readonly workspace: Workspace;
  readonly ids: Uint32Array;
  readonly positions: Uint32Array;
}

/** What a sequence needs of its model. */
export interface Shared {
  readonly network: Network;
  readonly arena: Arena;
  readonly tokenizer: Tokenizer;
  readonly context: number;
  readonly outputRows: number;
  readonly caches: CachePlan;
  readonly policyScratch: PolicyScratch | null;
  readonly sparse: SparseSpace | null;
  readonly prompt: Desk;
  readonly step: Desk;
  /** Attention of the i-th token of `step` alone. */
  readonly stepRows: readonly AttentionDesk[];
  /** Parts of the tokens in `step`, of the texts that take part in it. */
  readonly stepParts: Part[];
  /** `[sequences, V]`. */
  readonly stepLogits: Floats;
  /** One prompt at a time passes through its desk. */
  readonly promptTurns: Turnstile;
  readonly survivors: SurvivorSpace;
  /** What snapshots belong to; made when it is first asked for. */
  binding(): Binding;
  readonly embedding: Floats;
  release(plan: SequencePlan): void;
}
