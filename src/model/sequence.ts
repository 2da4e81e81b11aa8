/**
 * One running text: its place in the cache, its position, its logits. Sequences of a model share weights and
 * workspaces and never each other's cache.
 *
 * @module
 */
import type { HeldTokens } from "../cache/cache_keeper.ts";
import { type CacheReport, reportCache } from "../cache/cache_report.ts";
import { OptionError } from "../error.ts";
import { KernelRow } from "../sample/kernel_row.ts";
import type { LogitsRow } from "../sample/logits.ts";
import { logits } from "../snapshot/cache_sections.ts";
import type { Section } from "../snapshot/section.ts";
import type { Chunks } from "../snapshot/snapshot.ts";
import { inChunks } from "../snapshot/write.ts";
import type { Tokenizer } from "../tokenizer/mod.ts";
import { decodeToken, decodeTokens } from "./decode_step.ts";
import type { SequencePlan } from "./model_layout.ts";
import { meaning, prefill, type PrefillOptions, score, squeeze } from "./prompt.ts";
import { RunningText } from "./running_text.ts";
import { SequenceGuard } from "./sequence_guard.ts";
import { SequenceSnapshots } from "./sequence_snapshots.ts";
import type { Shared } from "./shared.ts";
import type { Steps } from "./steps.ts";

/** A text that is being read or written. One call at a time: await `prefill` and `score` before the next. */
export class Sequence {
  readonly #text: RunningText;
  readonly #steps: Steps;
  readonly #snapshots: SequenceSnapshots;
  readonly #guard: SequenceGuard;
  readonly #row: LogitsRow;

  /** Use `Model.sequence`. */
  constructor(shared: Shared, plan: SequencePlan, steps: Steps) {
    const { arena, network: { kernels, hparams }, survivors } = shared;
    this.#row = new KernelRow(kernels, arena, plan.logits, hparams.nVocab, survivors);
    this.#text = new RunningText(shared, plan);
    this.#steps = steps;
    this.#snapshots = new SequenceSnapshots(this.#text);
    this.#guard = new SequenceGuard(this.#text);
  }

  /** The model's. */
  get tokenizer(): Tokenizer {
    return this.#text.shared.tokenizer;
  }

  /** Tokens read so far; the position of the next. */
  get position(): number {
    return this.#text.position;
  }

  /** Most tokens that its text can have. */
  get capacity(): number {
    return this.#text.shared.context;
  }

