/**
 * Probes are drawn; a golden file names those that it has. This finds a seed that draws them.
 *
 * @module
 */
import { instantiateKernels } from "../../src/kernels/load.ts";
import { slotsBytes } from "../../src/kernels/sizes.ts";
import type { LayerCache } from "../../src/memory/handles.ts";
import { RESERVED_BYTES } from "../../src/memory/plan.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";

/**
 * The parameters of `zipvl` that make the last `recent` of `n` rows probes, and of the others the given ones.
 *
 * @param probes Ascending, those at the end included.
 */
export async function probeParams(probes: readonly number[], n: number): Promise<string> {
  let recent = 0;
  while (probes.includes(n - 1 - recent)) recent++;
  const drawn = probes.slice(0, probes.length - recent);
  const others = n - recent;
  const capacity = Math.ceil(n / 32) * 32;
  const kernels = await instantiateKernels(await kernelModule("simd128"), RESERVED_BYTES + 2 ** 16);
  const slots = { kind: "bytes", offset: RESERVED_BYTES, length: slotsBytes(capacity, 1) } as const;
  const cache = { slots, capacity, nKvHeads: 1 } as LayerCache;
  const words = new Uint32Array(kernels.buffer, slots.offset, slots.length / 4);
  words[0] = n;
  for (let i = 0; i < capacity; i++) words[4 + i] = i < n ? i : 2 ** 32 - 1;
  const scores = { kind: "f32", offset: slots.offset + slots.length, length: capacity } as const;
  const draws = new Float32Array(kernels.buffer, scores.offset, others);
  const share = drawn.length / others;
  for (let seed = 0; seed < 5e6; seed++) {
    kernels.policy.randomise(scores, cache, seed, 0);
    if (!drawn.every((row) => draws[row] < share)) continue;
    if (draws.filter((draw) => draw < share).length > drawn.length) continue;
    return `recent=${recent},random=${drawn.length},seed=${seed}`;
  }
  throw new Error(`no seed draws ${drawn} of ${others} rows`);
}
