import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { KernelError, OptionError } from "../../src/error.ts";
import { logprobsOf } from "../../src/sample/logprobs.ts";
import { minP } from "../../src/sample/min_p.ts";
import { completeSampling, type SamplingOptions } from "../../src/sample/options.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { topP } from "../../src/sample/top_p.ts";
import { PlainRow, softmax } from "./plain_row.ts";

const logits = (nVocab: number) =>
  fc.array(fc.float({ min: -30, max: 30, noNaN: true }), { minLength: nVocab, maxLength: nVocab });

function choose(row: ArrayLike<number>, options: SamplingOptions, step = 0, seen: number[] = []): number {
  const sampler = new Sampler(completeSampling({ seed: 0, ...options }, row.length));
  for (const id of seen) sampler.see(id);
  return sampler.choose(new PlainRow(row), step);
}

/** Pearson's statistic of `draws` draws against the wanted probabilities, and its bound five deviations out. */
function chiSquare(
  row: number[],
  options: SamplingOptions,
  wanted: number[],
  draws: number,
): [number, number] {
  const counts = new Map<number, number>();
  const sampler = new Sampler(completeSampling({ seed: 20, ...options }, row.length));
  for (let step = 0; step < draws; step++) {
    const id = sampler.choose(new PlainRow(row), step);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  let statistic = 0, cells = 0, rare = 0, rareSeen = 0;
  wanted.forEach((p, id) => {
    const seen = counts.get(id) ?? 0;
    if (p === 0) assertEquals(seen, 0, `token ${id} must never be drawn`);
    if (p * draws >= 5) {
      statistic += (seen - p * draws) ** 2 / (p * draws);
      cells++;
    } else {
      rare += p;
      rareSeen += seen;
    }
  });
  if (rare * draws >= 5) {
    statistic += (rareSeen - rare * draws) ** 2 / (rare * draws);
    cells++;
  }
  return [statistic, cells + 5 * Math.sqrt(2 * cells)];
}

Deno.test("choose() at temperature 0 takes the largest logit, ties to the lower id", () => {
  fc.assert(fc.property(logits(40), (row) => {
    assertEquals(choose(row, {}), row.indexOf(Math.max(...row)));
  }));
  assertEquals(choose([1, 3, 3, 2], {}), 1);
});

Deno.test("choose() gives the same token for the same seed and position, whatever was chosen before", () => {
  const row = Array.from({ length: 50 }, (_, i) => Math.sin(i) * 3);
  const options = { temperature: 1.3, topP: 0.9, seed: 11 };
  const forward = Array.from({ length: 30 }, (_, step) => choose(row, options, step));
  const backward = Array.from({ length: 30 }, (_, i) => choose(row, options, 29 - i)).reverse();
  assertEquals(forward, backward);
  assert(new Set(forward).size > 5);
});

Deno.test("choose() takes one of the survivors that top-k, top-p and min-p leave", () => {
  const options = fc.record({
    temperature: fc.double({ min: 0.05, max: 5, noNaN: true }),
    topK: fc.integer({ min: 1, max: 60 }),
    topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
    minP: fc.double({ min: 0, max: 1, noNaN: true }),
    seed: fc.nat(),
  });
  fc.assert(fc.property(logits(60), options, (row, options) => {
    // In f32, as a row is: dividing by the temperature can make near neighbours equal, and a tie goes to the lower id.
    const scaled = Float32Array.from(Float32Array.from(row), (logit) => logit * (1 / options.temperature));
    const order = Array.from(row.keys()).sort((a, b) => scaled[b] - scaled[a] || a - b).slice(
      0,
      options.topK,
    );
    const probs = softmax(order.map((id) => scaled[id]));
    let mass = 0;
    const allowed = order.filter((_, i) => {
      const reached = mass >= options.topP + 1e-9;
      mass += probs[i];
      return !reached && probs[i] >= options.minP * probs[0] * (1 - 1e-9);
    });
    const id = choose(row, options);
    assert(allowed.includes(id), `${id} is not among ${allowed}`);
  }));
});

Deno.test("topP() and minP() keep at least one and are monotone", () => {
  fc.assert(fc.property(logits(30), fc.double({ min: 0, max: 1, noNaN: true }), (row, p) => {
    const probs = Float64Array.from(softmax(row)).sort().reverse();
    for (const cut of [topP, minP]) {
      const kept = cut === topP ? topP(probs, 30, Math.max(p, 1e-9)) : minP(probs, 30, p);
      assert(kept >= 1 && kept <= 30);
    }
    assert(topP(probs, 30, Math.max(p / 2, 1e-9)) <= topP(probs, 30, Math.max(p, 1e-9)));
    assert(minP(probs, 30, p / 2) >= minP(probs, 30, p));
  }));
  assertEquals(topP(Float64Array.of(0.5, 0.25, 0.25), 3, 0.5), 1);
  assertEquals(topP(Float64Array.of(0.5, 0.25, 0.25), 3, 0.51), 2);
  assertEquals(minP(Float64Array.of(0.5, 0.25, 0.25), 3, 0.5), 3);
});

Deno.test("choose() draws from the softmax at the temperature", () => {
  const row = Array.from({ length: 20 }, (_, i) => Math.cos(i * 1.7) * 2);
  for (const temperature of [0.5, 1, 2]) {
    const [statistic, bound] = chiSquare(row, { temperature }, softmax(row, temperature), 8000);
    assert(statistic < bound, `temperature ${temperature}: ${statistic} against ${bound}`);
  }
});

Deno.test("choose() draws from the softmax of the top k", () => {
  const row = Array.from({ length: 20 }, (_, i) => Math.cos(i * 1.7) * 2);
  const order = Array.from(row.keys()).sort((a, b) => row[b] - row[a]);
  const wanted = new Array(20).fill(0);
  softmax(order.slice(0, 6).map((id) => row[id])).forEach((p, i) => wanted[order[i]] = p);
  const [statistic, bound] = chiSquare(row, { temperature: 1, topK: 6 }, wanted, 20_000);
  assert(statistic < bound, `${statistic} against ${bound}`);
});

Deno.test("choose() without truncation reaches the tokens beyond the survivors", () => {
  const row = Array.from({ length: 400 }, (_, i) => Math.sin(i * 12.9898) * 0.5);
  const [statistic, bound] = chiSquare(row, { temperature: 1 }, softmax(row), 4000);
  assert(statistic < bound, `${statistic} against ${bound}`);
});

Deno.test("choose() brings out more survivors where top-p or min-p leave many", () => {
  const row = Array.from({ length: 400 }, (_, i) => Math.sin(i * 12.9898) * 0.5);
  const probs = softmax(row.map(Math.fround));
  const order = Array.from(row.keys()).sort((a, b) => probs[b] - probs[a]);
  let mass = 0;
  const leave = {
    "topP 0.5": order.filter((id) => (mass += probs[id]) - probs[id] < 0.5),
    "minP 0.6": order.filter((id) => probs[id] >= 0.6 * probs[order[0]]),
  };
  for (const [name, left] of Object.entries(leave)) {
    assert(left.length > 64 && left.length < 256, `${name} leaves ${left.length}`);
    const total = left.reduce((sum, id) => sum + probs[id], 0);
    const wanted = new Array(400).fill(0);
    left.forEach((id) => wanted[id] = probs[id] / total);
    const options = name === "topP 0.5" ? { topP: 0.5 } : { minP: 0.6 };
    const [statistic, bound] = chiSquare(row, { temperature: 1, ...options }, wanted, 4000);
    assert(statistic < bound, `${name}: ${statistic} against ${bound}`);
  }
});

Deno.test("choose() applies bias and penalties before anything else", () => {
  assertEquals(choose([5, 4, 3], { logitBias: { 0: -Infinity } }), 1);
  assertEquals(choose([5, 4, 3], { logitBias: new Map([[2, 2.5]]) }), 2);
  assertEquals(choose([5, 4, -3], { repetitionPenalty: 1.3 }, 0, [0]), 1);
  assertEquals(choose([-1, -1.2, -3], { repetitionPenalty: 1.3 }, 0, [0]), 1);
  assertEquals(choose([5, 4, 3], { presencePenalty: 1.5 }, 0, [0, 0]), 1);
  assertEquals(choose([5, 4, 3], { frequencyPenalty: 0.6 }, 0, [0]), 0);
  assertEquals(choose([5, 4, 3], { frequencyPenalty: 0.6 }, 0, [0, 0]), 1);
});

Deno.test("choose() refuses a row without a finite logit", () => {
  assertThrows(() => choose([NaN, NaN], {}), KernelError);
  assertThrows(() => choose([-Infinity, -Infinity], { temperature: 1 }), KernelError);
});

Deno.test("logprobsOf() is the log-softmax of the row, and leaves out nothing of the vocabulary", () => {
  const row = Array.from({ length: 500 }, (_, i) => Math.sin(i) * 4);
  const probs = softmax(row);
  const { logprob, top } = logprobsOf(new PlainRow(row), 3, 20);
  assertAlmostEquals(logprob, Math.log(probs[3]), 1e-5);
  const order = Array.from(row.keys()).sort((a, b) => row[b] - row[a]);
  assertEquals(top.map(({ id }) => id), order.slice(0, 20));
  for (const { id, logprob } of top) assertAlmostEquals(logprob, Math.log(probs[id]), 1e-5);
});

Deno.test("logprobs after an untruncated draw are those at temperature 1", () => {
  const row = Array.from({ length: 300 }, (_, i) => Math.sin(i) * 4);
  const plain = new PlainRow(row);
  const id = new Sampler(completeSampling({ temperature: 0.7, seed: 3 }, 300)).choose(plain, 0);
  assertAlmostEquals(logprobsOf(plain, id, 0).logprob, Math.log(softmax(row)[id]), 1e-5);
});

Deno.test("completeSampling() refuses each number out of its bounds, by name", () => {
  const bad: [SamplingOptions, string][] = [
    [{ temperature: -1 }, "temperature"],
    [{ temperature: NaN }, "temperature"],
    [{ topK: 257 }, "topK"],
    [{ topK: 1.5 }, "topK"],
    [{ topP: 0 }, "topP"],
    [{ topP: 1.1 }, "topP"],
    [{ minP: -0.1 }, "minP"],
    [{ repetitionPenalty: 0 }, "repetitionPenalty"],
    [{ frequencyPenalty: 101 }, "frequencyPenalty"],
    [{ presencePenalty: NaN }, "presencePenalty"],
    [{ seed: -1 }, "seed"],
    [{ seed: 0.5 }, "seed"],
    [{ logitBias: { 9: 1 } }, "logitBias"],
    [{ logitBias: { 1: Infinity } }, "logitBias[1]"],
    [{ logitBias: { x: 1 } as unknown as Record<number, number> }, "logitBias"],
  ];
  for (const [options, name] of bad) {
    const error = assertThrows(() => completeSampling(options, 9), OptionError);
    assertEquals(error.option, name);
  }
});
