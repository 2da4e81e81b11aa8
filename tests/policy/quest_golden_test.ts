import { assert, assertEquals } from "@std/assert";
import { pagesOf } from "../../src/kernels/page_kernels.ts";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig, type Rig } from "./rig.ts";

interface Variant {
  readonly params: { page: number; budget: number; min_pages: number };
  readonly per_step: { t: number; bound: number[][]; pages: number[][]; out: number[][] }[];
}

interface More {
  readonly full_out: number[][][];
  readonly tiny: { readonly given: { min: number[]; max: number[]; q: number[] }; readonly expected: number };
}

const file = await golden<GoldenFile<Variant> & More>("quest.json");
const BINARIES: readonly Binary[] = ["simd128", "relaxed"];

/** Pages that the token read last has read, per KV head. */
function pagesRead(
  { arena, caches: [{ active, capacity, nKvHeads }], position }: Rig,
  page: number,
): number[][] {
  const bits = arena.words(active!);
  return Array.from(
    { length: nKvHeads },
    (_, head) =>
      Array.from({ length: Math.ceil(position / page) }, (_, p) => p).filter((p) => {
        const slot = head * capacity + p * page;
        return (bits[slot >>> 5] >>> (slot & 31) & 1) === 1;
      }),
  );
}

for (const binary of BINARIES) {
  Deno.test({
    name: `quest.json: bounds, pages and outputs (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants: { main: { params: { page, budget }, per_step } } } = file!;
      const { prefill: _, ...sizes } = shape(file!);
      const read = `quest:page=${page},tokens=${budget},dense=0`;
      const rig = await makeRig({ ...sizes, binary, read });
      rig.prompt(q, k, v, n);
      for (const { t, bound, pages, out } of per_step) {
        const got = rig.step(q, k, v);
        const [{ scratch, capacity }] = rig.caches;
        const scores = rig.arena.floats(scratch!.pageScores as Parameters<typeof rig.arena.floats>[0]);
        bound.forEach((wanted, head) => {
          const start = head * pagesOf(capacity, page);
          assertClose([...scores.subarray(start, start + wanted.length)], wanted, 1e-5, `bound, t = ${t}`);
        });
        assertEquals(pagesRead(rig, page), pages, `pages, t = ${t}`);
        assertOut(got, out, `t = ${t}`);
      }
      assertEquals(rig.brokenGuards(), []);
    },
  });

  Deno.test({
    name: `quest.json, tiny: a page's bound (${binary})`,
    ignore: !present,
    fn: async () => {
      const { given: { min, max, q }, expected } = file!.tiny;
      const row = (values: number[]) => [...values, ...new Array(8 - values.length).fill(0)];
      const k = [[row(min), row(max), row(q)]];
      const rig = await makeRig({
        nHeads: 1,
        nKvHeads: 1,
        headDim: 8,
        context: 5,
        binary,
        read: "quest:page=4,dense=0",
      });
      const queries = [[row(q), row(q), row(q)]];
      rig.prompt(queries, k, k, 2);
      // The third key lies between the other two.
      k[0][2] = row(min);
      rig.step(queries, k, k);
      const scores = rig.arena.floats(
        rig.caches[0].scratch!.pageScores as Parameters<typeof rig.arena.floats>[0],
      );
      assertEquals(scores[0], expected);
    },
  });
}

Deno.test({
  name: "quest: a budget of the whole text reads everything, in any chunks, after a truncation too",
  ignore: !present,
  fn: async () => {
    const { n, q, k, v, full_out } = file!;
    const { prefill: _, ...sizes } = shape(file!);
    const rig = await makeRig({ ...sizes, chunk: 7, read: "quest:page=8,tokens=64,dense=0" });
    rig.prompt(q, k, v, n);
    full_out.forEach((out, i) => assertOut(rig.step(q, k, v), out, `step ${i}`));
    rig.truncate(n - 3);
    rig.prompt(q, k, v, 3);
    full_out.forEach((out, i) => assertOut(rig.step(q, k, v), out, `step ${i} again`));
  },
});

Deno.test({
  name: "quest: bounds after a truncation are those of a fresh text, and with evictions they still bound",
  ignore: !present,
  fn: async () => {
    const { n, q, k, v, variants: { main: { per_step } } } = file!;
    const { prefill: _, ...sizes } = shape(file!);
    const read = "quest:page=4,tokens=16,dense=0";
    const again = await makeRig({ ...sizes, read });
    again.prompt(q, k, v, n);
    for (let i = 0; i < 5; i++) again.step(q, k, v);
    again.truncate(n);
    for (const { t, pages, out } of per_step) {
      assertOut(again.step(q, k, v), out, `t = ${t}`);
      assertEquals(pagesRead(again, 4), pages);
    }
    const thinned = await makeRig({ ...sizes, chunk: 8, read, policy: "h2o:recent=4", budget: 24 });
    const whole = await makeRig({
      ...sizes,
      chunk: 8,
      read: "quest:page=4,tokens=64,dense=0",
      policy: "h2o:recent=4",
      budget: 24,
    });
    for (const rig of [thinned, whole]) rig.prompt(q, k, v, n);
    assertEquals(thinned.kept(), whole.kept());
    for (let i = 0; i < 6; i++) {
      thinned.step(q, k, v);
      const wanted = whole.step(q, k, v);
      assert(thinned.kept().every((kept) => kept.length === 24) && wanted.flat().every(Number.isFinite));
    }
  },
});
