import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Case, cases, fits, HEAD_DIM, heads, input, rigOptions } from "./cases.ts";
import { assertClose } from "./golden.ts";
import { Oracle, type OracleOptions } from "./oracle.ts";
import { makeRig } from "./rig.ts";

const ORACLES: readonly [text: (c: Case) => string, oracle: (c: Case) => Partial<OracleOptions>][] = [
  [() => "window", () => ({ policy: "window" })],
  [({ sinks }) => `streaming_llm:sinks=${sinks}`, ({ sinks }) => ({ policy: "streaming_llm", sinks })],
  [
    ({ sinks, recent }) => `h2o:recent=${recent},sinks=${sinks}`,
    ({ sinks, recent }) => ({ policy: "h2o", sinks, recent }),
  ],
  [({ recent }) => `h2o:recent=${recent},decay=0.9`, ({ recent }) => ({ policy: "h2o", recent, decay: 0.9 })],
  [
    ({ recent }) => `keyformer:recent=${recent},steps=16`,
    ({ recent }) => ({ policy: "keyformer", recent, tau: (step) => 1 + Math.min(1, step / 16) }),
  ],
  [() => "tova", () => ({ policy: "tova" })],
];

for (const [text, oracle] of ORACLES) {
  const name = text({ sinks: 2, recent: 3 } as Case);
  Deno.test(`${name} equals the oracle, in chunks and steps, with grouped heads`, async () => {
    await fc.assert(
      fc.asyncProperty(cases.filter(fits), async (c) => {
        const { q, k, v, n } = input(c);
        const noise = name.startsWith("keyformer")
          ? heads(c.seed + 3, q.length, n).map((rows) =>
            rows.map((_, i) => heads(c.seed + i, 1, n)[0].map(([x]) => x))
          )
          : undefined;
        const rig = await makeRig({ ...rigOptions(c, text(c)), noise });
        const wanted = new Oracle(
          {
            nHeads: q.length,
            nKvHeads: c.nKvHeads,
            headDim: HEAD_DIM,
            budget: c.budget,
            noise,
            ...oracle(c),
          } as OracleOptions,
          q,
          k,
          v,
        );
        rig.keeper!.openPrompt(0, c.prompt);
        const out = rig.prompt(q, k, v, c.prompt);
        const chunk = Math.min(c.chunk, n);
        for (let start = 0; start < c.prompt; start += chunk) {
          const nTokens = Math.min(chunk, c.prompt - start);
          const last = wanted.prompt(nTokens);
          if (c.streaming || start + nTokens === c.prompt) wanted.reduce();
          out[start + nTokens - 1].forEach((x, head) => assertClose(x, last[head], 1e-4, "prompt"));
        }
        assertEquals(rig.kept(), wanted.kept());
        for (let step = 0; step < c.steps; step++) {
          const got = rig.step(q, k, v);
          wanted.step().forEach((x, head) => assertClose(got[head], x, 1e-4, `step ${step}`));
          assertEquals(rig.kept(), wanted.kept());
        }
      }),
      { numRuns: 40, seed: 7 },
    );
  });
}
