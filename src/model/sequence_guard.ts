import { OptionError } from "../error.ts";
import type { RunningText } from "./running_text.ts";
import type { Shared } from "./shared.ts";

/** What a sequence refuses: a call during another, ids that are none, tokens that there is no room for. */
export class SequenceGuard {
  readonly #text: RunningText;
  #state: "idle" | "busy" | "released" = "idle";

  constructor(text: RunningText) {
    this.#text = text;
  }

  /** Nothing else is allowed while `work` goes on. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#state = "busy";
    try {
      return await work();
    } finally {
      this.#state = "idle";
    }
  }

  /** Nothing else is allowed until all is taken that `work` yields, or the rest left. */
  *throughout<T>(work: () => Iterable<T>): Generator<T, void> {
    this.checkIdle();
    this.#state = "busy";
    try {
      yield* work();
    } finally {
      this.#state = "idle";
    }
  }

  /** No call is allowed afterwards. @returns False when that was so already. */
  release(): boolean {
    if (this.#state === "released") return false;
    this.checkIdle();
    this.#state = "released";
    this.#text.logitsAt = -1;
    return true;
  }

  /** @throws {OptionError} When `id` can't be read now, or in a step of other texts than those of `shared`. */
  checkStep(shared: Shared, id: number): void {
    if (this.#text.shared !== shared) {
      throw new OptionError("sequences", "of several models", "sequences of one");
    }
    this.checkIdle();
    this.#checkRoom(1);
    this.#checkId(id);
  }

  /** @throws {OptionError} When `ids` can't be read now. */
  checkIds(ids: readonly number[]): void {
    this.checkIdle();
    if (ids.length === 0) throw new OptionError("ids", ids, "at least one token");
    this.#checkRoom(ids.length);
    for (const id of ids) this.#checkId(id);
  }

  /** @throws {OptionError} During a call, and after the sequence has been released. */
  checkIdle(): void {
    if (this.#state !== "idle") {
      throw new OptionError("sequence", this.#state, "an idle one: one call at a time");
    }
  }

  /** @throws {OptionError} When tokens have been read. */
  checkEmpty(): void {
    const { position } = this.#text;
    if (position > 0) throw new OptionError("sequence", `at ${position}`, "an empty one");
  }

  /** @throws {OptionError} Always: the logits are not those after the last token read. */
  refuseLogits(): never {
    throw new OptionError(
      "sequence",
      `at position ${this.#text.position} without logits`,
      "a token read before its logits are, by prefill or decode",
    );
  }

  #checkRoom(nTokens: number): void {
    const { position, keeper, shared: { context } } = this.#text;
    const length = position + nTokens;
    if (length > context) throw new OptionError("length of the text", length, `at most ${context} tokens`);
    if (!this.#text.hasSlots(nTokens)) {
      throw new OptionError(
        "slots of the cache",
        `${keeper!.free} free`,
        "fewer tokens after the prompt, or a larger reserve",
      );
    }
  }

  #checkId(id: number): void {
    const { nVocab } = this.#text.shared.network.hparams;
    if (!(Number.isInteger(id) && id >= 0 && id < nVocab)) {
      throw new OptionError("token id", id, `a whole number from 0 to ${nVocab - 1}`);
    }
  }
}
