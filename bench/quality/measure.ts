/** Asks a model about prompts that a policy has reduced, and sums up what it says. */
import { POLICIES } from "../../src/cache/policies/mod.ts";
import type { PlanOptions } from "../../src/model/plan.ts";
import type { Sequence } from "../../src/model/sequence.ts";
import { loadModel } from "../../src/runtime/load_model.ts";
import type { Prompt, Question } from "./cases.ts";
import { interval, mean } from "../statistics.ts";

/** What the questions of one task about one prompt came to. */
export interface Answer {
  /** Mean nats of the tokens that count. */
  readonly nll: number;
  /** Share of the questions in which each of them was the most likely one. */
  readonly hits: number;
}

/** By task, one for each prompt that asks for it: prompts are what intervals are over. */
export type Answers = Record<string, Answer[]>;

/** What a system came to. */
export interface Outcome {
  readonly answers: Answers;
  /** Most that the cache held after a prompt. */
  readonly usedBytes: number;
  /** Allocated for the cache, and for everything with the weights. */
  readonly allocatedBytes: number;
  readonly peakBytes: number;
}

/** Has a system answer the questions about every prompt. */
export async function ask(
  path: string,
  options: PlanOptions & { readonly context: number },
  prompts: readonly Prompt[],
): Promise<Outcome> {
  const model = await loadModel(path, options);
  const sequence = model.sequence();
  const answers: Answers = {};
  let usedBytes = 0;
  for (const { ids, questions } of prompts) {
    await read(sequence, ids);
    usedBytes = Math.max(usedBytes, sequence.cache().usedBytes);
    const state = questions.length > 1 ? sequence.save() : null;
    const said: Answers = {};
    questions.forEach((question, i) => {
      if (i > 0) sequence.restore(state!);
      (said[question.task] ??= []).push(answer(sequence, question));
    });
    for (const [task, all] of Object.entries(said)) {
      const of = (what: keyof Answer) => mean(all.map((one) => one[what]));
      (answers[task] ??= []).push({ nll: of("nll"), hits: of("hits") });
    }
  }
  const { bytes: allocatedBytes } = sequence.cache();
  const { memoryBytes: peakBytes } = model;
  model.dispose();
  return { answers, usedBytes, allocatedBytes, peakBytes };
}

/** Reads a prompt; where a reader makes an index of what stays in front, it makes one. */
export async function read(sequence: Sequence, ids: readonly number[]): Promise<void> {
  sequence.reset();
  if (sequence.cache().read !== "squeezed") return await sequence.prefill(ids);
  await sequence.squeeze(ids.slice(0, -1));
  await sequence.prefill(ids.slice(-1));
}

/** Reads what follows token by token. */
function answer(sequence: Sequence, { next, from }: Question): Answer {
  let [nll, hit] = [0, true];
  next.forEach((id, i) => {
    if (i > 0) sequence.decode(next[i - 1]);
    if (i < from) return;
    nll += sequence.row.logSumExp() - sequence.row.view()[id];
    hit &&= sequence.row.argmax() === id;
  });
  return { nll: nll / (next.length - from), hits: hit ? 1 : 0 };
}

/** A policy that draws, with the seed it draws by; any other as it is. */
export function seeded(policy: string, seed: number): string {
  const [name] = policy.split(":");
  const draws = POLICIES.find((entry) => entry.name === name)?.params.seed !== undefined;
  return draws ? `${policy}${policy.includes(":") ? "," : ":"}seed=${seed}` : policy;
}

/** Puts the answers of another round behind those that are there. */
export function append(to: Answers, more: Answers): void {
  for (const [task, answers] of Object.entries(more)) (to[task] ??= []).push(...answers);
}

/** Mean and interval of what the first loses more than the second on the same prompts, in nats per token. */
export function behind(one: readonly Answer[], other: readonly Answer[]): readonly [number, number] {
  const differences = one.map(({ nll }, i) => nll - other[i].nll);
  return [mean(differences), interval(differences)];
}

/** The text of a file, unpacked where its name ends in `.gz`; of `PATH@SHARE` what lies behind this share of it. */
export async function readText(source: string): Promise<string> {
  const [path, from = "0"] = source.split("@");
  const { body } = await fetch(new URL(path, `file://${Deno.cwd()}/`));
  const stream = path.endsWith(".gz") ? body!.pipeThrough(new DecompressionStream("gzip")) : body!;
  const text = await new Response(stream).text();
  return text.slice(Number(from) * text.length);
}
