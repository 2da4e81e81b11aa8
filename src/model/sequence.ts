/**
 * One running text: its place in the cache, its position, its logits. Sequences of a model share weights and
 * workspaces and never each other's cache.
 *
 * @module
 */
import { CacheKeeper, type HeldTokens } from "../cache/cache_keeper.ts";
import { openCaches } from "../cache/cache_plan.ts";
import { type CacheReport, reportCache } from "../cache/cache_report.ts";
import type { KvStorage } from "../cache/storage.ts";
import { CpuLimitError, OptionError } from "../error.ts";
import { asKernelError } from "../kernels/kernels.ts";
import { KernelRow } from "../sample/kernel_row.ts";
import type { LogitsRow } from "../sample/logits.ts";
import { logits } from "../snapshot/cache_sections.ts";
import type { Section } from "../snapshot/section.ts";
import { type Chunks, restoreBytes, restoreChunks } from "../snapshot/snapshot.ts";
import { inChunks } from "../snapshot/write.ts";
import type { Tokenizer } from "../tokenizer/mod.ts";
import { dueTurn } from "../turn.ts";
import { addHidden, attention, embed, feedForward, outputLogits, type Part } from "./forward.ts";
import type { SequencePlan } from "./plan.ts";
import { SequenceSnapshots } from "./sequence_snapshots.ts";
import type { Shared } from "./shared.ts";

export interface PrefillOptions {
  /** Aborting it rejects with its reason. The tokens of chunks that were done stay. */
  readonly signal?: AbortSignal;
  /** Called after every chunk with the tokens done and wanted. */
  readonly onProgress?: (progress: { done: number; total: number }) => void;
}

/** A text that is being read or written. One call at a time: await `prefill` and `score` before the next. */
export class Sequence {
  readonly #shared: Shared;
  readonly #plan: SequencePlan;
  readonly #storage: KvStorage;
  /** None: everything stays. */
  readonly #keeper: CacheKeeper | null;
  /** Its token among those of several sequences, by its place there. */
  readonly #stepParts: readonly Part[];
  /** What a sampler sees of the logits after the last token read. */
  readonly row: LogitsRow;
  readonly #snapshots: SequenceSnapshots;
  #position = 0;
  #state: "idle" | "busy" | "released" = "idle";
  #cpuWarned = false;

