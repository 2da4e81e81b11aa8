/**
 * The real model of the shared data, and what is known of it. Tests of it are skipped, loudly, where it is absent.
 *
 * @module
 */
import { loadModel, type LoadOptions, type Model } from "../../src/model/engine.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../../src/runtime/open_source.ts";

const MODELS = new URL("../../../shared/data/models/", import.meta.url);

/** A prompt and how the model goes on, in double precision. */
export interface Prompt {
  readonly text: string;
  readonly ids: number[];
  readonly top5_logits_after_prompt: [id: number, logit: number][];
  readonly greedy_ids: number[];
  readonly smallest_top1_top2_gap: number;
}

export interface Reference {
  readonly prompts: Prompt[];
  /** Of each token but the first of a passage, given all before it. */
  readonly nll: {
    readonly ids: number[];
    readonly scored_tokens: number;
    readonly mean_nats_per_token: number;
  };
}

/** Whether the model is there; says so on the console where it is not. */
export const present = await Deno.stat(MODELS).then(() => true, () => false);
if (!present) console.warn("%cshared/data/models is absent: tests on stories260K are SKIPPED", "color: red");

/** What the f32 weights give in double precision. */
export async function reference(): Promise<Reference> {
  const { models } = JSON.parse(await Deno.readTextFile(new URL("reference.json", MODELS)));
  return models[0];
}

/** Loads a model of the shared data. */
export function loadStories(file: string, options: Partial<LoadOptions> = {}): Promise<Model> {
  return loadModel(openSource(new URL(file, MODELS)), { kernels: kernelModule, ...options });
}
