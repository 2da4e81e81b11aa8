import { assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose, golden, present } from "./golden.ts";
import { type Heads, makeRig, type RigOptions } from "./rig.ts";

interface Forward {
  readonly t: number;
  readonly slots: number[];
  readonly score: number[];
  readonly kept: number[];
  readonly out: number[][];
  readonly attn: number[][];
}

/** A pass of the authors' masking code: positions seen by its query, and by the next one, which is among them. */
interface Masked {
  readonly t: number;
  readonly score: number[];
  readonly visible: number[];
  readonly next_visible: number[];
  readonly out: number[][];
  readonly attn: number[][];
}

interface Sizes {
  readonly n: number;
  readonly k: number;
  readonly w: number;
  readonly T: number;
}

type Tiny = Sizes & { logits: number[][]; noise: number[][]; expected: Record<string, Forward[]> };

type Random = Sizes & {
  heads: number;
  head_dim: number;
  alibi_slopes: number[];
  rope_base: number;
  q: Heads;
  k_in: Heads;
  v: Heads;
  noise: Heads;
  prefill_out: Record<string, Heads>;
  expected: Record<string, Forward[][]>;
};

const tiny = await golden<Tiny>("keyformer_tiny.json");
const random = await golden<Random>("keyformer_random.json");
const BINARIES: readonly Binary[] = ["simd128", "relaxed"];

/** Rotation of adjacent pairs by position. */
function rotate(heads: Heads, base: number): Heads {
  return heads.map((rows) =>
    rows.map((x, position) =>
      x.map((value, i) => {
        const angle = position / base ** ((i - i % 2) / x.length);
        const other = i % 2 === 0 ? -x[i + 1] : x[i - 1];
        return value * Math.cos(angle) + other * Math.sin(angle);
      })
    )
  );
}

/** The same passes as they look from a cache, in which only what will be seen stays. */
function asHeld(passes: readonly Masked[]): Forward[] {
  return passes.map(({ t, score, visible, next_visible, out, attn }) => ({
    t,
    slots: visible,
    score: visible.map((position) => score[position]),
    kept: next_visible.slice(0, -1),
    out,
    attn,
  }));
}

/** Runs all forward passes and compares slots, scores, outputs and kept sets with what is expected of each KV head. */
async function follow(
  options: RigOptions,
  { q, k, v, n }: { q: Heads; k: Heads; v: Heads; n: number },
  expected: readonly (readonly Forward[])[],
  compare: { scores: boolean; outputs: (head: number, forward: Forward) => number[][] },
): Promise<number[][][]> {
  const rig = await makeRig({ ...options, prefill: "whole" });
  let promptOut: number[][][] = [];
  const group = options.nHeads / options.nKvHeads;
  expected[0].forEach(({ t }) => {
    const beforeReduce = () =>
      expected.forEach((forwards, head) => {
        assertEquals(rig.kept()[head], forwards[t].slots, `slots, t = ${t}`);
        if (compare.scores) assertClose(rig.scores(head), forwards[t].score, 1e-5, `score, t = ${t}`);
      });
    const out = t === 0
      ? (promptOut = rig.prompt(q, k, v, n, beforeReduce)).at(-1)!
      : rig.step(q, k, v, beforeReduce);
    expected.forEach((forwards, head) => {
      assertEquals(rig.kept()[head], forwards[t].kept, `kept, t = ${t}`);
      compare.outputs(head, forwards[t]).forEach((wanted, i) =>
        assertClose(out[head * group + i], wanted, 1e-4, `out, t = ${t}`)
      );
    });
  });
  assertEquals(rig.brokenGuards(), []);
  return promptOut;
}

