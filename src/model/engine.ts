/**
 * From a source of bytes to a model that is ready to run: header, plan, memory, weights, tokenizer.
 *
 * @module
 */
import { calibrationOf } from "../cache/calibration.ts";
import { writeRotations } from "../cache/positions.ts";
import { writeBooks } from "../cache/storage/books.ts";
import { OptionError } from "../error.ts";
import { isNumbers, isStrings, Metadata, openModel } from "../gguf/mod.ts";
import type { Hparams } from "../hparams.ts";
import { bestBinary, type Binary, instantiateKernels, type KernelModules } from "../kernels/load.ts";
import { Arena } from "../memory/arena.ts";
import type { Progress, Source } from "../gguf/source.ts";
import { type Binding, bindingOf } from "../snapshot/binding.ts";
import { fingerprint } from "../snapshot/fingerprint.ts";
import { createTokenizer, type Tokenizer } from "../tokenizer/mod.ts";
import type { Network } from "./forward.ts";
import type { SequencePlan } from "./model_layout.ts";
import { foreignCalibration, type ModelPlan, planModel, type PlanOptions } from "./plan.ts";
import type { PrefillOptions } from "./prompt.ts";
import { alibiSlopes, ropeFrequencies } from "./rope.ts";
import { Sequence } from "./sequence.ts";
import type { Desk, Shared } from "./shared.ts";
import { type StepCounts, Steps } from "./steps.ts";
import { writeClasses } from "./token_classes.ts";
import { Turnstile } from "./turnstile.ts";
import { WeightSamples } from "./weight_samples.ts";
import { WeightSink } from "./weight_sink.ts";
import { rowDesk, type Workspace } from "./workspace.ts";

export { Sequence };

/** How to load a model. */
export interface LoadOptions extends PlanOptions {
  /** Where the kernel binaries come from; each runtime has its own. */
  readonly kernels: KernelModules;
  /** Default: the faster one that the runtime can run. */
  readonly binary?: Binary;
  /** Aborting it rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Called as weights arrive. */
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Loads a model. The memory takes its final size before the first weight is read and never grows afterwards.
 *
 * @throws {GgufError} When the file can't be what it claims.
 * @throws {UnsupportedModelError} When it asks for something that is not supported.
 * @throws {MemoryBudgetError} When the plan passes `maxBytes`.
 * @throws {OptionError} When an option is out of bounds.
 * @throws {SourceError} When bytes can't be had.
 */
export async function loadModel(source: Source, options: LoadOptions): Promise<Model> {
  const { signal, onProgress } = options;
  const file = await openModel(source, { signal });
  try {
    const { metadata } = file.model;
    const calibration = calibrationOf(options.calibration);
    const plan = planModel(file.model, { ...options, calibration });
    const binary = options.binary ?? bestBinary();
    const kernels = await instantiateKernels(await options.kernels(binary), plan.totalBytes);
    const arena = new Arena(kernels.buffer, plan);
    const tokenizer = createTokenizer(metadata, arena.region("vocabulary"));
    const kept = withoutTables(metadata, tokenizer);
    const sink = new WeightSink(plan.weights, arena.bytes, kernels, plan.scratch);
    const samples = calibration && new WeightSamples(sink);
    await file.streamTensors(samples ?? sink, { signal, onProgress });
    if (samples?.digest() !== calibration?.weights) throw foreignCalibration();
    writeTables(plan, arena);
    writeRotations(kernels, plan.hparams, plan.rotations, plan.frequencies, plan.prompt.positions);
    writeBooks(plan.caches, plan.books, arena);
    const { hparams, weights, frequencies, slopes, classes } = plan;
    if (classes !== null) {
      const table = arena.bytes.subarray(classes.offset, classes.offset + classes.length);
      writeClasses(table, tokenizer, plan.caches.policy!.classes!);
    }
    return new Model(
      { kernels, hparams, weights, frequencies, slopes, classes },
      plan,
      arena,
      kept,
      tokenizer,
      binary,
    );
  } finally {
    file.close();
  }
}

/** Arrays of the vocabulary, which the tokenizer has taken into memory: they may be larger than all the rest. */
const TABLES = ["tokens", "merges", "scores", "token_type"].map((name) => `tokenizer.ggml.${name}`);

/**
 * Metadata without those arrays, whose memory is given back at once: a small isolate can't wait for its garbage
 * collector. The tokens are views of the tokenizer's.
 */
function withoutTables(metadata: Metadata, tokenizer: Tokenizer): Metadata {
  const entry = (key: string) => [key, { value: metadata.get(key)!, offset: metadata.offset(key) }] as const;
  const entries = [...metadata.keys()].filter((key) => !TABLES.includes(key)).map(entry);
  for (const value of TABLES.map((key) => metadata.get(key))) {
    if (value === undefined) continue;
    if (isNumbers(value)) discard(value);
    else if (isStrings(value)) [value.bytes, value.offsets].forEach(discard);
  }
  const [tokens] = TABLES;
  return new Metadata(
    new Map(entries).set(tokens, { value: tokenizer.texts, offset: metadata.offset(tokens) }),
  );
}

/** Frees an array of the header, which nobody else has. */
function discard({ buffer }: ArrayBufferView): void {
  (buffer as ArrayBuffer).transfer(0);
}

/** Writes the rotary frequencies and ALiBi slopes to their place. */
export function writeTables(
  { hparams, weights, frequencies, slopes }: Pick<
    ModelPlan,
    "hparams" | "weights" | "frequencies" | "slopes"
  >,
  arena: Arena,
): void {
  const factors = weights.ropeFactors === null ? undefined : arena.floats(weights.ropeFactors);
  const { rope, localRope } = hparams;
  if (rope) arena.floats(frequencies[0]).set(ropeFrequencies(rope, factors));
  if (localRope) arena.floats(frequencies[1]).set(ropeFrequencies(localRope));
  if (slopes !== null) arena.floats(slopes).set(alibiSlopes(hparams.nHeads, hparams.alibiMaxBias));
}

/** A loaded model. */
export class Model {
  #shared: Shared | undefined;
  readonly #free: SequencePlan[];
  readonly #steps = new Steps();

