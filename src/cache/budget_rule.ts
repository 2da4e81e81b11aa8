/**
 * How the budget of a layer is spread over its KV heads. A rule is planned before anything is loaded, since it says how
 * many slots a head may need.
 *
 * @module
 */
import type { NamedEntry, Values } from "./named.ts";
import type { PolicyValue } from "./policy.ts";

/** The slots of a layer, some of which have to leave. */
export interface Choice {
  readonly nKvHeads: number;
  /** Slots per KV head that may stay, on average. */
  readonly budget: number;
  /** Slots that one KV head may keep at most. */
  readonly most: number;
  /** First and latest positions that stay in any case. */
  readonly sinks: number;
  readonly recent: number;
  /** Every head keeps the best `budget` of its own. */
  select(): void;
  /** Every head keeps the `least` best of its own beside what is protected, the layer the best `total` in all. */
  spread(total: number, least: number): void;
  /** Empties what scores less. */
  cutBelow(least: number): void;
  /** Empties all but the fewest slots of each head that have a share of the sum of its scores. */
  cutShare(tau: number): void;
}

/** A rule with its parameters. */
export interface BudgetRule {
  readonly name: string;
  readonly params: Readonly<Record<string, PolicyValue>>;
  /** Slots that a KV head may keep, as a multiple of the mean budget: what is allocated. At least 1. */
  readonly most: number;
  /** Scores that it needs, if not any that rank the slots of a KV head. */
  readonly needs?: "attention";
  /** Chooses what stays of a layer. */
  choose(layer: Choice): void;
}

/** A rule that can be named; `null`: every head keeps the best of its own. */
export interface BudgetRuleEntry extends NamedEntry {
  create(values: Values): BudgetRule | null;
}
