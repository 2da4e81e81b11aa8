import { sha256 } from "@noble/hashes/sha2";
import { assertEquals, assertThrows } from "@std/assert";
import { type Calibration, encodeCalibration, readCalibration } from "../../src/cache/calibration.ts";
import { layTraining, trainBooks, type TrainingShape } from "../../src/calibrate/train_books.ts";
import { OptionError } from "../../src/error.ts";
import { instantiateCalibration } from "../../src/calibrate/kernels/calibration_kernels.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Layout } from "../../src/memory/handles.ts";
import { placeRegions, regionOffset } from "../../src/memory/plan.ts";
import { calibrationModule } from "../../src/runtime/calibration_module.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "../policy/golden.ts";
import { type Heads, makeRig } from "../policy/rig.ts";

const BINARIES = ["simd128", "relaxed"] as const;

interface Cq {
  readonly params: { channels_per_code: number; bits: number; recent: number };
  /** `[kv head][token][channel]`, `[kv head][token][group]`. */
  readonly calibration_k: Heads;
  readonly calibration_v: Heads;
  readonly weight_k: Heads;
  readonly weight_v: Heads;
  /** `[kv head][group][centre][channel]` */
  readonly codebook_k: number[][][][];
  readonly codebook_v: number[][][][];
  /** `[kv head][token][group]` */
  readonly codes_k: Heads;
  readonly codes_v: Heads;
  readonly per_step: { out: number[][]; coded: number }[];
}

/** Codebooks as one list: the channels of a centre are next to each other. */
const inOrder = (book: number[][][][]) => book.flat(3);

/** Learns codebooks as a calibration does. */
async function learn(
  shape: TrainingShape,
  points: number[],
  weights: number[],
  used: number,
) {
  const sizes = new Layout(0);
  layTraining(shape, sizes);
  const memory = placeRegions([{ name: "all", bytes: sizes.bytes }]);
  const kernels = await instantiateCalibration(await calibrationModule(), memory.totalBytes);
  const arena = new Arena(kernels.buffer, memory);
  const training = layTraining(shape, new Layout(regionOffset(memory, "all")));
  arena.floats(training.points).set(points);
  arena.floats(training.weights).set(weights);
  const changed = [...trainBooks(kernels, training, used)];
  return { books: [...arena.floats(training.books)], rounds: changed.length - 1, arena };
}

/** Codebooks of keys and of values, as a file of one layer would have them. */
function calibrationOf({ kv_heads, head_dim, variants }: GoldenFile<Cq>, books: number[]): Calibration {
  const { channels_per_code: channels, bits } = variants.main.params;
  return {
    model: "golden",
    weights: "golden",
    nLayers: 1,
    nKvHeads: kv_heads,
    headDim: head_dim,
    valueDim: head_dim,
    channels,
    centres: 2 ** bits,
    books: new Float32Array(books),
  };
}

Deno.test({ name: "cq: codebooks, codes and outputs are the golden ones", ignore: !present }, async () => {
  const file = (await golden<GoldenFile<Cq>>("cq.json"))!;
  const { main } = file.variants;
  const { channels_per_code: channels, bits, recent } = main.params;
  const [dim, nKvHeads] = [file.head_dim, file.kv_heads];
  const sizes = {
    nKvHeads,
    n: main.calibration_k[0].length,
    dim,
    channels,
    centres: 2 ** bits,
    weightGroups: dim / channels,
  };
  const books: number[] = [];
  for (const part of ["k", "v"] as const) {
    const points = main[`calibration_${part}`].flat(2);
    const learned = await learn(sizes, points, main[`weight_${part}`].flat(2), 2 ** bits);
    assertClose(learned.books, inOrder(main[`codebook_${part}`]), 1e-5, `codebook of ${part}`);
    assertEquals(learned.arena.brokenGuards(), []);
    books.push(...learned.books);
  }
  const calibration = calibrationOf(file, books);
  for (const binary of BINARIES) {
    const rig = await makeRig({
      ...shape(file),
      prefill: undefined,
      binary,
      ropeBase: file.rope_base,
      storage: `cq:channels=${channels},recent=${recent},exact=f32`,
      calibration,
    });
    rig.prompt(file.q, file.k, file.v, file.n);
    const { codec, keys, values, capacity } = rig.caches[0];
    for (const [i, step] of main.per_step.entries()) {
      assertOut(rig.step(file.q, file.k, file.v), step.out, `step ${i + 1}`);
      assertEquals([...rig.arena.words(codec!).subarray(1, 3)], [step.coded, step.coded]);
    }
    const groups = dim / channels;
    const coded = main.per_step.at(-1)!.coded;
    for (const [handle, codes] of [[keys, main.codes_k], [values, main.codes_v]] as const) {
      const rowBytes = 4 * Math.ceil(groups / 4);
      for (let head = 0; head < nKvHeads; head++) {
        for (let token = 0; token < coded; token++) {
          const start = handle.offset + (head * capacity + token) * rowBytes;
          assertEquals([...rig.arena.bytes.subarray(start, start + groups)], [...codes[head][token]]);
        }
      }
    }
    assertEquals(rig.brokenGuards(), []);
  }
});