  constructor(
    network: Network,
    readonly plan: ModelPlan,
    arena: Arena,
    /** The file's keys, but for the large arrays of the vocabulary; its tokens as the texts they stand for. */
    readonly metadata: Metadata,
    readonly tokenizer: Tokenizer,
    readonly binary: Binary,
  ) {
    this.#free = [...plan.sequences];
    let binding: Binding | undefined;
    this.#shared = {
      network,
      arena,
      tokenizer,
      context: plan.context,
      outputRows: plan.outputRows,
      caches: plan.caches,
      policyScratch: plan.policyScratch,
      sparse: plan.sparse,
      prompt: desk(plan.prompt, arena),
      step: desk(plan.step, arena),
      stepRows: plan.sequences.map((_, i) => rowDesk(plan.step, i)),
      stepParts: [],
      stepLogits: plan.stepLogits,
      promptTurns: new Turnstile(),
      survivors: plan.survivors,
      binding: () => binding ??= bindModel(plan, arena, tokenizer),
      embedding: plan.embedding,
      release: (sequence) => this.#free.push(sequence),
    };
  }

  get hparams(): Hparams {
    return this.plan.hparams;
  }

  /**
   * A new, empty sequence.
   *
   * @throws {OptionError} When all that were planned for exist already.
   */
  sequence(): Sequence {
    if (this.#shared === undefined) throw new OptionError("model", "disposed of", "a model in use");
    const sequence = this.#free.pop();
    if (sequence === undefined) {
      const planned = this.plan.sequences.length;
      const wanted = `at most ${planned} at once, as planned (the option sequences of loadModel)`;
      throw new OptionError("sequences", planned + 1, wanted);
    }
    return new Sequence(this.#shared, sequence, this.#steps);
  }

  /**
   * The meaning of a text as a vector `[D]` of length 1: the mean of its tokens' final hidden states, after the output
   * norm. It takes a sequence and gives it back.
   *
   * @param input Text, which gets the tokens that the model wants at its ends, or token ids as they are.
   * @throws {OptionError} When there is no token, there are more than the context holds, or no sequence is free.
   *
   * @example
   * ```ts
   * import { loadModel } from "@locket/locket";
   * import { assert } from "@std/assert";
   *
   * const model = await loadModel("models/locket-books-q8_0.gguf");
   * const [sea, ocean, key] = await Array.fromAsync(["the sea", "the ocean", "He had lost his keys"], (text) => model.embed(text));
   * const likeness = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i], 0);
   * assert(likeness(sea, ocean) > likeness(sea, key));
   * model.dispose();
   * ```
   */
  async embed(input: string | readonly number[], options: PrefillOptions = {}): Promise<Float32Array> {
    const sequence = this.sequence();
    try {
      return await sequence.embed(typeof input === "string" ? this.tokenizer.encode(input) : input, options);
    } finally {
      sequence.release();
    }
  }

  /**
   * Reads one token in each of several sequences of this model at once: `ids[i]` in `sequences[i]`. Each weight is read
   * once for all of them. Results are those of `sequence.decode`, bit for bit.
   *
   * @throws {OptionError} When one of them could not read its token by itself, or comes twice; then none reads any.
   */
  decode(sequences: readonly Sequence[], ids: readonly number[]): void {
    Sequence.decodeTogether(sequences, ids);
  }

  /** Steps of generating so far, and the tokens read in them. */
  get steps(): StepCounts {
    return this.#steps.counts;
  }

  /** Sequences that can be had now. */
  get freeSequences(): number {
    return this.#free.length;
  }

  /** Size of the memory now, in bytes; what the plan said, for as long as the model lives. */
  get memoryBytes(): number {
    return this.#shared?.arena.bytes.buffer.byteLength ?? 0;
  }

  /** Names of regions behind whose end something was written; none, unless a kernel is broken. */
  brokenGuards(): string[] {
    return this.#shared?.arena.brokenGuards() ?? [];
  }

  /** Lets go of the memory: it is freed once no sequence and no view of it is held. No call is allowed afterwards. */
  dispose(): void {
    this.#shared = undefined;
  }

  /**
   * `dispose`, at the end of the block.
   *
   * @example
   * ```ts
   * import { generate, loadModel } from "@locket/locket";
   *
   * {
   *   using model = await loadModel("models/locket-books-q8_0.gguf");
   *   using sequence = model.sequence();
   *   await generate(sequence, "The old house", { maxTokens: 8 }).result();
   * }
   * ```
   */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** What snapshots of the model's sequences belong to. */
function bindModel(
  { hparams, weights: { parts }, kvType, caches }: ModelPlan,
  arena: Arena,
  tokenizer: Tokenizer,
): Binding {
  const vocabulary = tokens(tokenizer);
  const model = fingerprint({ hparams, parts, vocabulary, memory: arena.bytes });
  return bindingOf(model, kvType, caches);
}

/** Bytes of each token, by id. */
function* tokens(tokenizer: Tokenizer): Generator<Uint8Array> {
  for (let id = 0; id < tokenizer.nVocab; id++) yield tokenizer.tokenBytes(id);
}

function desk(workspace: Workspace, arena: Arena): Desk {
  return { workspace, ids: arena.words(workspace.ids), positions: arena.words(workspace.positions) };
}
