/**
 * `--policy auto`: from a number of bytes to the cache that loses least in them. The order is measured: `docs/policies.md`
 * has the table, `deno task bench:policies` makes it.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { readBudget } from "./budget.ts";
import type { CacheOptions, CachePlan } from "./cache_plan.ts";
import type { KvTypeName, KvTypes } from "./kv_cache.ts";

/** A cache with the types of its keys and values; the caller's, or else the default, where none are named. */
export interface StoredOptions extends CacheOptions {
  readonly kvType?: KvTypes | KvTypeName;
}

/** A cache to try, the best first. One that names types is none for who has asked for others. */
interface Candidate {
  readonly options: StoredOptions;
  /** What it is, for people. */
  readonly what: string;
}

/** Those that keep every token, which only fit or do not. */
const WHOLE: readonly Candidate[] = [
  { options: { policy: "full" }, what: "every token, stored as asked" },
  { options: { policy: "full", storage: "kivi:bits=4" }, what: "every token, in 4 bits by channel" },
  { options: { policy: "full", kvType: "q4_0" }, what: "every token, in 4 bits by block" },
];

/** Half of them the latest tokens, half those whose keys differ most, looked at in every eighth token. */
const KEYS = "keydiff:recent=0.5,every=8";

/** What keeps most of a text's worth where not every token fits, and what runs on every model. */
const REDUCED: readonly Candidate[] = [
  {
    options: { policy: KEYS, kvType: "q4_0" },
    what: "the latest tokens and those whose keys differ most, in 4 bits",
  },
  { options: { policy: KEYS }, what: "the latest tokens and those whose keys differ most, stored as asked" },
  { options: { policy: "window" }, what: "the latest tokens" },
];

/** What was chosen, and the sentence that says why. */
export interface Automatic {
  readonly options: StoredOptions;
  readonly reason: string;
}

/**
 * Chooses the cache for a budget in bytes.
 *
 * @param plan Plans a cache, or throws `OptionError` where its options do not go together.
 * @param bytesOf What the caches of a sequence take.
 * @throws {OptionError} When the budget is not in bytes, another axis is named beside it, or nothing fits.
 */
export function chooseAutomatically(
  options: StoredOptions,
  plan: (options: StoredOptions) => CachePlan,
  bytesOf: (plan: CachePlan) => number,
): Automatic {
  const budget = options.budget === undefined ? undefined : readBudget(options.budget);
  if (budget?.unit !== "bytes") {
    throw new OptionError("budget", options.budget, "bytes such as 24MB beside the policy auto");
  }
  for (const axis of ["storage", "read", "budgetRule", "victims", "positions"] as const) {
    if (options[axis] === undefined) continue;
    throw new OptionError(axis, options[axis], "none beside the policy auto, which chooses it");
  }
  const open = ({ options: { kvType } }: Candidate) => kvType === undefined || options.kvType === undefined;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  let least = "";
  for (const { options: candidate, what } of WHOLE.filter(open)) {
    const bytes = attempt(() => bytesOf(plan(candidate)));
    if (bytes === undefined) continue;
    if (bytes <= budget.value) {
      return {
        options: candidate,
        reason: `${what}: ${megabytes(bytes)} of ${megabytes(budget.value)}${least}`,
      };
    }
    least += `; ${what} would take ${megabytes(bytes)}`;
  }
  for (const { options: candidate, what } of REDUCED.filter(open)) {
    const chosen = { ...candidate, budget: options.budget, prefill: options.prefill };
    const bytes = attempt(() => bytesOf(plan(chosen)));
    if (bytes === undefined) continue;
    return { options: chosen, reason: `${what}: ${megabytes(bytes)} of ${megabytes(budget.value)}${least}` };
  }
  throw new OptionError("budget", options.budget, `more bytes for the policy auto${least}`);
}

/** What does not go together is no candidate. */
function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof OptionError) return undefined;
    throw error;
  }
}
