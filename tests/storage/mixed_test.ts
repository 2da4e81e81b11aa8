import { assert, assertEquals, assertThrows } from "@std/assert";
import { cacheBytes } from "../../src/cache/cache_layout.ts";
import { planCache } from "../../src/cache/cache_plan.ts";
import { OptionError } from "../../src/error.ts";
import type { Hparams } from "../../src/hparams.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "../policy/golden.ts";
import { probeParams } from "../policy/probe_seed.ts";
import { makeRig, type Rig } from "../policy/rig.ts";

/** Codes and parameters of the tokens of one kind that were coded together. */
interface Packed {
  /** `[kv head][token][channel]`, `[kv head][channel]`. */
  readonly k_codes: number[][][];
  readonly k_step: number[][];
  readonly k_min: number[][];
  readonly v_codes: number[][][];
  readonly v_channel_scale: number[][];
  /** `[kv head][token]` */
  readonly v_step: number[][];
  readonly v_min: number[][];
}

interface Zipvl {
  readonly params: { probes: number[]; tau: number; bits_important: number; block: number };
  readonly important: number[];
  readonly packed: { important: number[]; other: number[]; hi: Packed; lo: Packed }[];
  readonly per_step: { t: number; out: number[][]; block_score?: number[] }[];
}

/** What the layout in `wasm-kernels/src/kernel/codec/mixed.rs` says about a cache with parameters of 32 bits. */
function reader(rig: Rig, bits: number) {
  const { codec, keys, values, keyDim: dim, capacity, nKvHeads } = rig.caches[0];
  const words = (offset: number, length: number) => rig.arena.words({ kind: "u32", offset, length });
  const region = words(codec!.offset, codec!.length);
  const floats = rig.arena.floats({ kind: "f32", offset: codec!.offset, length: codec!.length });
  const [rich, sets] = [region[16], region[17]];
  const low = bits / 2;
  const row = Math.ceil(dim * low / 32);
  const marks = 24 + sets;
  const params = marks + 2 * capacity / 32;
  const lower = params + nKvHeads * sets * 2 * 3 * dim;
  const matters = (slot: number) => (region[marks + (slot >> 5)] >>> slot % 32 & 1) === 1;
  const rank = (slot: number) => Array.from({ length: slot }, (_, i) => i).filter(matters).length;
  /** The codes of a row, as `wasm-kernels/src/kernel/codec/fields.rs` says. */
  const codesOf = (bits: number, words: number[]) =>
    Array.from({ length: dim }, (_, channel) => {
      const [ofFour, bit] = [128 / bits, channel * bits];
      const [part, rest] = [Math.floor(channel / ofFour), channel % ofFour];
      const [word, shift] = 4 * part + 4 <= dim * bits / 32
        ? [4 * part + rest % 4, Math.floor(rest / 4) * bits]
        : [bit >> 5, bit % 32];
      return words[word] >>> shift & 2 ** bits - 1;
    });
  const codes = (first: Uint32Array, head: number, slot: number, at: number) => {
    if (!matters(slot)) return codesOf(low, [...first]);
    const start = lower + (head * rich + rank(slot)) * 2 * row + at;
    return codesOf(bits, [...first, ...region.subarray(start, start + row)]);
  };
  return {
    matters,
    set: (head: number, set: number, kind: number) =>
      [0, 1, 2].map((part) => {
        const start = params + ((head * sets + set) * 2 + kind) * 3 * dim + part * dim;
        return [...floats.subarray(start, start + dim)];
      }),
    key: (head: number, slot: number) =>
      codes(words(keys.offset + 4 * row * (head * capacity + slot), row), head, slot, 0),
    value(head: number, slot: number) {
      const offset = values.offset + 4 * (2 + row) * (head * capacity + slot);
      const [step, min] = rig.arena.floats({ kind: "f32", offset, length: 2 });
      return { step, min, codes: codes(words(offset + 8, row), head, slot, row) };
    },
  };
}

Deno.test(
  { name: "mixed: codes, parameters and outputs are the golden ones", ignore: !present },
  async () => {
    const file = (await golden<GoldenFile<Zipvl>>("zipvl.json"))!;
    const { params: { probes, tau, bits_important: bits, block }, important, packed, per_step } =
      file.variants.v1;
    const drawn = await probeParams(probes, file.n);
    const variants = (["simd128", "relaxed"] as const).flatMap((binary) => [
      { binary, prefill: undefined },
      { binary, prefill: "whole", chunk: 7 } as const,
    ]);
    for (const variant of variants) {
      const rig = await makeRig({
        ...shape(file),
        ...variant,
        policy: `zipvl:others=demote,tau=${tau},${drawn},block=${block}`,
        storage: `mixed:bits=${bits},exact=f32`,
        budget: 1,
      });
      rig.prompt(file.q, file.k, file.v, file.n);
      const { matters } = reader(rig, bits);
      assertEquals([...Array(file.n).keys()].filter(matters), important);
      for (const step of per_step) {
        const look = () => {
          if (step.block_score) assertClose(rig.scores(0).slice(-block), step.block_score, 1e-5, "block");
        };
        assertOut(rig.step(file.q, file.k, file.v, look), step.out, `step ${step.t}`);
      }
      const { set, key, value } = reader(rig, bits);
      for (const [i, { important, other, hi, lo }] of packed.entries()) {
        for (const [kind, tokens, wanted] of [[0, other, lo], [1, important, hi]] as const) {
          for (let head = 0; head < file.kv_heads; head++) {
            const [steps, least, scales] = set(head, i, kind);
            assertClose(steps, wanted.k_step[head], 1e-5, "step of keys");
            assertClose(least, wanted.k_min[head], 1e-5, "least of keys");
            assertClose(scales, wanted.v_channel_scale[head], 1e-5, "scale of values");
            tokens.forEach((slot, token) => {
              assertEquals(key(head, slot), wanted.k_codes[head][token]);
              const { codes, step, min } = value(head, slot);
              assertEquals(codes, wanted.v_codes[head][token]);
              assertClose(
                [step, min],
                [wanted.v_step[head][token], wanted.v_min[head][token]],
                1e-5,
                "value",
              );
            });
          }
        }
      }
      assertEquals(
        rig.kept().map((held) => held.length),
        new Array(file.kv_heads).fill(file.n + per_step.length),
      );
      assertEquals(rig.brokenGuards(), []);
    }
  },
);

Deno.test("mixed: bytes make room for as many tokens that matter as fit", () => {
  const hparams = {
    nLayers: 3,
    nHeads: 4,
    nKvHeads: 2,
    headDim: 64,
    valueDim: 64,
    positions: "rope",
  } as unknown as Hparams;
  const types = { k: "q8_0", v: "q8_0" } as const;
  const planFor = (budget: string | number, prefill: "streaming" | "whole" | "sparse") =>
    planCache(hparams, types, { policy: "zipvl:others=demote", budget, prefill }, 64, 512);
  for (const prefill of ["streaming", "whole", "sparse"] as const) {
    const [least, most] = [2, 512].map((slots) => cacheBytes(planFor(slots, prefill)));
    for (const bytes of [least, least + 12_345, most - 1, most, 10 * most]) {
      const plan = planFor(`${bytes}B`, prefill);
      const { value } = plan.budget;
      assertEquals(plan.budget.unit, "slots");
      assert(cacheBytes(plan) <= bytes);
      assert(value === 512 || cacheBytes(planFor(value + 1, prefill)) > bytes);
    }
    assertThrows(() => planFor(`${least - 1}B`, prefill), OptionError, `${least} bytes at least`);
  }
});
