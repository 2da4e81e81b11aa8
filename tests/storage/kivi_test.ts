import { assertEquals } from "@std/assert";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "../policy/golden.ts";
import { type Heads, makeRig, type Rig } from "../policy/rig.ts";

type Codes = number[][][];
interface Kivi {
  readonly params: Record<"bits" | "key_group_tokens" | "value_group_channels" | "residual", number>;
  /** `[group][kv head][token][channel]`, `[group][kv head][channel]`; `[token][kv head][..]`. */
  readonly k_codes: Codes[];
  readonly k_step: Codes;
  readonly k_min: Codes;
  readonly v_codes: Codes;
  readonly v_step: Codes;
  readonly v_min: Codes;
  readonly per_step: { out: number[][]; quantised_keys: number; quantised_values: number }[];
}

/** What the layout in `wasm-kernels/src/kernel/codec/kivi.rs` says about a cache with parameters of 32 bits. */
function reader(rig: Rig, bits: number, group: number, channels: number) {
  const { keys, values, keyDim, valueDim, capacity, codec } = rig.caches[0];
  const words = (offset: number, n: number) => rig.arena.words({ kind: "u32", offset, length: n });
  const floats = (offset: number) => rig.arena.floats({ kind: "f32", offset, length: 2 });
  const code = (word: number, shift: number) => word >>> shift & 2 ** bits - 1;
  const [share, groups] = [4 / bits, Math.ceil(valueDim / channels)];
  const params = 32 / group * keyDim * 2;
  const blockWords = params + keyDim * bits;
  const rowWords = 2 * groups + Math.ceil(valueDim * bits / 32);
  return {
    coded: [...words(codec!.offset, 3)].slice(1),
    key(head: number, slot: number, channel: number) {
      const block = keys.offset + 4 * blockWords * ((head * capacity + slot) >> 5);
      const [at, word] = [slot % 32, params + 4 * Math.floor(channel / share) + slot % 4];
      const pair = block + 8 * (Math.floor(at / group) * keyDim + channel);
      return {
        code: code(words(block, blockWords)[word], bits * (at >> 2) + channel % share * 16),
        step: floats(pair)[0],
        min: floats(pair)[1],
      };
    },
    value(head: number, slot: number, channel: number) {
      const row = values.offset + 4 * rowWords * (head * capacity + slot);
      const bit = channel * bits;
      const pair = row + 8 * Math.floor(channel / channels);
      return {
        code: code(words(row, rowWords)[2 * groups + (bit >> 5)], bit % 32),
        step: floats(pair)[0],
        min: floats(pair)[1],
      };
    },
  };
}

Deno.test({ name: "kivi: codes, parameters and outputs are the golden ones", ignore: !present }, async () => {
  const file = (await golden<GoldenFile<Kivi>>("kivi.json"))!;
  const { main } = file.variants;
  const { bits, key_group_tokens: group, value_group_channels: channels, residual } = main.params;
  for (const binary of ["simd128", "relaxed"] as const) {
    const storage = `kivi:bits=${bits},group=${group},channels=${channels},recent=${residual},exact=f32`;
    const rig = await makeRig({ ...shape(file), prefill: undefined, binary, storage });
    rig.prompt(file.q, file.k, file.v, file.n);
    for (const [i, step] of main.per_step.entries()) {
      assertOut(rig.step(file.q, file.k, file.v), step.out, `step ${i + 1}`);
      assertEquals(reader(rig, bits, group, channels).coded, [step.quantised_keys, step.quantised_values]);
    }
    const { key, value } = reader(rig, bits, group, channels);
    const each = Array.from({ length: file.head_dim }, (_, channel) => channel);
    for (let head = 0; head < file.kv_heads; head++) {
      main.k_codes.forEach((heads, g) =>
        heads[head].forEach((codes, token) => {
          const got = each.map((channel) => key(head, g * group + token, channel));
          assertEquals(got.map(({ code }) => code), codes);
          assertClose(got.map(({ step }) => step), main.k_step[g][head], 1e-5, "step of keys");
          assertClose(got.map(({ min }) => min), main.k_min[g][head], 1e-5, "least of keys");
        })
      );
      main.v_codes.forEach((heads, token) => {
        const got = each.map((channel) => value(head, token, channel));
        const of = (params: Codes) =>
          each.map((channel) => params[token][head][Math.floor(channel / channels)]);
        assertEquals(got.map(({ code }) => code), heads[head]);
        assertClose(got.map(({ step }) => step), of(main.v_step), 1e-5, "step of values");
        assertClose(got.map(({ min }) => min), of(main.v_min), 1e-5, "least of values");
      });
    }
    assertEquals(rig.brokenGuards(), []);
  }
});

Deno.test({ name: "kivi: the tiny case rounds half to even", ignore: !present }, async () => {
  const { tiny } = (await golden<{ tiny: { given: { group: number[] }; expected: number[] } }>("kivi.json"))!;
  const rig = await makeRig({
    nHeads: 1,
    nKvHeads: 1,
    headDim: 8,
    context: 16,
    storage: "kivi:bits=2,group=8,channels=8,recent=8,exact=f32",
  });
  const column = [...tiny.given.group, ...tiny.given.group];
  const heads: Heads = [column.map((x) => new Array(8).fill(x))];
  rig.prompt(heads, heads, heads, 8);
  const { key } = reader(rig, 2, 8, 8);
  const codes = column.map((_, slot) => key(0, slot, 3).code);
  assertEquals(codes, [...tiny.expected, ...tiny.expected]);
});
