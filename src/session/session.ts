/**
 * One conversation on one sequence. Each call brings the whole text again; what the cache holds of it already is not
 * computed again.
 *
 * @module
 */
import { generate } from "../generate.ts";
import { encodePrompt } from "../generate/encode_prompt.ts";
import type { Generation } from "../generate/generation.ts";
import type { GenerateOptions } from "../generate/options.ts";
import type { PrefillOptions } from "../model/prompt.ts";
import type { Sequence } from "../model/sequence.ts";
import type { Section } from "../snapshot/section.ts";
import type { Chunks } from "../snapshot/snapshot.ts";
import { noteSection, textSection } from "./text_sections.ts";

/**
 * A sequence that knows which tokens it holds.
 *
 * @example
 * ```ts
 * import { loadModel, Session } from "@locket/locket";
 * import { assert } from "@std/assert";
 *
 * const model = await loadModel("models/locket-books-q8_0.gguf");
 * const session = new Session(model.sequence());
 * const text = "It was late, and the old house";
 * const { text: reply } = await (await session.generate(text, { maxTokens: 8 })).result();
 * await (await session.generate(`${text}${reply} The door`, { maxTokens: 8 })).result();
 * assert(session.reusedTokens >= 5);
 * model.dispose();
 * ```
 */
export class Session {
  readonly #sequence: Sequence;
  readonly #sections: readonly Section[];
  /** Every token that was read or chosen; the sequence holds a prefix of them. */
  #ids: number[] = [];
  #reused = 0;
  #running: Generation | undefined;
  /** Text of the caller's own that is saved and restored with the session, up to 1 MiB. */
  note = "";

  /** @param sequence Empty, and used by this session alone from now on. */
  constructor(sequence: Sequence) {
    this.#sequence = sequence;
    const ids = { get: () => this.#ids, set: (ids: number[]) => this.#ids = ids };
    const note = { get: () => this.note, set: (note: string) => this.note = note };
    this.#sections = [textSection(ids, sequence.tokenizer.nVocab, sequence.capacity), noteSection(note)];
  }

  /** Every token of the text: the latest prompt, and what has been chosen since. */
  get tokens(): readonly number[] {
    return this.#running === undefined ? this.#ids : [...this.#ids, ...this.#running.tokens];
  }

  /** Tokens of the latest prompt that were in the cache already. */
  get reusedTokens(): number {
    return this.#reused;
  }

  /** How many tokens of a prompt would not be computed again now. */
  sharedWith(ids: readonly number[]): number {
    const held = this.#sequence.position;
    const text = this.tokens;
    let shared = 0;
    // The last token is always read again: its logits are what the reply starts from.
    while (shared < Math.min(held, ids.length - 1) && text[shared] === ids[shared]) shared++;
    // A policy has chosen what to keep by the whole text: it can be continued, but not cut short.
    if (shared === held) return this.#sequence.hasSlots(ids.length - shared) ? shared : 0;
    return this.#sequence.cache().policy === "full" ? shared : 0;
  }

  /**
   * The session as bytes, for `restore` on any machine: what its cache holds, and its text. A generation that has not
   * come to its end is ended first.
   *
   * @example
   * ```ts
   * import { loadModel, Session } from "@locket/locket";
   * import { assertEquals } from "@std/assert";
   *
   * const model = await loadModel("models/locket-books-q8_0.gguf", { context: 128, sequences: 2 });
   * const session = new Session(model.sequence());
   * const first = await session.generate(model.tokenizer.encode("It was late"), { maxTokens: 8 });
   * await first.result();
   *
   * const elsewhere = new Session(model.sequence());
   * await elsewhere.restore(await session.save());
   * const more = [...elsewhere.tokens, ...model.tokenizer.encode(" The door")];
   * const { tokens } = await (await elsewhere.generate(more, { maxTokens: 8 })).result();
   * assertEquals(tokens, (await (await session.generate(more, { maxTokens: 8 })).result()).tokens);
   * model.dispose();
   * ```
   */
  async save(): Promise<Uint8Array<ArrayBuffer>> {
    await this.settle();
    return this.#sequence.save(this.#sections);
  }

  /**
   * The same in chunks of at most `maxBytes`, with no copy of the whole: each is valid until the next is asked for. To be
   * read to its end, or left.
   */
  async *saveChunks(maxBytes: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    await this.settle();
    yield* this.#sequence.saveChunks(maxBytes, this.#sections);
  }

  /**
   * Takes a saved session in place of this one.
   *
   * @throws {SnapshotError} When the bytes are damaged, or belong to another model or policy; the session is as it was.
   */
  async restore(snapshot: Uint8Array): Promise<void> {
    await this.settle();
    this.#sequence.restore(snapshot, this.#sections);
  }

  /**
   * Takes a saved session from chunks as they come, with no copy of the whole. The text so far is forgotten first.
   *
   * @throws {SnapshotError} As `restore` does; the session is empty then.
   */
  async restoreFrom(chunks: Chunks): Promise<void> {
    await this.forget();
    await this.#sequence.restoreFrom(chunks, this.#sections);
  }

  /** Forgets the text; the next prompt is computed from its start. */
  async forget(): Promise<void> {
    await this.settle();
    this.#sequence.reset();
    this.#ids = [];
    this.note = "";
  }

  /**
   * Continues a whole prompt, reading only what follows the longest prefix it shares with the text so far. An
   * earlier generation that has not come to its end is ended first.
   *
   * @param prompt The whole prompt: text, which gets BOS where the model wants it, or at least one token id.
   * @throws {OptionError} As {@link generate} does.
   */
  async generate(prompt: string | readonly number[], options: GenerateOptions = {}): Promise<Generation> {
    await this.settle();
    const ids = typeof prompt === "string" ? encodePrompt(this.#sequence.tokenizer, prompt) : prompt;
    const shared = this.sharedWith(ids);
    if (shared === 0) this.#sequence.reset();
    else this.#sequence.truncate(shared);
    const generation = generate(this.#sequence, ids.slice(shared), {
      ...options,
      history: ids.slice(0, shared),
    });
    this.#reused = shared;
    this.#ids = ids.slice();
    this.#running = generation;
    return generation;
  }

  /**
   * The meaning of a text, as `Model.embed` gives it. What the session holds is forgotten.
   *
   * @throws {OptionError} As `Sequence.embed` does.
   */
  async embed(ids: readonly number[], options: PrefillOptions = {}): Promise<Float32Array> {
    await this.forget();
    try {
      return await this.#sequence.embed(ids, options);
    } finally {
      this.#sequence.reset();
    }
  }

  /** Ends a generation that has not come to its end, and takes its reply into the text held. */
  async settle(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    await running.cancel();
    this.#ids.push(...running.tokens);
  }
}