  /** Use `Model.sequence`. */
  constructor(shared: Shared, plan: SequencePlan) {
    const { arena, network: { kernels, hparams }, survivors } = shared;
    this.#shared = shared;
    this.#plan = plan;
    this.row = new KernelRow(kernels, arena, plan.logits, hparams.nVocab, survivors);
    this.#storage = openCaches(shared.caches, shared.network, plan.cache);
    this.#keeper = shared.caches.policy === null ? null : new CacheKeeper(
      shared.network,
      plan.cache,
      { ...shared.caches, policy: shared.caches.policy },
      { scores: plan.scores, scratch: shared.policyScratch! },
    );
    this.#snapshots = new SequenceSnapshots(shared, plan, this.#keeper, this.#storage);
    this.#stepParts = shared.stepRows.map((desk) => ({
      storage: this.#storage,
      watcher: this.#keeper,
      desk,
      nTokens: 1,
    }));
    this.reset();
  }

  /** The model's. */
  get tokenizer(): Tokenizer {
    return this.#shared.tokenizer;
  }

  /** Tokens read so far; the position of the next. */
  get position(): number {
    return this.#position;
  }

  /** Most tokens that its text can have. */
  get capacity(): number {
    return this.#shared.context;
  }

  /**
   * Whether the host has said, since this was last asked, that the CPU time of the request is nearly used up; to be asked
   * after every token. Cloudflare Workers say so some time before they end a request.
   */
  takeCpuWarning(): boolean {
    const warned = this.#cpuWarned || this.#shared.network.kernels.takeCpuWarning();
    this.#cpuWarned = false;
    return warned;
  }

  /** Whether no token more can be read. */
  get full(): boolean {
    return this.#position >= this.capacity || !this.hasSlots(1);
  }

  /** Whether the cache has slots for a prompt of so many tokens; one that drops tokens at prompts only may have none left. */
  hasSlots(nTokens: number): boolean {
    const atOnce = Math.min(nTokens, this.#shared.prompt.workspace.nTokens);
    return this.#keeper === null || this.#keeper.free >= atOnce;
  }

  /**
   * Reads tokens in chunks; afterwards `logits()` is about the token that follows the last.
   *
   * @throws {OptionError} When there are none, one is no token id, or they do not fit.
   * @throws {CpuLimitError} When the host ends the request soon; the tokens of chunks that were done stay.
   */
  async prefill(ids: readonly number[], { signal, onProgress }: PrefillOptions = {}): Promise<void> {
    this.#check(ids);
    await this.#read(ids, signal, (start, n) => {
      const { network, prompt: { workspace } } = this.#shared;
      const done = start + n;
      if (done === ids.length) outputLogits(network, workspace, n - 1, 1, this.#plan.logits);
      onProgress?.({ done, total: ids.length });
    });
  }

  /**
   * Reads one token, at once.
   *
   * @throws {OptionError} When it is no token id or the context is full.
   */
  decode(id: number): void {
    Sequence.decodeTogether([this], [id]);
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
    const shared = sequences[0].#shared;
    const { network, step: { workspace, ids: given, positions }, stepLogits, arena } = shared;
    sequences.forEach((sequence, i) => sequence.#checkStep(shared, ids[i]));
    sequences.forEach((sequence, i) => {
      given[i] = ids[i];
      positions[i] = sequence.#position;
      sequence.#keeper?.openStep();
      sequence.#storage.openStep?.();
    });
    const parts = sequences.map((sequence, i) => sequence.#stepParts[i]);
    try {
      embed(network, workspace, n);
      for (let layer = 0; layer < network.hparams.nLayers; layer++) {
        attention(network, workspace, layer, n, parts);
        feedForward(network, workspace, layer, n);
      }
      outputLogits(network, workspace, 0, n, n === 1 ? sequences[0].#plan.logits : stepLogits);
      for (const sequence of sequences) sequence.#closeStep();
    } catch (error) {
      throw asKernelError(error);
    }
    if (n === 1) return;
    const rowBytes = 4 * network.hparams.nVocab;
    sequences.forEach((sequence, i) => {
      const start = stepLogits.offset + i * rowBytes;
      arena.bytes.copyWithin(sequence.#plan.logits.offset, start, start + rowBytes);
    });
  }

  /** The logits `[V]` after the last token read: a view of memory, valid until this sequence's next call. */
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
  async squeeze(ids: readonly number[], { signal, onProgress }: PrefillOptions = {}): Promise<void> {
    this.#check(ids);
    const index = this.#storage.prefixIndex;
    if (index === undefined) throw new OptionError("read", this.cache().read, "squeezed");
    if (this.#position > 0) throw new OptionError("sequence", `at ${this.#position}`, "an empty one");
    const { length } = ids;
    if (length <= index.window || length > index.most) {
      throw new OptionError(
        "length of the prefix",
        length,
        `${index.window + 1} to ${index.most} tokens, as the reader is set`,
      );
    }
    const head = length - index.window;
    const report = (done: number) => onProgress?.({ done, total: 2 * length });
    await this.prefill(ids.slice(0, head), { signal, onProgress: ({ done }) => report(done) });
    this.#state = "busy";
    try {
      for (const done of index.cluster(length)) {
        report(head + done * length);
        await pause(signal);
      }
    } finally {
      this.#state = "idle";
    }
    await this.prefill(ids.slice(head), { signal, onProgress: ({ done }) => report(head + length + done) });
    index.calibrate();
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
    this.#check(ids);
    const { outputRows, network, prompt: { workspace } } = this.#shared;
    const { kernels, hparams: { nVocab } } = network;
    const { logits } = this.#plan;
    let nll = 0;
    await this.#read(ids, signal, async (start, n) => {
      // The last token of all has no successor to be scored.
      const nScored = Math.min(n, ids.length - 1 - start);
      for (let row = 0; row < nScored; row += outputRows) {
        const nRows = Math.min(outputRows, nScored - row);
        outputLogits(network, workspace, row, nRows, logits);
        for (let i = 0; i < nRows; i++) {
          const target = ids[start + row + i + 1];
          nll += kernels.logSumExp(logits, nVocab, i) - kernels.read(logits, i * nVocab + target);
        }
        await pause(signal);
      }
    });
    return { nll, tokens: ids.length - 1 };
  }

  /**
   * Reads tokens as `prefill` does and gives their meaning: the mean of their final hidden states, after the output
   * norm, brought to length 1, `[D]`. No logits are computed.
   *
   * @throws {OptionError} As `prefill` does.
   */
  async embed(
    ids: readonly number[],
    { signal, onProgress }: PrefillOptions = {},
  ): Promise<Float32Array> {
    this.#check(ids);
    const { arena, network, embedding, prompt: { workspace } } = this.#shared;
    const sum = arena.floats(embedding);
    let vector = sum;
    await this.#read(ids, signal, (start, n) => {
      if (start === 0) sum.fill(0);
      addHidden(network, workspace, n, embedding);
      const done = start + n;
      if (done === ids.length) {
        network.kernels.l2Normalize(embedding);
        // before another text takes the room
        vector = sum.slice();
      }
      onProgress?.({ done, total: ids.length });
    });
    return vector;
  }

  /**
   * Forgets all from `position` on.
   *
   * @throws {OptionError} When that lies ahead.
   */
  truncate(position: number): void {
    this.#checkIdle();
    if (!(Number.isInteger(position) && position >= 0 && position <= this.#position)) {
      throw new OptionError("position", position, `a whole number from 0 to ${this.#position}`);
    }
    this.#truncate(position);
  }

  /** Forgets all. */
  reset(): void {
    this.#checkIdle();
    this.#reset();
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
    this.#checkIdle();
    const outgoing = this.#snapshots.save(this.#position, more);
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
    this.#checkIdle();
    this.#state = "busy";
    try {
      yield* inChunks(this.#snapshots.save(this.#position, more), maxBytes);
    } finally {
      this.#state = "idle";
    }
  }

  /**
   * Takes a saved state in place of its own.
   *
   * @param more As it was saved with.
   * @throws {SnapshotError} When the bytes are damaged or belong to something else; the sequence is as it was then.
   */
  restore(snapshot: Uint8Array, more: readonly Section[] = [logits]): void {
    this.#checkIdle();
    let resume = () => {};
    const { position } = restoreBytes(this.#snapshots.incoming(more), snapshot, (checked) => {
      resume = this.#snapshots.resume(checked);
      this.#reset();
      this.#snapshots.begin();
    });
    this.#position = position;
    resume();
  }

  /**
   * Takes a saved state from chunks as they come, with no copy of the whole beside the cache.
   *
   * @throws {OptionError} When the sequence is not empty.
   * @throws {SnapshotError} As `restore` does; the sequence is empty then.
   */
  async restoreFrom(chunks: Chunks, more: readonly Section[] = [logits]): Promise<void> {
    this.#checkIdle();
    if (this.#position > 0) throw new OptionError("sequence", `at ${this.#position}`, "an empty one");
    this.#state = "busy";
    this.#snapshots.begin();
    try {
      const restored = await restoreChunks(this.#snapshots.incoming(more), chunks);
      this.#snapshots.resume(restored)();
      this.#position = restored.position;
    } catch (error) {
      this.#reset();
      throw error;
    } finally {
      this.#state = "idle";
    }
  }

  /** Gives its place back to the model; no call is allowed afterwards. */
  release(): void {
    if (this.#state === "released") return;
    this.#checkIdle();
    this.#state = "released";
    this.#shared.release(this.#plan);
  }

  /** What the cache holds and takes. */
  cache(): CacheReport {
    return reportCache(
      this.#plan.cache,
      this.#plan.scores,
      this.#keeper,
      this.#shared.caches,
      this.#position,
    );
  }

  /** A copy of what a policy has kept, by layer and KV head; nothing under `full`. */
  cacheContents(): HeldTokens[][] {
    return this.#keeper?.contents() ?? [];
  }

  /** Takes `ids` through all layers, chunk by chunk; `visit` sees the finished rows of each chunk. */
  async #read(
    ids: readonly number[],
    signal: AbortSignal | undefined,
    visit: (start: number, nTokens: number) => void | Promise<void>,
  ): Promise<void> {
    this.#state = "busy";
    try {
      await this.#shared.promptTurns.run(async () => {
        const chunk = this.#shared.prompt.workspace.nTokens;
        this.#keeper?.openPrompt(this.#position, ids.length);
        if (this.#keeper !== null) this.#storage.openPrompt?.(this.#keeper.budgets);
        for (let start = 0; start < ids.length; start += chunk) {
          signal?.throwIfAborted();
          const nTokens = Math.min(chunk, ids.length - start);
          this.#keeper?.openChunk(nTokens);
          await this.#readChunk(ids, start, nTokens, signal);
          await visit(start, nTokens);
          this.#position += nTokens;
          this.#keeper?.closeChunk(this.#position);
          this.#storage.closeChunk?.(this.#position, ids.length - start - nTokens);
          const done = start + nTokens;
          if (this.#cpuWarned && done < ids.length) {
            this.#cpuWarned = false;
            throw new CpuLimitError(done, ids.length);
          }
        }
      });
    } catch (error) {
      // Layers may have taken tokens of the chunk that did not come to its end.
      this.#truncate(this.#position);
      throw asKernelError(error);
    } finally {
      this.#state = "idle";
    }
  }

  async #readChunk(
    ids: readonly number[],
    start: number,
    nTokens: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { network, prompt } = this.#shared;
    const { workspace } = prompt;
    for (let i = 0; i < nTokens; i++) {
      prompt.ids[i] = ids[start + i];
      prompt.positions[i] = this.#position + i;
    }
    embed(network, workspace, nTokens);
    const parts = [{ storage: this.#storage, watcher: this.#keeper, desk: workspace, nTokens }];
    // Asked before anything else has its turn, so that the warning is about this request.
    const turn = () => {
      this.#cpuWarned ||= network.kernels.takeCpuWarning();
      return pause(signal);
    };
    for (let layer = 0; layer < network.hparams.nLayers; layer++) {
      attention(network, workspace, layer, nTokens, parts);
      await turn();
      feedForward(network, workspace, layer, nTokens);
      await turn();
    }
  }

  #reset(): void {
    const { kernels } = this.#shared.network;
    this.#snapshots.wipe();
    for (const layer of this.#plan.cache) kernels.kvReset(layer);
    this.#keeper?.reset();
    this.#storage.reset?.();
    this.#position = 0;
  }

  /** A token has passed all layers. */
  #closeStep(): void {
    this.#position++;
    this.#keeper?.closeStep(this.#position);
    this.#storage.closeStep?.(this.#position);
  }

  #checkStep(shared: Shared, id: number): void {
    if (this.#shared !== shared) throw new OptionError("sequences", "of several models", "sequences of one");
    this.#checkIdle();
    this.#checkRoom(1);
    this.#checkId(id);
  }

  #truncate(position: number): void {
    const { kernels } = this.#shared.network;
    for (const layer of this.#plan.cache) kernels.kvTruncate(layer, position);
    this.#keeper?.truncated();
    this.#storage.truncated?.(position);
    this.#position = position;
  }

  #check(ids: readonly number[]): void {
    this.#checkIdle();
    if (ids.length === 0) throw new OptionError("ids", ids, "at least one token");
    this.#checkRoom(ids.length);
    for (const id of ids) this.#checkId(id);
  }

  #checkIdle(): void {
    if (this.#state !== "idle") {
      throw new OptionError("sequence", this.#state, "an idle one: one call at a time");
    }
  }

  #checkRoom(nTokens: number): void {
    const length = this.#position + nTokens;
    if (length > this.capacity) {
      throw new OptionError("length of the text", length, `at most ${this.capacity} tokens`);
    }
    if (!this.hasSlots(nTokens)) {
      throw new OptionError(
        "slots of the cache",
        `${this.#keeper!.free} free`,
        `fewer tokens after the prompt, or a larger reserve`,
      );
    }
  }

  #checkId(id: number): void {
    const { nVocab } = this.#shared.network.hparams;
    if (!(Number.isInteger(id) && id >= 0 && id < nVocab)) {
      throw new OptionError("token id", id, `a whole number from 0 to ${nVocab - 1}`);
    }
  }
}

/** Gives the event loop its turn when one is due, and then looks whether to go on. */
async function pause(signal: AbortSignal | undefined): Promise<void> {
  const turn = dueTurn();
  if (turn === undefined) return;
  await turn;
  signal?.throwIfAborted();
}
