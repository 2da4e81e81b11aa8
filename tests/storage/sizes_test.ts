import { assertEquals } from "@std/assert";
import { bookLength } from "../../src/cache/calibration.ts";
import { makeRig } from "../policy/rig.ts";

/** Storages for heads of any width, with the numbers of a codebook where there are some. */
const STORAGES = [
  "kivi:bits=2",
  "kivi:bits=4,group=8,recent=16,exact=f32",
  "kivi:channels=8,group=16",
  "think",
  "think:prune=0.7,window=5,exact=f32",
  "cq:channels=4,recent=7",
  "cq:channels=8,exact=f32",
  "mixed",
  "mixed:bits=8,exact=f32",
];

Deno.test("codecs take the bytes that are planned for them", async () => {
  for (const headDim of [8, 40, 64, 96, 256]) {
    for (const storage of STORAGES) {
      for (const kvType of ["f32", "f16", "q8_0", "q4_0"] as const) {
        if (!storage.startsWith("think") && kvType !== "f32") continue;
        const channels = Number(/^cq:channels=(\d)/.exec(storage)?.[1] ?? 0);
        const shape = { nKvHeads: 2, headDim, valueDim: headDim, channels, centres: 16 };
        const calibration = channels > 0
          ? { ...shape, model: "", weights: "", nLayers: 2, books: new Uint16Array(2 * bookLength(shape)) }
          : undefined;
        const rig = await makeRig({
          nHeads: 4,
          nKvHeads: 2,
          headDim,
          nLayers: 2,
          context: 96,
          chunk: 24,
          storage,
          kvType,
          calibration,
          ...(storage.startsWith("mixed") && { policy: "zipvl:others=demote,block=20", budget: 0.3 }),
        });
        for (const { codec, keys, values, books } of rig.caches) {
          const bytes = (part: "region" | "keys" | "values" | "books") =>
            rig.kernels.codec.bytes(codec!, part);
          const wanted = [4 * codec!.length, keys.length, values.length, books?.length ?? 0];
          const found = (["region", "keys", "values", "books"] as const).map(bytes);
          assertEquals(found, wanted, `${storage}, ${kvType}, heads of ${headDim}`);
        }
        assertEquals(rig.brokenGuards(), []);
      }
    }
  }
});