Deno.test({
  name: "cq without rotation: attention by tables is that over the golden centres",
  ignore: !present,
}, async () => {
  const file = (await golden<GoldenFile<Cq>>("cq.json"))!;
  const { main } = file.variants;
  const { channels_per_code: channels, recent } = main.params;
  const [dim, nKvHeads] = [file.head_dim, file.kv_heads];
  const calibration = calibrationOf(file, [...inOrder(main.codebook_k), ...inOrder(main.codebook_v)]);
  const slopes = [0.5, 0.125];
  /** A token's key, or value, once it has left the recent ones. */
  const opened = (part: "k" | "v", head: number, token: number) =>
    main[`codes_${part}`][head][token].flatMap((code, u) => main[`codebook_${part}`][head][u][code]);
  for (const binary of BINARIES) {
    for (const alibi of [false, true]) {
      // As many query heads as KV heads: each reads by tables.
      const rig = await makeRig({
        ...shape(file),
        nHeads: nKvHeads,
        prefill: undefined,
        binary,
        slopes: alibi ? slopes : undefined,
        storage: `cq:channels=${channels},recent=${recent},exact=f32`,
        calibration,
      });
      rig.prompt(file.q, file.k, file.v, file.n);
      for (const [step, { coded }] of main.per_step.entries()) {
        const now = file.n + step;
        const out = rig.step(file.q, file.k, file.v);
        const wanted = Array.from({ length: nKvHeads }, (_, head) => {
          const token = (part: "k" | "v", t: number) =>
            t < coded ? opened(part, head, t) : file[part][head][t];
          const weights = Array.from({ length: now + 1 }, (_, t) => {
            const dot = token("k", t).reduce((sum, x, i) => sum + x * file.q[head][now][i], 0);
            return Math.exp(dot / Math.sqrt(dim) - (alibi ? slopes[head] * (now - t) : 0));
          });
          const sum = weights.reduce((a, b) => a + b);
          return Array.from(
            { length: dim },
            (_, i) => weights.reduce((total, weight, t) => total + weight / sum * token("v", t)[i], 0),
          );
        });
        assertOut(out, wanted, `step ${step + 1}`);
      }
      assertEquals(rig.brokenGuards(), []);
    }
  }
});

Deno.test({ name: "cq: the tiny case's centres are weighted means", ignore: !present }, async () => {
  const { tiny } = (await golden<{ tiny: { given: { points: number[] }; expected: number[] } }>("cq.json"))!;
  const shape = { nKvHeads: 1, n: 4, dim: 1, channels: 1, centres: 4, weightGroups: 1 };
  const { books, rounds } = await learn(shape, tiny.given.points, [1, 3, 1, 1], 2);
  assertEquals(books, [...tiny.expected, Infinity, Infinity]);
  assertEquals(rounds, 2);
});

Deno.test("a calibration comes back from its file; a damaged one, another file and other sizes are refused", async () => {
  const sizes = { nLayers: 2, nKvHeads: 1, headDim: 8, valueDim: 8, channels: 4, centres: 16 };
  const books = Uint16Array.from({ length: 2 * 16 * 16 }, (_, i) => i);
  const calibration = { model: "a", weights: "b", ...sizes, books };
  const bytes = encodeCalibration(calibration);
  assertEquals(readCalibration(bytes), calibration);
  for (const at of [0, 20, 200, bytes.length - 1]) {
    const damaged = bytes.slice();
    damaged[at] ^= 1;
    assertThrows(() => readCalibration(damaged), OptionError);
  }
  assertThrows(() => readCalibration(bytes.subarray(0, 30)), OptionError);
  // Whole, but made by somebody else: no JSON, nothing, fewer layers than fit, a size that is none.
  const json = new TextDecoder().decode(bytes.subarray(16, bytes.indexOf(0x7d, 16) + 1));
  for (const head of ["{", "null", json.replace('"nLayers":2', '"nLayers":1'), json.replace("16", "-16")]) {
    const forged = new Uint8Array(bytes.length).fill(0x20);
    forged.set(bytes.subarray(0, 16));
    forged.set(new TextEncoder().encode(head), 16);
    forged.set(sha256(forged.subarray(0, -32)), bytes.length - 32);
    assertThrows(() => readCalibration(forged), OptionError, "calibration");
  }
  const rig = { nHeads: 1, nKvHeads: 1, headDim: 8, context: 32, nLayers: 2, calibration: bytes };
  await makeRig({ ...rig, storage: "cq:channels=4" });
  for (
    const [wrong, option] of [
      [{ storage: "cq:channels=2" }, "calibration's channels"],
      [{ storage: "cq:channels=4", headDim: 16 }, "calibration's headDim"],
      [{ storage: "cq:channels=4", calibration: undefined }, "storage"],
    ] as const
  ) {
    const error = await makeRig({ ...rig, ...wrong }).then(() => undefined, (error) => error);
    assertEquals([error instanceof OptionError, error?.option], [true, option]);
  }
});