for (const binary of BINARIES) {
  Deno.test({
    name: `keyformer_tiny.json: every pass of every variant (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, k, w, T, logits, noise, expected } = tiny!;
      const dim = 16;
      const row = (values: readonly number[]) => [...values, ...new Array(dim - values.length).fill(0)];
      const unit = (i: number) => Array.from({ length: dim }, (_, j) => i === j ? 1 : 0);
      // A query's product with the unit vector of a key is the given logit; values tell the weights apart.
      const [q, units] = [[logits.map(row)], [logits.map((_, i) => unit(i))]];
      const policies: Record<string, string> = {
        keyformer: `keyformer:recent=${w},steps=${T}`,
        keyformer_last_query: `keyformer:recent=${w},steps=${T},queries=last`,
        h2o: `h2o:recent=${w}`,
        window: "window",
        sinks1: "streaming_llm:sinks=1",
        reference_mask: `keyformer:recent=${w},steps=${T},edge=lost`,
      };
      for (const [name, policy] of Object.entries(policies)) {
        const options = {
          binary,
          policy,
          budget: k,
          nHeads: 1,
          nKvHeads: 1,
          headDim: dim,
          context: 16,
          scale: 1,
        };
        await follow(
          { ...options, noise: name === "h2o" ? undefined : [noise] },
          { q, k: units, v: units, n },
          [name === "reference_mask" ? asHeld(expected[name] as unknown as Masked[]) : expected[name]],
          {
            scores: name !== "window" && name !== "sinks1",
            outputs: (_, { slots, attn }) => [
              unit(-1).map((_, i) => attn[0][slots.indexOf(i)] ?? 0),
            ],
          },
        );
      }
    },
  });

  Deno.test({
    name: `keyformer_random.json: kept sets, scores and outputs of every variant (${binary})`,
    ignore: !present,
    fn: async () => {
      const {
        n,
        k,
        w,
        T,
        heads,
        head_dim,
        alibi_slopes,
        rope_base,
        q,
        k_in,
        v,
        noise,
        prefill_out,
        expected,
      } = random!;
      assertEquals([k, w], [16, 4]);
      const shape = { binary, nHeads: heads, nKvHeads: heads, headDim: head_dim, context: 40, budget: 0.5 };
      const plain = { q, k: k_in, v, n };
      const rotated = { ...plain, q: rotate(q, rope_base), k: rotate(k_in, rope_base) };
      const outputs = (_: number, { out }: Forward) => out;
      const keyformer = `keyformer:recent=0.3,steps=${T}`;
      const runs: [
        name: string,
        policy: string,
        scores: boolean,
        input: typeof plain,
        more: Partial<RigOptions>,
      ][] = [
        ["keyformer_none", keyformer, true, plain, { noise }],
        ["keyformer_alibi_org", keyformer, true, plain, { noise, slopes: alibi_slopes }],
        ["keyformer_rope_org", keyformer, true, rotated, { noise }],
        ["keyformer_alibi_new", keyformer, true, plain, {
          noise,
          slopes: alibi_slopes,
          positions: "compact",
        }],
        ["keyformer_rope_new", keyformer, true, plain, { noise, ropeBase: rope_base, positions: "compact" }],
        ["keyformer_last_query", `${keyformer},queries=last`, true, plain, { noise }],
        ["reference_mask", `${keyformer},edge=lost`, true, plain, { noise }],
        ["h2o", "h2o:recent=0.3", true, plain, {}],
        ["window", "window", false, plain, {}],
        ["sinks4", "streaming_llm:sinks=4", false, plain, {}],
        ["full", "keyformer:recent=4", false, plain, { noise, budget: 40 }],
      ];
      for (const [name, policy, scores, input, more] of runs) {
        const wanted = name === "reference_mask"
          ? expected[name].map((passes) => asHeld(passes as unknown as Masked[]))
          : expected[name];
        const out = await follow({ ...shape, policy, ...more }, input, wanted, { scores, outputs });
        // Nothing has left during the prompt, so that compact positions are those of the text.
        const dense = prefill_out[name.replace("keyformer_", "").replace("_new", "_org")] ?? prefill_out.none;
        dense.forEach((rows, head) =>
          rows.forEach((wanted, i) =>
            assertClose(out[i][head], wanted, 1e-4, `${name}, row ${i} of the prompt`)
          )
        );
      }
      // Both query heads share the first key and value head.
      const shared = { ...plain, k: [k_in[0]], v: [v[0]] };
      const grouped = { ...shape, nKvHeads: 1, policy: keyformer, noise };
      await follow(grouped, shared, expected.gqa_sum, { scores: true, outputs });
    },
  });
}
