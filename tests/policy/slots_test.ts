import { assert, assertEquals } from "@std/assert";
import { HEAD_DIM, input, rigOptions, USUAL } from "./cases.ts";
import { type Heads, makeRig } from "./rig.ts";

Deno.test("the token after an eviction takes the slot that was freed, and no other slot changes", async () => {
  const c = { ...USUAL, nKvHeads: 2, prompt: 40, chunk: 40, steps: 12, budget: 16, recent: 4 };
  const { q, k, v } = input(c);
  for (const kvType of ["f32", "f16", "q8_0", "q4_0"] as const) {
    const rig = await makeRig({ ...rigOptions(c, "h2o:recent=4"), kvType });
    rig.prompt(q, k, v, c.prompt);
    const { keys, values } = rig.caches[0];
    const memory = () =>
      [keys, values].map(({ offset, length }) => rig.arena.bytes.slice(offset, offset + length));
    rig.step(q, k, v);
    for (let step = 1; step < c.steps; step++) {
      const [slotsBefore, before] = [rig.slots(), memory()];
      rig.step(q, k, v, () => {
        const slots = rig.slots();
        const after = memory();
        slots.forEach((held, head) => {
          slotsBefore[head].forEach((slot, position) => assertEquals(held.get(position), slot));
          assertEquals(held.size, slotsBefore[head].size + 1);
        });
        const changed = before.map((bytes, i) =>
          bytes.reduce((n, byte, j) => n + (byte === after[i][j] ? 0 : 1), 0)
        );
        // Four-bit codes of two slots share a byte of values.
        const perSlot = [keys, values].map(({ length }) =>
          length / rig.caches[0].capacity * (kvType === "q4_0" ? 2 : 1)
        );
        changed.forEach((n, i) =>
          assert(n <= perSlot[i], `${n} bytes changed, a slot of all heads has ${perSlot[i]}`)
        );
      });
    }
  }
});

Deno.test("among equal scores the earlier position stays", async () => {
  const c = { ...USUAL, group: 1 };
  const zero: Heads = [Array.from({ length: 24 }, () => new Array(HEAD_DIM).fill(0))];
  // Equal logits and only the last row: every token weighs the same.
  const rig = await makeRig(rigOptions(c, "keyformer:recent=2,noise=none,queries=last"));
  rig.prompt(zero, zero, zero, 24);
  assertEquals(rig.kept()[0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 22, 23]);
});

Deno.test("what is forgotten from a position on leaves no score behind", async () => {
  const c = { ...USUAL, seed: 5, prompt: 30, chunk: 8, steps: 12, recent: 4, streaming: true };
  const { q, k, v } = input(c);
  const rig = await makeRig(rigOptions(c, "h2o:recent=4"));
  rig.prompt(q, k, v, 30);
  rig.truncate(28);
  assert(rig.kept()[0].every((position) => position < 28));
  rig.step(q, k, v, () => {
    const values = rig.scores(0);
    // The new token has its own first weight alone, from each of two query heads.
    assert(values.at(-1)! > 0 && values.at(-1)! < 2);
  });
});