  /**
   * What a sampler sees of the logits after the last token read.
   *
   * @throws {OptionError} When there are none: no token was read yet, or the last call left none (`embed`, `score`,
   *   `truncate`, `reset`).
   */
  get row(): LogitsRow {
    if (this.#text.logitsAt !== this.#text.position) this.#guard.refuseLogits();
    return this.#row;
  }

  /**
   * Whether the host has said, since this was last asked, that the CPU time of the request is nearly used up; to be asked
   * after every token. Cloudflare Workers say so some time before they end a request.
   */
  takeCpuWarning(): boolean {
    return this.#text.takeCpuWarning();
  }

  /** Whether no token more can be read. */
  get full(): boolean {
    return this.position >= this.capacity || !this.hasSlots(1);
  }

  /** Whether the cache has slots for a prompt of so many tokens; one that drops tokens at prompts only may have none left. */
  hasSlots(nTokens: number): boolean {
    return this.#text.hasSlots(nTokens);
  }

  /**
   * Reads tokens in chunks; afterwards `logits()` is about the token that follows the last.
   *
   * @throws {OptionError} When there are none, one is no token id, or they do not fit.
   * @throws {CpuLimitError} When the host ends the request soon; the tokens of chunks that were done stay.
   */
  async prefill(ids: readonly number[], options: PrefillOptions = {}): Promise<void> {
    this.#guard.checkIds(ids);
    await this.#guard.during(() => prefill(this.#text, ids, options));
  }

  /**
   * Reads one token, at once.
   *
   * @throws {OptionError} When it is no token id or the context is full.
   */
  decode(id: number): void {
    this.#guard.checkStep(this.#text.shared, id);
    decodeToken(this.#text, id);
  }

  /**
   * Reads one token in the model's next step, together with those that other sequences bring meanwhile: each weight is
   * read once for all. The result is that of `decode`, bit for bit. `undefined` when it was read at once, as nobody else
   * generates.
   *
   * @throws {OptionError} As `decode` does.
   * @throws The signal's reason when it is aborted before the step.
   */
  step(id: number, signal?: AbortSignal): Promise<void> | undefined {
    this.#guard.checkStep(this.#text.shared, id);
    const read = this.#steps.read(this.#text, id, signal);
    return read && this.#guard.during(() => read);
  }

  /** See `Model.decode`. */
  static decodeTogether(sequences: readonly Sequence[], ids: readonly number[]): void {
    const n = sequences.length;
    if (n === 0 || ids.length !== n || (n > 1 && new Set(sequences).size < n)) {
      throw new OptionError(
        "sequences",
        n,
        `different ones, each with its token, of which there are ${ids.length}`,
      );
    }
    const { shared } = sequences[0].#text;
    sequences.forEach((sequence, i) => sequence.#guard.checkStep(shared, ids[i]));
    decodeTokens(sequences.map((sequence) => sequence.#text), ids);
  }

  /**
   * The logits `[V]` after the last token read: a view of memory, valid until this sequence's next call.
   *
   * @throws {OptionError} As `row` does.
   */
  logits(): Float32Array {
    return this.row.view();
  }

  /**
   * Reads a prefix that stays in front of whatever follows, and lets the reader make its index of it (`read: "squeezed"`).
   * From then on the index decides what of the prefix is read; a snapshot holds it.
   *
   * @param options.onProgress Counts tokens read, and each token a second time as the index is made.
   * @throws {OptionError} When the reader makes none, the sequence is not empty, or the prefix is too short or too long.
   *
   * @example
   * ```ts
   * import { generate, loadModel } from "@locket/locket";
   *
   * const read = "squeezed:window=16,share=0.1";
   * const model = await loadModel("models/locket-books-q8_0.gguf", { context: 256, read });
   * const sequence = model.sequence();
   * await sequence.squeeze(model.tokenizer.encode("The old house stood at the end of the lane. ".repeat(8)));
   * const { text } = await generate(sequence, "And then", { maxTokens: 8 }).result();
   * console.log(text);
   * model.dispose();
   * ```
   */
  async squeeze(ids: readonly number[], options: PrefillOptions = {}): Promise<void> {
    this.#guard.checkIds(ids);
    const index = this.#text.storage.prefixIndex;
    if (index === undefined) throw new OptionError("read", this.cache().read, "squeezed");
    this.#guard.checkEmpty();
    const { length } = ids;
    if (length <= index.window || length > index.most) {
      throw new OptionError(
        "length of the prefix",
        length,
        `${index.window + 1} to ${index.most} tokens, as the reader is set`,
      );
    }
    await this.#guard.during(() => squeeze(this.#text, index, ids, options));
  }

  /**
   * Reads tokens and sums the negative log-likelihood, in nats, of each but the first given all before it.
   *
   * @throws {OptionError} As `prefill` does.
   */
  async score(
    ids: readonly number[],
    { signal }: PrefillOptions = {},
  ): Promise<{ nll: number; tokens: number }> {
    this.#guard.checkIds(ids);
    return await this.#guard.during(() => score(this.#text, ids, signal));
  }

  /**
   * Reads tokens as `prefill` does and gives their meaning: the mean of their final hidden states, after the output
   * norm, brought to length 1, `[D]`. No logits are computed.
   *
   * @throws {OptionError} As `prefill` does.
   */
  async embed(ids: readonly number[], options: PrefillOptions = {}): Promise<Float32Array> {
    this.#guard.checkIds(ids);
    return await this.#guard.during(() => meaning(this.#text, ids, options));
  }

  /**
   * Forgets all from `position` on.
   *
   * @throws {OptionError} When that lies ahead.
   */
  truncate(position: number): void {
    this.#guard.checkIdle();
    if (!(Number.isInteger(position) && position >= 0 && position <= this.position)) {
      throw new OptionError("position", position, `a whole number from 0 to ${this.position}`);
    }
    this.#text.truncate(position);
  }

  /** Forgets all. */
  reset(): void {
    this.#guard.checkIdle();
    this.#text.reset();
  }

  /**
   * Its whole state as bytes: a sequence of the same model, types of keys and values and policy, with the same or the
   * other binary, goes on from it as if it had never stopped, also where the cache has another capacity. See
   * docs/sessions.md for what it holds.
   *
   * @param more Sections beside those of the cache; by default the logits after the last token.
   *
   * @example
   * ```ts
   * import { loadModel } from "@locket/locket";
   * import { assertEquals } from "@std/assert";
   *
   * const model = await loadModel("models/locket-books-q8_0.gguf", { context: 128, sequences: 2 });
   * const [one, other] = [model.sequence(), model.sequence()];
   * await one.prefill(model.tokenizer.encode("It was late, and the old house"));
   * other.restore(one.save());
   * assertEquals(other.logits(), one.logits());
   * model.dispose();
   * ```
   */
  save(more: readonly Section[] = [logits]): Uint8Array<ArrayBuffer> {
    this.#guard.checkIdle();
    const outgoing = this.#snapshots.save(more);
    return inChunks(outgoing, outgoing.bytes).next().value!;
  }

  /**
   * The same in chunks of at most `maxBytes`, with no copy of the whole: each is valid until the next is asked for. To be
   * read to its end, or left.
   */
  *saveChunks(maxBytes: number, more: readonly Section[] = [logits]): Generator<Uint8Array<ArrayBuffer>> {
    if (!(Number.isInteger(maxBytes) && maxBytes >= 1)) {
      throw new OptionError("maxBytes", maxBytes, "a whole number of at least 1");
    }
    yield* this.#guard.throughout(() => inChunks(this.#snapshots.save(more), maxBytes));
  }

  /**
   * Takes a saved state in place of its own.
   *
   * @param more As it was saved with.
   * @throws {SnapshotError} When the bytes are damaged or belong to something else; the sequence is as it was then.
   */
  restore(snapshot: Uint8Array, more: readonly Section[] = [logits]): void {
    this.#guard.checkIdle();
    this.#snapshots.restore(snapshot, more);
  }

  /**
   * Takes a saved state from chunks as they come, with no copy of the whole beside the cache.
   *
   * @throws {OptionError} When the sequence is not empty.
   * @throws {SnapshotError} As `restore` does; the sequence is empty then.
   */
  async restoreFrom(chunks: Chunks, more: readonly Section[] = [logits]): Promise<void> {
    this.#guard.checkIdle();
    this.#guard.checkEmpty();
    await this.#guard.during(() => this.#snapshots.restoreFrom(chunks, more));
  }

  /** Gives its place back to the model; no call is allowed afterwards. */
  release(): void {
    if (this.#guard.release()) this.#text.shared.release(this.#text.plan);
  }

  /** `release`, at the end of a block with `using sequence = model.sequence()`. */
  [Symbol.dispose](): void {
    this.release();
  }

  /** What the cache holds and takes. */
  cache(): CacheReport {
    const { shared, plan, keeper, position } = this.#text;
    return reportCache(plan.cache, keeper, shared.caches, position);
  }

  /** A copy of what a policy has kept, by layer and KV head; nothing under `full`. */
  cacheContents(): HeldTokens[][] {
    return this.#text.keeper?.contents() ?? [];
  }
}
